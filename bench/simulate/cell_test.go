package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func example(t *testing.T) inputs {
	t.Helper()
	in, err := readInputs(measured)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// conserved checks that every request and verification is counted exactly once.
func conserved(t *testing.T, c *cell, before int) {
	t.Helper()
	if c.arrived != c.accepted+c.refused+c.starting {
		t.Errorf("%d starts; %d accepted, %d refused, %d in progress", c.arrived, c.accepted, c.refused, c.starting)
	}
	if c.checks != c.checked+c.checksRefused+c.checking {
		t.Errorf("%d codes; %d compared, %d refused, %d in progress", c.checks, c.checked, c.checksRefused, c.checking)
	}
	if before+c.accepted != c.ended+c.running {
		t.Errorf("%d verifications before and %d accepted; %d ended, %d running", before, c.accepted, c.ended, c.running)
	}
}

// TestNothingIsLost checks that all requests and verifications end after failures.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(*cell){
		"nothing":            func(*cell) {},
		"a node":             func(c *cell) { c.kill(c.nodes[0], false) },
		"a node, vanished":   func(c *cell) { c.kill(c.nodes[1], true) },
		"the database":       func(c *cell) { c.fail(); c.after(7*time.Second, c.recover) },
		"the database, long": func(c *cell) { c.fail(); c.after(20*time.Second, c.recover) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCell(1, example(t))
			c.history(100)
			before := c.running
			c.arrivals(100, constant(), 15*time.Second)
			c.after(5*time.Second, func() { trouble(c) })
			for _, at := range []time.Duration{2 * time.Second, 5 * time.Second, 8 * time.Second, 15 * time.Second, 40 * time.Second} {
				c.run(at)
				conserved(t, c, before)
			}
			if c.accepted == 0 || c.checked == 0 || c.start.n == 0 {
				t.Error("no start or check succeeded")
			}
			if refused := c.refused + c.checksRefused; (refused > 0) != (name != "nothing") {
				t.Errorf("%d refused requests", refused)
			}
			c.run(30 * time.Minute)
			conserved(t, c, before)
			waiting := c.due.len() + c.starting + c.checking + c.running
			for _, n := range c.nodes {
				waiting += len(n.flying)
				for _, w := range n.writers {
					waiting += w.waiting()
				}
			}
			for i := range c.locks {
				if c.locks[i].held != nil {
					t.Errorf("account %d is still locked", i)
				}
			}
			if waiting != 0 || len(c.events) != 0 {
				t.Errorf("%d unfinished, of %d running; %d events", waiting, c.running, len(c.events))
			}
		})
	}
}

// TestLosses compares the effect of failures with the known behaviour of the program.
func TestLosses(t *testing.T) {
	t.Parallel()
	in := example(t)
	killed := question{in: in, rate: 200, length: 20 * time.Second, trouble: func(c *cell) { c.kill(c.nodes[0], false) }}.ask(1)
	if spell := killed.lastRefused - warmUp; spell <= 0 || spell > in.time("balancer")+time.Second {
		t.Errorf("a dead node received requests for %v", spell)
	}
	if killed.rescued == 0 {
		t.Error("the messages of the dead node were not resent")
	}
	away := question{in: in, rate: 200, length: 60 * time.Second, trouble: func(c *cell) {
		c.fail()
		c.after(30*time.Second, c.recover)
	}}.ask(1)
	if away.peakDue < 500 || away.late.max < 29*time.Second || away.lastBehind < warmUp+30*time.Second {
		t.Errorf("%d rows due, messages at most %v late, rows overdue until %v", away.peakDue, away.late.max, away.lastBehind)
	}
	if away.due.len() > 5 {
		t.Errorf("%d rows are still due", away.due.len())
	}
}

func TestOneAccountWaitsForItself(t *testing.T) {
	t.Parallel()
	in := example(t)
	one := func(nodes float64) answer {
		return question{
			in: in.with(map[string]float64{"cell.nodes": nodes, "start.trips": 10}), rate: 400, length: 5 * time.Second, accounts: []float64{1},
		}.ask(1)
	}
	if a, b := one(1), one(6); b.rate > a.rate*1.3 {
		t.Errorf("starts per second of one account: %.0f with six nodes, %.0f with one", b.rate, a.rate)
	}
}

func TestSameSeedSameTables(t *testing.T) {
	t.Parallel()
	print := func(seed uint64) string {
		var b bytes.Buffer
		err := run(&b, seed, "", "check", []string{"bench.trip=50"})
		if err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	first := print(1)
	if first != print(1) {
		t.Error("the same seed printed other tables")
	}
	if first == print(2) {
		t.Error("another seed printed the same tables")
	}
	if !strings.Contains(first, "PostgreSQL, 64 clients |") {
		t.Errorf("no table: %s", first)
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "scale.md")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# Scale\n\n<!-- simulate inputs -->\nold\n<!-- end -->\n\nThe rest.\n")
	if err := update(file, 1, "", "inputs", []string{"base=123"}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Scale\n\n<!-- simulate inputs -->\n\n| input |", "| `base` | 123 /s |", "|\n\n<!-- end -->\n\nThe rest.\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("missing %q", want)
		}
	}
	if strings.Contains(string(text), "old") {
		t.Error("the old table is still there")
	}
	write("no place")
	if update(file, 1, "", "inputs", nil) == nil {
		t.Error("accepted a file without a place for the table")
	}
}

func TestPlace(t *testing.T) {
	t.Parallel()
	loads := zipf(1000, 1)
	for i := range loads {
		loads[i] *= 10_000
	}
	p := place(loads, 20, 400, 1)
	sum := 0.0
	for _, load := range p.fullest {
		if load > 400 {
			t.Errorf("an account of %.0f is not split", load)
		}
		sum += load
	}
	if p.load < 500 || p.load > 510 || sum < p.load-1 || sum > p.load+1 {
		t.Errorf("load of the fullest cell %.0f, sum of its accounts %.0f; want 500", p.load, sum)
	}
	if p.split != 3 || p.hashed < p.load {
		t.Errorf("%d split accounts; the fullest cell by hash has %.0f", p.split, p.hashed)
	}
}

func TestInputs(t *testing.T) {
	t.Parallel()
	in := example(t)
	if len(in.list) != len(needed()) {
		t.Errorf("%d inputs, %d of them used", len(in.list), len(needed()))
	}
	for _, i := range in.list {
		if i.What == "" || i.From == "" {
			t.Errorf("%s lacks a description or a source", i.Name)
		}
	}
	if err := in.set("network.trip=2"); err != nil || in.time("network.trip") != 2*time.Microsecond {
		t.Errorf("set to %v, %v", in.time("network.trip"), err)
	}
	for _, bad := range []string{"nothing=1", "base", "base=x", "base=-1"} {
		if in.set(bad) == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	for _, bad := range []string{`{`, `[]`, `[{"name":"base","value":-1}]`, `[{"name":"base","unit":"h"}]`, `[{"name":"base"},{"name":"base"}]`} {
		if _, err := readInputs([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

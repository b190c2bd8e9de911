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

// conserved sees that everything that came has left, or is still there.
func conserved(t *testing.T, c *cell, before int) {
	t.Helper()
	if c.arrived != c.accepted+c.refused+c.starting {
		t.Errorf("%d starts came; %d were accepted, %d refused, %d are at work", c.arrived, c.accepted, c.refused, c.starting)
	}
	if c.checks != c.checked+c.checksRefused+c.checking {
		t.Errorf("%d codes came; %d were compared, %d refused, %d are at work", c.checks, c.checked, c.checksRefused, c.checking)
	}
	if before+c.accepted != c.ended+c.running {
		t.Errorf("%d verifications ran and %d were accepted; %d ended, %d run", before, c.accepted, c.ended, c.running)
	}
}

// TestNothingIsLost lets things go wrong, and then all that came run to its end.
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
				t.Error("nothing happened")
			}
			if refused := c.refused + c.checksRefused; (refused > 0) != (name != "nothing") {
				t.Errorf("%d requests were refused", refused)
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
					t.Errorf("somebody holds account %d", i)
				}
			}
			if waiting != 0 || len(c.events) != 0 {
				t.Errorf("%d are still there, of %d running; %d events", waiting, c.running, len(c.events))
			}
		})
	}
}

// TestLosses sees that the simulation shows what the program is known to do.
func TestLosses(t *testing.T) {
	t.Parallel()
	in := example(t)
	killed := question{in: in, rate: 200, length: 20 * time.Second, trouble: func(c *cell) { c.kill(c.nodes[0], false) }}.ask(1)
	if spell := killed.lastRefused - warmUp; spell <= 0 || spell > in.time("balancer")+time.Second {
		t.Errorf("a dead node was asked for %v", spell)
	}
	if killed.rescued == 0 {
		t.Error("nobody took over the messages of the dead node")
	}
	away := question{in: in, rate: 200, length: 60 * time.Second, trouble: func(c *cell) {
		c.fail()
		c.after(30*time.Second, c.recover)
	}}.ask(1)
	if away.peakDue < 500 || away.late.max < 29*time.Second || away.lastBehind < warmUp+30*time.Second {
		t.Errorf("%d rows fell due, at most %v late, behind until %v", away.peakDue, away.late.max, away.lastBehind)
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
		t.Errorf("six nodes accept %.0f a second of one account, one node %.0f", b.rate, a.rate)
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
		t.Error("the same seed printed something else")
	}
	if first == print(2) {
		t.Error("another seed printed the same")
	}
	if !strings.Contains(first, "PostgreSQL, 64 at once |") {
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
			t.Errorf("there is no %q", want)
		}
	}
	if strings.Contains(string(text), "old") {
		t.Error("the old table is still there")
	}
	write("no place")
	if update(file, 1, "", "inputs", nil) == nil {
		t.Error("a file without a place for the table was taken")
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
			t.Errorf("an account of %.0f was not split", load)
		}
		sum += load
	}
	if p.load < 500 || p.load > 510 || sum < p.load-1 || sum > p.load+1 {
		t.Errorf("the fullest cell has %.0f, of accounts that ask for %.0f; 500 is what each should", p.load, sum)
	}
	if p.split != 3 || p.hashed < p.load {
		t.Errorf("%d accounts were split, by hash the fullest has %.0f", p.split, p.hashed)
	}
}

func TestInputs(t *testing.T) {
	t.Parallel()
	in := example(t)
	if len(in.list) != len(needed()) {
		t.Errorf("%d inputs are there, %d are used", len(in.list), len(needed()))
	}
	for _, i := range in.list {
		if i.What == "" || i.From == "" {
			t.Errorf("%s does not say what it is, and where from", i.Name)
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
			t.Errorf("%s was read", bad)
		}
	}
}

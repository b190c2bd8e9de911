package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"
)

// report prints tables.
type report struct {
	in   inputs
	seed uint64
	out  io.Writer

	carried, account float64 // capacity, and capacity for a single account; 0 if unknown
}

// row prints cells of a table.
func (r *report) row(cells ...any) {
	for _, c := range cells {
		fmt.Fprint(r.out, "| ", c, " ")
	}
	fmt.Fprintln(r.out, "|")
}

// head prints the header. All columns but the first contain numbers.
func (r *report) head(columns ...any) {
	r.row(columns...)
	fmt.Fprint(r.out, "|---")
	for range len(columns) - 1 {
		fmt.Fprint(r.out, "|--:")
	}
	fmt.Fprintln(r.out, "|")
}

func (r *report) inputs() { r.in.print(r.out) }

// capacity returns the capacity of a cell, and its capacity for a single account.
func (r *report) capacity() (cell, account float64) {
	if r.carried == 0 {
		both := all([][]float64{nil, {1}}, func(accounts []float64) float64 {
			return carries(question{in: r.in, accounts: accounts}, r.seed)
		})
		r.carried, r.account = both[0], both[1]
	}
	return r.carried, r.account
}

// planned returns the load of a cell that leaves the headroom.
func (r *report) planned() float64 {
	cell, _ := r.capacity()
	return cell * r.in.value("headroom")
}

// nodes shows the capacity by number of nodes, and the effect of removing bottlenecks.
func (r *report) nodes() {
	nodes := []float64{1, 3, 6}
	noTrips := map[string]float64{"start.trips": 0, "check.trips": 0, "outcome.trips": 0, "receipt.trips": 0}
	apart := map[string]float64{"writer.count": 6, "writer.apart": 2}
	kinds := []struct {
		name     string
		in       inputs
		accounts []float64
	}{
		{"current design", r.in, nil},
		{"equal accounts", r.in.with(map[string]float64{"skew": 0}), nil},
		{"a single account", r.in, []float64{1}},
		{"two extra writers for outcomes, receipts and steps", r.in.with(apart), nil},
		{"round trips shared by the jobs of a batch", r.in.with(noTrips), nil},
		{"both of these", r.in.with(noTrips).with(apart), nil},
	}
	type combination struct{ kind, nodes int }
	var every []combination
	for k := range kinds {
		for n := range nodes {
			every = append(every, combination{k, n})
		}
	}
	carried := all(every, func(c combination) float64 {
		in := kinds[c.kind].in.with(map[string]float64{"cell.nodes": nodes[c.nodes]})
		return carries(question{in: in, accounts: kinds[c.kind].accounts}, r.seed)
	})
	r.head("starts/s, including all later work", "1 node", "3 nodes", "6 nodes")
	for k, kind := range kinds {
		r.row(kind.name, number(carried[3*k]), number(carried[3*k+1]), number(carried[3*k+2]))
	}
}

// loads shows the fullest cell at 1, 10, 100 and 1,000 times the load.
func (r *report) loads() {
	_, account := r.capacity()
	type load struct {
		times, rate float64
		cells       int
		placement
		answer
	}
	answers := all([]float64{1, 10, 100, 1000}, func(times float64) load {
		l := load{times: times, rate: times * r.in.value("base")}
		l.cells = int(math.Ceil(l.rate / r.planned()))
		shares := zipf(int(times)*r.in.count("accounts"), r.in.value("skew"))
		for i := range shares {
			shares[i] *= l.rate
		}
		l.placement = place(shares, l.cells, account*r.in.value("headroom"), r.seed)
		l.answer = question{in: r.in, rate: l.load, accounts: l.fullest, length: 30 * time.Second}.ask(r.seed)
		return l
	})
	fmt.Fprintf(r.out, "The capacity of a cell is %s starts per second, and its planned load %s. For a single account they are %s and %s; a larger account is split.\n\n",
		number(r.carried), number(r.planned()), number(account), number(account*r.in.value("headroom")))
	r.head("load", "starts/s", "cells", "accounts", "split accounts", "fullest cell", "fullest cell by hash")
	for _, l := range answers {
		r.row(number(l.times)+" ×", number(l.rate), l.cells, number(l.times*r.in.value("accounts")), l.split,
			number(l.load)+"/s", number(l.hashed)+"/s")
	}
	fmt.Fprintln(r.out)
	r.headAnswer("fullest cell at")
	for _, l := range answers {
		r.answer(number(l.times)+" ×", l.answer)
	}
}

// headAnswer and answer print the header and the row of an answer.
func (r *report) headAnswer(of string) {
	r.head(of, "start: p50", "p99", "max", "check: p50", "p99", "max", "accepted to wire: p99", "due to wire: p99",
		"max rows due", "max in a writer's queue", "refused", "nodes busy", "PostgreSQL busy")
}

func (r *report) answer(name string, a answer) {
	r.row(name, ms(a.start.quantile(0.5)), ms(a.start.quantile(0.99)), ms(a.start.max),
		ms(a.check.quantile(0.5)), ms(a.check.quantile(0.99)), ms(a.check.max),
		ms(a.submit.quantile(0.99)), ms(a.late.quantile(0.99)), a.peakDue, a.peakQueue,
		percent(float64(a.refused+a.checksRefused)/float64(max(a.arrived+a.checks, 1))), percent(a.node), percent(a.base))
}

// beyond shows a cell at 50 % to 1,000 % of its capacity.
func (r *report) beyond() {
	cell, _ := r.capacity()
	shares := []float64{0.5, 0.8, 1, 1.2, 2, 10}
	answers := all(shares, func(share float64) answer {
		return question{in: r.in, rate: cell * share, length: 10 * time.Second}.ask(r.seed)
	})
	r.headAnswer("load / capacity")
	for i, a := range answers {
		r.answer(percent(shares[i]), a)
	}
}

// shapes shows a cell at its planned load with varying arrivals.
func (r *report) shapes() {
	const length = 60 * time.Second
	kinds := []struct {
		name     string
		rate     float64
		shape    shape
		accounts []float64
	}{
		{"constant (Poisson)", 1, constant(), nil},
		{"a day in a minute, planned load at its peak", 1, day(length), nil},
		{"three times the load for 10 s", 1, burst(20*time.Second, 10*time.Second, 3), nil},
		{"equal accounts", 1, constant(), slices.Repeat([]float64{1}, r.in.count("accounts"))},
		{"one account with half of the load", 1, constant(), append([]float64{1}, zipf(r.in.count("accounts"), r.in.value("skew"))...)},
	}
	rate := r.planned()
	answers := all(kinds, func(k struct {
		name     string
		rate     float64
		shape    shape
		accounts []float64
	},
	) answer {
		return question{in: r.in, rate: rate * k.rate, shape: k.shape, accounts: k.accounts, length: length}.ask(r.seed)
	})
	r.headAnswer(number(rate) + " starts/s")
	for i, a := range answers {
		r.answer(kinds[i].name, a)
	}
}

// number formats a rounded number with commas.
func number(f float64) string {
	text := strconv.Itoa(int(math.Round(f)))
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func percent(f float64) string {
	if f > 0 && f < 0.01 {
		return fmt.Sprintf("%.2f %%", f*100)
	}
	return fmt.Sprintf("%.0f %%", f*100)
}

// ms formats a time in milliseconds, or in seconds from 1 s.
func ms(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= 20*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

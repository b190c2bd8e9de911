package main

import (
	"fmt"
	"time"
)

// connections are those of "make bench".
const connections = 64

// check sets what the simulation says of the machine of the benchmarks beside what was
// measured there.
func (r *report) check() {
	type work struct {
		name, input string
		simulate    func() float64
	}
	var works []work
	for _, clients := range []int{1, 8, 64, 256} {
		works = append(works, work{
			fmt.Sprint("accepted past the API and the caps, PostgreSQL, ", clients, " at once"), fmt.Sprint("measured.accept.", clients),
			func() float64 { return r.accepts(clients) },
		})
	}
	works = append(works, work{"the same with the outcome, 64 at once, 1 ms of network", "measured.far", r.acceptsFar})
	for i, engine := range []string{"SQLite", "PostgreSQL"} {
		input := []string{"measured.sqlite.", "measured.postgres."}[i]
		works = append(
			works, work{"start, " + engine, input + "start", func() float64 { return r.asks(i == 0, (*cell).clients) }},
			work{"check, " + engine, input + "check", func() float64 { return r.asks(i == 0, (*cell).checkers) }},
		)
	}
	rates := all(works, func(w work) float64 { return w.simulate() })
	r.head("a second", "measured", "simulated", "ratio")
	for i, w := range works {
		was, ratio := "–", "–"
		if m := r.in.value(w.input); m > 0 {
			was, ratio = number(m), fmt.Sprintf("%.2f", rates[i]/m)
		}
		r.row(w.name, was, number(rates[i]), ratio)
	}
	fmt.Fprintln(r.out)
	r.head("whole life over SMPP, SQLite", "start: p50 measured", "simulated", "p99 measured", "simulated", "cores busy, simulated")
	life := r.lives()
	was := func(name string) string {
		if d := r.in.time("measured.life." + name); d > 0 {
			return ms(d)
		}
		return "–"
	}
	r.row(number(r.in.value("measured.life.rate"))+"/s", was("p50"), ms(life.start.quantile(0.5)), was("p99"), ms(life.start.quantile(0.99)), percent(life.base))
}

// accepts has clients accept verifications of one account past the API, the caps and
// the rules.
func (r *report) accepts(clients int) float64 {
	c := newBench(r.seed, r.in, false)
	c.acceptOnly = true
	c.costs.startNode, c.costs.startReads = 0, 0
	c.clients(clients)
	return c.settle().rate
}

// acceptsFar is accepts with what became of each message, and a network in between.
func (r *report) acceptsFar() float64 {
	c := newBench(r.seed, r.in.with(map[string]float64{"typed": 0, "receipts": 0, "carrier.answer": 0, "bench.trip": float64(time.Millisecond)}), false)
	c.costs.startNode, c.costs.startReads, c.costs.submit = 0, 0, 0
	c.clients(connections)
	return c.settle().rate
}

// asks has connections ask for one thing again and again.
func (r *report) asks(embedded bool, ask func(*cell, int)) float64 {
	c := newBench(r.seed, r.in.with(map[string]float64{"typed": 0, "receipts": 0, "carrier.answer": 0}), embedded)
	ask(c, connections)
	a := c.settle()
	return a.rate + float64(a.checked)/settled.Seconds()
}

// lives has whole lives begin at a rate, over an SMSC that answers at once. All codes
// are typed, a second later.
func (r *report) lives() answer {
	c := newBench(r.seed, r.in.with(map[string]float64{
		"typed": 1, "wrong": 0, "typing": float64(time.Second), "receipts": 1, "receipt.after": float64(time.Millisecond),
		"carrier.answer": float64(time.Millisecond),
	}), true)
	c.arrivals(r.in.value("measured.life.rate"), constant(), warmUp+settled)
	return c.settle()
}

const settled = 3 * time.Second

// settle measures a cell for a while.
func (c *cell) settle() answer {
	c.run(warmUp)
	c.measure()
	c.run(warmUp + settled)
	return c.answer(settled)
}

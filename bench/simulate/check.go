package main

import (
	"fmt"
	"time"
)

// connections is the number of connections of "make bench".
const connections = 64

// check compares a simulation of the benchmark machine with its measurements.
func (r *report) check() {
	type work struct {
		name, input string
		simulate    func() float64
	}
	var works []work
	for _, clients := range []int{1, 8, 64, 256} {
		works = append(works, work{
			fmt.Sprint("accepted without API and caps, PostgreSQL, ", clients, " clients"), fmt.Sprint("measured.accept.", clients),
			func() float64 { return r.accepts(clients) },
		})
	}
	works = append(works, work{"same with outcome, 64 clients, 1 ms network", "measured.far", r.acceptsFar})
	for i, engine := range []string{"SQLite", "PostgreSQL"} {
		input := []string{"measured.sqlite.", "measured.postgres."}[i]
		works = append(
			works, work{"start, " + engine, input + "start", func() float64 { return r.asks(i == 0, (*cell).clients) }},
			work{"check, " + engine, input + "check", func() float64 { return r.asks(i == 0, (*cell).checkers) }},
		)
	}
	rates := all(works, func(w work) float64 { return w.simulate() })
	r.head("per second", "measured", "simulated", "ratio")
	for i, w := range works {
		was, ratio := "–", "–"
		if m := r.in.value(w.input); m > 0 {
			was, ratio = number(m), fmt.Sprintf("%.2f", rates[i]/m)
		}
		r.row(w.name, was, number(rates[i]), ratio)
	}
	fmt.Fprintln(r.out)
	r.head("full verifications over SMPP, SQLite", "start: p50 measured", "simulated", "p99 measured", "simulated", "cores busy, simulated")
	life := r.lives()
	was := func(name string) string {
		if d := r.in.time("measured.life." + name); d > 0 {
			return ms(d)
		}
		return "–"
	}
	r.row(number(r.in.value("measured.life.rate"))+"/s", was("p50"), ms(life.start.quantile(0.5)), was("p99"), ms(life.start.quantile(0.99)), percent(life.base))
}

// accepts returns the rate at which clients accept verifications of one account, without
// the API, the caps and the rules.
func (r *report) accepts(clients int) float64 {
	c := newBench(r.seed, r.in, false)
	c.acceptOnly = true
	c.costs.startNode, c.costs.startReads = 0, 0
	c.clients(clients)
	return c.settle().rate
}

// acceptsFar is accepts with the outcome of each message and a network delay.
func (r *report) acceptsFar() float64 {
	c := newBench(r.seed, r.in.with(map[string]float64{"typed": 0, "receipts": 0, "carrier.answer": 0, "bench.trip": float64(time.Millisecond)}), false)
	c.costs.startNode, c.costs.startReads, c.costs.submit = 0, 0, 0
	c.clients(connections)
	return c.settle().rate
}

// asks returns the rate of repeated requests of one kind.
func (r *report) asks(embedded bool, ask func(*cell, int)) float64 {
	c := newBench(r.seed, r.in.with(map[string]float64{"typed": 0, "receipts": 0, "carrier.answer": 0}), embedded)
	ask(c, connections)
	a := c.settle()
	return a.rate + float64(a.checked)/settled.Seconds()
}

// lives simulates full verifications at the measured rate, with an SMSC that responds after
// 1 ms on average. All codes are submitted after a median of 1 s.
func (r *report) lives() answer {
	c := newBench(r.seed, r.in.with(map[string]float64{
		"typed": 1, "wrong": 0, "typing": float64(time.Second), "receipts": 1, "receipt.after": float64(time.Millisecond),
		"carrier.answer": float64(time.Millisecond),
	}), true)
	c.arrivals(r.in.value("measured.life.rate"), constant(), warmUp+settled)
	return c.settle()
}

const settled = 3 * time.Second

// settle measures a cell for the time settled.
func (c *cell) settle() answer {
	c.run(warmUp)
	c.measure()
	c.run(warmUp + settled)
	return c.answer(settled)
}

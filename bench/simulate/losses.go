package main

import "time"

// loss is something that goes wrong in a cell at its planned load.
type loss struct {
	name  string
	plan  func(*cell)   // lets it happen
	until time.Duration // it is over
}

// length is how long to look: until what was left undone is done.
func (l loss) length(before time.Duration) time.Duration {
	return before + l.until + max(l.until/2, time.Minute)
}

// losses shows what accounts of a cell see when something of it is lost.
func (r *report) losses() {
	standby, restore := r.in.time("standby"), r.in.time("restore")
	away := func(d time.Duration) func(*cell) {
		return func(c *cell) {
			c.fail()
			c.after(d, c.recover)
		}
	}
	kinds := []loss{
		{name: "nothing", plan: func(*cell) {}},
		{name: "a node's process", plan: func(c *cell) { c.kill(c.nodes[0], false) }},
		{name: "a node's machine, without a word", plan: func(c *cell) { c.kill(c.nodes[0], true) }},
		{name: "PostgreSQL, and a standby takes over", plan: away(standby), until: standby},
		{name: "the same, with a node in the same zone", plan: func(c *cell) {
			c.kill(c.nodes[0], false)
			away(standby)(c)
		}, until: standby},
		{name: "PostgreSQL, without a standby", plan: away(restore), until: restore},
	}
	const before = 10 * time.Second
	rate := r.planned()
	answers := all(kinds, func(l loss) answer {
		return question{in: r.in, rate: rate, length: l.length(before), trouble: func(c *cell) {
			c.after(before, func() { l.plan(c) })
		}}.ask(r.seed)
	})
	r.head("lost, at "+number(rate)+" starts/s", "requests refused", "for", "of all meanwhile", "people who gave up", "start: p99", "max",
		"rows due, most", "more than 1 s overdue, after it is back", "messages late: p99", "max", "may have gone twice")
	for i, a := range answers {
		l, refused := kinds[i], a.refused+a.checksRefused
		spell := a.lastRefused - a.firstRefused
		share := "–"
		if refused > 0 {
			meanwhile := float64(a.arrived+a.checks) / l.length(before).Seconds() * spell.Seconds()
			share = percent(min(float64(refused)/meanwhile, 1))
		}
		behind := max(a.lastBehind-warmUp-before-l.until, 0)
		r.row(l.name, number(float64(refused)), ms(spell), share, number(float64(a.gaveUp)), ms(a.start.quantile(0.99)), ms(a.start.max),
			number(float64(a.peakDue)), ms(behind), ms(a.late.quantile(0.99)), ms(a.late.max), a.rescued)
	}
}

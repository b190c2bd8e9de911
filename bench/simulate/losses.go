package main

import "time"

// loss is a failure in a cell at its planned load.
type loss struct {
	name  string
	plan  func(*cell)   // triggers the failure
	until time.Duration // duration of the failure
}

// length returns the duration of the measurement, which includes the backlog's processing.
func (l loss) length(before time.Duration) time.Duration {
	return before + l.until + max(l.until/2, time.Minute)
}

// losses shows the effect of failures in a cell on its accounts.
func (r *report) losses() {
	standby, restore := r.in.time("standby"), r.in.time("restore")
	away := func(d time.Duration) func(*cell) {
		return func(c *cell) {
			c.fail()
			c.after(d, c.recover)
		}
	}
	kinds := []loss{
		{name: "no failure", plan: func(*cell) {}},
		{name: "a node's process", plan: func(c *cell) { c.kill(c.nodes[0], false) }},
		{name: "a node's machine, without closing connections", plan: func(c *cell) { c.kill(c.nodes[0], true) }},
		{name: "PostgreSQL, with failover to a standby", plan: away(standby), until: standby},
		{name: "PostgreSQL with failover, and a node in its zone", plan: func(c *cell) {
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
	r.head("failure, at "+number(rate)+" starts/s", "refused requests", "refusing for", "refused share in that time", "users who gave up", "start: p99", "max",
		"max rows due", "rows > 1 s overdue, after recovery", "message delay: p99", "max", "possibly sent twice")
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

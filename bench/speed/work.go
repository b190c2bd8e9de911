package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"countersign/internal/pgtest"
)

// bench is one run of this program.
type bench struct {
	options
	dir      string
	program  string
	postgres *pgtest.Server // nil until it is needed
	results  results
	log      func(format string, args ...any)
	missing  []string // invalid results
	servers  int      // number of started servers
}

// gauge measures the usage of a system.
type gauge struct {
	used     func() (usage, error)
	database func() (usage, error) // usage of separate database processes; nil if none
	peak     func() (float64, error)
	begin    func() // resets the peak

	profile func() ([]byte, error) // CPU profile of the beginning of a load; nil if none
	file    string                 // path of a copy of the profile
}

// measure runs a load and returns its result.
func (b *bench) measure(s *system, g gauge, load func() (*run, error)) (result, error) {
	g.begin()
	before, err := g.used()
	if err != nil {
		return nil, err
	}
	var dbBefore, dbAfter usage
	if g.database != nil {
		if dbBefore, err = g.database(); err != nil {
			return nil, err
		}
	}
	own := ownCPU()
	r, profile, err := g.profiled(load)
	if err != nil {
		return nil, err
	}
	own = ownCPU() - own
	after, err := g.used()
	if err != nil {
		return nil, err
	}
	if g.database != nil {
		if dbAfter, err = g.database(); err != nil {
			return nil, err
		}
	}
	most, err := g.peak()
	if err != nil {
		return nil, err
	}
	if r.wrong > 0 {
		b.miss("%s: %d wrong answers; first: %.300q", s.name, r.wrong, r.first)
	}
	if len(r.times) == 0 {
		return nil, fmt.Errorf("%s: no right answer; first wrong answer: %.300q", s.name, r.first)
	}
	n := float64(len(r.times))
	res := result{
		colRate: r.perSecond(), colPeak: most / mebi,
		colCPU: micros(after.cpu-before.cpu) / n, colLoad: micros(own) / n,
		colWritten: (after.written - before.written + dbAfter.written - dbBefore.written) / n,
	}
	if g.database != nil {
		res[colDatabase] = micros(dbAfter.cpu-dbBefore.cpu) / n
	}
	if mallocs := after.mallocs - before.mallocs; !math.IsNaN(mallocs) && mallocs > 0 {
		res[colMallocs] = mallocs / n
	}
	res.latency(r.times)
	if profile != nil {
		err = res.addParts(parts(), profile)
	}
	return res, err
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// miss records an invalid result, which makes the program fail at its end.
func (b *bench) miss(format string, args ...any) {
	b.missing = append(b.missing, fmt.Sprintf(format, args...))
	b.log("MISSING: "+format, args...)
}

// newServer starts a server with an account on an engine: sqlite or postgres. carrier is "" for the
// sink. done stops it and drops its database.
func (b *bench) newServer(ctx context.Context, engine, carrier string) (s *server, done func() error, err error) {
	database, drop := "", func(context.Context) error { return nil }
	if engine == "postgres" {
		if err := b.startPostgres(); err != nil {
			return nil, nil, err
		}
		if database, drop, err = b.postgres.Copy(ctx, "template0"); err != nil {
			return nil, nil, err
		}
	}
	b.servers++
	s, err = newServer(b.program, filepath.Join(b.dir, fmt.Sprint("server", b.servers)), database, carrier)
	if err != nil {
		return nil, nil, errors.Join(err, drop(context.WithoutCancel(ctx)))
	}
	done = func() error { return errors.Join(s.stop(), drop(context.WithoutCancel(ctx))) }
	if err = s.start(ctx); err == nil {
		err = s.createAccount(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, done())
	}
	return s, done, nil
}

func (b *bench) startPostgres() (err error) {
	if b.postgres == nil {
		// Restores the default of PostgreSQL, which pgtest reduces for tests.
		b.postgres, err = pgtest.Launch("shared_buffers=128MB")
	}
	return err
}

// gauge returns the gauge of a server, for a work of that name.
func (b *bench) gauge(ctx context.Context, s *server, work string) gauge {
	g := gauge{
		used:  func() (usage, error) { return s.used(ctx) },
		peak:  func() (float64, error) { return peak(s.pid()) },
		begin: func() { forgetPeak(s.pid()) },
		file:  filepath.Join(s.dir, work+".pprof"),
	}
	if b.parts {
		g.profile = func() ([]byte, error) { return s.profile(ctx, b.spell) }
	}
	if strings.HasPrefix(s.database, "postgres") {
		g.database = func() (usage, error) {
			pid, err := b.postgres.Process()
			if err != nil {
				return usage{}, err
			}
			return family(pid)
		}
	}
	return g
}

// calls measures start, check, search and the whole life of verifications, in closed loops, on one
// server of an engine.
func (b *bench) calls(ctx context.Context, engine string) (err error) {
	s, done, err := b.newServer(ctx, engine, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	sys, err := s.system(engine)
	if err != nil {
		return err
	}
	var (
		next    atomic.Int64 // number
		started []life
		found   = map[string]result{}
		lives   = map[string][]life{} // started by each phase
	)
	phase := func(what string, load func() func(*worker) (bool, error)) error {
		if !b.phases[what] && what != "start" {
			return nil // the other phases need starts
		}
		res, err := b.measure(sys, b.gauge(ctx, s, what), func() (*run, error) {
			r, err := sys.closed(ctx, b.clients, b.spell, load())
			if r != nil {
				lives[what] = r.lives
			}
			return r, err
		})
		if err != nil {
			return fmt.Errorf("%s on %s: %w", what, engine, err)
		}
		found[what] = res
		b.log("%s on %s: %.0f/s", what, engine, res[colRate])
		return nil
	}
	if err := b.warm(ctx, sys, sys.whole(&next)); err != nil {
		return err
	}
	err = phase("start", func() func(*worker) (bool, error) { return sys.starts(&next) })
	started = lives["start"]
	for _, p := range []struct {
		what string
		load func() func(*worker) (bool, error)
	}{
		{"check", func() func(*worker) (bool, error) { return sys.checks(started) }},
		{"search", func() func(*worker) (bool, error) { return sys.searches(started) }},
		{"life", func() func(*worker) (bool, error) { return sys.whole(&next) }},
	} {
		if err == nil {
			err = phase(p.what, p.load)
		}
	}
	if err != nil {
		return err
	}
	return b.prove(ctx, s, sys, found, lives)
}

// warm runs a load without counting it: the first calls of a server take longer.
func (b *bench) warm(ctx context.Context, sys *system, next func(*worker) (bool, error)) error {
	r, err := sys.closed(ctx, b.clients, b.spell/8, next)
	if err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	if r.wrong > 0 {
		return fmt.Errorf("warm up: %d wrong answers; first: %.300q", r.wrong, r.first)
	}
	return nil
}

// prove stops the server, and checks its answers against its records.
func (b *bench) prove(ctx context.Context, s *server, sys *system, found map[string]result, lives map[string][]life) error {
	if err := s.stop(); err != nil {
		return err
	}
	var p proof
	if err := errors.Join(p.readRecord(s.record), p.readRows(ctx, s.database)); err != nil {
		return err
	}
	if p.copies > 0 {
		b.miss("%s: %d messages were sent twice", sys.name, p.copies)
	}
	for what, list := range lives {
		if len(list) == 0 {
			continue
		}
		v := p.judge(sys.numbers, list, b.within, what == "life")
		if v.missing() > 0 {
			b.miss("%s on %s: %s", what, sys.name, v)
		}
		share := float64(v.counted) / float64(len(list))
		found[what][colCounted] = 100 * share
		found[what][colRate] *= share // only valid starts count
	}
	for _, what := range []string{"start", "check", "search", "life"} {
		if res, ok := found[what]; ok && b.phases[what] {
			b.results.add(what+" "+sys.name, res)
		}
	}
	return nil
}

// limit measures a limit of the machine.
func (b *bench) limit(ctx context.Context, name string) (err error) {
	spell := b.spell / 2
	var r result
	switch name {
	case "fsync":
		r, err = fsyncs(b.dir, smallBlock, spell)
	case "log":
		r, err = fsyncs(b.dir, largeBlock, spell)
	case "grouped":
		b.servers++
		dir := filepath.Join(b.dir, fmt.Sprint("grouped", b.servers))
		if err = mkdir(dir); err == nil {
			r, err = grouped(ctx, dir, b.clients, spell)
		}
	case "pgbench":
		if err = b.startPostgres(); err == nil {
			r, err = b.pgbench(ctx, b.clients, b.spell)
		}
	case "http":
		r, err = b.bareHTTP(ctx, b.clients, spell)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.log("%s: %.0f/s", name, r[colRate])
	b.results.add(name, r)
	return nil
}

// round measures each work once, compared works in succession.
func (b *bench) round(ctx context.Context) error {
	for _, name := range works() {
		if !slices.Contains(b.only, name) {
			continue
		}
		var err error
		switch name {
		case "sqlite", "postgres":
			err = b.calls(ctx, name)
		case "open":
			err = b.open(ctx, "sqlite")
		case "idle":
			err = b.idle(ctx)
		case "waiting":
			err = b.waitingWork(ctx)
		case "history":
			err = b.histories(ctx)
		default:
			err = b.limit(ctx, name)
		}
		if err != nil {
			return err
		}
	}
	for i := range b.peers {
		if err := b.peer(ctx, &b.peers[i]); err != nil {
			return fmt.Errorf("peer %s: %w", b.peers[i].Name, err)
		}
	}
	return nil
}

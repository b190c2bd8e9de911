package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// attack is a kind of abuse. Legitimate users use the same account during the attack, like
// the other users of an abused sign-up form.
type attack struct {
	name     string
	accounts int
	targets  []string // prefixes of the attacked numbers
	play     func(context.Context, *round)
}

// result is the outcome of an attack.
type result struct {
	attack             string
	requests, accepted int64   // attacker's requests
	guesses            int64   // compared codes of the attacker
	messages, victim   int     // messages to all attacked numbers, and most to a single one
	good, refused      int64   // legitimate verifications, and the failed ones
	p50, p99           float64 // latency of legitimate starts in milliseconds
}

// round is a running attack.
type round struct {
	t       *target
	clients []client
	percent int

	requests, accepted, guesses, good, refused atomic.Int64

	mu    sync.Mutex
	times []float64
}

func attacks() []attack {
	return []attack{
		{name: "none", accounts: 1, play: func(ctx context.Context, _ *round) { pause(ctx, 5*time.Second) }},
		{name: "pumping", accounts: 1, targets: []string{"2609551"}, play: func(ctx context.Context, r *round) {
			r.pump(ctx, "2609551", 10_000)
		}},
		{name: "guessing", accounts: 1, targets: []string{"447977000001"}, play: func(ctx context.Context, r *round) {
			r.guess(ctx, "447977000001", 300, 1)
		}},
		{name: "flooding", accounts: 5, targets: []string{"447966000001"}, play: func(ctx context.Context, r *round) {
			r.guess(ctx, "447966000001", 1000, 100)
		}},
		{name: "stuffing", accounts: 1, play: func(ctx context.Context, r *round) { r.stuff(ctx, 10_000) }},
		{name: "sequence", accounts: 1, targets: []string{"447955"}, play: func(ctx context.Context, r *round) {
			r.count(ctx, "447955%06d", 2000)
		}},
		{name: "mix", accounts: 5, targets: []string{"2609661", "447977000002", "447966000002", "447944"}, play: func(ctx context.Context, r *round) {
			var all sync.WaitGroup
			all.Go(func() { r.pump(ctx, "2609661", 3000) })
			all.Go(func() { r.guess(ctx, "447977000002", 100, 1) })
			all.Go(func() { r.guess(ctx, "447966000002", 300, 30) })
			all.Go(func() { r.stuff(ctx, 3000) })
			all.Go(func() { r.count(ctx, "447944%06d", 500) })
			all.Wait()
		}},
	}
}

// play runs an attack with concurrent legitimate users and returns the result.
func (t *target) play(ctx context.Context, a attack, percent int) (result, error) {
	r := &round{t: t, percent: percent}
	for range a.accounts {
		c, err := t.account(ctx)
		if err != nil {
			return result{}, err
		}
		r.clients = append(r.clients, c)
	}
	over := make(chan struct{})
	var users sync.WaitGroup
	users.Go(func() { r.goodUsers(ctx, &users, over) })
	a.play(ctx, r)
	close(over)
	users.Wait()
	if err := ctx.Err(); err != nil {
		return result{}, err
	}
	pause(ctx, 500*time.Millisecond) // until the last accepted messages are sent
	got := result{
		attack: a.name, requests: r.requests.Load(), accepted: r.accepted.Load(), guesses: r.guesses.Load(),
		good: r.good.Load(), refused: r.refused.Load(),
	}
	for _, prefix := range a.targets {
		all, most := t.received(prefix)
		got.messages, got.victim = got.messages+all, max(got.victim, most)
	}
	if slices.Sort(r.times); len(r.times) > 0 {
		got.p50, got.p99 = r.times[len(r.times)/2], r.times[len(r.times)*99/100]
	}
	return got, nil
}

// goodUsers simulates twenty legitimate users per second, each with a separate number, until
// the attack ends. Four of five submit the received code.
func (r *round) goodUsers(ctx context.Context, users *sync.WaitGroup, over <-chan struct{}) {
	const every = time.Second / 20
	next := time.NewTicker(every)
	defer next.Stop()
	for {
		select {
		case <-over:
			return
		case <-next.C:
			users.Go(func() { r.goodUser(ctx) })
		}
	}
}

func (r *round) goodUser(ctx context.Context) {
	number := fmt.Sprintf("4474%08d", rand.IntN(1e8)) // not attacked
	started := r.clients[0].start(ctx, number)
	r.good.Add(1)
	r.mu.Lock()
	r.times = append(r.times, float64(started.took.Microseconds())/1000)
	r.mu.Unlock()
	if started.Status != "0" {
		r.refused.Add(1)
		return
	}
	code := r.t.code(ctx, number)
	if rand.IntN(5) == 0 {
		return
	}
	if code == "" || r.clients[0].check(ctx, started.RequestID, code).Status != "0" {
		r.refused.Add(1)
	}
}

// pump starts verifications of random numbers of a prefix and leaves them unchecked.
func (r *round) pump(ctx context.Context, prefix string, requests int) {
	r.inParallel(requests, 50, func(int) { r.start(ctx, 0, fmt.Sprintf("%s%05d", prefix, rand.IntN(1e5))) })
}

// count starts verifications of consecutive numbers.
func (r *round) count(ctx context.Context, format string, requests int) {
	r.inParallel(requests, 10, func(i int) { r.start(ctx, 0, fmt.Sprintf(format, i)) })
}

// guess starts verifications of one number. It ends each with three wrong codes, so that the
// next can begin.
func (r *round) guess(ctx context.Context, number string, requests, callers int) {
	r.inParallel(requests, callers, func(i int) {
		account := i % len(r.clients)
		started := r.start(ctx, account, number)
		if started.Status != "0" {
			pause(ctx, time.Duration(rand.IntN(callers+1))*time.Millisecond) // another caller's verification is running
			return
		}
		for range 3 {
			switch r.clients[account].check(ctx, started.RequestID, fmt.Sprintf("%04d", rand.IntN(1e4))).Status {
			case "0", "16", "17":
				r.guesses.Add(1)
			}
		}
	})
}

// stuff tries a valid key with wrong secrets, and unknown keys.
func (r *round) stuff(ctx context.Context, requests int) {
	r.inParallel(requests, 50, func(i int) {
		c := client{r.t, r.clients[0].key, fmt.Sprintf("wrong-secret-%08d", i)}
		if i%2 == 0 {
			c.key = fmt.Sprintf("nobody%02d", i%100)
		}
		r.requests.Add(1)
		if got := c.call(ctx, "/verify/search/json", "request_id", "x").Status; got != "4" && got != "" {
			r.accepted.Add(1)
		}
	})
}

func (r *round) start(ctx context.Context, account int, number string) answer {
	got := r.clients[account].start(ctx, number)
	r.requests.Add(1)
	if got.Status == "0" {
		r.accepted.Add(1)
	}
	return got
}

// inParallel makes the scaled number of calls, with callers goroutines.
func (r *round) inParallel(requests, callers int, do func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	last := int64(requests * r.percent / 100)
	for range callers {
		all.Go(func() {
			for i := next.Add(1); i <= last; i = next.Add(1) {
				do(int(i))
			}
		})
	}
	all.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

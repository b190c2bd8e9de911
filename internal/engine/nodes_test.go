package engine_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"

	"countersign/internal/await"
	"countersign/internal/engine"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// twoNodes returns two engines on one database, with one clock.
func twoNodes(t *testing.T, change ...func(*bench, *engine.Config)) (a, b *bench) {
	t.Helper()
	database, key, clock := pgtest.Prepared(t, "migrated", store.Migrate), vault.NewKey(), clockwork.NewFakeClockAt(t0)
	return setUpNode(t, database, key, clock, change...), setUpNode(t, database, key, clock, change...)
}

// advance moves the clock in small steps, like real time, so that each runner makes all its
// turns.
func advance(b *bench, d time.Duration) {
	for ; d > 0; d -= time.Second {
		b.rest()
		b.clock.Advance(time.Second)
	}
	b.rest()
}

// TestNodesLeaveAlone: a slow message in flight is not resent by the other node.
func TestNodesLeaveAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := twoNodes(t)
		a.carrier.gate = make(chan struct{})
		a.resume()
		b.resume()
		v, err := a.Start(t.Context(), a.account, a.request())
		must(t, err)
		advance(a, time.Minute)
		if n := len(b.carrier.all()); n != 0 {
			t.Errorf("the other node sent %d messages", n)
		}
		close(a.carrier.gate)
		if e := a.settled(v.ID, 0); e.State != verify.EventAccepted || e.Attempt != 1 {
			t.Errorf("the event is %+v", e)
		}
	})
}

// TestNodesRescue: another node finishes the work of a suspended node, and the outcome that
// the suspended node records later has no effect.
func TestNodesRescue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := twoNodes(t)
		a.carrier.gate = make(chan struct{})
		v, err := a.Start(t.Context(), a.account, a.request()) // without a runner, so it does not renew its lease
		must(t, err)
		b.resume()
		advance(b, 16*time.Second)
		want := b.settled(v.ID, 0)
		if n := len(b.carrier.all()); n != 1 || want.State != verify.EventAccepted || want.Attempt != 2 {
			t.Fatalf("%d messages, the event is %+v; want it to be rescued", n, want)
		}
		close(a.carrier.gate)
		a.Delivered(t.Context(), "")
		got := b.settled(v.ID, 0)
		got.Parts, want.Parts = nil, nil // the first node's submission is also a part
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the event is %+v, want %+v", got, want)
		}
	})
}

// TestNodesHandOver: another node immediately resumes a delivery interrupted by a stop. The
// clock does not move, so polling cannot find it.
func TestNodesHandOver(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	a.carrier.gate = make(chan struct{})
	a.Resume()
	b.resume()
	listening, deaf := context.WithCancel(t.Context())
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		b.db.Listen(listening, b.Wake)
	}()
	defer func() { deaf(); <-heard }()
	v, err := a.Start(t.Context(), a.account, a.request())
	must(t, err)
	await.Until(t, "at the carrier: the message", func() bool { return len(a.carrier.all()) == 1 })
	ctx, giveUp := context.WithCancel(t.Context())
	giveUp()
	if err := a.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v, want context.Canceled", err)
	}
	if e := b.settled(v.ID, 0); e.State != verify.EventAccepted || e.Attempt != 2 {
		t.Errorf("the event is %+v, want it sent by the other node", e)
	}
}

// TestNodesLate: a node suspended until the verification was archived does not retry the
// outcome of its message forever.
func TestNodesLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := twoNodes(t)
		a.carrier.gate = make(chan struct{})
		v, err := a.Start(t.Context(), a.account, a.request()) // without a runner, so it does not renew its lease
		must(t, err)
		b.resume()
		advance(b, 31*time.Second)
		b.settled(v.ID, 0)
		must(t, b.Cancel(t.Context(), b.account, v.ID))
		moved, err := b.db.Archive(t.Context(), store.Cutoffs{Codes: at(3600)}, 10)
		if must(t, err); moved != 1 {
			t.Fatalf("%d archived, want 1", moved)
		}
		close(a.carrier.gate)
		await.Until(t, "given up", func() bool {
			a.clock.Advance(time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			a.Delivered(ctx, "")
			return ctx.Err() == nil
		})
	})
}

// TestNodesStart: of concurrent starts on two nodes one is accepted and charged once, and the
// others return its id.
func TestNodesStart(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	var started atomic.Int32
	var mu sync.Mutex
	named := map[verify.ID]bool{}
	var wg sync.WaitGroup
	for i := range 40 {
		node := []*bench{a, b}[i%2]
		wg.Go(func() {
			v, err := node.Start(t.Context(), node.account, node.request())
			refusal, refused := errors.AsType[*verify.Error](err)
			switch {
			case err == nil:
				started.Add(1)
			case refused && refusal.Kind == verify.KindConcurrent:
				v.ID = refusal.Request
			default:
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			named[v.ID] = true
		})
	}
	wg.Wait()
	if started.Load() != 1 || len(named) != 1 {
		t.Errorf("%d started, and %d ids were named", started.Load(), len(named))
	}
	if _, charges, err := a.db.LedgerSum(t.Context(), a.account.Key); err != nil || charges > 1 {
		t.Errorf("%d charges (%v)", charges, err)
	}
}

// TestNodesGuess: concurrent checks on two nodes compare three guesses.
func TestNodesGuess(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v, err := a.Start(t.Context(), a.account, a.request())
	must(t, err)
	a.settled(v.ID, 0)
	wrong, _ := verify.ParsePIN("0000")
	if v.PIN.Reveal() == "0000" {
		wrong, _ = verify.ParsePIN("1111")
	}
	var guesses atomic.Int32
	var wg sync.WaitGroup
	for i := range 60 {
		node := []*bench{a, b}[i%2]
		wg.Go(func() {
			_, err := node.Check(t.Context(), node.account, v.ID, wrong, "")
			switch kind(err) {
			case verify.KindWrongCode, verify.KindTooManyCodes:
				guesses.Add(1)
			case verify.KindNotFound: // ended
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := guesses.Load(); n != 3 {
		t.Errorf("%d guesses were answered", n)
	}
}

// TestNodesSteps: each step is taken once, by one of the nodes.
func TestNodesSteps(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	var ids []verify.ID
	for i := range 50 {
		req := a.request()
		number := req.To.Given[:len(req.To.Given)-2] + string(rune('0'+i/10)) + string(rune('0'+i%10))
		req.To = verify.PhoneAddress(number, req.To.Country)
		v, err := a.Start(t.Context(), a.account, req)
		must(t, err)
		ids = append(ids, v.ID)
	}
	for _, id := range ids {
		a.settled(id, 0)
	}
	a.clock.Advance(125 * time.Second)
	a.resume()
	b.resume()
	for _, id := range ids {
		if e := b.settled(id, 1); e.State != verify.EventAccepted || e.Attempt != 1 {
			t.Errorf("the event is %+v", e)
		}
	}
	if n := len(a.carrier.all()) + len(b.carrier.all()); n != 2*len(ids) {
		t.Errorf("%d messages, want %d", n, 2*len(ids))
	}
}

// TestNodesShareRate: for any distribution of requests over nodes, the requests admitted in
// any second do not exceed the account's rate, and reach at least 90 % of it.
func TestNodesShareRate(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(n *bench, account verify.Account, i int) (passed bool, err error){
		"checks": func(n *bench, account verify.Account, _ int) (bool, error) {
			_, err := n.Check(t.Context(), account, verify.NewID(rand.Reader), verify.PIN{}, "")
			return kind(err) == verify.KindNotFound, err
		},
		"starts": func(n *bench, account verify.Account, i int) (bool, error) {
			req := n.request()
			req.To = verify.PhoneAddress(fmt.Sprintf("447700%06d", 100000+i), req.To.Country)
			_, err := n.Start(t.Context(), account, req)
			return err == nil, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shareRate(t, ask)
		})
	}
}

func shareRate(t *testing.T, ask func(n *bench, account verify.Account, i int) (passed bool, err error)) {
	t.Helper()
	a, b := twoNodes(t)
	account := a.account
	account.Rate = 30
	var passed []time.Time
	for turn := range 12 {
		a.clock.Advance(250 * time.Millisecond)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 40 {
			// All requests to one node, then to the other, then to both.
			node := []*bench{a, b, []*bench{a, b}[i%2]}[turn%3]
			wg.Go(func() {
				switch ok, err := ask(node, account, 40*turn+i); {
				case ok:
					mu.Lock()
					defer mu.Unlock()
					passed = append(passed, node.clock.Now())
				case kind(err) != verify.KindThrottled:
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	for i, from := range passed {
		n := 0
		for _, at := range passed[i:] {
			if at.Sub(from) < time.Second {
				n++
			}
		}
		if n > account.Rate {
			t.Fatalf("%d passed in the second from %v", n, from)
		}
	}
	if want := 3 * account.Rate * 9 / 10; len(passed) < want { // 40 requests are always waiting
		t.Errorf("%d passed in three seconds, want at least %d", len(passed), want)
	}
}

// TestNodesRateRefused: a refused start counts against the rate on all nodes, also if it
// finds an expired verification that no runner has processed.
func TestNodesRateRefused(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	_, err := a.Start(t.Context(), a.account, a.request())
	must(t, err)
	a.Delivered(t.Context(), "")
	a.behind(`UPDATE accounts SET balance = 0`)
	a.clock.Advance(time.Hour)
	account := a.account
	account.Rate = 1
	if _, err := a.Start(t.Context(), account, a.request()); kind(err) != verify.KindNoCredit {
		t.Errorf("without credit: %v", err)
	}
	if _, err := b.Start(t.Context(), account, b.request()); kind(err) != verify.KindThrottled {
		t.Errorf("the second start within a second: %v", err)
	}
}

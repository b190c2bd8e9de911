package simulation

import (
	"fmt"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// erasable is the number that erasures erase. The counts of the other numbers are never
// erased, so that judgeCaps can rely on them.
const erasable = "447700900000"

// erasure is an erasure of a number that succeeded.
type erasure struct {
	began, ended time.Time
	accepted     []verify.ID // verifications for the number that were accepted before it began
	held         int         // verifications left for another call
}

// erase erases a number while another node answers a start for it. Half of the erasures
// follow another, so that the number has no history.
func (w *world) erase(i int) {
	n, m, last := w.nodes[i], w.nodes[(i+1)%len(w.nodes)], w.nodes[w.rng.IntN(len(w.nodes))]
	account, policy, cancel := w.account(), w.policy(), w.rng.IntN(3) > 0
	if w.rng.IntN(2) == 0 {
		w.forget(n, true)
	}
	if w.rng.IntN(2) == 0 {
		w.during(n, func() { w.forget(n, cancel) }, func() { w.startFor(m, account, erasable, policy) })
	} else {
		w.during(n, func() { w.startFor(n, account, erasable, policy) }, func() { w.forget(m, cancel) })
	}
	w.startFor(last, account, erasable, policy) // concurrent, unless the other was ended
}

// during calls first, pauses the node at one of its next reads from PostgreSQL or not at all,
// and calls second before the node continues.
func (w *world) during(n *node, first, second func()) {
	reads, paused := w.rng.IntN(13), n.paused()
	var call sync.WaitGroup
	if !paused {
		n.wires.pauseAt(reads)
	}
	call.Go(first)
	if reads > 0 && store.IsPostgres(w.database) {
		synctest.Wait() // paused or finished
	}
	second()
	n.wires.pauseAt(0)
	if !paused {
		n.release()
	}
	call.Wait()
}

// forget erases the number at a node.
func (w *world) forget(n *node, cancel bool) {
	e := erasure{began: time.Now()}
	w.mu.Lock()
	for _, s := range w.starts {
		if s.number == erasable && s.refused == verify.KindInternal {
			e.accepted = append(e.accepted, s.id)
		}
	}
	w.mu.Unlock()
	done, _, ok := ask(w, n, func() (store.Forgotten, error) {
		return n.engine.ForgetNumber(w.ctx, store.Forget{Number: erasable, Cancel: cancel})
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("erasure of %s at node %d, cancel %t: succeeded %t, %d ended, %d moved, %d held", erasable, n.number, cancel, ok, done.Cancelled, done.Verifications, done.Held)
	if ok {
		e.ended, e.held = time.Now(), done.Held
		w.erasures = append(w.erasures, e)
	}
}

// beside starts a verification for a number while another node is paused within a call for
// a verification of another account for the number. The node locks that verification, but
// not the history of the number, so the start is answered.
func (w *world) beside(i int) {
	s, ok := w.known()
	if !ok {
		return
	}
	n, m, policy, account := w.nodes[i], w.nodes[(i+1)%len(w.nodes)], w.policy(), accounts()[0]
	if s.account == account {
		account = accounts()[1]
	}
	idle := !slices.ContainsFunc(w.nodes, func(n *node) bool { return n.paused() || n.crashed() })
	w.during(n, func() { w.cancel(n, s) }, func() { ok = w.startFor(m, account, s.number, policy) })
	if idle && !ok && !m.crashed() {
		w.delays = append(w.delays, fmt.Sprintf("%s for %s at node %d, because of %s", account, s.number, m.number, s.request))
	}
}

// judgeErasures checks that no verification accepted before an erasure survives it or keeps its
// number, and that no start fails because of a verification of another account.
func judgeErasures(e evidence, byID map[verify.ID]verify.Verification) (broken []string) {
	complain := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	for _, erasure := range e.erasures {
		for _, id := range erasure.accepted {
			switch r := byID[id]; {
			case r.FinalizedAt.IsZero() || r.FinalizedAt.After(erasure.ended):
				complain("%s survives the erasure of its number at %v", id, erasure.ended)
			case erasure.held == 0 && r.To.Given != "":
				complain("%s keeps its number after the erasure at %v", id, erasure.ended)
			}
		}
	}
	for _, d := range e.delays {
		complain("a start is not answered: %s", d)
	}
	return broken
}

package simulation

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"countersign/internal/verify"
)

// ask makes a call of a client, which ends after clientPatience. ok is false without an
// answer.
func ask[T any](w *world, n *node, call func() (T, error)) (answer T, kind verify.Kind, ok bool) {
	type result struct {
		answer T
		err    error
	}
	if n.crashed() {
		return answer, 0, false
	}
	done := make(chan result, 1)
	w.others.Go(func() {
		a, err := call()
		done <- result{a, err}
	})
	patience := time.NewTimer(clientPatience)
	defer patience.Stop()
	select {
	case r := <-done:
		refusal, refused := errors.AsType[*verify.Error](r.err)
		if refused {
			kind = refusal.Kind
		}
		return r.answer, kind, !n.crashed() && (r.err == nil || refused && kind != verify.KindUnavailable)
	case <-patience.C:
		return answer, 0, false
	}
}

func workflow(policy verify.PINPolicy) verify.Workflow {
	return verify.Workflow{
		Steps: []verify.Step{
			{Channel: verify.SMS, Wait: 125 * time.Second}, {Channel: verify.SMS, Wait: 180 * time.Second},
			{Channel: verify.TTS, Wait: 300 * time.Second},
		},
		PINLife: 300 * time.Second, PINPolicy: policy, CancelAfter: 30 * time.Second,
	}
}

func (w *world) start(i int) {
	var calls sync.WaitGroup
	account, number, policy := w.account(), fmt.Sprintf("44770090000%d", w.rng.IntN(3)), w.policy()
	for range 1 + w.rng.IntN(2) { // some clients press the button twice
		calls.Go(func() { w.startFor(w.nodes[i], account, number, policy) })
	}
	calls.Wait()
}

func (w *world) account() string { return accounts()[w.rng.IntN(2)] }

func (w *world) policy() verify.PINPolicy {
	return []verify.PINPolicy{verify.ReusePIN, verify.RenewPIN}[w.rng.IntN(2)]
}

// startFor starts a verification. It returns false without an answer.
func (w *world) startFor(n *node, account, number string, policy verify.PINPolicy) bool {
	v, kind, ok := ask(w, n, func() (verify.Verification, error) {
		return n.engine.Start(w.ctx, verify.Account{Key: account}, verify.Request{
			Account: account, To: verify.PhoneAddress(number, "GB"), Brand: "Acme", Locale: "en-gb", CodeLength: codeLength,
			Workflow: workflow(policy),
		})
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("%s starts for %s at node %d: answered %t, kind %s", account, number, n.number, ok, kind)
	if ok {
		w.starts = append(w.starts, start{v.ID, number, kind})
		w.numbers[v.ID] = number
	}
	return ok
}

// known returns a message that a person has read. ok is false if no message has arrived.
func (w *world) known() (s sent, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.phones) == 0 {
		return s, false
	}
	recent := w.phones[max(len(w.phones)-4, 0):]
	return recent[w.rng.IntN(len(recent))], true
}

func (w *world) check(i int) {
	n := w.nodes[i]
	s, ok := w.known()
	if !ok {
		return
	}
	codes := []string{s.pin}
	switch w.rng.IntN(3) {
	case 0:
		codes = []string{wrong(s.pin, 1)}
	case 1: // parallel guesses
		codes = []string{wrong(s.pin, 1), wrong(s.pin, 2), s.pin, wrong(s.pin, 3), s.pin, wrong(s.pin, 4)}
	}
	var calls sync.WaitGroup
	for j, text := range codes {
		n := n
		if j%2 == 1 {
			n = w.nodes[(i+1)%len(w.nodes)]
		}
		pin, _ := verify.ParsePIN(text)
		calls.Go(func() {
			_, kind, ok := ask(w, n, func() (verify.Verification, error) {
				return n.engine.Check(w.ctx, verify.Account{Key: s.account}, s.request, pin, "")
			})
			w.mu.Lock()
			defer w.mu.Unlock()
			w.note("check of %s for %s at node %d: answered %t, kind %s", text, s.number, n.number, ok, kind)
			if ok {
				w.checks = append(w.checks, check{s.request, text, kind == 0, kind})
			}
		})
	}
	calls.Wait()
}

// wrong returns a code that differs from pin in its first digit.
func wrong(pin string, by int) string {
	b := []byte(pin)
	b[0] = '0' + (b[0]-'0'+byte(by))%10
	return string(b)
}

func (w *world) control(i int) {
	s, ok := w.known()
	if !ok {
		return
	}
	n := w.nodes[i]
	if w.rng.IntN(2) == 0 {
		w.cancel(n, s)
		return
	}
	_, kind, answered := ask(w, n, func() (struct{}, error) {
		return struct{}{}, n.engine.Trigger(w.ctx, verify.Account{Key: s.account}, s.request)
	})
	w.tell("trigger of %s for %s at node %d: answered %t, kind %s", s.account, s.number, i, answered, kind)
}

func (w *world) cancel(n *node, s sent) {
	_, kind, answered := ask(w, n, func() (struct{}, error) {
		return struct{}{}, n.engine.Cancel(w.ctx, verify.Account{Key: s.account}, s.request)
	})
	w.tell("cancel of %s for %s at node %d: answered %t, kind %s", s.account, s.number, n.number, answered, kind)
}

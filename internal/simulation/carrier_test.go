package simulation

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// sent is a message that reached a phone.
type sent struct {
	account string
	request verify.ID
	event   verify.ID
	number  string
	seq     int
	attempt int
	pin     string
	minutes int           // stated lifetime of the PIN
	handed  time.Time     // when the carrier got it
	at      time.Duration // since the beginning
	node    int
}

// carrier is the common carrier, reached from one node.
type carrier struct{ n *node }

var errLost = errors.New("no answer")

// Send implements [deliver.Carrier]. The seed and the identity of a message (see luck) determine
// its outcome. Other traffic does not.
func (c carrier) Send(ctx context.Context, m deliver.Message) (deliver.Submission, error) {
	n, handed := c.n, time.Now()
	n.stand(ctx)
	if n.crashed() {
		return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrNotSent, errCrashed)
	}
	luck := n.w.luck(m)
	switch p := luck.IntN(100); {
	case p < 6 || n.w.shunned(m):
		return deliver.Submission{}, fmt.Errorf("%w: no", deliver.ErrRefused)
	case p < 14:
		return deliver.Submission{}, fmt.Errorf("%w: not now", deliver.ErrNotSent)
	}
	n.w.arrive(n, m, handed)
	switch p := luck.IntN(100); {
	case p < 4 && !n.w.steady: // while the carrier answers
		n.crash(0, fate{})
		return deliver.Submission{}, errCrashed
	case p < 14:
		return deliver.Submission{}, errLost
	case p < 22:
		wait := time.NewTimer(time.Duration(luck.IntN(40_000)) * time.Millisecond)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
			return deliver.Submission{}, errLost
		}
	}
	n.stand(ctx)
	ref := fmt.Sprintf("%s/%d", m.EventID, m.Attempt)
	n.w.report(luck, ref)
	return deliver.Submission{Carrier: "carrier", Refs: []string{ref}}, nil
}

// luck returns the random numbers of one submission.
func (w *world) luck(m deliver.Message) *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.ordinals[m.RequestID]; !known {
		w.ordinals[m.RequestID] = w.counts[m.Account+m.To.Given]
		w.counts[m.Account+m.To.Given]++
	}
	key := fmt.Sprintf("%s/%s/%d/%d/%d", m.Account, m.To.Given, w.ordinals[m.RequestID], m.Seq, m.Attempt)
	w.tries[key]++
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d", key, w.tries[key])
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// shunned reports whether the carrier refuses every message of this verification.
func (w *world) shunned(m deliver.Message) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s/%d", m.Account, m.To.Given, w.ordinals[m.RequestID])
	return rand.New(rand.NewPCG(w.seed, h.Sum64())).IntN(100) < 8
}

// arrive records a message that reached a phone.
func (w *world) arrive(n *node, m deliver.Message, handed time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := sent{m.Account, m.RequestID, m.EventID, m.To.Given, m.Seq, m.Attempt, code(m.Text), minutes(m.Text), handed, time.Since(w.began), n.number}
	w.phones, w.numbers[m.RequestID] = append(w.phones, s), m.To.Given
	w.note("node %d: event %d, attempt %d, arrives at %s", n.number, m.Seq, m.Attempt, m.To.Given)
}

// code returns the digits of a text up to codeLength, whether written together or apart.
func code(text string) string {
	var digits []byte
	for i := range len(text) {
		if text[i] >= '0' && text[i] <= '9' && len(digits) < codeLength {
			digits = append(digits, text[i])
		}
	}
	return string(digits)
}

// minutes returns the last number of a text, which is its stated lifetime; 0 without a number.
func minutes(text string) int {
	numbers := strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if len(numbers) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(numbers[len(numbers)-1])
	return n
}

// report sends a receipt after a random delay to a random node, or never.
func (w *world) report(luck *rand.Rand, ref string) {
	state := []verify.EventState{
		verify.EventDelivered, verify.EventDelivered, verify.EventUndeliverable, verify.EventExpired, "",
	}[luck.IntN(5)]
	delay, to := time.Duration(luck.IntN(20_000))*time.Millisecond, luck.IntN(len(w.nodes))
	if state == "" {
		return
	}
	w.others.Go(func() {
		for try := range 20 { // a carrier repeats a receipt until a node accepts it
			time.Sleep(delay) //nolint:forbidigo // virtual, in a bubble
			w.mu.Lock()
			n := w.nodes[(to+try)%len(w.nodes)]
			w.mu.Unlock()
			if !n.crashed() && n.engine.Receipt(w.ctx, deliver.Receipt{Carrier: "carrier", Ref: ref, State: state}) == nil {
				return
			}
		}
	})
}

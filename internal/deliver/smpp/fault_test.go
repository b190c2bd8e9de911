package smpp_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/smsc"
	"countersign/internal/verify"
)

// tally counts the outcomes of the messages of a run.
type tally struct {
	accepted, refused, unknown int // by the last error of Send, or a late response
	unclear                    int // messages with an unclear outcome of a Send
	beyond                     int // duplicates at the SMSC
	lost                       int // accepted, but not at the SMSC
	late                       int // late responses
	stray                      int // responses without a request
	unreported                 int // accepted without a receipt
}

// TestFaults sends messages to an SMSC with each fault, retries like the engine, and
// compares the results with the messages at the SMSC.
func TestFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		faults string
		during func(*smsc.Server) // runs while messages are sent
		allow  string             // allowed effects: doubt, refusal, stray, no receipt, other id
	}{
		{"", nil, ""},
		{"delay=0-2s", nil, ""},
		{"delay=4s-9s", nil, "doubt"},
		{"rate=50", nil, ""},
		{"throttle=20%", nil, ""},
		{"queue-full=20%", nil, ""},
		{"refuse=10%", nil, "refusal"},
		{"refuse=10%:0x0B", nil, "refusal"},
		{"unknown-status=10%", nil, "refusal"},
		{"disconnect-before=2%", nil, "doubt"},
		{"disconnect=2%", nil, "doubt"},
		{"lose-response=5%", nil, "doubt"},
		{"duplicate-response=20%", nil, "stray"},
		{"wrong-sequence=5%", nil, "doubt stray"},
		{"malformed=3%", nil, "doubt other id"},
		{"ignore-enquire-link", nil, ""},
		{"refuse-bind=50%,disconnect=1%", nil, "doubt"},
		{"receipt-delay=0-5s", nil, ""},
		{"receipt-shuffle", nil, ""},
		{"receipt-first", nil, ""},
		{"receipt-lose=20%", nil, "no receipt"},
		{"receipt-duplicate=20%", nil, ""},
		{"undeliverable=20%,expired=20%,rejected=20%", nil, ""},
		{"half-open", func(s *smsc.Server) { <-time.After(time.Minute); s.SetFaults(smsc.Faults{}) }, "doubt"},
		{"delay=200ms-300ms", dropConnections, "doubt"},
		{"throttle=10%,disconnect=1%,delay=0-6s,lose-response=2%,receipt-shuffle=5s,receipt-first=10%", dropConnections, "doubt"},
	}
	var mu sync.Mutex
	rows := make([]string, len(tests))
	t.Cleanup(func() {
		t.Log("\n| fault | messages | accepted | refused | unknown | once unclear | copies beyond one | lost | late | stray | no receipt |\n" +
			"|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n" + strings.Join(rows, ""))
	})
	for i, tt := range tests {
		name := tt.faults
		if tt.during != nil {
			name += " for a time"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				const messages = 500
				far := smsc.Config{Seed: uint64(i), Receipts: smsc.ReceiptsBoth}
				d := openIn(t, far, func(c *smpp.Config) { c.Binds, c.Window = 2, 20 })
				synctest.Wait()
				if tt.faults != "" {
					d.smsc.SetFaults(smsc.MustFaults(tt.faults))
				}
				var aside sync.WaitGroup
				if tt.during != nil {
					aside.Go(func() { tt.during(d.smsc) })
				}
				all := sendAll(d, messages)
				aside.Wait()
				await.Pass(time.Minute) // for late responses and receipts
				synctest.Wait()
				n := d.count(all, strings.Contains(tt.allow, "other id"))
				mu.Lock()
				rows[i] = fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n", name, messages,
					n.accepted, n.refused, n.unknown, n.unclear, n.beyond, n.lost, n.late, n.stray, n.unreported)
				mu.Unlock()
				may := func(what string, count int) {
					if count > 0 && !strings.Contains(tt.allow, what) {
						t.Errorf("%d of %d: %s, with %q", count, messages, what, tt.faults)
					}
				}
				may("doubt", n.unclear)
				may("doubt", n.beyond)
				may("refusal", n.refused)
				may("stray", n.stray)
				if !strings.Contains(tt.allow, "other id") {
					may("no receipt", n.unreported)
				}
				if n.lost > 0 || n.accepted+n.refused+n.unknown != messages || n.beyond > n.unclear || n.unknown > n.unclear {
					t.Errorf("%+v", n)
				}
				if strings.HasPrefix(name, "delay=4s") && n.unknown > 0 {
					t.Errorf("%d late responses were not matched", n.unknown)
				}
				if n.unclear+n.refused+n.stray+n.unreported == 0 && tt.allow != "" {
					t.Error("the fault had no effect")
				}
			})
		})
	}
}

// dropConnections closes all connections periodically.
func dropConnections(s *smsc.Server) {
	for range 5 {
		<-time.After(1500 * time.Millisecond) // the interval of the fault
		s.DropAll()
	}
}

// sentMessage is a message with the results of Send.
type sentMessage struct {
	text    string
	id      verify.ID
	refs    []string
	last    string
	unclear int
}

// sendAll sends messages like the engine: it retries while a message is not sent, and
// once if the outcome is unclear.
func sendAll(d *desk, n int) []sentMessage {
	all := make([]sentMessage, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				h := &all[i]
				h.text = fmt.Sprint("message ", i)
				binary.BigEndian.PutUint32(h.id[:], uint32(i))
				d.deliver(h)
			}
		})
	}
	wg.Wait()
	return all
}

func (d *desk) deliver(h *sentMessage) {
	m := sms(h.text)
	m.RequestID = h.id
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		sub, err := d.Send(d.t.Context(), m)
		h.refs, h.last = sub.Refs, outcome(err)
		switch h.last {
		case "not sent":
			<-time.After(pause) // back-off
			continue
		case "unclear":
			if h.unclear++; m.Attempt == 1 {
				m.Attempt++
				continue
			}
		}
		return
	}
}

// count compares the results of Send with the messages at the SMSC and the reports.
func (d *desk) count(all []sentMessage, otherIDs bool) tally {
	d.t.Helper()
	copies := map[string]map[string]bool{} // ids by text
	for _, m := range d.smsc.Messages() {
		if copies[m.Text] == nil {
			copies[m.Text] = map[string]bool{}
		}
		copies[m.Text][m.ID] = true
	}
	reported, texts := map[string]bool{}, map[verify.ID]string{}
	for _, r := range d.awaitReceipts(0) {
		reported[r.Ref] = true
	}
	n := tally{
		late:  int(d.metric("countersign_smpp_late_responses_total")),
		stray: int(d.metric("countersign_smpp_stray_responses_total")),
	}
	answers := map[verify.ID]deliver.Answer{}
	for _, a := range d.awaitAnswers(0) {
		answers[a.Event.Verification] = a
	}
	for _, h := range all {
		texts[h.id] = h.text
		if a, ok := answers[h.id]; ok && h.last == "unclear" && a.Part.State == verify.EventAccepted {
			h.last, h.refs = "accepted", []string{a.Part.Ref}
		}
		at := copies[h.text]
		switch h.last {
		case "accepted":
			n.accepted++
			if len(at) == 0 {
				n.lost++
			} else if !otherIDs && (len(h.refs) != 1 || !at[h.refs[0]]) {
				d.t.Errorf("%s has the ids %v at the SMSC, %v here", h.text, at, h.refs)
			}
			if len(h.refs) == 0 || !reported[h.refs[0]] {
				n.unreported++
			}
		case "unclear":
			n.unknown++
		default:
			n.refused++
		}
		if h.unclear > 0 {
			n.unclear++
		}
		n.beyond += max(len(at)-1, 0)
		if len(at) > 1+min(h.unclear, 1) || len(at) > 0 && h.last != "accepted" && h.unclear == 0 {
			d.t.Errorf("%s is at the SMSC %d times, but was %s, %d times unclear", h.text, len(at), h.last, h.unclear)
		}
	}
	for _, a := range d.awaitAnswers(0) {
		if a.Part.State == verify.EventAccepted && !otherIDs && !copies[texts[a.Event.Verification]][a.Part.Ref] {
			d.t.Errorf("late answer %+v is for another message", a)
		}
	}
	return n
}

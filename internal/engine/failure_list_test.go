package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// coded is an error of a carrier with a code.
type coded string

func (c coded) Error() string { return string(c) }
func (c coded) Code() string  { return string(c) }

// TestFailuresAreKept: an event lists each failed submission, for every outcome, after
// receipts, and in the archived form.
func TestFailuresAreKept(t *testing.T) {
	t.Parallel()
	number := fmt.Errorf("%w: %w", deliver.ErrNumber, coded("ESME_RINVDSTADR (0x0B)"))
	system := fmt.Errorf("%w: %w", deliver.ErrNotSent, coded("ESME_RSYSERR (0x08)"))
	tests := []struct {
		name    string
		answers []error // results of carriers a and b in turn; nil accepts
		state   verify.EventState
		code    string
		want    []verify.Failure
	}{
		{"AcceptedAtOnce", []error{nil}, verify.EventAccepted, "", nil},
		{"OtherCarrier", []error{number, nil}, verify.EventAccepted, "", []verify.Failure{{Carrier: "a", Error: "ESME_RINVDSTADR (0x0B)", Attempt: 1}}},
		{"AllRefuse", []error{number, errRefused}, verify.EventRefused, "ESME_RINVDSTADR (0x0B)",
			[]verify.Failure{{Carrier: "a", Error: "ESME_RINVDSTADR (0x0B)", Attempt: 1}, {Carrier: "b", Error: "bad number: refused by carrier", Attempt: 1}}},
		{"LaterAccepted", []error{system, system, system, nil}, verify.EventAccepted, "",
			[]verify.Failure{{Carrier: "a", Error: "ESME_RSYSERR (0x08)", Attempt: 1}, {Carrier: "b", Error: "ESME_RSYSERR (0x08)", Attempt: 1}}},
		{"UnclearAfterRefusal", []error{number, errLost, nil}, verify.EventAccepted, "",
			[]verify.Failure{{Carrier: "a", Error: "ESME_RINVDSTADR (0x0B)", Attempt: 1}, {Carrier: "b", Error: "connection lost", Attempt: 1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := setUpDesks(t, "a", "b")
				v, h := d.start()
				for i, answer := range tt.answers {
					if i > 0 {
						h = d.another(0)
					}
					if answer == nil {
						h.accept("1")
					} else {
						h.fail(answer)
					}
				}
				e := d.settled(v.ID, 0)
				if e.State != tt.state || e.Error != tt.code || !slices.Equal(e.Failures, tt.want) {
					t.Fatalf("the event is %+v, want %s, %q and %v", e, tt.state, tt.code, tt.want)
				}
				if tt.state == verify.EventAccepted {
					d.report(h.carrier, "1", verify.EventDelivered, "")
					if e := d.record(v.ID).Events[0]; e.State != verify.EventDelivered || !slices.Equal(e.Failures, tt.want) {
						t.Errorf("after the receipt it is %+v", e)
					}
				}
			})
		})
	}
}

// another advances past the retry pause and waits for the next submission.
func (d *desks) another(seq int) hand {
	d.t.Helper()
	for range 100 {
		d.rest()
		select {
		case h := <-d.sent:
			return h
		default:
			d.clock.Advance(100 * time.Millisecond)
		}
	}
	d.t.Fatalf("event %d is not submitted again", seq)
	return hand{}
}

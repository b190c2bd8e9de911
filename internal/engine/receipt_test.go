package engine_test

import (
	"crypto/rand"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver"
	"countersign/internal/store"
	"countersign/internal/verify"
)

const (
	delivered     = verify.EventDelivered
	undeliverable = verify.EventUndeliverable
	expired       = verify.EventExpired
	rejected      = verify.EventRejected
	accepted      = verify.EventAccepted
)

// said is a receipt.
type said struct {
	ref   string
	state verify.EventState
	err   string
}

// TestReceipts: a receipt updates only its event.
func TestReceipts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		refs     []string
		receipts []said
		want     verify.EventState
		wantErr  string
	}{
		{"OnItsWay", []string{"1"}, []said{{"1", accepted, ""}}, accepted, ""},
		{"Delivered", []string{"1"}, []said{{"1", delivered, ""}}, delivered, ""},
		{"DeliveredWithARemark", []string{"1"}, []said{{"1", delivered, "voicemail suspected"}}, delivered, "voicemail suspected"},
		{"Undeliverable", []string{"1"}, []said{{"1", undeliverable, "err 12"}}, undeliverable, "err 12"},
		{"Expired", []string{"1"}, []said{{"1", expired, ""}}, expired, ""},
		{"Rejected", []string{"1"}, []said{{"1", rejected, "err 8"}}, rejected, "err 8"},
		{"OnItsWayAfterDelivered", []string{"1"}, []said{{"1", delivered, ""}, {"1", accepted, ""}}, delivered, ""},
		{"DeliveredAfterAll", []string{"1"}, []said{{"1", expired, "err 3"}, {"1", delivered, ""}}, delivered, ""},
		{"Twice", []string{"1"}, []said{{"1", undeliverable, "err 12"}, {"1", undeliverable, "err 12"}}, undeliverable, "err 12"},
		{"NotOurs", []string{"1"}, []said{{"2", undeliverable, "err 12"}}, accepted, ""},
		{"PartsMissing", []string{"1", "2", "3"}, []said{{"3", delivered, ""}, {"1", delivered, ""}}, accepted, ""},
		{"AllParts", []string{"1", "2", "3"}, []said{{"3", delivered, ""}, {"1", delivered, ""}, {"2", delivered, ""}}, delivered, ""},
		{"PartFailed", []string{"1", "2"}, []said{{"1", delivered, ""}, {"2", expired, "err 3"}}, expired, "err 3"},
		{"PartFailedFirst", []string{"1", "2"}, []said{{"2", expired, "err 3"}, {"1", delivered, ""}}, expired, "err 3"},
		{"NoRefs", nil, []said{{"", undeliverable, ""}, {"1", undeliverable, ""}}, accepted, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := setUpDesks(t, "a")
				d.resume()
				for _, early := range []bool{false, true} { // before or after the carrier's response
					v, h := d.start(func(r *verify.Request) {
						if early {
							r.To = verify.PhoneAddress("447700900001", r.To.Country)
						}
					})
					if !early {
						h.accept(tt.refs...)
						d.settled(v.ID, 0)
					}
					known := d.count("countersign_receipts_early_total")
					for _, s := range tt.receipts {
						d.report("a", s.ref, s.state, s.err)
					}
					if early {
						if e := d.record(v.ID).Events[0]; e.State != verify.EventSubmitting {
							t.Errorf("the event is %+v before its carrier accepted it", e)
						}
						if n := d.count("countersign_receipts_early_total"); n-known != float64(len(tt.receipts)) {
							t.Errorf("%v early receipts are counted, want %d", n-known, len(tt.receipts))
						}
						h.accept(tt.refs...)
						d.settled(v.ID, 0)
					}
					d.quiet()
					d.wantEvent(v.ID, 0, tt.want, 1, "a", tt.wantErr)
					if rec := d.record(v.ID); !reflect.DeepEqual(withoutHistory(rec), withoutHistory(v)) || len(rec.Events) != 1 {
						t.Errorf("early %v: the verification changed to %+v", early, rec)
					}
					d.wantDue(v.ID, 125)
					d.behind(`DELETE FROM message_ids`) // the ids are used again
				}
			})
		})
	}
}

// TestReceiptOfAnotherCarrier: ids are unique only within a carrier.
func TestReceiptOfAnotherCarrier(t *testing.T) {
	t.Parallel()
	d := setUpDesks(t, "a", "b")
	v := d.accepted("1")
	d.report("b", "1", delivered, "")
	d.wantEvent(v.ID, 0, accepted, 1, "a", "")
	d.report("a", "1", delivered, "")
	d.wantEvent(v.ID, 0, delivered, 1, "a", "")
}

// TestReceiptTooEarly: a receipt stored for an hour is not applied to a message that gets the
// same id later.
func TestReceiptTooEarly(t *testing.T) {
	t.Parallel()
	d := setUpDesks(t, "a")
	d.report("a", "1", delivered, "")
	d.clock.Advance(time.Hour + time.Millisecond)
	v := d.accepted("1")
	d.wantEvent(v.ID, 0, accepted, 1, "a", "")
}

// TestReceiptOfReusedID: a receipt applies to the newest message with its id.
func TestReceiptOfReusedID(t *testing.T) {
	t.Parallel()
	d := setUpDesks(t, "a")
	old := d.accepted("1")
	v, h := d.start(func(r *verify.Request) { r.To = verify.PhoneAddress("447700900001", r.To.Country) })
	h.accept("1")
	d.settled(v.ID, 0)
	d.report("a", "1", delivered, "")
	d.wantEvent(v.ID, 0, delivered, 1, "a", "")
	d.wantEvent(old.ID, 0, accepted, 1, "a", "")
}

// TestReceiptAfterTheEnd: a receipt updates only the history of an ended verification.
func TestReceiptAfterTheEnd(t *testing.T) {
	t.Parallel()
	ends := map[verify.Status]func(*desks, verify.Verification) error{
		verify.Success: func(d *desks, v verify.Verification) error {
			_, err := d.Check(d.t.Context(), d.account, v.ID, v.PIN, "")
			return err
		},
		verify.Failed: func(d *desks, v verify.Verification) error {
			for range verify.TriesPerPIN {
				wrong, _ := verify.ParsePIN(v.PIN.Reveal() + "0")
				if _, err := d.Check(d.t.Context(), d.account, v.ID, wrong, ""); kind(err) == -1 {
					return err
				}
			}
			return nil
		},
		verify.Cancelled: func(d *desks, v verify.Verification) error {
			d.clock.Advance(30 * time.Second)
			return d.Cancel(d.t.Context(), d.account, v.ID)
		},
		verify.Expired: func(d *desks, v verify.Verification) error {
			d.clock.Advance(605 * time.Second)
			d.resume()
			await.Until(d.t, "expired", func() bool { return d.record(v.ID).Status == verify.Expired })
			return nil
		},
	}
	for status, end := range ends {
		for _, state := range []verify.EventState{delivered, undeliverable} {
			t.Run(string(status)+" "+string(state), func(t *testing.T) {
				t.Parallel()
				d := setUpDesks(t, "a")
				d.goOn()
				v := d.accepted("1")
				must(t, end(d, v))
				before := d.record(v.ID)
				d.report("a", "1", state, "")
				d.wantEvent(v.ID, 0, state, 1, "a", "")
				after := d.record(v.ID)
				if before.Status != status || !reflect.DeepEqual(withoutHistory(after), withoutHistory(before)) || len(after.Events) != 1 {
					t.Errorf("it changed from %+v to %+v", before, after)
				}
				d.wantDue(v.ID, -1)
			})
		}
	}
}

// TestLateAnswer: a response after the timeout of its submission resolves an unknown outcome.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	answer := func(attempt int, state verify.EventState, ref, err string) verify.Part {
		return verify.Part{Attempt: attempt, Count: 1, Carrier: "a", Ref: ref, State: state, Error: err}
	}
	tests := []struct {
		name    string
		answers []verify.Part
		want    verify.EventState
		carrier string
		err     string
	}{
		{"Accepted", []verify.Part{answer(2, accepted, "1", "")}, accepted, "a", ""},
		{"AcceptedTheFirst", []verify.Part{answer(1, accepted, "1", "")}, accepted, "a", ""},
		{"AcceptedWithoutAnID", []verify.Part{answer(1, accepted, "", "")}, accepted, "a", ""},
		{"AcceptedBoth", []verify.Part{answer(2, accepted, "2", ""), answer(1, accepted, "1", "")}, accepted, "a", ""},
		{"Refused", []verify.Part{answer(2, verify.EventRefused, "", "err 11")}, verify.EventRefused, "a", "err 11"},
		{"RefusedTheFirst", []verify.Part{answer(1, verify.EventRefused, "", "err 11")}, verify.EventUnknown, "", ""},
		{"RefusedThenAccepted", []verify.Part{answer(2, verify.EventRefused, "", "err 11"), answer(1, accepted, "1", "")}, accepted, "a", ""},
		{"RefusedThenAcceptedWithoutAnID", []verify.Part{answer(2, verify.EventRefused, "", "err 11"), answer(1, accepted, "", "")}, accepted, "a", ""},
		{"AcceptedThenRefused", []verify.Part{answer(1, accepted, "1", ""), answer(2, verify.EventRefused, "", "err 11")}, accepted, "a", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := setUpDesks(t, "a")
			v, h := d.start()
			h.fail(errLost)
			d.next(0).fail(errLost)
			d.settled(v.ID, 0)
			d.wantEvent(v.ID, 0, verify.EventUnknown, 2, "", "")
			for _, part := range tt.answers {
				must(t, d.Answer(t.Context(), deliver.Answer{Event: verify.EventKey{Verification: v.ID}, Part: part}))
			}
			d.wantEvent(v.ID, 0, tt.want, 2, tt.carrier, tt.err)
			if rec := d.record(v.ID); !reflect.DeepEqual(withoutHistory(rec), withoutHistory(v)) {
				t.Errorf("the verification changed to %+v", rec)
			}
		})
	}
}

// TestLateAnswerThenReceipt: a message accepted by a late response gets its receipts, also
// earlier ones.
func TestLateAnswerThenReceipt(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		d := setUpDesks(t, "a")
		v, h := d.start()
		h.fail(errLost)
		d.next(0).fail(errLost)
		d.settled(v.ID, 0)
		if early {
			d.report("a", "1", delivered, "")
		}
		must(t, d.Answer(t.Context(), deliver.Answer{
			Event: verify.EventKey{Verification: v.ID}, Part: verify.Part{Attempt: 1, Count: 1, Carrier: "a", Ref: "1", State: accepted},
		}))
		if !early {
			d.wantEvent(v.ID, 0, accepted, 2, "a", "")
			d.report("a", "1", delivered, "")
		}
		d.wantEvent(v.ID, 0, delivered, 2, "a", "")
	}
}

// TestLateAnswerMeanwhile: a response to the first attempt arrives while the second is in
// flight.
func TestLateAnswerMeanwhile(t *testing.T) {
	t.Parallel()
	ok := verify.Part{Attempt: 1, Count: 1, Carrier: "a", Ref: "1", State: accepted}
	no := verify.Part{Attempt: 1, Count: 1, Carrier: "a", State: verify.EventRefused, Error: "err 11"}
	tests := []struct {
		name     string
		late     verify.Part
		second   reply
		receipts []said // from carrier a
		want     verify.EventState
		carrier  string
		err      string
	}{
		{"AcceptedAccepted", ok, reply{refs: []string{"2"}}, nil, accepted, "b", ""},
		{"AcceptedRefused", ok, reply{err: errRefused}, nil, accepted, "a", ""},
		{"AcceptedUnclear", ok, reply{err: errLost}, nil, accepted, "a", ""},
		{"DeliveredAccepted", ok, reply{refs: []string{"2"}}, []said{{"1", delivered, ""}}, delivered, "a", ""},
		{"DeliveredUnclear", ok, reply{err: errLost}, []said{{"1", delivered, ""}}, delivered, "a", ""},
		{"UndeliverableAccepted", ok, reply{refs: []string{"2"}}, []said{{"1", undeliverable, "err 12"}}, accepted, "b", ""},
		{"UndeliverableRefused", ok, reply{err: errRefused}, []said{{"1", undeliverable, "err 12"}}, undeliverable, "a", "err 12"},
		{"RefusedAccepted", no, reply{refs: []string{"2"}}, nil, accepted, "b", ""},
		{"RefusedUnclear", no, reply{err: errLost}, nil, verify.EventUnknown, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := setUpDesks(t, "a", "b")
			v, h := d.start()
			h.fail(errLost)
			h = d.next(0)
			if h.carrier != "b" {
				t.Fatalf("the second attempt is with %s", h.carrier)
			}
			must(t, d.Answer(t.Context(), deliver.Answer{Event: verify.EventKey{Verification: v.ID}, Part: tt.late}))
			for _, s := range tt.receipts {
				d.report("a", s.ref, s.state, s.err)
			}
			d.wantEvent(v.ID, 0, verify.EventSubmitting, 2, "", "")
			h.reply <- tt.second
			if errors.Is(tt.second.err, errRefused) {
				d.next(0).fail(errRefused) // a is retried, since b refused
			}
			d.settled(v.ID, 0)
			d.wantEvent(v.ID, 0, tt.want, 2, tt.carrier, tt.err)
		})
	}
}

// TestAnswerToNobody: a response for an unknown message is ignored without an error, since
// an error would make the carrier repeat it.
func TestAnswerToNobody(t *testing.T) {
	t.Parallel()
	d := setUpDesks(t, "a")
	for _, state := range []verify.EventState{accepted, verify.EventRefused} {
		part := verify.Part{Attempt: 1, Count: 1, Carrier: "a", Ref: "1", State: state}
		if err := d.Answer(t.Context(), deliver.Answer{Event: verify.EventKey{Verification: verify.NewID(rand.Reader)}, Part: part}); err != nil {
			t.Errorf("%s: %v", state, err)
		}
	}
}

// TestReportsWithoutDatabase: a report that cannot be stored is an error, so that the carrier
// repeats it.
func TestReportsWithoutDatabase(t *testing.T) {
	t.Parallel()
	d := setUpDesks(t, "a")
	v := d.accepted("1")
	must(t, d.db.Close())
	if err := d.Receipt(t.Context(), deliver.Receipt{Carrier: "a", Ref: "1", State: delivered}); kind(err) != verify.KindUnavailable {
		t.Errorf("Receipt: %v", err)
	}
	if err := d.Answer(t.Context(), deliver.Answer{Event: verify.EventKey{Verification: v.ID}}); kind(err) != verify.KindUnavailable {
		t.Errorf("Answer: %v", err)
	}
}

// TestRescueKnowsReports: a process died during the second attempt, after the response to
// the first.
func TestRescueKnowsReports(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, state := range []verify.EventState{accepted, delivered, undeliverable} {
			for _, goOn := range []bool{false, true} {
				d := setUpDesks(t, "a")
				v, _ := d.orphan(verify.MaxAttempts)
				if goOn {
					d.goOn()
				}
				d.alter(v.ID, func(v *verify.Verification) {
					v.Events[0].Parts = []verify.Part{{Attempt: 1, Count: 1, Carrier: "a", Ref: "1", State: state}}
				})
				d.clock.Advance(15 * time.Second)
				d.resume()
				d.settled(v.ID, 0)
				if goOn && state == undeliverable {
					d.next(1).accept()
					d.settled(v.ID, 1)
					d.wantDue(v.ID, 15+180)
				} else {
					d.quiet()
					d.wantDue(v.ID, 125)
				}
				d.wantEvent(v.ID, 0, state, 2, "a", "")
			}
		}
	})
}

// TestReceiptOfTheArchive: reports on an archived verification are ignored without an error.
func TestReceiptOfTheArchive(t *testing.T) {
	t.Parallel()
	d := setUpDesks(t, "a")
	d.resume()
	v := d.accepted("1")
	_, err := d.Check(t.Context(), d.account, v.ID, v.PIN, "")
	must(t, err)
	moved, err := d.db.Archive(t.Context(), store.Cutoffs{Codes: at(1)}, 10)
	must(t, err)
	if moved != 1 {
		t.Fatalf("%d archived", moved)
	}
	before := d.record(v.ID)
	d.report("a", "1", undeliverable, "err 12")
	d.report("a", "1", delivered, "")
	answer := deliver.Answer{Event: verify.EventKey{Verification: v.ID}, Part: verify.Part{Attempt: 1, Count: 1, Carrier: "a", Ref: "2", State: accepted}}
	must(t, d.Answer(t.Context(), answer))
	if after := d.record(v.ID); !reflect.DeepEqual(after, before) {
		t.Errorf("the record is %+v, want %+v", after, before)
	}
}

// TestReceiptOfFormerRefs: a message stored under the reference of earlier settings gets its
// receipt. A message under the present reference takes precedence, and a finished old message
// does not take the receipt of a new one.
func TestReceiptOfFormerRefs(t *testing.T) {
	t.Parallel()
	say := func(d *desks, state verify.EventState) {
		must(d.t, d.Receipt(d.t.Context(), deliver.Receipt{Carrier: "a", Ref: "1\thost", FormerRefs: []string{"1"}, State: state}))
	}
	another := func(r *verify.Request) { r.To = verify.PhoneAddress("447700900001", r.To.Country) }

	t.Run("Old", func(t *testing.T) {
		t.Parallel()
		d := setUpDesks(t, "a")
		old := d.accepted("1")
		say(d, delivered)
		d.wantEvent(old.ID, 0, delivered, 1, "a", "")
	})
	t.Run("Both", func(t *testing.T) {
		t.Parallel()
		d := setUpDesks(t, "a")
		old := d.accepted("1")
		now, h := d.start(another)
		h.accept("1\thost")
		d.settled(now.ID, 0)
		say(d, undeliverable)
		d.wantEvent(now.ID, 0, undeliverable, 1, "a", "")
		d.wantEvent(old.ID, 0, accepted, 1, "a", "")
	})
	t.Run("Early", func(t *testing.T) {
		t.Parallel()
		d := setUpDesks(t, "a")
		old := d.accepted("1")
		d.report("a", "1", delivered, "")
		now, h := d.start(another)
		say(d, delivered) // before the response
		h.accept("1\thost")
		d.settled(now.ID, 0)
		d.wantEvent(now.ID, 0, delivered, 1, "a", "")
		d.wantEvent(old.ID, 0, delivered, 1, "a", "")
	})
	t.Run("Several", func(t *testing.T) {
		t.Parallel()
		d := setUpDesks(t, "a")
		v := d.accepted("1\tsecond")
		must(t, d.Receipt(t.Context(), deliver.Receipt{
			Carrier: "a", Ref: "1", FormerRefs: []string{"1\tfirst", "1\tsecond"}, State: delivered,
		}))
		d.wantEvent(v.ID, 0, delivered, 1, "a", "")
	})
	t.Run("OtherAddress", func(t *testing.T) {
		t.Parallel()
		d := setUpDesks(t, "a")
		v := d.accepted("1\tother")
		say(d, delivered)
		d.wantEvent(v.ID, 0, accepted, 1, "a", "")
	})
}

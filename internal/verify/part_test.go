package verify_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"countersign/internal/verify"
)

// TestPartReport: the state of a part after another receipt.
func TestPartReport(t *testing.T) {
	t.Parallel()
	const (
		accepted, delivered = verify.EventAccepted, verify.EventDelivered
		undeliverable       = verify.EventUndeliverable
		expired, rejected   = verify.EventExpired, verify.EventRejected
	)
	tests := []struct {
		name        string
		before      verify.EventState
		beforeError string
		state       verify.EventState
		err         string
		want        verify.EventState
		wantError   string
		noNews      bool
	}{
		{"OnItsWay", accepted, "", accepted, "", accepted, "", true},
		{"OnItsWayWithACode", accepted, "", accepted, "err 000", accepted, "", true},
		{"Delivered", accepted, "", delivered, "", delivered, "", false},
		{"DeliveredWithARemark", accepted, "", delivered, "voicemail suspected", delivered, "voicemail suspected", false},
		{"Undeliverable", accepted, "", undeliverable, "err 12", undeliverable, "err 12", false},
		{"Expired", accepted, "", expired, "", expired, "", false},
		{"Rejected", accepted, "", rejected, "err 8", rejected, "err 8", false},
		{"DeliveredAfterAll", undeliverable, "err 12", delivered, "", delivered, "", false},
		{"DeliveredStays", delivered, "", undeliverable, "err 12", delivered, "", true},
		{"DeliveredIsNotOnItsWay", delivered, "", accepted, "", delivered, "", true},
		{"FailedIsNotOnItsWay", expired, "err 3", accepted, "", expired, "err 3", true},
		{"FirstFailureStays", expired, "err 3", rejected, "err 8", expired, "err 3", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := verify.Part{Attempt: 2, Seq: 1, Count: 3, Carrier: "a", Ref: "17", State: tt.before, Error: tt.beforeError}
			want := before
			want.State, want.Error = tt.want, tt.wantError
			got := before.Report(tt.state, tt.err)
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if (got == before) != tt.noNews {
				t.Errorf("%+v is news: %v", got, got != before)
			}
		})
	}
}

// TestPartReportInAnyOrder: in any order and with repeated receipts, the part is delivered
// if any receipt reports delivery, failed if another reports failure, and otherwise in
// flight.
func TestPartReportInAnyOrder(t *testing.T) {
	t.Parallel()
	states := []verify.EventState{
		verify.EventAccepted, verify.EventDelivered, verify.EventUndeliverable, verify.EventExpired, verify.EventRejected,
		verify.EventHeld, verify.EventAnswered,
	}
	rapid.Check(t, func(t *rapid.T) {
		receipts := rapid.SliceOfN(rapid.SampledFrom(states), 0, 6).Draw(t, "receipts")
		failures := slices.DeleteFunc(slices.Clone(receipts), func(s verify.EventState) bool {
			return s == verify.EventAccepted || s == verify.EventDelivered
		})
		for _, order := range [][]verify.EventState{receipts, rapid.Permutation(receipts).Draw(t, "order")} {
			p := verify.Part{Count: 1, State: verify.EventAccepted}
			for _, s := range order {
				p = p.Report(s, "err "+string(s))
				if again := p.Report(s, "err "+string(s)); again != p {
					t.Fatalf("%s a second time: %+v became %+v", s, p, again)
				}
			}
			var failed bool
			switch {
			case slices.Contains(receipts, verify.EventDelivered):
				failed = p.State != verify.EventDelivered || p.Error != "err delivered"
			case len(failures) > 0:
				failed = !slices.Contains(failures, p.State) || p.Error != "err "+string(p.State)
			default:
				failed = p.State != verify.EventAccepted || p.Error != ""
			}
			if failed {
				t.Fatalf("after %v it is %+v", order, p)
			}
		}
	})
}

// part is a part of an event with the state of a letter: a(ccepted), d(elivered),
// u(ndeliverable), e(xpired), r(ejected), h(eld) or m: answered, without media.
func part(attempt, seq, count int, letter rune) verify.Part {
	p := verify.Part{Attempt: attempt, Seq: seq, Count: count, Carrier: string(rune('A' + attempt - 1))}
	p.State = map[rune]verify.EventState{
		'a': verify.EventAccepted, 'd': verify.EventDelivered, 'u': verify.EventUndeliverable,
		'e': verify.EventExpired, 'r': verify.EventRejected, 'h': verify.EventHeld, 'm': verify.EventAnswered,
	}[letter]
	if strings.ContainsRune("uerhm", letter) {
		p.Error = "err " + string(letter)
	}
	return p
}

// TestEventReported: the state derived from the parts of one or two attempts. The first
// carrier is A, the second B; "-" is a part without a known state.
func TestEventReported(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		state         verify.EventState
		first, second string
		want          verify.EventState
		carrier, err  string
	}{
		{"NoParts", verify.EventUnknown, "", "", verify.EventUnknown, "before", "err before"},
		{"NoPartsRefused", verify.EventRefused, "", "", verify.EventRefused, "before", "err before"},
		{"OnItsWayToTheCarrier", verify.EventSubmitting, "d", "", verify.EventSubmitting, "before", "err before"},
		{"Accepted", verify.EventAccepted, "a", "", verify.EventAccepted, "A", ""},
		{"Found", verify.EventUnknown, "a", "", verify.EventAccepted, "A", ""},
		{"Delivered", verify.EventAccepted, "d", "", verify.EventDelivered, "A", ""},
		{"Undeliverable", verify.EventAccepted, "u", "", verify.EventUndeliverable, "A", "err u"},
		{"Expired", verify.EventAccepted, "e", "", verify.EventExpired, "A", "err e"},
		{"Rejected", verify.EventAccepted, "r", "", verify.EventRejected, "A", "err r"},
		{"Held", verify.EventAccepted, "h", "", verify.EventHeld, "A", "err h"},
		{"Answered", verify.EventAccepted, "m", "", verify.EventAnswered, "A", "err m"},
		{"AnsweredThenFailed", verify.EventAccepted, "m", "u", verify.EventAnswered, "A", "err m"},
		{"FailedThenAnswered", verify.EventAccepted, "u", "m", verify.EventAnswered, "B", "err m"},
		{"AnsweredThenAccepted", verify.EventAccepted, "m", "a", verify.EventAccepted, "B", ""},
		{"AnsweredThenDelivered", verify.EventAccepted, "m", "d", verify.EventDelivered, "B", ""},

		{"AllParts", verify.EventAccepted, "ddd", "", verify.EventDelivered, "A", ""},
		{"NotAllPartsYet", verify.EventAccepted, "dda", "", verify.EventAccepted, "A", ""},
		{"OnePartFailed", verify.EventAccepted, "ded", "", verify.EventExpired, "A", "err e"},
		{"OnePartFailedBeforeTheOthers", verify.EventAccepted, "aar", "", verify.EventRejected, "A", "err r"},
		{"FirstFailureNamed", verify.EventAccepted, "aue", "", verify.EventUndeliverable, "A", "err u"},
		{"PartOfWhichNothingIsKnown", verify.EventUnknown, "d-", "", verify.EventAccepted, "A", ""},

		{"SecondDelivered", verify.EventAccepted, "a", "d", verify.EventDelivered, "B", ""},
		{"FirstDelivered", verify.EventAccepted, "d", "a", verify.EventDelivered, "A", ""},
		{"BothDelivered", verify.EventAccepted, "d", "d", verify.EventDelivered, "A", ""},
		{"FirstDeliveredSecondFailed", verify.EventAccepted, "d", "u", verify.EventDelivered, "A", ""},
		{"SecondDeliveredFirstFailed", verify.EventAccepted, "u", "d", verify.EventDelivered, "B", ""},
		{"SecondStillOnItsWay", verify.EventAccepted, "u", "a", verify.EventAccepted, "B", ""},
		{"FirstStillOnItsWay", verify.EventAccepted, "a", "u", verify.EventAccepted, "A", ""},
		{"BothFailed", verify.EventAccepted, "u", "e", verify.EventExpired, "B", "err e"},
		{"FirstTakenSecondRefused", verify.EventRefused, "a", "", verify.EventAccepted, "A", ""},
		{"HalfOfEach", verify.EventAccepted, "da", "ad", verify.EventAccepted, "B", ""},
		{"SecondWithOtherParts", verify.EventAccepted, "du", "ddd", verify.EventDelivered, "B", ""},
		{"DeliveredAfterAll", verify.EventUndeliverable, "d", "", verify.EventDelivered, "A", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := verify.Event{State: tt.state, Attempt: 2, Carrier: "before", Error: "err before", Costs: []verify.Cost{{Attempt: 1, Part: -1, Amount: 7}}}
			var parts []verify.Part
			for i, letters := range []string{tt.first, tt.second} {
				for seq, letter := range letters {
					if letter != '-' {
						parts = append(parts, part(i+1, seq, len(letters), letter))
					}
				}
			}
			e.Parts = parts
			want := e
			want.State, want.Carrier, want.Error = tt.want, tt.carrier, tt.err
			if got := e.Reported(); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			slices.Reverse(parts)
			if got := e.Reported(); got.Failed() != want.Failed() || !want.Failed() && !reflect.DeepEqual(got, want) {
				t.Errorf("with the parts the other way round: %+v, want %+v", got, want)
			}
		})
	}
}

// TestEventReportedBadParts: inconsistent parts do not change the event.
func TestEventReportedBadParts(t *testing.T) {
	t.Parallel()
	e := verify.Event{State: verify.EventUnknown, Attempt: 1}
	for _, attempt := range []int{-1, 0, 2} { // attempts that do not exist
		e.Parts = []verify.Part{part(attempt, 0, 1, 'd')}
		if got := e.Reported(); !reflect.DeepEqual(got, e) {
			t.Errorf("a part of attempt %d: %+v", attempt, got)
		}
	}
	e.Parts = []verify.Part{part(1, 0, 0, 'a')}
	if got := e.Reported(); got.State != verify.EventAccepted {
		t.Errorf("a message with a part count of 0: %+v; want it accepted", got)
	}
}

func TestEventFailed(t *testing.T) {
	t.Parallel()
	for state, want := range map[verify.EventState]bool{
		verify.EventSubmitting: false, verify.EventAccepted: false, verify.EventUnknown: false, verify.EventDelivered: false,
		verify.EventRefused: true, verify.EventUndeliverable: true, verify.EventExpired: true, verify.EventRejected: true,
		verify.EventHeld: true, verify.EventAnswered: false,
	} {
		if got := (verify.Event{State: state}).Failed(); got != want {
			t.Errorf("%s: %v, want %v", state, got, want)
		}
	}
}

// TestHasten: the outcome of a failed event makes the next step due if the account is so
// configured. Otherwise it changes the same fields except NextAt.
func TestHasten(t *testing.T) {
	t.Parallel()
	type change func(verify.Verification) verify.Verification
	triggers := func(n int, now float64) change {
		return func(v verify.Verification) verify.Verification {
			for range n {
				v, _, _ = trigger(v, at(now))
			}
			return v
		}
	}
	over := func(status verify.Status) change {
		return func(v verify.Verification) verify.Verification {
			v.Status = status
			return v
		}
	}
	tests := []struct {
		name   string
		now    float64
		event  int
		state  verify.EventState
		change change
		want   bool
	}{
		{"Refused", 1, 0, verify.EventRefused, nil, true},
		{"AtOnce", 0, 0, verify.EventRejected, nil, true},
		{"JustBeforeItsTime", 124.999, 0, verify.EventExpired, nil, true},
		{"PINDead", 100, 0, verify.EventExpired, func(v verify.Verification) verify.Verification {
			v.PINExpiresAt = at(60)
			return v
		}, true},
		{"DueAlready", 125, 0, verify.EventExpired, nil, false},
		{"Overdue", 300, 0, verify.EventExpired, nil, false},
		{"NotFailed", 1, 0, verify.EventUnknown, nil, false},
		{"Delivered", 1, 0, verify.EventDelivered, nil, false},
		{"OlderEvent", 21, 0, verify.EventUndeliverable, triggers(1, 20), false},
		{"NewestEvent", 21, 1, verify.EventUndeliverable, triggers(1, 20), true},
		{"LastStep", 310, 2, verify.EventRefused, triggers(2, 300), false},
		{"Success", 1, 0, verify.EventRefused, over(verify.Success), false},
		{"Failed", 1, 0, verify.EventRefused, over(verify.Failed), false},
		{"Cancelled", 1, 0, verify.EventRefused, over(verify.Cancelled), false},
		{"Expired", 1, 0, verify.EventRefused, over(verify.Expired), false},
		{"RunOut", 605, 0, verify.EventRefused, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := start(t, request(300, 125, 180, 300))
			if tt.change != nil {
				v = tt.change(v)
			}
			for seq := range v.Events[:tt.event] { // an older event has its outcome
				v.Events[seq].State = verify.EventAccepted
			}
			o := outcome(v, tt.event, tt.state)
			want, got := v.Outcome(o, onFailure, at(tt.now)).Verification, v.Outcome(o, hasten, at(tt.now)).Verification
			if !want.NextAt.Equal(v.NextAt) {
				t.Fatalf("an account that waits: next step at %v", want.NextAt)
			}
			if tt.want {
				want.NextAt = at(tt.now)
				want.Lease = verify.Lease{Token: v.Lease.Token + 1}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if twice := got.Outcome(o, hasten, at(tt.now+1)).Verification; !reflect.DeepEqual(twice, got) {
				t.Errorf("a second time it changed something again: %+v, before %+v", twice, got)
			}
		})
	}
}

// TestSendable: a message is sendable while its event is the last and an answer is still
// possible.
func TestSendable(t *testing.T) {
	t.Parallel()
	same := func(v verify.Verification) verify.Verification { return v }
	tests := []struct {
		name    string
		now     float64
		pinLife int
		change  func(verify.Verification) verify.Verification
		want    bool
	}{
		{"Fresh", 0, 300, same, true},
		{"JustBeforeTheNextStep", 124.999, 300, same, true},
		{"NextStepDue", 125, 300, same, false},
		{"PINAlmostDead", 59.999, 60, same, true},
		{"PINDead", 60, 60, same, false},
		{"Hastened", 10, 300, func(v verify.Verification) verify.Verification {
			return after(v, 0, verify.EventRejected, hasten, at(10))
		}, false},
		{"AnotherCame", 10, 300, func(v verify.Verification) verify.Verification {
			v, _, _ = trigger(v, at(5))
			return v
		}, false},
		{"Answered", 10, 300, func(v verify.Verification) verify.Verification {
			v, _, _ = check(v, v.PIN, "", at(5))
			return v
		}, false},
		{"Cancelled", 40, 300, func(v verify.Verification) verify.Verification {
			v, _ = cancel(v, at(35))
			return v
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v, e := begin(request(tt.pinLife, 125, 180, 300), 0)
			v = tt.change(v)
			if got := v.Sendable(e, at(tt.now)); got != tt.want {
				t.Errorf("sendable: %v, want %v", got, tt.want)
			}
			if got := v.Resend(e, at(tt.now)); got != tt.want {
				t.Errorf("resent: %v, want %v", got, tt.want)
			}
			e.Attempt = verify.MaxAttempts
			if v.Resend(e, at(tt.now)) {
				t.Error("sent a third time")
			}
			if got := v.Sendable(e, at(tt.now)); got != tt.want {
				t.Errorf("sendable at the last attempt: %v, want %v", got, tt.want)
			}
			for _, known := range []verify.EventState{verify.EventAccepted, verify.EventUnknown, verify.EventRefused} {
				e.Attempt, e.State = 1, known
				if v.Resend(e, at(tt.now)) {
					t.Errorf("resent in state %s", known)
				}
			}
		})
	}
}

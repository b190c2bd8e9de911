package e2e

import (
	"testing"
	"time"

	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// staleTests returns the tests of TestSMPPCrash in which a message with a lost response is not
// resent, because it is obsolete.
func staleTests() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"killed twice":                    testKilledTwice,
		"checked before it is resent":     testChecked,
		"cancelled before it is resent":   testCancelled,
		"down until the code has expired": testDeadCode,
		"down until the next event":       testNextEvent,
	}
}

// lostAnswer is a point after which the program does not know whether the message was sent.
func lostAnswer() cut {
	return cut{command: pdu.CommandSubmitSM.Response(), nth: 1, passes: first(0)}
}

// killedOver kills the program during the first message of a verification, and returns its id.
func (r *crashRig) killedOver(t *testing.T, params ...string) (id string) {
	t.Helper()
	r.start(t)
	r.request(t, "/verify/json", append([]string{"number", crashNumber, "brand", "Acme"}, params...)...)
	r.awaitKill(t)
	for id = range readBooks(t, r.database()).verifications {
		return id // also if the program died before it answered
	}
	t.Fatal("the database has no verification")
	return ""
}

// age makes the verification of a dead program older, as if the program had been down for d.
// The document needs no change: its times are relative to submitted_at. Closing the database
// checkpoints the log of the dead program; the points of TestSMPPCrash keep the log.
func (r *crashRig) age(t *testing.T, d time.Duration) {
	t.Helper()
	db := openDatabase(t, r.database(), "rw")
	defer db.Close()
	result, err := db.ExecContext(t.Context(),
		`UPDATE verifications SET submitted_at = submitted_at - $1, step_at = step_at - $1, due_at = due_at - $1`, d.Milliseconds())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); n != 1 || err != nil {
		t.Fatalf("%d verifications became older, want 1 (%v)", n, err)
	}
}

// restart starts the program and waits until it listens.
func (r *crashRig) restart(t *testing.T) {
	t.Helper()
	r.start(t)
	r.running().awaitURL(t)
}

// letIn waits until the program is bound and has had enough time to send its messages.
func (r *crashRig) letIn(t *testing.T) {
	t.Helper()
	r.smsc.SetFaults(smsc.Faults{})
	awaitBind(t, r.smsc)
	lapse(quiet)
}

func (r *crashRig) want(t *testing.T, id, status string, copies int) {
	t.Helper()
	if got := r.judge(t, id, status); got != copies {
		t.Errorf("the SMSC accepted the message %d times, want %d", got, copies)
	}
}

// testKilledTwice checks that the second attempt is the last.
func testKilledTwice(t *testing.T) {
	r := newCrashRig(t, lostAnswer())
	id := r.killedOver(t, "workflow_id", "4")
	r.tap.again()
	r.start(t)
	r.awaitKill(t)
	r.restart(t)
	r.letIn(t)
	r.running().awaitState(t, id, "unknown")
	r.check(t, id)
	r.want(t, id, "SUCCESS", 2)
}

// testChecked checks that a message is not resent after the code was entered.
func testChecked(t *testing.T) {
	r := newCrashRig(t, lostAnswer())
	id := r.killedOver(t)
	r.smsc.SetFaults(smsc.MustFaults("refuse-bind"))
	r.restart(t)
	r.check(t, id)
	r.letIn(t)
	r.want(t, id, "SUCCESS", 1)
}

// testCancelled checks that a message is not resent after a cancellation. The SMSC throttles the
// message until the API accepts a cancel.
func testCancelled(t *testing.T) {
	r := newCrashRig(t, lostAnswer())
	r.tap.hold()
	r.smsc.SetFaults(smsc.MustFaults("throttle"))
	r.start(t)
	id := r.request(t, "/verify/json", "number", crashNumber, "brand", "Acme")
	r.running().kill()
	r.age(t, 31*time.Second) // the API rejects a cancel before 30 s
	r.restart(t)
	r.tap.again()
	r.smsc.SetFaults(smsc.Faults{})
	r.awaitKill(t)
	r.smsc.SetFaults(smsc.MustFaults("refuse-bind"))
	r.restart(t)
	r.running().ask(t, "/verify/control/json", "request_id", id, "cmd", "cancel").want(t, "status", "0")
	r.letIn(t)
	r.want(t, id, "CANCELLED", 1)
}

// testDeadCode checks that a message is not resent after its code expired.
func testDeadCode(t *testing.T) {
	r := newCrashRig(t, lostAnswer())
	id := r.killedOver(t, "workflow_id", "6", "pin_expiry", "60")
	r.age(t, 61*time.Second)
	r.restart(t)
	r.letIn(t)
	r.want(t, id, "EXPIRED", 1)
}

// testNextEvent checks that a message is not resent after its next event, which has a new code,
// is due.
func testNextEvent(t *testing.T) {
	r := newCrashRig(t, lostAnswer())
	id := r.killedOver(t, "workflow_id", "4", "pin_expiry", "60", "next_event_wait", "60")
	r.age(t, 61*time.Second)
	r.restart(t)
	r.letIn(t)
	pins := r.pins(t)
	if len(pins) != 2 || pins[0] == pins[1] {
		t.Errorf("the PINs %q arrived, want one for each event", pins)
	}
	s := r.running()
	events := s.found(t, id).list(t, "events")
	if len(events) != 2 || events[0]["status"] == "submitting" {
		t.Errorf("got events %v, want two with an outcome", events)
	}
	s.ask(t, "/verify/check/json", "request_id", id, "code", pins[0]).want(t, "status", "16")
	s.ask(t, "/verify/check/json", "request_id", id, "code", pins[1]).want(t, "status", "0")
	s.stop(t)
	r.charged(t, id)
}

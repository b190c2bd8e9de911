package e2e

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// killPoint is a point of the exchange with an SMSC at which the program is killed, and the
// required result.
type killPoint struct {
	name        string
	cut         cut
	least, most int  // copies of the message that the SMSC accepts
	long        bool // the message has two parts
	second      bool // the point is in the second event
	stop        bool // the program receives SIGTERM before the point, so that it unbinds
}

// killPoints returns all points of the exchange, in order. The SMSC accepts one copy if it did not
// receive the whole message, and two if the response was lost, since the result is then unknown.
// If the response arrived, the number depends on whether the program recorded it before the kill.
func killPoints() []killPoint {
	const (
		bind, submit, deliver, unbind = pdu.CommandBindTransceiver, pdu.CommandSubmitSM, pdu.CommandDeliverSM, pdu.CommandUnbind
		ms                            = time.Millisecond
	)
	at := func(c pdu.Command, nth int, passes func(int) int, after time.Duration) cut {
		return cut{c, nth, passes, after}
	}
	points := []killPoint{
		{name: "connected", cut: at(0, 1, whole, 0), least: 1, most: 1},
		{name: "bind: half", cut: at(bind, 1, half, 0), least: 1, most: 1},
		{name: "bind: received", cut: at(bind, 1, whole, 0), least: 1, most: 1},
		{name: "bind_resp: no octet", cut: at(bind.Response(), 1, first(0), 0), least: 1, most: 1},
		{name: "bind_resp: half", cut: at(bind.Response(), 1, half, 0), least: 1, most: 1},
		{name: "bind_resp: sent", cut: at(bind.Response(), 1, whole, 0), least: 1, most: 1},
		{name: "submit_sm: no octet", cut: at(submit, 1, first(0), 0), least: 1, most: 1},
		{name: "submit_sm: 1 octet", cut: at(submit, 1, first(1), 0), least: 1, most: 1},
		{name: "submit_sm: 15 octets", cut: at(submit, 1, first(15), 0), least: 1, most: 1},
		{name: "submit_sm: header", cut: at(submit, 1, first(16), 0), least: 1, most: 1},
		{name: "submit_sm: half", cut: at(submit, 1, half, 0), least: 1, most: 1},
		{name: "submit_sm: all but an octet", cut: at(submit, 1, allBut1, 0), least: 1, most: 1},
		{name: "submit_sm: received", cut: at(submit, 1, whole, 0), least: 2, most: 2},
		{name: "submit_sm_resp: no octet", cut: at(submit.Response(), 1, first(0), 0), least: 2, most: 2},
		{name: "submit_sm_resp: 1 octet", cut: at(submit.Response(), 1, first(1), 0), least: 2, most: 2},
		{name: "submit_sm_resp: 15 octets", cut: at(submit.Response(), 1, first(15), 0), least: 2, most: 2},
		{name: "submit_sm_resp: header", cut: at(submit.Response(), 1, first(16), 0), least: 2, most: 2},
		{name: "submit_sm_resp: all but an octet", cut: at(submit.Response(), 1, allBut1, 0), least: 2, most: 2},
	}
	for _, after := range []time.Duration{0, 1 * ms, 2 * ms, 5 * ms, 20 * ms} {
		points = append(points, killPoint{name: fmt.Sprintf("submit_sm_resp: sent, and %v", after), cut: at(submit.Response(), 1, whole, after), least: 1, most: 2})
	}
	return append(points, []killPoint{
		{name: "submit_sm_resp: sent, then 1s", cut: at(submit.Response(), 1, whole, time.Second), least: 1, most: 1},
		{name: "deliver_sm: no octet", cut: at(deliver, 1, first(0), 0), least: 1, most: 1},
		{name: "deliver_sm: half", cut: at(deliver, 1, half, 0), least: 1, most: 1},
		{name: "deliver_sm: sent", cut: at(deliver, 1, whole, 0), least: 1, most: 1},
		{name: "deliver_sm_resp: no octet", cut: at(deliver.Response(), 1, first(0), 0), least: 1, most: 1},
		{name: "deliver_sm_resp: half", cut: at(deliver.Response(), 1, half, 0), least: 1, most: 1},
		{name: "deliver_sm_resp: received", cut: at(deliver.Response(), 1, whole, 0), least: 1, most: 1},
		{name: "unbind: no octet", cut: at(unbind, 1, first(0), 0), least: 1, most: 1, stop: true},
		{name: "unbind: received", cut: at(unbind, 1, whole, 0), least: 1, most: 1, stop: true},
		{name: "unbind_resp: half", cut: at(unbind.Response(), 1, half, 0), least: 1, most: 1, stop: true},

		{name: "part 1: half", cut: at(submit, 1, half, 0), least: 1, most: 1, long: true},
		{name: "part 1: received", cut: at(submit, 1, whole, 0), least: 2, most: 2, long: true},
		{name: "part 1: answered", cut: at(submit.Response(), 1, whole, 0), least: 2, most: 2, long: true},
		{name: "part 2: no octet", cut: at(submit, 2, first(0), 0), least: 2, most: 2, long: true},
		{name: "part 2: half", cut: at(submit, 2, half, 0), least: 2, most: 2, long: true},
		{name: "part 2: received", cut: at(submit, 2, whole, 0), least: 2, most: 2, long: true},
		{name: "part 2: half of the answer", cut: at(submit.Response(), 2, half, 0), least: 2, most: 2, long: true},
		{name: "part 2: answered", cut: at(submit.Response(), 2, whole, 0), least: 1, most: 2, long: true},
		{name: "part 2: answered, then 1s", cut: at(submit.Response(), 2, whole, time.Second), least: 1, most: 1, long: true},

		{name: "event 2, submit_sm: no octet", cut: at(submit, 2, first(0), 0), least: 1, most: 1, second: true},
		{name: "event 2, submit_sm: all but an octet", cut: at(submit, 2, allBut1, 0), least: 1, most: 1, second: true},
		{name: "event 2, submit_sm: received", cut: at(submit, 2, whole, 0), least: 2, most: 2, second: true},
		{name: "event 2, submit_sm_resp: half", cut: at(submit.Response(), 2, half, 0), least: 2, most: 2, second: true},
		{name: "event 2, submit_sm_resp: sent", cut: at(submit.Response(), 2, whole, 0), least: 1, most: 2, second: true},
		{name: "event 2, deliver_sm: sent", cut: at(deliver, 2, whole, 0), least: 1, most: 1, second: true},
	}...)
}

// TestSMPPCrash kills the program at every point of its exchange with an SMSC and restarts it. The
// SMSC must receive the PIN at least once, at most twice, and the same PIN each time. All
// points run in parallel, because most of their time is waiting.
func TestSMPPCrash(t *testing.T) {
	t.Parallel()
	require(t)
	points := killPoints()
	copies := make([]int, len(points))
	starting := make(chan struct{}, 4) // more in parallel would be slower
	var wg sync.WaitGroup
	for n, p := range points {
		wg.Go(func() {
			t.Run(p.name, func(t *testing.T) { copies[n] = p.test(t, starting) })
		})
	}
	for name, test := range staleTests() {
		wg.Go(func() { t.Run(name, test) })
	}
	wg.Wait()

	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "killed at\tcopies\tre-sent")
	for n, p := range points {
		fmt.Fprintf(w, "%s\t%d\t%s\n", p.name, copies[n], map[bool]string{true: "yes", false: "no"}[copies[n] > 1])
	}
	_ = w.Flush() // a Builder returns no error
	t.Logf("%d points:\n%s", len(points), &table)
}

const (
	crashNumber = "447700900123"
	// quiet is the time for which the program is observed after its last start. It resends
	// messages as soon as it is bound.
	quiet = 5 * time.Second
)

// test kills the program at the point, and returns the number of copies of the message at
// the point.
func (p killPoint) test(t *testing.T, starting chan struct{}) int {
	r := p.rig(t, starting)
	id := r.first(t, p)
	if p.second {
		r.told(t, id)
		_, _ = r.server.tryAsk("/verify/control/json", "request_id", id, "cmd", "trigger_next_event") // repeated below if it is lost
	}
	if p.stop {
		r.await(t, 1)
		r.told(t, id)
		r.stop(t)
	}
	r.awaitKill(t)
	began := time.Now()
	r.start(t)
	if again := r.first(t, p); id != "" && again != id {
		t.Errorf("the verification %s was accepted but is lost: its number has %s", id, again)
	} else {
		id = again
	}
	before := 0
	if p.second {
		before = 1
		if len(r.server.found(t, id).list(t, "events")) < 2 { // the trigger was lost
			r.server.ask(t, "/verify/control/json", "request_id", id, "cmd", "trigger_next_event").want(t, "status", "0")
		}
	}
	r.await(t, before+p.least)
	lapse(time.Until(began.Add(quiet)))
	r.told(t, id)
	r.check(t, id)
	got := r.judge(t, id, "SUCCESS") - before
	if got < p.least || got > p.most {
		t.Errorf("the SMSC accepted the message %d times, want %d to %d", got, p.least, p.most)
	}
	return got
}

func (p killPoint) rig(t *testing.T, starting chan struct{}) *crashRig {
	starting <- struct{}{}
	defer func() { <-starting }()
	r := newCrashRig(t, p.cut)
	r.start(t)
	return r
}

// first starts the verification and returns its id, or "" if the program dies before it answers.
// A repeated call returns the existing verification.
func (r *crashRig) first(t *testing.T, p killPoint) string {
	t.Helper()
	path, params := "/verify/json", []string{"number", crashNumber, "brand", "Acme", "workflow_id", "4"}
	if p.long {
		path, params = "/verify/psd2/json", []string{"number", crashNumber, "payee", "Ключ на все замки", "amount", "48.00", "workflow_id", "4"}
	}
	return r.request(t, path, params...)
}

// newCrashRig creates an installation with a tapped SMSC.
func newCrashRig(t *testing.T, c cut) *crashRig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &crashRig{killed: make(chan time.Time, 1)}
	r.tap = &tap{Listener: l, cut: c, kill: r.kill}
	// The receipt arrives after the outcome of the message is recorded.
	r.smsc = smsc.New(smsc.Config{
		MaxMessages: 100, Faults: smsc.MustFaults("receipt-delay=1s"), IDs: smsc.IDsUUID,
	})
	t.Cleanup(func() { _ = r.smsc.Close() })
	go func() { _ = r.smsc.Serve(r.tap) }() // ends with Close
	r.installation = install(t, "carriers:\n"+viaSMPP("a", l.Addr().String())+"routes: [{carriers: [a]}]")
	t.Cleanup(func() {
		if s := r.running(); s != nil {
			s.kill()
			if t.Failed() {
				t.Logf("log of the last process:\n%s", s.log)
			}
		}
	})
	return r
}

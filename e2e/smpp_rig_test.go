package e2e

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp/smsc"
)

// crashRig is an installation with an SMSC that kills the program.
type crashRig struct {
	installation
	smsc   *smsc.Server
	tap    *tap
	killed chan time.Time // times of kills

	mu     sync.Mutex
	server *server // latest process
}

// start starts the program, which the SMSC can kill from its first connection on.
func (r *crashRig) start(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server = r.launch(t)
}

// running returns the latest process.
func (r *crashRig) running() *server {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.server
}

func (r *crashRig) kill() {
	s := r.running()
	at := time.Now()
	s.kill()
	r.killed <- at
}

// awaitKill waits for the kill and returns its time.
func (r *crashRig) awaitKill(t *testing.T) time.Time {
	t.Helper()
	select {
	case at := <-r.killed:
		return at
	case <-time.After(patience):
		t.Fatal("the exchange did not reach the kill point")
		return time.Time{}
	}
}

// stop sends SIGTERM. The SMSC kills the program before it ends.
func (r *crashRig) stop(t *testing.T) {
	t.Helper()
	if err := r.running().cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// told waits until the last event is recorded as delivered.
func (r *crashRig) told(t *testing.T, id string) {
	t.Helper()
	r.running().awaitState(t, id, "delivered")
}

// awaitState waits until search returns this status for the last event.
func (s *server) awaitState(t *testing.T, id, want string) {
	t.Helper()
	var got fields
	defer func() {
		if t.Failed() {
			t.Logf("the last event is %v", got)
		}
	}()
	await.Until(t, "an event that is "+want, func() bool {
		events := s.found(t, id).list(t, "events")
		got = events[len(events)-1]
		return got["status"] == want
	})
}

// await waits until the SMSC has accepted n messages. The parts of a message count once.
func (r *crashRig) await(t *testing.T, n int) {
	t.Helper()
	awaitMessages(t, r.smsc, n)
}

// awaitMessages waits until an SMSC has accepted n messages, and returns all that it has accepted.
func awaitMessages(t *testing.T, srv *smsc.Server, n int) []smsc.Message {
	t.Helper()
	var got []smsc.Message
	await.Until(t, fmt.Sprintf("%d messages at the SMSC", n), func() bool {
		got = srv.Messages()
		return copiesOf(got) >= n
	})
	return got
}

// awaitBind waits until an SMSC has a bound session.
func awaitBind(t *testing.T, srv *smsc.Server) {
	t.Helper()
	awaitBinds(t, srv, 1)
}

func awaitBinds(t *testing.T, srv *smsc.Server, n int) {
	t.Helper()
	await.Until(t, fmt.Sprintf("%d sessions bound", n), func() bool { return len(srv.Sessions()) >= n })
}

// copiesOf returns the number of copies of the most frequent part.
func copiesOf(list []smsc.Message) int {
	most, times := 0, map[int]int{}
	for _, m := range list {
		times[m.Part]++
		most = max(most, times[m.Part])
	}
	return most
}

// pins returns the PINs of the messages with all their parts.
func (r *crashRig) pins(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, m := range r.smsc.Messages() {
		if m.Complete {
			list = append(list, message{Channel: "sms", Text: m.Whole}.pin(t))
		}
	}
	return list
}

// check submits the received PIN to end the verification.
func (r *crashRig) check(t *testing.T, id string) {
	t.Helper()
	pins := r.pins(t)
	if len(pins) == 0 {
		t.Fatal("no message with a PIN arrived")
	}
	r.running().ask(t, "/verify/check/json", "request_id", id, "code", pins[0]).want(t, "status", "0")
}

// judge checks that the verification has the expected end, one PIN and one charge. It returns the
// number of copies of the message.
func (r *crashRig) judge(t *testing.T, id, want string) int {
	t.Helper()
	if pins := slices.Compact(r.pins(t)); len(pins) != 1 {
		t.Errorf("the PINs %q arrived, want one", pins)
	}
	list := r.smsc.Messages()
	for _, m := range list {
		if m.Submitted.Destination.Addr != crashNumber {
			t.Errorf("a message was sent to %s", m.Submitted.Destination.Addr)
		}
	}
	s := r.running()
	s.found(t, id).want(t, "status", want, "number", crashNumber)
	s.stop(t)
	r.charged(t, id)
	return copiesOf(list)
}

// request starts a verification and returns its id, or "" if the program dies before it answers.
// A repeated call returns the existing verification.
func (r *crashRig) request(t *testing.T, path string, params ...string) string {
	t.Helper()
	server := r.running()
	select {
	case server.url = <-server.log.url:
	case <-server.ended:
		return ""
	case <-time.After(patience):
		t.Fatalf("the program did not log its address:\n%s", server.log)
	}
	got, err := server.tryAsk(path, params...)
	if err != nil {
		select {
		case <-server.ended:
		case <-time.After(patience):
			t.Fatal(err)
		}
		return ""
	}
	if got["status"] != "0" && got["status"] != "10" { // 10: the answer has the id of the verification in progress
		t.Fatalf("got %v, want an accepted verification", got)
	}
	return got.text(t, "request_id")
}

// charged checks that only this verification exists and that it was charged once.
func (r *crashRig) charged(t *testing.T, id string) {
	t.Helper()
	b := readBooks(t, r.database())
	charges := 0
	for _, e := range b.ledger {
		if e.kind == "charge" {
			charges++
		}
	}
	if len(b.verifications) != 1 || b.verifications[id] == nil || charges != 1 {
		t.Errorf("%d charges for %d verifications, want one for %s", charges, len(b.verifications), id)
	}
	if b.integrity != "ok" {
		t.Errorf("integrity check of the database: %s", b.integrity)
	}
}

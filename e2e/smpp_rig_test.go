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

// crashRig is an installation whose program is killed by its SMSC.
type crashRig struct {
	installation
	smsc   *smsc.Server
	tap    *tap
	killed chan time.Time // when the program was killed

	mu     sync.Mutex
	server *server // the last process
}

// start starts the program, which the SMSC may kill from its first connection on.
func (r *crashRig) start(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server = r.launch(t)
}

// running is the last process.
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

// awaitKill waits until the point was reached, and tells when it was.
func (r *crashRig) awaitKill(t *testing.T) time.Time {
	t.Helper()
	select {
	case at := <-r.killed:
		return at
	case <-time.After(patience):
		t.Fatal("the exchange does not come to the point")
		return time.Time{}
	}
}

// stop asks the program to end, which the SMSC does not let it.
func (r *crashRig) stop(t *testing.T) {
	t.Helper()
	if err := r.running().cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// told waits until the last event is known to be delivered.
func (r *crashRig) told(t *testing.T, id string) {
	t.Helper()
	r.running().awaitState(t, id, "delivered")
}

// awaitState waits until search says that of the last event.
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

// await waits until the SMSC has accepted n messages, of which the parts of one
// count as one.
func (r *crashRig) await(t *testing.T, n int) {
	t.Helper()
	awaitMessages(t, r.smsc, n)
}

// awaitMessages waits until an SMSC has accepted n messages, and gives what it has
// accepted by then.
func awaitMessages(t *testing.T, srv *smsc.Server, n int) []smsc.Message {
	t.Helper()
	var got []smsc.Message
	await.Until(t, fmt.Sprintf("%d messages at the SMSC", n), func() bool {
		got = srv.Messages()
		return copiesOf(got) >= n
	})
	return got
}

// awaitBind waits until an SMSC has a session that is bound.
func awaitBind(t *testing.T, srv *smsc.Server) {
	t.Helper()
	awaitBinds(t, srv, 1)
}

func awaitBinds(t *testing.T, srv *smsc.Server, n int) {
	t.Helper()
	await.Until(t, fmt.Sprintf("%d sessions bound", n), func() bool { return len(srv.Sessions()) >= n })
}

// copiesOf is how often that part came which came most often.
func copiesOf(list []smsc.Message) int {
	most, times := 0, map[int]int{}
	for _, m := range list {
		times[m.Part]++
		most = max(most, times[m.Part])
	}
	return most
}

// pins are those of the messages that came with all their parts.
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

// check ends the verification with the PIN that came.
func (r *crashRig) check(t *testing.T, id string) {
	t.Helper()
	pins := r.pins(t)
	if len(pins) == 0 {
		t.Fatal("no PIN came")
	}
	r.running().ask(t, "/verify/check/json", "request_id", id, "code", pins[0]).want(t, "status", "0")
}

// judge sees that the verification ended as it should, that one PIN came, and that
// one charge was made. It gives how many copies of the message came.
func (r *crashRig) judge(t *testing.T, id, want string) int {
	t.Helper()
	if pins := slices.Compact(r.pins(t)); len(pins) != 1 {
		t.Errorf("the PINs %q came, want one", pins)
	}
	list := r.smsc.Messages()
	for _, m := range list {
		if m.Submitted.Destination.Addr != crashNumber {
			t.Errorf("a message to %s", m.Submitted.Destination.Addr)
		}
	}
	s := r.running()
	s.found(t, id).want(t, "status", want, "number", crashNumber)
	s.stop(t)
	r.charged(t, id)
	return copiesOf(list)
}

// request starts a verification, and gives its id, or "" if the program dies before
// it answers. Asked again, it finds the one that is there.
func (r *crashRig) request(t *testing.T, path string, params ...string) string {
	t.Helper()
	server := r.running()
	select {
	case server.url = <-server.log.url:
	case <-server.ended:
		return ""
	case <-time.After(patience):
		t.Fatalf("the program does not say where it listens:\n%s", server.log)
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
	if got["status"] != "0" && got["status"] != "10" { // 10 names the one that runs
		t.Fatalf("got %v, want that it is accepted", got)
	}
	return got.text(t, "request_id")
}

// charged sees that there is one verification, and that it was paid once.
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
		t.Errorf("the database: %s", b.integrity)
	}
}

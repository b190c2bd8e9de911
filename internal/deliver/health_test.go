package deliver_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// TestMarkedDown: a carrier with too many failures is tried last, gets a probe after
// downFor, and recovers if it accepts the probe.
func TestMarkedDown(t *testing.T) {
	t.Parallel()
	var asked []string
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	bad := &carrier{"bad", errLost, &asked}
	router, err := deliver.NewRouter(deliver.RouterConfig{
		Routes:   []deliver.Route{{Carriers: []string{"bad", "good"}}},
		Carriers: map[string]deliver.Carrier{"bad": bad, "good": carrier{"good", nil, &asked}},
		Now:      func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	first := func() string {
		asked = nil
		_, _ = router.Send(t.Context(), deliver.Message{Channel: verify.SMS, To: verify.PhoneAddress("1", "")}) // only the order matters
		return asked[0]
	}
	down := func() bool { return router.Status()[0].Down }
	for i := range 10 {
		if got := first(); got != "bad" || down() != (i == 9) {
			t.Fatalf("message %d was first submitted to %s, marked down: %v", i+1, got, down())
		}
	}
	if got := first(); got != "good" {
		t.Errorf("a carrier that is marked down is tried before %s", got)
	}
	now = now.Add(30 * time.Second)
	if a, b := first(), first(); a != "bad" || b != "good" {
		t.Errorf("after downFor %s and %s were tried first, want one probe", a, b)
	}
	now = now.Add(30 * time.Second)
	bad.err = nil
	if a, b := first(), first(); a != "bad" || b != "bad" || down() {
		t.Errorf("after the probe %s and %s were tried first, marked down: %v", a, b, down())
	}
	bad.err = deliver.ErrNumber
	for range 20 {
		if got := first(); got != "bad" {
			t.Fatal("bad numbers count against the carrier")
		}
	}
}

// TestOnlyCarrierRecovers: the only carrier of a route is still used while marked down,
// and recovers by successes.
func TestOnlyCarrierRecovers(t *testing.T) {
	t.Parallel()
	var asked []string
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	only := &carrier{"only", deliver.ErrNotSent, &asked}
	router, err := deliver.NewRouter(deliver.RouterConfig{
		Routes:   []deliver.Route{{Carriers: []string{"only"}}},
		Carriers: map[string]deliver.Carrier{"only": only},
		Now:      func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	send := func(n int) {
		for range n {
			_, _ = router.Send(t.Context(), deliver.Message{}) // only the status matters
		}
	}
	send(20)
	if !router.Status()[0].Down {
		t.Fatal("not marked down after 20 failures")
	}
	only.err = nil
	send(10)
	if !router.Status()[0].Down {
		t.Error("not marked down after 20 failures and 10 successes")
	}
	send(10)
	if router.Status()[0].Down {
		t.Error("marked down after 20 failures and 20 successes")
	}
}

// TestMarkedDownByReceipts: a carrier that accepts messages but does not deliver them is
// marked down.
func TestMarkedDownByReceipts(t *testing.T) {
	t.Parallel()
	var asked []string
	router, err := deliver.NewRouter(deliver.RouterConfig{Carriers: carriers(&asked)})
	if err != nil {
		t.Fatal(err)
	}
	down := func() (names []string) {
		for _, s := range router.Status() {
			if s.Down {
				names = append(names, s.Name)
			}
		}
		return names
	}
	for i := range 40 {
		router.Reported(deliver.Receipt{Carrier: "good", State: verify.EventUndeliverable})
		state := verify.EventDelivered
		if i%2 == 0 {
			state = verify.EventExpired
		}
		router.Reported(deliver.Receipt{Carrier: "also good", State: state})
		router.Reported(deliver.Receipt{Carrier: "down", State: verify.EventAccepted})
		router.Reported(deliver.Receipt{Carrier: "nobody", State: verify.EventRejected})
	}
	if got := down(); !slices.Equal(got, []string{"good"}) {
		t.Errorf("marked down: %v", got)
	}
}

// TestAnsweredReceipts: calls without evidence of a listener mark a carrier down only if
// media is required.
func TestAnsweredReceipts(t *testing.T) {
	t.Parallel()
	for _, required := range []bool{false, true} {
		var asked []string
		router, err := deliver.NewRouter(deliver.RouterConfig{Carriers: carriers(&asked), RequireMedia: required})
		if err != nil {
			t.Fatal(err)
		}
		for range 40 {
			router.Reported(deliver.Receipt{Carrier: "good", State: verify.EventAnswered})
		}
		for _, s := range router.Status() {
			if s.Down != (required && s.Name == "good") {
				t.Errorf("required: %t, %s is marked down: %t", required, s.Name, s.Down)
			}
		}
		if !router.Failed(verify.EventHeld) || router.Failed(verify.EventAnswered) != required {
			t.Errorf("required: %t, held failed: %t, answered failed: %t", required,
				router.Failed(verify.EventHeld), router.Failed(verify.EventAnswered))
		}
	}
}

// session is a carrier with sessions.
type session struct {
	carrier
	binds []deliver.BindStatus
}

func (s *session) Status() deliver.CarrierStatus { return deliver.CarrierStatus{Binds: s.binds} }

// TestCarrierUp: a carrier with sessions is up if a sending session is up; other
// carriers are up if the last message got an answer.
func TestCarrierUp(t *testing.T) {
	t.Parallel()
	var asked []string
	reg := prometheus.NewRegistry()
	gateway := &carrier{"gateway", nil, &asked}
	smsc := &session{carrier: carrier{"smsc", nil, &asked}}
	router, err := deliver.NewRouter(deliver.RouterConfig{
		Routes:   []deliver.Route{{Carriers: []string{"gateway"}}},
		Carriers: map[string]deliver.Carrier{"gateway": gateway, "smsc": smsc},
		Metrics:  reg, Protocols: map[string]string{"gateway": "http", "smsc": "smpp"},
	})
	if err != nil {
		t.Fatal(err)
	}
	up := func(name string) float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.Metric {
				if f.GetName() == "countersign_carrier_up" && m.Label[0].GetValue() == name {
					return m.Gauge.GetValue()
				}
			}
		}
		t.Fatalf("no countersign_carrier_up of %s", name)
		return 0
	}
	for _, tt := range []struct {
		name string
		err  error
		want float64
	}{
		{"accepted", nil, 1},
		{"no answer", errLost, 0},
		{"a stop of ours says nothing", context.Canceled, 0},
		{"refused is an answer", deliver.ErrRefused, 1},
		{"not sent", deliver.ErrNotSent, 0},
		{"a bad number is an answer", deliver.ErrNumber, 1},
		{"too many to this destination", deliver.ErrTooManyThere, 1},
	} {
		gateway.err = tt.err
		_, _ = router.Send(t.Context(), deliver.Message{Channel: verify.SMS, To: verify.PhoneAddress("1", "")}) // the carrier may fail
		if got := up("gateway"); got != tt.want {
			t.Errorf("%s: up %v, want %v", tt.name, got, tt.want)
		}
	}
	down, receiver := deliver.BindStatus{Kind: "bind_transmitter"}, deliver.BindStatus{Kind: "bind_receiver", Up: true, ReceiveOnly: true}
	for _, tt := range []struct {
		binds []deliver.BindStatus
		want  float64
	}{
		{[]deliver.BindStatus{down}, 0},
		{[]deliver.BindStatus{down, receiver}, 0},
		{[]deliver.BindStatus{down, receiver, {Kind: "bind_transmitter", Up: true}}, 1},
	} {
		smsc.binds = tt.binds
		if got := up("smsc"); got != tt.want {
			t.Errorf("binds %+v: up %v, want %v", tt.binds, got, tt.want)
		}
	}
}

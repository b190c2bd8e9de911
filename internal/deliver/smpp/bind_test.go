package smpp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// TestBackoff: a failed bind is retried after 1 s, 2 s and so on up to 30 s, each
// shortened by a random part of up to half.
func TestBackoff(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var tries []time.Time
		d := openTo(t, nil, func(c *smpp.Config) {
			c.Dial = func(context.Context, string) (net.Conn, error) {
				tries = append(tries, time.Now())
				return nil, errors.New("connection refused")
			}
		})
		await.Pass(5 * time.Minute)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if len(tries) < 12 {
			t.Fatalf("%d attempts", len(tries))
		}
		want, whole := time.Second, 0
		for i := range len(tries) - 1 {
			pause := tries[i+1].Sub(tries[i])
			if pause > want || pause < want/2 {
				t.Errorf("pause %d was %v, want %v to %v", i, pause, want/2, want)
			}
			if pause == want {
				whole++
			}
			want = min(2*want, 30*time.Second)
		}
		if whole > 1 {
			t.Errorf("%d pauses of %d have no jitter", whole, len(tries))
		}
	})
}

// TestReconnect: a lost connection is bound again, soon if it had been up for long.
func TestReconnect(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d := openIn(t, smsc.Config{})
		for _, up := range []time.Duration{0, time.Hour, time.Hour} {
			await.Pass(up)
			lost := time.Now()
			d.smsc.DropAll()
			synctest.Wait()
			if s := d.Status(); s.Up() != 0 || s.Binds[0].Error == "" || !s.Binds[0].Since.Equal(lost.UTC()) {
				t.Errorf("up after the loss: %+v", s.Binds)
			}
			if _, err := d.Send(t.Context(), sms("hello")); outcome(err) != "not sent" {
				t.Errorf("without a bind: %v", err)
			}
			await.Until(t, "bound again", func() bool { return d.Status().Up() > 0 })
			if took := time.Since(lost); took > 1020*time.Millisecond {
				t.Errorf("up again after %v", took)
			}
			if _, err := d.Send(t.Context(), sms("hello")); err != nil {
				t.Error(err)
			}
		}
		if len(d.Status().Errors) == 0 {
			t.Error("the status has no errors")
		}
	})
}

// TestAddresses: binds are distributed over the addresses, the halves of a split bind
// share one, and each bind moves to the next address after a failure.
func TestAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		mode    smpp.Mode
		binds   int
		want    string // kinds of binds at each address
		without string // the same, without the first address
	}{
		{smpp.Transceiver, 3, "A: transceiver transceiver, B: transceiver", "B: transceiver transceiver transceiver"},
		{smpp.Transmitter, 2, "A: transmitter, B: transmitter", "B: transmitter transmitter"},
		{smpp.Split, 2, "A: receiver transmitter, B: receiver transmitter", "B: receiver receiver transmitter transmitter"},
	}
	for _, tt := range tests {
		t.Run(string(tt.mode), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				p := openPair(t, func(c *smpp.Config) { c.Mode, c.Binds = tt.mode, tt.binds })
				if got := p.sessions(); got != tt.want {
					t.Errorf("bound to %s, want %s", got, tt.want)
				}
				send(t, p.desk, 20)
				for _, name := range []string{"A", "B"} {
					if n := len(p.smscs[name].Messages()); n == 0 {
						t.Errorf("none of 20 messages was sent to %s", name)
					}
				}
				_ = p.smscs["A"].Close()
				await.Pass(10 * time.Second)
				if got := p.sessions(); got != tt.without {
					t.Errorf("without A bound to %s, want %s", got, tt.without)
				}
				send(t, p.desk, 10)
				_ = p.Close()
			})
		})
	}
}

func send(t *testing.T, d *desk, n int) {
	t.Helper()
	for range n {
		if _, err := d.Send(t.Context(), sms("hello")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRefused: the status has the reason for a failed bind.
func TestRefused(t *testing.T) {
	t.Parallel()
	own := smsc.Config{SystemID: "esme", Password: "secret"}
	tests := []struct {
		name string
		far  smsc.Config
		set  func(*smpp.Config)
		want string
	}{
		{"password", own, func(c *smpp.Config) { c.Password = "wrong" }, "ESME_RINVPASWD (0x0E): invalid password; check password or password_file"},
		{"system_id", own, func(c *smpp.Config) { c.SystemID = "wrong" }, "ESME_RINVSYSID (0x0F): unknown system_id; check system_id"},
		{"system_type", smsc.Config{Faults: smsc.MustFaults("refuse-bind=100%:0x53")}, func(*smpp.Config) {}, "ESME_RINVSYSTYP (0x53): invalid system_type"},
		{"too many", smsc.Config{Faults: smsc.MustFaults("refuse-bind=100%:0x05")}, func(*smpp.Config) {}, "ESME_RALYBND (0x05): the account has its sessions already; check binds"},
		{"own status", smsc.Config{Faults: smsc.MustFaults("refuse-bind=100%:0x400")}, func(*smpp.Config) {}, "0x00000400: ask the carrier for its meaning; check system_id"},
		{"any reason", smsc.Config{Faults: smsc.MustFaults("refuse-bind=100%:0x0D")}, func(*smpp.Config) {}, "ESME_RBINDFAIL (0x0D): check system_id, password"},
		{"silence", smsc.Config{Faults: smsc.MustFaults("half-open")}, func(c *smpp.Config) { c.BindTimeout = 50 * time.Millisecond }, "no response in time"},
		{"nobody", smsc.Config{}, func(c *smpp.Config) { c.Addresses = []string{"127.0.0.1:1"} }, "refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := open(t, tt.far, tt.set)
			err := d.Bound(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "wrong") {
				t.Fatalf("bound with %v, want %s", err, tt.want)
			}
			s := d.Status()
			if len(s.Binds) != 1 || s.Binds[0].Up || s.Binds[0].Error != err.Error() || s.Binds[0].Kind != "bind_transceiver" {
				t.Errorf("binds %+v", s.Binds)
			}
			if len(s.Errors) == 0 || s.Errors[0].Error != err.Error() {
				t.Errorf("errors %+v", s.Errors)
			}
			if _, err := d.Send(t.Context(), sms("hello")); outcome(err) != "not sent" {
				t.Errorf("sent: %v", err)
			}
		})
	}
}

// TestOneOfTwo: a carrier is bound if one of its binds is.
func TestOneOfTwo(t *testing.T) {
	t.Parallel()
	d := open(t, smsc.Config{}, func(c *smpp.Config) {
		c.Binds, c.Addresses = 2, []string{"127.0.0.1:1", c.Addresses[0]}
	})
	await.Until(t, "one bind down and the other up", func() bool { s := d.Status(); return s.Binds[0].Error != "" && s.Up() == 1 })
	if err := d.Bound(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestStrangeBinds: after any other PDU than a response to the bind, the bind is
// retried.
func TestStrangeBinds(t *testing.T) {
	t.Parallel()
	answers := map[string][]byte{
		"nothing":       nil,
		"half a header": {0, 0, 0},
		"too long":      {0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"HTTP":          []byte("HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n"),
		"another bind":  {0, 0, 0, 16, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1},
		"nack":          {0, 0, 0, 16, 0x80, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1},
		"a request":     {0, 0, 0, 16, 0, 0, 0, 0x15, 0, 0, 0, 0, 0, 0, 0, 1},
	}
	for name, octets := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				pipes := newPipes()
				go func() {
					conn, err := pipes.Accept()
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = pdu.NewReader(conn).Next()
					_, _ = conn.Write(octets)
					_ = conn.Close()
					accept(t, pipes)
				}()
				d := openTo(t, nil, func(c *smpp.Config) { c.Dial = pipes.dial })
				if s := d.Status(); s.Binds[0].Error == "" || s.Up() != 0 {
					t.Errorf("bound: %+v", s)
				}
				await.Pass(time.Second)
				if s := d.Status(); s.Up() != 1 {
					t.Errorf("not bound: %+v", s)
				}
				_ = pipes.Close()
			})
		})
	}
}

// TestClose: the carrier unbinds before it closes the connection.
func TestClose(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d, _, p := openPeer(t)
		closed := make(chan error, 1)
		go func() { closed <- d.Close() }()
		got := p.next()
		if _, ok := got.Body.(*pdu.Unbind); !ok {
			t.Errorf("got %+v", got)
		}
		synctest.Wait()
		if len(closed) != 0 {
			t.Error("did not wait for the response")
		}
		p.send(pdu.PDU{Sequence: got.Sequence, Body: &pdu.UnbindResp{}})
		if err := <-closed; err != nil {
			t.Error(err)
		}
		p.ended()
		if _, err := d.Send(t.Context(), sms("hello")); outcome(err) != "not sent" {
			t.Errorf("after the end: %v", err)
		}
	})
	in(t, func(t *testing.T) { // no unbind_resp
		d, _, p := openPeer(t)
		began := time.Now()
		go func() { p.next() }()
		_ = d.Close()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
	in(t, func(t *testing.T) { // no SMSC
		began := time.Now()
		pipes := newPipes()
		d := openTo(t, nil, func(c *smpp.Config) { c.Dial, c.BindTimeout = pipes.dial, time.Hour })
		_ = d.Close()
		if took := time.Since(began); took != patience {
			t.Errorf("took %v", took)
		}
	})
	in(t, func(t *testing.T) { // while a receipt is stored
		stored := false
		d, _, p := openPeer(t, func(c *smpp.Config) {
			c.Reports.Receipt = func(context.Context, deliver.Receipt) error {
				<-time.After(time.Second) // duration of the database transaction
				stored = true
				return nil
			}
		})
		p.send(pdu.PDU{Sequence: 4, Body: &pdu.DeliverSM{Message: receipt("id:1 stat:DELIVRD")}})
		go func() {
			for {
				got, err := p.reader.Next()
				if err != nil {
					return
				}
				if _, ok := got.Body.(*pdu.Unbind); ok {
					p.send(pdu.PDU{Sequence: got.Sequence, Body: &pdu.UnbindResp{}})
				}
			}
		}()
		synctest.Wait()
		_ = d.Close()
		if !stored {
			t.Error("a receipt was not stored")
		}
	})
}

// TestUnboundByPeer: an unbind of the SMSC is answered after the responses to all
// requests; then the carrier binds again.
func TestUnboundByPeer(t *testing.T) {
	t.Parallel()
	for _, answers := range []bool{true, false} {
		t.Run(fmt.Sprint("answers=", answers), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d, pipes, p := openPeer(t)
				all := []*sending{d.begin("1"), d.begin("2"), d.begin("3")}
				submits := []pdu.PDU{p.next(), p.next(), p.next()}
				p.send(pdu.PDU{Sequence: 77, Body: &pdu.Unbind{}})
				synctest.Wait()
				if s := d.Status(); s.Up() != 0 {
					t.Errorf("still up: %+v", s)
				}
				if _, err := d.Send(t.Context(), sms("late")); outcome(err) != "not sent" {
					t.Errorf("after the unbind: %v", err)
				}
				if answers {
					for _, submit := range submits {
						p.accepts(submit, "1")
					}
				}
				goodbye := p.next()
				if _, ok := goodbye.Body.(*pdu.UnbindResp); !ok || goodbye.Sequence != 77 || goodbye.Status != 0 {
					t.Errorf("got %+v", goodbye)
				}
				p.ended()
				for _, s := range all {
					if err := s.wait(); (err == nil) != answers || !answers && outcome(err) != "unclear" {
						t.Error(err)
					}
				}
				if again := accept(t, pipes); again != nil {
					synctest.Wait()
					if d.Status().Up() != 1 {
						t.Error("not up again")
					}
				}
			})
		})
	}
}

package smpp_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/smsc"
)

// pair is two independent SMSCs, A and B, as the addresses of a carrier.
type pair struct {
	*desk
	smscs map[string]*smsc.Server
	pipes map[string]*pipes
}

// openPair binds a carrier to A and B. The test runs in a synctest bubble.
func openPair(t *testing.T, change ...func(*smpp.Config)) *pair {
	t.Helper()
	p := &pair{smscs: map[string]*smsc.Server{}, pipes: map[string]*pipes{}}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	for _, name := range []string{"A", "B"} {
		srv, pipes := smsc.New(smsc.Config{MaxMessages: 100}), newPipes()
		p.smscs[name], p.pipes[name] = srv, pipes
		serving.Go(func() { _ = srv.Serve(pipes) })
		t.Cleanup(func() { _ = srv.Close() })
	}
	p.desk = openTo(t, nil, append([]func(*smpp.Config){func(c *smpp.Config) {
		c.Addresses = []string{"A", "B"}
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) { return p.pipes[address].dial(ctx, "") }
	}}, change...)...)
	synctest.Wait()
	return p
}

// sessions returns the kinds of binds at each address.
func (p *pair) sessions() string {
	synctest.Wait()
	var list []string
	for _, name := range []string{"A", "B"} {
		var kinds []string
		for _, s := range p.smscs[name].Sessions() {
			kinds = append(kinds, strings.TrimPrefix(s.Kind().String(), "bind_"))
		}
		if slices.Sort(kinds); len(kinds) > 0 {
			list = append(list, name+": "+strings.Join(kinds, " "))
		}
	}
	return strings.Join(list, ", ")
}

// TestSameAddressFirst: a useful session is bound again to the same address, so that
// binds stay distributed over independent systems.
func TestSameAddressFirst(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*testing.T, *pair){
		"idle for a minute": func(*testing.T, *pair) { await.Pass(time.Minute) },
		"after messages":    func(t *testing.T, p *pair) { send(t, p.desk, 10) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				var log journal
				p := openPair(t, log.use, func(c *smpp.Config) { c.Binds = 2 })
				before(t, p)
				p.smscs["A"].DropAll()
				await.Pass(10 * time.Second)
				if got, want := p.sessions(), "A: transceiver, B: transceiver"; got != want {
					t.Errorf("bound to %s, want %s", got, want)
				}
				_ = p.smscs["A"].Close()
				await.Pass(3 * time.Second) // one failed attempt
				if got, want := p.sessions(), "B: transceiver transceiver"; got != want {
					t.Errorf("without A bound to %s, want %s", got, want)
				}
				for _, line := range []string{`msg=bound carrier=test bind=bind_transceiver address=B`, `msg="bind is down" carrier=test bind=bind_transceiver address=A error=`} {
					if !strings.Contains(log.String(), line) {
						t.Errorf("no %s in the log:\n%s", line, &log)
					}
				}
				_ = p.Close()
			})
		})
	}
}

// TestReceiverFollows: if ids are unique per address, the receiver of a pair is bound
// to the address of its transmitter.
func TestReceiverFollows(t *testing.T) {
	t.Parallel()
	drop := func(kind string) func(*pair) {
		return func(p *pair) {
			for _, s := range p.smscs["A"].Sessions() {
				if s.Kind().String() == kind {
					s.Close()
				}
			}
		}
	}
	for _, tt := range []struct {
		name string
		lose func(*pair)
		want string
	}{
		{"transmitter", drop("bind_transmitter"), "B: receiver transmitter"},
		{"receiver", drop("bind_receiver"), "A: receiver transmitter"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				p := openPair(t, func(c *smpp.Config) { c.Mode = smpp.Split })
				if got, want := p.sessions(), "A: receiver transmitter"; got != want {
					t.Fatalf("bound to %s, want %s", got, want)
				}
				tt.lose(p)
				await.Pass(10 * time.Second)
				if got := p.sessions(); got != tt.want {
					t.Errorf("bound to %s, want %s", got, tt.want)
				}
				sub, err := p.Send(t.Context(), sms("hello"))
				if err != nil {
					t.Fatal(err)
				}
				if r := p.awaitReceipts(1)[0]; r.Ref != sub.Refs[0] {
					t.Errorf("receipt of %q, sent %q", r.Ref, sub.Refs)
				}
				_ = p.Close()
			})
		})
	}
}

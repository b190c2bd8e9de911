package sip_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"countersign/internal/deliver"
	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/tts/audio"
	"countersign/internal/message"
	"countersign/internal/verify"
)

// TestMain sees that nothing is left of calls and carriers. A user agent of sipgo
// that is closed while a response is on its way may leave one socket behind.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/emiago/sipgo/sip.(*TransportUDP).readUDPConnection"))
}

const number = "447700900001"

// patience bounds the wait for what happens on its own.
const patience = 20 * time.Second

// speaker says a ramp of 100 ms for each part, so that tests are short and every
// announcement is different.
type speaker struct{ err error }

func (s speaker) Speak(_ context.Context, script message.Script) (audio.Samples, error) {
	var sound audio.Samples
	for i := range script.Parts {
		for j := range audio.Rate / 10 {
			sound = append(sound, int16(500*i+17*j%9000))
		}
	}
	return sound, s.err
}

func script() message.Script {
	return message.Script{Locale: "en-gb", Parts: []message.Part{{Text: "Code"}, {Spell: "1234"}, {Text: "again"}, {Spell: "1234"}}}
}

func announcement(t *testing.T) audio.Samples {
	t.Helper()
	sound, err := speaker{}.Speak(t.Context(), script())
	if err != nil {
		t.Fatal(err)
	}
	return sound
}

// trunk is a carrier with what it reported.
type trunk struct {
	*sip.Carrier
	t        *testing.T
	receipts chan deliver.Receipt
}

func open(t *testing.T, host string, change ...func(*sip.Config)) *trunk {
	t.Helper()
	tr := &trunk{t: t, receipts: make(chan deliver.Receipt, 100)}
	cfg := sip.Config{
		Name: "trunk", Host: host, Listen: "127.0.0.1:0", FirstPort: 20000, LastPort: 29999, Speaker: speaker{},
		CallerIDs: []sip.CallerID{{Country: "US", Number: "12015550123"}, {Number: "442071838750"}},
		Reports: deliver.Reports{Receipt: func(_ context.Context, r deliver.Receipt) error {
			tr.receipts <- r
			return nil
		}},
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if tr.Carrier, err = sip.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// call is a message whose code is said once after 200 ms.
func call() deliver.Message {
	return deliver.Message{
		EventID: verify.ID{1}, Attempt: 1, Channel: verify.TTS, Country: "GB", To: number, Script: script(), ValidFor: time.Minute,
	}
}

// outcome sends a call, which must be taken, and waits for its end.
func (tr *trunk) outcome() deliver.Receipt {
	tr.t.Helper()
	sub, err := tr.Send(tr.t.Context(), call())
	if err != nil {
		tr.t.Fatal(err)
	}
	select {
	case r := <-tr.receipts:
		if len(sub.Refs) != 1 || r.Ref != sub.Refs[0] || r.Carrier != "trunk" {
			tr.t.Errorf("the receipt is %+v, of the submission %+v", r, sub)
		}
		return r
	case <-time.After(patience):
		tr.t.Fatal("the call has no end")
		return deliver.Receipt{}
	}
}

func (p *phone) awaitEnd(want string) {
	p.t.Helper()
	select {
	case got := <-p.ended:
		if got != want {
			p.t.Errorf("the call ended by %s, want %s", got, want)
		}
	case <-time.After(patience):
		p.t.Errorf("no %s", want)
	}
}

// TestCall: an answered call says the announcement, sample by sample, and hangs up.
func TestCall(t *testing.T) {
	t.Parallel()
	p := (&phone{ring: true}).start(t)
	tr := open(t, p.address)
	if r := tr.outcome(); r.State != verify.EventDelivered || r.Error != "" {
		t.Errorf("the receipt is %+v", r)
	}
	p.awaitEnd("bye")
	want := audio.MuLaw.AppendEncode(nil, announcement(t))
	if !p.has(func(heard []byte) bool { return bytes.Contains(heard, want) }) {
		t.Error("the announcement was not heard as it was said")
	}
	invite := p.calls()[0]
	if got := invite.GetHeader("P-Asserted-Identity").Value(); got != "<sip:+442071838750@"+p.address+">" {
		t.Errorf("P-Asserted-Identity: %s", got)
	}
	if invite.Recipient.User != "+"+number || invite.From().Address.User != "+442071838750" || invite.Contact().Address.Port == portOf(p.address) {
		t.Errorf("INVITE %s from %s at %s", invite.Recipient.String(), invite.From().Value(), invite.Contact().Value())
	}
}

// TestAuthentication: the trunk is shown who we are, and does not repeat itself for
// somebody else.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	p := (&phone{password: "secret"}).start(t)
	good := open(t, p.address, func(c *sip.Config) { c.User, c.Password = "acme", "secret" })
	if r := good.outcome(); r.State != verify.EventDelivered {
		t.Errorf("the receipt is %+v", r)
	}
	bad := open(t, p.address, func(c *sip.Config) { c.User, c.Password = "acme", "wrong" })
	if _, err := bad.Send(t.Context(), call()); !errors.Is(err, deliver.ErrRefused) {
		t.Errorf("with a wrong password: %v, want refused", err)
	}
	if s := bad.Status(); len(s.Errors) != 1 || strings.Contains(s.Errors[0].Error, "wrong") {
		t.Errorf("status %+v", s)
	}
}

// TestOutcomes: what the trunk answers decides what is reported, or whether
// another trunk is asked.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	refused, notSent := deliver.ErrRefused, deliver.ErrNotSent
	tests := []struct {
		status int
		state  verify.EventState // "" when Send fails
		err    error
	}{
		{486, verify.EventUndeliverable, nil},
		{600, verify.EventUndeliverable, nil},
		{480, verify.EventExpired, nil},
		{404, verify.EventUndeliverable, nil},
		{484, verify.EventUndeliverable, nil},
		{603, verify.EventRejected, nil},
		{607, verify.EventRejected, nil},
		{403, "", refused},
		{408, "", notSent},
		{400, "", refused},
		{500, "", notSent},
		{503, "", notSent},
	}
	for _, tt := range tests {
		t.Run(strconv.Itoa(tt.status), func(t *testing.T) {
			t.Parallel()
			p := (&phone{status: tt.status}).start(t)
			tr := open(t, p.address)
			if tt.err != nil {
				if _, err := tr.Send(t.Context(), call()); !errors.Is(err, tt.err) {
					t.Errorf("Send: %v, want %v", err, tt.err)
				}
				return
			}
			if r := tr.outcome(); r.State != tt.state || !strings.HasPrefix(r.Error, strconv.Itoa(tt.status)+" ") {
				t.Errorf("the receipt is %+v, want %s", r, tt.state)
			}
		})
	}
}

// TestNoAnswer: a phone that only rings is cancelled, in the end.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	p := (&phone{forever: true}).start(t)
	tr := open(t, p.address, func(c *sip.Config) { c.RingTimeout = 300 * time.Millisecond })
	if r := tr.outcome(); r.State != verify.EventExpired || r.Error != "no answer" {
		t.Errorf("the receipt is %+v", r)
	}
	p.awaitEnd("cancel")
}

// TestNobodyWaits: a call is cancelled while it rings when the code is not wanted
// any more.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	p := (&phone{forever: true}).start(t)
	tr := open(t, p.address, func(c *sip.Config) {
		c.Wanted = func(_ context.Context, m deliver.Message) bool { return m.EventID != call().EventID }
	})
	if r := tr.outcome(); r.State != verify.EventExpired || r.Error != "cancelled" {
		t.Errorf("the receipt is %+v", r)
	}
	p.awaitEnd("cancel")
}

// TestSilentTrunk: a trunk that says nothing is left for the next one in time.
func TestSilentTrunk(t *testing.T) {
	t.Parallel()
	p := (&phone{silent: true}).start(t)
	tr := open(t, p.address, func(c *sip.Config) { c.FirstResponse = 200 * time.Millisecond })
	if _, err := tr.Send(t.Context(), call()); !errors.Is(err, deliver.ErrNotSent) {
		t.Errorf("Send: %v, want not sent", err)
	}
}

// TestPressOne: with a 1, pressed either way, the announcement comes again.
func TestPressOne(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]*phone{"RFC 4733": {press: "21"}, "INFO": {info: "1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.start(t)
			tr := open(t, p.address)
			began := time.Now()
			if r := tr.outcome(); r.State != verify.EventDelivered {
				t.Errorf("the receipt is %+v", r)
			}
			first := audio.MuLaw.AppendEncode(nil, announcement(t)[:160])
			if !p.has(func(heard []byte) bool { return bytes.Count(heard, first) == 2 }) {
				t.Errorf("the announcement did not begin twice in %v", time.Since(began))
			}
		})
	}
}

// TestHungUp: who hangs up before the code was said has not got it, and who does
// afterwards has.
func TestHungUp(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]verify.EventState{
		20 * time.Millisecond: verify.EventUndeliverable, time.Second: verify.EventDelivered,
	} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			p := (&phone{hangUp: after}).start(t)
			if r := open(t, p.address).outcome(); r.State != want {
				t.Errorf("the receipt is %+v, want %s", r, want)
			}
		})
	}
}

// TestHold: a re-INVITE is answered, and the announcement goes on after it.
func TestHold(t *testing.T) {
	t.Parallel()
	p := (&phone{hold: true}).start(t)
	if r := open(t, p.address).outcome(); r.State != verify.EventDelivered {
		t.Errorf("the receipt is %+v", r)
	}
}

// TestNoSound: a phone that answers with something else than sound is hung up on.
func TestNoSound(t *testing.T) {
	t.Parallel()
	p := (&phone{badSDP: true}).start(t)
	if r := open(t, p.address).outcome(); r.State != verify.EventUndeliverable {
		t.Errorf("the receipt is %+v", r)
	}
	p.awaitEnd("bye")
}

// TestGuard: what costs more than a call, and what is no number, is not dialled.
func TestGuard(t *testing.T) {
	t.Parallel()
	p := (&phone{}).start(t)
	tr := open(t, p.address)
	for _, to := range []string{"8816123456", "870123456789", "19005551234", "449012345678", "447012345678", "979123456", "", "44770090000a", "447;tag=x", "447\r\nX: y"} {
		m := call()
		m.To = to
		if _, err := tr.Send(t.Context(), m); !errors.Is(err, deliver.ErrNumber) {
			t.Errorf("%q: %v, want refused for its number", to, err)
		}
	}
	onlyUS := open(t, p.address, func(c *sip.Config) { c.Countries = []string{"US"} })
	if _, err := onlyUS.Send(t.Context(), call()); !errors.Is(err, deliver.ErrNumber) {
		t.Errorf("a country that is not allowed: %v", err)
	}
	sms := call()
	sms.Channel = verify.SMS
	if _, err := tr.Send(t.Context(), sms); !errors.Is(err, deliver.ErrRefused) {
		t.Errorf("an SMS: %v", err)
	}
	if n := len(p.calls()); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

// TestLimits: no more calls at a time than the trunk has.
func TestLimits(t *testing.T) {
	t.Parallel()
	p := (&phone{forever: true}).start(t)
	tr := open(t, p.address, func(c *sip.Config) { c.MaxCalls = 2 })
	for range 2 {
		if _, err := tr.Send(t.Context(), call()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tr.Send(t.Context(), call()); !errors.Is(err, deliver.ErrNotSent) {
		t.Errorf("a third call: %v, want not sent", err)
	}
	if s := tr.Status(); s.InFlight != 2 || s.Window != 2 {
		t.Errorf("status %+v", s)
	}
}

// TestManyCalls: a call leaves nothing behind in a carrier that goes on.
func TestManyCalls(t *testing.T) {
	p := (&phone{status: 486}).start(t)
	tr := open(t, p.address)
	tr.outcome()
	before := runtime.NumGoroutine()
	for range 300 {
		tr.outcome()
	}
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines after 300 calls, %d before", runtime.NumGoroutine(), before)
		}
	}
	for end := time.Now().Add(patience); tr.Status().InFlight > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d calls are under way", tr.Status().InFlight)
		}
	}
}

// TestClose: calls under way end with the carrier, and say so.
func TestClose(t *testing.T) {
	t.Parallel()
	p := (&phone{forever: true}).start(t)
	tr := open(t, p.address)
	if _, err := tr.Send(t.Context(), call()); err != nil {
		t.Fatal(err)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	p.awaitEnd("cancel")
	if r := <-tr.receipts; r.Error != "cancelled" {
		t.Errorf("the receipt is %+v", r)
	}
}

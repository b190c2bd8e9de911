package sip_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/sip/softphone"
	"countersign/internal/message"
	"countersign/internal/verify"
)

// TestCall: an answered call says the announcement, sample by sample, and hangs up.
func TestCall(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{Ring: true})
	tr := open(t, p.Addr())
	if r := tr.outcome(); r.State != verify.EventDelivered || r.Error != "" {
		t.Errorf("the receipt is %+v", r)
	}
	c := p.ended(softphone.Bye)
	if !whole(t, c) {
		t.Error("the announcement was not heard as it was said")
	}
	if !c.Acked {
		t.Error("the answer was not acknowledged")
	}
	if got := c.Invite.GetHeader("P-Asserted-Identity").Value(); got != "<sip:+442071838750@"+p.Addr()+">" {
		t.Errorf("P-Asserted-Identity: %s", got)
	}
	if c.Asserted != "+442071838750" || c.From != "+442071838750" || c.To != "+"+number || c.Invite.Recipient.User != "+"+number {
		t.Errorf("INVITE %s to %s from %s, asserted %s", c.Invite.Recipient.String(), c.To, c.From, c.Asserted)
	}
	if own, _, _ := strings.Cut(p.Addr(), ":"); c.Invite.Contact().Address.Host != own || strings.HasSuffix(p.Addr(), ":"+strconv.Itoa(c.Invite.Contact().Address.Port)) {
		t.Errorf("Contact: %s, the phone is at %s", c.Invite.Contact().Value(), p.Addr())
	}
}

// TestAuthentication: the trunk is shown who we are, and does not repeat itself for
// somebody else.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{User: "acme", Password: "secret", Proxy: true})
	good := open(t, p.Addr(), func(c *sip.Config) { c.User, c.Password = "acme", "secret" })
	if r := good.outcome(); r.State != verify.EventDelivered {
		t.Errorf("the receipt is %+v", r)
	}
	bad := open(t, p.Addr(), func(c *sip.Config) { c.User, c.Password = "acme", "wrong" })
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
			p := start(t, softphone.Config{Status: tt.status})
			tr := open(t, p.Addr())
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
	p := start(t, softphone.Config{RingForever: true})
	tr := open(t, p.Addr(), func(c *sip.Config) { c.RingTimeout = 2 * time.Second }) // a busy machine must see it ring first
	if r := tr.outcome(); r.State != verify.EventExpired || r.Error != "no answer" {
		t.Errorf("the receipt is %+v", r)
	}
	p.ended(softphone.Cancelled)
}

// TestNobodyWaits: a call is cancelled while it rings when the code is not wanted
// any more.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{RingForever: true})
	tr := open(t, p.Addr(), func(c *sip.Config) {
		c.Wanted = func(_ context.Context, m deliver.Message) bool { return m.EventID != call().EventID }
	})
	if r := tr.outcome(); r.State != verify.EventExpired || r.Error != "cancelled" {
		t.Errorf("the receipt is %+v", r)
	}
	p.ended(softphone.Cancelled)
}

// TestSilentTrunk: a trunk that says nothing is left for the next one in time.
func TestSilentTrunk(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{Silent: true})
	tr := open(t, p.Addr(), func(c *sip.Config) { c.FirstResponse = 200 * time.Millisecond })
	if _, err := tr.Send(t.Context(), call()); !errors.Is(err, deliver.ErrNotSent) {
		t.Errorf("Send: %v, want not sent", err)
	}
}

// TestPressOne: with a 1, pressed either way, the announcement comes again.
func TestPressOne(t *testing.T) {
	t.Parallel()
	for name, script := range map[string][]softphone.Step{
		"RFC 4733":   {softphone.Press("21")},
		"at the end": {softphone.Hear(400 * time.Millisecond), softphone.Wait(time.Second), softphone.Press("1")},
		"dtmf-relay": {softphone.Hear(150 * time.Millisecond), softphone.InfoRelay("1")},
		"dtmf":       {softphone.Hear(150 * time.Millisecond), softphone.InfoDTMF("1")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, softphone.Config{Script: script})
			if r := open(t, p.Addr(), patient).outcome(); r.State != verify.EventDelivered {
				t.Errorf("the receipt is %+v", r)
			}
			if n := beginnings(t, p.ended(softphone.Bye)); n != 2 {
				t.Errorf("the announcement began %d times", n)
			}
		})
	}
}

// TestHungUp: who hangs up before the code was said has not got it, and who does
// afterwards has.
func TestHungUp(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		after time.Duration
		pace  func(*sip.Config)
		want  verify.EventState
	}{
		"before the code": {20 * time.Millisecond, slow, verify.EventUndeliverable},
		"after it":        {time.Second, patient, verify.EventDelivered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, softphone.Config{Script: []softphone.Step{softphone.Wait(tt.after), softphone.HangUp()}})
			if r := open(t, p.Addr(), tt.pace).outcome(); r.State != tt.want {
				t.Errorf("the receipt is %+v, want %s", r, tt.want)
			}
			p.ended(softphone.HungUp)
		})
	}
}

// TestHungUpAfter: the note gives the time in tenths of a second.
func TestHungUpAfter(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{Script: []softphone.Step{softphone.Hear(300 * time.Millisecond), softphone.HangUp()}})
	m := call()
	m.Script.Parts = append(slices.Repeat([]message.Part{{Text: "word"}}, 50), m.Script.Parts...)
	tr := open(t, p.Addr())
	if _, err := tr.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	r := tr.end()
	if after, err := time.ParseDuration(strings.TrimPrefix(r.Error, "hung up after ")); err != nil || after == 0 || after%(100*time.Millisecond) != 0 {
		t.Errorf("the receipt is %+v, want tenths of a second in the note", r)
	}
	p.ended(softphone.HungUp)
}

// TestHold: the announcement stands still while the call is on hold, and goes on
// after it.
func TestHold(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{Script: []softphone.Step{softphone.Hold(), softphone.Resume()}})
	if r := open(t, p.Addr()).outcome(); r.State != verify.EventDelivered {
		t.Errorf("the receipt is %+v", r)
	}
	p.ended(softphone.Bye)
}

// TestNoSound: a phone that answers with something else than sound is hung up on.
func TestNoSound(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{SDP: []byte("v=0\r\nm=video 1 RTP/AVP 31\r\n")})
	if r := open(t, p.Addr()).outcome(); r.State != verify.EventUndeliverable {
		t.Errorf("the receipt is %+v", r)
	}
	p.ended(softphone.Bye)
}

// TestGuard: what costs more than a call, and what is no number, is not dialled.
func TestGuard(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{})
	tr := open(t, p.Addr())
	for _, to := range []string{"8816123456", "870123456789", "19005551234", "449012345678", "447012345678", "979123456", "", "44770090000a", "447;tag=x", "447\r\nX: y"} {
		m := call()
		m.To = verify.PhoneAddress(to, "")
		if _, err := tr.Send(t.Context(), m); !errors.Is(err, deliver.ErrNumber) {
			t.Errorf("%q: %v, want refused for its number", to, err)
		}
	}
	onlyUS := open(t, p.Addr(), func(c *sip.Config) { c.Countries = []string{"US"} })
	if _, err := onlyUS.Send(t.Context(), call()); !errors.Is(err, deliver.ErrNumber) {
		t.Errorf("a country that is not allowed: %v", err)
	}
	sms := call()
	sms.Channel = verify.SMS
	if _, err := tr.Send(t.Context(), sms); !errors.Is(err, deliver.ErrRefused) {
		t.Errorf("an SMS: %v", err)
	}
	if n := len(p.Calls()); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

// TestLimits: no more calls at a time than the trunk has.
func TestLimits(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{RingForever: true})
	tr := open(t, p.Addr(), func(c *sip.Config) { c.MaxCalls = 2 })
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

// TestPrefixLimit: no more calls at a time go to a prefix than there may, over
// whatever trunks; others go out.
func TestPrefixLimit(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{RingForever: true})
	limit := sip.NewPrefixLimit(2, 7)
	shared := func(c *sip.Config) { c.Prefixes = limit }
	first, second := open(t, p.Addr(), shared), open(t, p.Addr(), shared)
	for _, tr := range []*trunk{first, second} {
		if _, err := tr.Send(t.Context(), call()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := second.Send(t.Context(), call()); !errors.Is(err, deliver.ErrTooManyThere) || !errors.Is(err, deliver.ErrNotSent) {
		t.Errorf("a third call to the prefix: %v, want not sent", err)
	}
	elsewhere := call()
	elsewhere.To = verify.PhoneAddress("33612345678", "")
	if _, err := second.Send(t.Context(), elsewhere); err != nil {
		t.Errorf("a call elsewhere: %v", err)
	}
	if err := first.Close(); err != nil { // its call is over
		t.Error(err)
	}
	if _, err := second.Send(t.Context(), call()); err != nil {
		t.Errorf("when one is over: %v", err)
	}
}

// TestClose: calls under way end with the carrier, and say so.
func TestClose(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{RingForever: true})
	tr := open(t, p.Addr())
	if _, err := tr.Send(t.Context(), call()); err != nil {
		t.Fatal(err)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	p.ended(softphone.Cancelled)
	if r := <-tr.receipts; r.Error != "cancelled" {
		t.Errorf("the receipt is %+v", r)
	}
}

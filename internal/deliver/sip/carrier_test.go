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

// TestCall: an answered call plays the announcement, sample by sample, and hangs up.
func TestCall(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{Ring: true})
	tr := open(t, p.Addr())
	if r := tr.outcome(); r.State != verify.EventDelivered || r.Error != "" {
		t.Errorf("receipt: %+v", r)
	}
	c := p.ended(softphone.Bye)
	if !whole(t, c) {
		t.Error("the received audio differs from the announcement")
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
		t.Errorf("Contact: %s, want the phone's address %s", c.Invite.Contact().Value(), p.Addr())
	}
}

// TestAuthentication: challenges are answered, and wrong credentials are sent only once.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{User: "acme", Password: "secret", Proxy: true})
	good := open(t, p.Addr(), func(c *sip.Config) { c.User, c.Password = "acme", "secret" })
	if r := good.outcome(); r.State != verify.EventDelivered {
		t.Errorf("receipt: %+v", r)
	}
	bad := open(t, p.Addr(), func(c *sip.Config) { c.User, c.Password = "acme", "wrong" })
	if _, err := bad.Send(t.Context(), call()); !errors.Is(err, deliver.ErrRefused) {
		t.Errorf("with a wrong password: %v, want refused", err)
	}
	if s := bad.Status(); len(s.Errors) != 1 || strings.Contains(s.Errors[0].Error, "wrong") {
		t.Errorf("status %+v", s)
	}
}

// TestOutcomes: the final response determines the reported state, or whether another
// trunk is tried.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	refused, notSent := deliver.ErrRefused, deliver.ErrNotSent
	tests := []struct {
		status int
		state  verify.EventState // "" if Send fails
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
				t.Errorf("receipt: %+v, want %s", r, tt.state)
			}
		})
	}
}

// TestNoAnswer: ringing is cancelled after the ring timeout.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{RingForever: true})
	tr := open(t, p.Addr(), func(c *sip.Config) { c.RingTimeout = 2 * time.Second }) // ringing must start within this time on a busy machine
	if r := tr.outcome(); r.State != verify.EventExpired || r.Error != "no answer" {
		t.Errorf("receipt: %+v", r)
	}
	p.ended(softphone.Cancelled)
}

// TestNobodyWaits: a ringing call is cancelled when its code is no longer needed.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{RingForever: true})
	tr := open(t, p.Addr(), func(c *sip.Config) {
		c.Wanted = func(_ context.Context, m deliver.Message) bool { return m.EventID != call().EventID }
	})
	if r := tr.outcome(); r.State != verify.EventExpired || r.Error != "cancelled" {
		t.Errorf("receipt: %+v", r)
	}
	p.ended(softphone.Cancelled)
}

// TestSilentTrunk: a trunk without any response fails over in time.
func TestSilentTrunk(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{Silent: true})
	tr := open(t, p.Addr(), func(c *sip.Config) { c.FirstResponse = 200 * time.Millisecond })
	if _, err := tr.Send(t.Context(), call()); !errors.Is(err, deliver.ErrNotSent) {
		t.Errorf("Send: %v, want not sent", err)
	}
}

// TestPressOne: key 1, in RTP or by INFO, repeats the announcement.
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
				t.Errorf("receipt: %+v", r)
			}
			if n := beginnings(t, p.ended(softphone.Bye)); n != 2 {
				t.Errorf("the announcement started %d times", n)
			}
		})
	}
}

// TestHungUp: a hang-up before the end of the first code is undeliverable; a later one
// is delivered.
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
				t.Errorf("receipt: %+v, want %s", r, tt.want)
			}
			p.ended(softphone.HungUp)
		})
	}
}

// TestHungUpAfter: the note has the time in tenths of a second.
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
		t.Errorf("receipt: %+v, want tenths of a second in the note", r)
	}
	p.ended(softphone.HungUp)
}

// TestHold: the announcement pauses while the call is on hold and continues afterwards.
func TestHold(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{Script: []softphone.Step{softphone.Hold(), softphone.Resume()}})
	if r := open(t, p.Addr()).outcome(); r.State != verify.EventDelivered {
		t.Errorf("receipt: %+v", r)
	}
	p.ended(softphone.Bye)
}

// TestNoSound: a call that is answered without usable audio is ended.
func TestNoSound(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{SDP: []byte("v=0\r\nm=video 1 RTP/AVP 31\r\n")})
	if r := open(t, p.Addr()).outcome(); r.State != verify.EventUndeliverable {
		t.Errorf("receipt: %+v", r)
	}
	p.ended(softphone.Bye)
}

// TestGuard: expensive and malformed numbers are not dialled.
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
		t.Errorf("country not allowed: %v", err)
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

// TestLimits: calls beyond max_calls are refused.
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

// TestPrefixLimit: calls beyond the limit of a prefix, over all trunks, are refused;
// calls to other prefixes are not.
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
	if err := first.Close(); err != nil { // ends its call
		t.Error(err)
	}
	if _, err := second.Send(t.Context(), call()); err != nil {
		t.Errorf("after the end of one call: %v", err)
	}
}

// TestClose: Close ends the current calls and reports them.
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
		t.Errorf("receipt: %+v", r)
	}
}

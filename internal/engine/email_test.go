package engine_test

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/account"
	"countersign/internal/deliver"
	"countersign/internal/deliver/sink"
	"countersign/internal/engine"
	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/velocity"
	"countersign/internal/verify"
)

// mailed is an engine with a carrier for phones and one for e-mail. Conditions on numbers
// choose the first.
type mailed struct {
	*bench
	mail *carrier
}

func setUpMail(t *testing.T, change ...func(*bench, *engine.Config)) mailed {
	t.Helper()
	mail := &carrier{}
	routed := func(b *bench, cfg *engine.Config) {
		router, err := deliver.NewRouter(deliver.RouterConfig{
			Routes: []deliver.Route{
				{Network: "all", Carriers: []string{"phone"}}, {Prefix: "44", Carriers: []string{"phone"}},
				{Country: "GB", Carriers: []string{"phone"}}, {Channel: verify.Mail, Carriers: []string{"mail"}},
				{Channel: verify.SMS, Carriers: []string{"phone"}},
			},
			Networks: []deliver.Network{{Name: "all", Prefixes: []string{"4"}}},
			Carriers: map[string]deliver.Carrier{"phone": b.carrier, "mail": mail}, Now: b.clock.Now,
		})
		must(t, err)
		cfg.Router = router
	}
	return mailed{setUp(t, append([]func(*bench, *engine.Config){routed}, change...)...), mail}
}

func email(text string) verify.Address {
	return verify.Address{Kind: verify.Email, Given: text, Canonical: strings.ToLower(text)}
}

// then returns a request with an SMS to a number and a message to an e-mail address.
func (b *bench) then(number string, to verify.Address) verify.Request {
	r := b.request()
	r.To = verify.PhoneAddress(number, "GB")
	r.Workflow.Steps = []verify.Step{{Channel: verify.SMS, Wait: 125 * time.Second}, {Channel: verify.Mail, Wait: 180 * time.Second, To: to}}
	return r
}

// only returns a request with one message to an e-mail address.
func (b *bench) only(to verify.Address) verify.Request {
	r := b.request()
	r.To, r.Workflow.Steps = to, []verify.Step{{Channel: verify.Mail, Wait: 180 * time.Second}}
	return r
}

// wantMail checks the only message of the carrier for e-mail.
func (b mailed) wantMail(v verify.Verification, attempt int) {
	b.t.Helper()
	sent := b.mail.all()
	if len(sent) != 1 {
		b.t.Fatalf("%d messages by e-mail, want 1", len(sent))
	}
	m, e := sent[0], v.Events[1]
	if m.Channel != verify.Mail || m.To != v.StepAt(1).To || m.EventID != e.ID || m.Attempt != attempt ||
		!strings.Contains(m.Text, v.PIN.Reveal()) || len(m.Script.Words()) > 0 {
		b.t.Errorf("the message is %+v, want the PIN as text to %v", m, v.StepAt(1).To)
	}
}

// TestEmailStep: a verification by SMS and then by e-mail succeeds with the code of the
// second message. Routes by number, network and country do not take e-mail.
func TestEmailStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setUpMail(t)
		to := email("44Jane@Example.com")
		v, err := b.Start(t.Context(), b.account, b.then(number, to))
		must(t, err)
		b.resume()
		b.settled(v.ID, 0)
		b.clock.Advance(125 * time.Second)
		if e := b.settled(v.ID, 1); e.State != verify.EventAccepted || e.Carrier != "mail" || e.Channel != verify.Mail {
			t.Errorf("the second event is %+v, want it accepted by mail", e)
		}
		if sent := b.carrier.all(); len(sent) != 1 || sent[0].To.Given != number {
			t.Errorf("to the phone: %+v, want only the SMS", sent)
		}
		v = b.record(v.ID)
		b.wantMail(v, 1)
		if v, err = b.Check(t.Context(), b.account, v.ID, v.PIN, ""); err != nil || v.Status != verify.Success {
			t.Errorf("the check: %s, %v", v.Status, err)
		}
		found, err := b.Search(t.Context(), b.account, []verify.ID{v.ID})
		if err != nil || len(found) != 1 || found[0].To.Given != number || found[0].StepAt(1).To != to {
			t.Errorf("search finds %+v (%v)", found, err)
		}
	})
}

// TestEmailOrphan: an e-mail that a dead process may have sent is sent again to the
// address of its step.
func TestEmailOrphan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setUpMail(t)
		c, _, err := verify.Begin(verify.Beginning{
			Request: b.then(number, email("jane@example.com")), Payer: b.account.Key, History: verify.Uncapped{}, Node: "dead node",
		}, t0, rand.Reader)
		must(t, err)
		v := c.Verification
		o := verify.Outcome{State: verify.EventAccepted, Attempt: 1, Token: v.Lease.Token, Carrier: "phone"}
		v = v.Outcome(o, verify.OnFailure{Failed: func(verify.EventState) bool { return false }}, at(1)).Verification
		v = v.Step(verify.Runner{Node: "dead node"}, verify.Uncapped{}, at(125), rand.Reader).Verification
		b.insert(v)
		b.clock.Advance(v.Lease.Until.Sub(t0))
		b.resume()
		if e := b.settled(v.ID, 1); e.State != verify.EventAccepted || e.Attempt != 2 {
			t.Errorf("the event is %+v, want it accepted at attempt 2", e)
		}
		b.wantMail(v, 2)
		if n := len(b.carrier.all()); n != 0 {
			t.Errorf("%d messages to the phone", n)
		}
	})
}

// TestEmailCaps: all spellings of an e-mail address share its caps, also in later steps, and
// do not share the caps of a number.
func TestEmailCaps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		b := setUpMail(t, capped(fraud.Caps{Sends: daily(2)}), func(_ *bench, cfg *engine.Config) {
			cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		})
		apps := b.accounts(5)
		var started []verify.Verification
		for i, to := range []string{"jane@example.com", "JANE@example.com", "jane@EXAMPLE.com"} {
			r := b.then("44770090010"+string(rune('0'+i)), email(to))
			r.Account = apps[i].Key
			v, err := b.Start(t.Context(), apps[i], r)
			must(t, err)
			started = append(started, v)
		}
		b.resume()
		b.clock.Advance(125 * time.Second)
		refused := 0
		for _, v := range started {
			if e := b.settled(v.ID, 1); e.State == verify.EventRefused && e.Error == verify.CappedEvent {
				refused++
			}
		}
		if sent := b.mail.all(); len(sent) != 2 || refused != 1 {
			t.Errorf("%d messages by e-mail and %d refused, want 2 and 1", len(sent), refused)
		}
		b.rest()
		if !strings.Contains(log.String(), "j••••@") && !strings.Contains(log.String(), "J••••@") || strings.Contains(log.String(), "number=4477") {
			t.Errorf("the log does not show the capped address:\n%s", log.String())
		}
		r := b.only(email("Jane@Example.Com"))
		r.Account = apps[3].Key
		if _, err := b.Start(t.Context(), apps[3], r); kind(err) != verify.KindBlocked {
			t.Errorf("a start at the cap: %v, want it blocked", err)
		}
		r.To = email("john@example.com")
		if _, err := b.Start(t.Context(), apps[3], r); err != nil {
			t.Errorf("another address: %v", err)
		}
	})
}

// TestEmailBlocked: the block list holds canonical addresses, of every step.
func TestEmailBlocked(t *testing.T) {
	t.Parallel()
	b := setUpMail(t)
	to := email("Jane@Example.com")
	must(t, b.db.BlockNumber(t.Context(), store.BlockedNumber{Number: to.Canonical, CreatedAt: t0}))
	for name, r := range map[string]verify.Request{"first step": b.only(to), "second step": b.then(number, to)} {
		if _, err := b.Start(t.Context(), b.account, r); kind(err) != verify.KindBlocked {
			t.Errorf("%s: %v, want it blocked", name, err)
		}
	}
	if _, err := b.Start(t.Context(), b.account, b.then(number, email("joe@example.com"))); err != nil {
		t.Errorf("another address: %v", err)
	}
}

// TestEmailConcurrent: an account has one verification of an address at a time.
func TestEmailConcurrent(t *testing.T) {
	t.Parallel()
	b := setUpMail(t)
	v, err := b.Start(t.Context(), b.account, b.only(email("jane@example.com")))
	must(t, err)
	_, err = b.Start(t.Context(), b.account, b.only(email("JANE@Example.com")))
	if e, ok := errors.AsType[*verify.Error](err); !ok || e.Kind != verify.KindConcurrent || e.Request != v.ID {
		t.Errorf("the other spelling: %v, want the id of the first", err)
	}
}

// TestEmailWrongKind: a step reaches only addresses of the kind of its channel.
func TestEmailWrongKind(t *testing.T) {
	t.Parallel()
	b := setUpMail(t)
	sms := b.only(email("jane@example.com"))
	sms.Workflow.Steps[0].Channel = verify.SMS
	mail := b.request()
	mail.Workflow.Steps = append(mail.Workflow.Steps, verify.Step{Channel: verify.Mail, Wait: 15 * time.Second})
	for _, r := range []verify.Request{sms, mail} {
		if _, err := b.Start(t.Context(), b.account, r); err == nil || !strings.Contains(err.Error(), "kind") {
			t.Errorf("start: %v, want it refused for the kind of the address", err)
		}
	}
}

// TestEmailRules: rules on countries, networks and calls, and prices of numbers, do not apply
// to an e-mail address, even if it begins with digits.
func TestEmailRules(t *testing.T) {
	t.Parallel()
	b := setUpMail(t, func(b *bench, cfg *engine.Config) {
		volume := fraud.Volume{Mode: fraud.Enforce, Starts: 1, Window: time.Hour, Blocks: []time.Duration{time.Hour}}
		cfg.Policy = account.Policy{UnsupportedNetworks: []string{"4"}}
		cfg.Velocity = velocity.New(velocity.Config{
			Store: b.db, Clock: b.clock, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
			Rules: fraud.Rules{
				Voice: fraud.Voice{Mode: fraud.Enforce, Countries: []string{"US"}}, Prefix: volume, Network: volume,
				Unverified: fraud.Unverified{Mode: fraud.Enforce, Prefix: 1, Country: 1, Window: time.Hour, Blocks: []time.Duration{time.Hour}},
				Sequence:   fraud.Sequence{Mode: fraud.Enforce, Numbers: 2, Window: time.Hour, Blocks: []time.Duration{time.Hour}},
			},
		})
	})
	must(t, b.db.ReplacePrices(t.Context(), "", []verify.Price{
		{Amount: 7, From: t0}, {Prefix: "4", Amount: 1, From: t0}, {Country: "GB", Amount: 2, From: t0},
		{Channel: verify.Mail, Amount: 3, From: t0}, {Channel: verify.SMS, Amount: 4, From: t0},
	}))
	b.account.Settings.Countries = []string{"US"}
	for _, to := range []string{"447700900000@example.com", "447700900001@example.com", "447700900002@example.com"} {
		v, err := b.Start(t.Context(), b.account, b.only(email(to)))
		if err != nil || v.Price != 3 {
			t.Errorf("start: %v, price %s; want the price for e-mail", err, v.Price)
		}
	}
	if _, err := b.Start(t.Context(), b.account, b.then(number, email("jane@example.com"))); kind(err) != verify.KindUnsupportedNetwork {
		t.Errorf("with a phone of a country that is not allowed: %v", err)
	}
	phoneLast := b.only(email("jim@example.com"))
	phoneLast.Workflow.Steps = append(phoneLast.Workflow.Steps, verify.Step{Channel: verify.SMS, Wait: time.Minute, To: verify.PhoneAddress(number, "GB")})
	if _, err := b.Start(t.Context(), b.account, phoneLast); kind(err) != verify.KindUnsupportedNetwork {
		t.Errorf("with such a phone in the second step: %v", err)
	}
}

// TestEmailForget: the canonical address erases a verification, also one in progress.
func TestEmailForget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setUpMail(t)
		to := email("Jane@Example.com")
		v, err := b.Start(t.Context(), b.account, b.only(to))
		must(t, err)
		b.settled(v.ID, 0)
		if done, err := b.ForgetNumber(t.Context(), store.Forget{Number: to.Canonical, Cancel: true}); err != nil || done.Cancelled != 1 || done.Verifications != 1 {
			t.Errorf("forgot %+v, %v", done, err)
		}
		if got := b.record(v.ID); got.To.Given != "" || got.To.Kind != verify.Email || got.Status != verify.Cancelled {
			t.Errorf("the verification is %+v", got)
		}
	})
}

// TestEmailSink: the carrier of the configuration that discards messages also takes e-mail.
func TestEmailSink(t *testing.T) {
	t.Parallel()
	s, err := sink.New(sink.Config{Name: "sink"})
	must(t, err)
	sub, err := s.Send(t.Context(), deliver.Message{Channel: verify.Mail, To: email("jane@example.com")})
	if err != nil || sub.Carrier != "sink" {
		t.Errorf("the sink: %+v, %v", sub, err)
	}
}

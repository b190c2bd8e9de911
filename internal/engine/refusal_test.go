package engine_test

import (
	"crypto/rand"
	"io"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/account"
	"countersign/internal/deliver"
	"countersign/internal/engine"
	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/velocity"
	"countersign/internal/verify"
)

// limited sets limits that the cases below reach.
func limited(b *bench, cfg *engine.Config) {
	cfg.Caps = fraud.Caps{Sends: []fraud.Window{{Count: 1, Within: time.Hour}}}
	cfg.Policy = account.Policy{RequestsPerSecond: 1, UnsupportedNetworks: []string{"88"}}
	router, err := deliver.NewRouter(deliver.RouterConfig{
		Routes:   []deliver.Route{{Carriers: []string{"phone"}}, {Prefix: "4477009999"}, {Country: "FR", Carriers: []string{"phone"}}},
		Carriers: map[string]deliver.Carrier{"phone": b.carrier}, Now: b.clock.Now,
	})
	must(b.t, err)
	cfg.Router = router
	rules := fraud.Rules{Prefix: fraud.Volume{Mode: fraud.Enforce, Window: time.Hour, Starts: 1, Blocks: []time.Duration{time.Hour}}}
	cfg.Velocity = velocity.New(velocity.Config{Store: b.db, Clock: b.clock, Log: cfg.Log, Metrics: prometheus.NewRegistry(), Rules: rules})
}

// TestCauses: each refusal names its rule with its figures, Evaluate finds the same one
// first, and has no effect.
func TestCauses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare func(*bench)
		change  func(*bench, *verify.Request)
		want    verify.Cause
	}{
		"barred": {change: func(b *bench, _ *verify.Request) { b.account.Barred = true }, want: verify.Cause{Rule: verify.RuleBarred}},
		"barred, test number": {
			change: func(b *bench, r *verify.Request) {
				b.account.Barred = true
				b.account.Settings.TestNumbers = []verify.TestNumber{{Number: r.To.Given, Code: "1234"}}
			},
			want: verify.Cause{Rule: verify.RuleBarred},
		},
		"sender": {
			change: func(b *bench, r *verify.Request) {
				b.account.Settings.Senders, r.Sender = []string{"Acme"}, "Other"
			},
			want: verify.Cause{Rule: verify.RuleInvalid, Detail: "sender: not allowed for this account"},
		},
		"chosen PIN": {
			change: func(_ *bench, r *verify.Request) { r.ChosenPIN, _ = verify.ParsePIN("1234") },
			want:   verify.Cause{Rule: verify.RuleCustomPIN},
		},
		"words of the template": {
			prepare: func(b *bench) {
				tmpl := store.Template{ID: verify.NewID(rand.Reader), Account: b.account.Key, Channel: verify.SMS, Locale: "en-gb", Text: "${pin} evil-${brand}", Encoding: "text", CreatedAt: t0}
				_, err := b.db.AddTemplate(b.t.Context(), tmpl, nil, true)
				must(b.t, err)
			},
			change: func(b *bench, r *verify.Request) {
				b.account.Settings.LinkBrands, r.Brand = []string{"Booking.com"}, "Booking.com"
			},
			want: verify.Cause{Rule: verify.RuleInvalid, Detail: "brand: in the words of the template: looks like a link: evil-booking.com"},
		},
		"trial": {change: func(b *bench, _ *verify.Request) { b.account.Trial = true }, want: verify.Cause{Rule: verify.RuleTrial}},
		"block list": {
			prepare: func(b *bench) {
				must(b.t, b.db.BlockNumber(b.t.Context(), store.BlockedNumber{Number: number, CreatedAt: t0}))
			},
			want: verify.Cause{Rule: verify.RuleBlockedNumber},
		},
		"country": {
			change: func(b *bench, _ *verify.Request) { b.account.Settings.Countries = []string{"FR"} },
			want:   verify.Cause{Rule: verify.RuleCountries, Detail: "GB"},
		},
		"network": {
			change: func(_ *bench, r *verify.Request) { r.To = verify.PhoneAddress("8812345678", r.To.Country) },
			want:   verify.Cause{Rule: verify.RuleNetwork, Detail: "88"},
		},
		"route": {
			change: func(_ *bench, r *verify.Request) { r.To = verify.PhoneAddress("447700999900", r.To.Country) },
			want:   verify.Cause{Rule: verify.RuleNoRoute, Detail: "sms"},
		},
		"price": {
			prepare: func(b *bench) {
				must(b.t, b.db.ReplacePrices(b.t.Context(), "", []verify.Price{{Country: "FR", Amount: 1}}))
			},
			want: verify.Cause{Rule: verify.RuleNoPrice, Detail: "GB"},
		},
		"premium": {change: func(_ *bench, r *verify.Request) { r.Premium = true }, want: verify.Cause{Rule: verify.RulePremium}},
		"velocity": {
			prepare: func(b *bench) { b.accepted("447700900111") },
			want:    verify.Cause{Rule: verify.RuleVelocity, Detail: "prefix", Count: 1, Limit: 1, Until: at(3600)},
		},
		"cap": {
			prepare: func(b *bench) { b.fill(number) },
			want:    verify.Cause{Rule: verify.RuleCap, Detail: "sends_1h", Count: 1, Limit: 1, Until: at(3600)},
		},
		"balance": {
			prepare: func(b *bench) {
				must(b.t, b.db.ReplacePrices(b.t.Context(), "", []verify.Price{{Amount: 101 * verify.Unit}}))
			},
			want: verify.Cause{Rule: verify.RuleBalance, Count: int64(101 * verify.Unit), Limit: int64(100 * verify.Unit)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setUp(t, limited)
			must(t, b.db.ReplacePrices(t.Context(), "", []verify.Price{{Amount: 1}}))
			if tt.prepare != nil {
				tt.prepare(b)
			}
			req := b.request()
			if tt.change != nil {
				tt.change(b, &req)
			}
			var found []verify.Cause
			for range 2 { // the first evaluation has no effect
				ev, err := b.Evaluate(t.Context(), b.account, req)
				must(t, err)
				if len(ev.Refusals) == 0 {
					t.Fatal("a start would be accepted")
				}
				found = append(found, ev.Refusals[0].Cause())
			}
			_, err := b.Start(t.Context(), b.account, req)
			refusal, ok := err.(*verify.Error) //nolint:errorlint // as Start returns it
			if !ok {
				t.Fatalf("start: %v", err)
			}
			if got := refusal.Cause(); got != tt.want || found[0] != tt.want || found[1] != tt.want {
				t.Errorf("start %+v, evaluated %+v, want %+v", got, found, tt.want)
			}
		})
	}
}

// TestRefusal: a partially parsed request is refused by a limit on the fields before the
// defect, else for the defect.
func TestRefusal(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	defect := verify.Invalid("code_length", "must be 4 or 6")
	malformed := &verify.Error{Kind: verify.KindInvalidParameter, Param: "pin_code", Field: verify.FieldPIN}
	for name, tt := range map[string]struct {
		account verify.Account
		request verify.Request
		defect  error
		want    error
	}{
		"no limit":            {verify.Account{}, verify.Request{Brand: "Acme"}, defect, defect},
		"barred":              {verify.Account{Barred: true}, verify.Request{}, defect, &verify.Error{Kind: verify.KindBarred}},
		"destination":         {verify.Account{Trial: true, Settings: verify.Settings{Countries: []string{"FR"}}}, verify.Request{To: verify.PhoneAddress(number, "GB")}, defect, defect},
		"brand":               {verify.Account{}, verify.Request{Brand: "Acme.com"}, defect, verify.Refused(verify.FieldBrand, "looks like a link: acme.com")},
		"malformed PIN":       {verify.Account{CustomPIN: true}, verify.Request{}, malformed, malformed},
		"PIN, no permission":  {verify.Account{}, verify.Request{}, malformed, &verify.Error{Kind: verify.KindCustomPINNotAllowed}},
		"failure of a lookup": {verify.Account{}, verify.Request{}, io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
	} {
		if got := b.Refusal(tt.account, tt.request, tt.defect); kind(got) != kind(tt.want) || got.Error() != tt.want.Error() {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// accepted starts a verification.
func (b *bench) accepted(number string) verify.Verification {
	b.t.Helper()
	req := b.request()
	req.To = verify.PhoneAddress(number, req.To.Country)
	v, err := b.Start(b.t.Context(), b.account, req)
	must(b.t, err)
	return v
}

// fill counts a message to a number.
func (b *bench) fill(number string) {
	b.t.Helper()
	caps := fraud.Caps{Sends: []fraud.Window{{Count: 1, Within: time.Hour}}}
	must(b.t, b.db.Write(b.t.Context(), store.Scope{Number: number}, func(tx *store.Tx) error {
		g, err := tx.NumberHistory(number)
		if err != nil {
			return err
		}
		g.Number = caps.Sent(g.Number, b.account.Key, t0)
		return tx.SaveNumberHistory(g, at(1e5))
	}))
}

// TestEvaluateAccepts: an evaluation of an acceptable start does not count, so the start
// itself is accepted; afterwards it finds the verification in progress and the cap.
func TestEvaluateAccepts(t *testing.T) {
	t.Parallel()
	b := setUp(t, limited)
	must(t, b.db.ReplacePrices(t.Context(), "", []verify.Price{{Amount: 7}}))
	for range 3 {
		ev, err := b.Evaluate(t.Context(), b.account, b.request())
		must(t, err)
		if len(ev.Refusals) != 0 || ev.Price != 7 || len(ev.Routes) != 2 || !ev.Routes[0].Routes[2].Used {
			t.Fatalf("evaluated %+v", ev)
		}
	}
	v := b.accepted(number)
	ev, err := b.Evaluate(t.Context(), b.account, b.request())
	must(t, err)
	var rules []verify.Rule
	for _, r := range ev.Refusals {
		rules = append(rules, r.Cause().Rule)
	}
	if len(rules) != 2 || rules[0] != verify.RuleVelocity || rules[1] != verify.RuleConcurrent || ev.Refusals[1].Cause().Detail != v.ID.Hex() {
		t.Errorf("refusals %v", rules)
	}
	if len(b.carrier.all()) > 1 {
		t.Error("an evaluation sent a message")
	}
}

// TestEvaluateTestNumber: no rule applies to a test number.
func TestEvaluateTestNumber(t *testing.T) {
	t.Parallel()
	b := setUp(t, limited)
	b.account.Trial = true
	b.account.Settings.TestNumbers = []verify.TestNumber{{Number: number, Code: "1234"}}
	b.fill(number)
	ev, err := b.Evaluate(t.Context(), b.account, b.request())
	must(t, err)
	if !ev.Test || len(ev.Refusals) != 0 {
		t.Errorf("evaluated %+v", ev)
	}
}

// TestCausesOfAdmission: a refused request names its rule, and its account if the key
// is known. Admit returns the account with a refusal after the proof.
func TestCausesOfAdmission(t *testing.T) {
	t.Parallel()
	b := setUp(t, limited)
	for _, tt := range []struct {
		proof   engine.Proof
		want    verify.Cause
		account string
	}{
		{engine.Proof{Key: "demo0001", Secret: "wrong"}, verify.Cause{Rule: verify.RuleCredentials, Detail: "demo0001"}, ""},
		{engine.Proof{Key: "nobody00", Secret: "secret"}, verify.Cause{Rule: verify.RuleCredentials}, ""},
		{engine.Proof{Key: "demo0001", Secret: "secret"}, verify.Cause{}, "demo0001"},
		{engine.Proof{Key: "demo0001", Secret: "secret"}, verify.Cause{Rule: verify.RuleRate, Count: 2, Limit: 1}, "demo0001"},
	} {
		account, err := b.Admit(t.Context(), tt.proof)
		var got verify.Cause
		if refusal, ok := err.(*verify.Error); ok { //nolint:errorlint // as Admit returns it
			got = refusal.Cause()
		}
		if got != tt.want || account.Key != tt.account {
			t.Errorf("%s: %+v of account %q, want %+v of %q", tt.proof.Key, got, account.Key, tt.want, tt.account)
		}
	}
}

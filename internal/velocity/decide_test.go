package velocity_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/velocity"
	"countersign/internal/verify"
)

// prefixLimit bounds the starts on a prefix.
func prefixLimit(mode fraud.Mode, starts int) func(*velocity.Config) {
	return func(c *velocity.Config) {
		c.Rules.Prefix = fraud.Volume{Mode: mode, Window: time.Hour, Starts: starts, Blocks: []time.Duration{time.Minute, 0}}
	}
}

// TestDecisionsAreCounted: refusals, and starts that shadow mode lets pass, are counted by
// rule. A new block is counted and logged once, without a number or an address.
func TestDecisionsAreCounted(t *testing.T) {
	t.Parallel()
	const verified, number = "447700900001", "447700900999"
	source := func(mode fraud.Mode) func(*velocity.Config) {
		return func(c *velocity.Config) {
			c.Rules.Source = fraud.Source{Mode: mode, Window: time.Hour, Starts: 1, FailedChecks: 1, Blocks: []time.Duration{time.Minute}}
		}
	}
	begin := func(change func(*verify.Request)) func(n node) {
		return func(n node) {
			req := request(number)
			req.Source = "192.0.2.1"
			change(&req)
			_, _ = n.Begin(n.t.Context(), account(), req, 10)
		}
	}
	plain := begin(func(*verify.Request) {})
	check := func(n node) {
		v := verify.Verification{Request: request(number)}
		_ = n.MayCheck(account(), "192.0.2.1")
		n.Failed(v, "192.0.2.1")
	}
	call := func(country string) func(n node) {
		return func(n node) {
			v := verify.Verification{Request: request(number)}
			v.To.Country = country
			n.MayCall(v, v.To)
		}
	}
	voice := func(c *velocity.Config) {
		c.Rules.Voice = fraud.Voice{Mode: fraud.Enforce, Countries: []string{"GB"}, CallsPerHour: 1, Blocks: []time.Duration{time.Minute}}
	}
	alert := func(c *velocity.Config) { // conversion rate 0 of 3, above Below
		c.Rules.Conversion = fraud.Conversion{Mode: fraud.Enforce, Window: time.Minute, Finished: 3, Alert: 35, Blocks: []time.Duration{time.Minute}}
	}
	end := func(n node) {
		n.Ended(verify.Verification{Request: request(number), Status: verify.Expired})
		plain(n) // a start compares
	}
	for name, tt := range map[string]struct {
		rules          func(*velocity.Config)
		do             func(n node) // three times
		rule, decision string
		count          float64
		action         string // action of the new block, or ""
	}{
		"refused":       {prefixLimit(fraud.Enforce, 1), plain, "prefix", "refused", 2, "block"},
		"would block":   {prefixLimit(fraud.Shadow, 1), plain, "prefix", "would_block", 2, "shadow"},
		"verified":      {prefixLimit(fraud.Enforce, 1), begin(func(r *verify.Request) { r.To = verify.PhoneAddress(verified, r.To.Country) }), "prefix", "passed_verified", 2, "block"},
		"not refused":   {prefixLimit(fraud.Enforce, 1), begin(func(r *verify.Request) { r.To = verify.PhoneAddress(verified, r.To.Country) }), "prefix", "refused", 0, "block"},
		"source":        {source(fraud.Enforce), plain, "source", "refused", 2, "block"},
		"source, known": {source(fraud.Enforce), begin(func(r *verify.Request) { r.To = verify.PhoneAddress(verified, r.To.Country) }), "source", "refused", 2, "block"},
		"check":         {source(fraud.Enforce), check, "source", "refused", 2, "block"},
		"check, shadow": {source(fraud.Shadow), check, "source", "would_block", 2, "shadow"},
		"premium":       {voice, begin(func(r *verify.Request) { r.Premium = true }), "premium", "refused", 3, ""},
		"call abroad":   {voice, call("FR"), "voice_country", "refused", 3, ""},
		"starting with a call abroad": {voice, begin(func(r *verify.Request) {
			r.To.Country, r.Workflow.Steps = "FR", []verify.Step{{Channel: verify.TTS}}
		}), "voice_country", "refused", 3, ""},
		"calls":            {voice, call("GB"), "voice", "refused", 2, "block"},
		"conversion alert": {alert, end, "conversion_alert", "refused", 0, "alert"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := install(t).node(tt.rules, func(c *velocity.Config) {
				c.Verified = func(_ context.Context, _, number string) (bool, error) { return number == verified, nil }
			})
			for range 3 {
				tt.do(n)
			}
			if got := n.metric("countersign_fraud_decisions_total", tt.decision, tt.rule); got != tt.count {
				t.Errorf("%v are %s by %s, want %v", got, tt.decision, tt.rule, tt.count)
			}
			lines := n.log.lines("fraud rule")
			if tt.action == "" {
				if len(lines) != 0 {
					t.Errorf("log: %v, want no block", lines)
				}
				return
			}
			if got := n.metric("countersign_fraud_blocks_total", tt.action, tt.rule); got != 1 {
				t.Errorf("%v blocks by %s, want 1", got, tt.rule)
			}
			if len(lines) != 1 || lines[0]["rule"] != tt.rule || lines[0]["action"] != tt.action || lines[0]["level"] != "WARN" ||
				lines[0]["repeat"] != "1" || lines[0]["until"] != t0.Add(time.Minute).Format(time.RFC3339) {
				t.Errorf("log: %v, want one line of the %s", lines, tt.action)
			}
			if wantValue := tt.rule != "source"; (lines[0]["value"] != "") != wantValue {
				t.Errorf("log: %v, want a value of the target: %v", lines, wantValue)
			}
			if text := fmt.Sprint(lines); strings.Contains(text, number) || strings.Contains(text, "192.0.2.1") {
				t.Errorf("log has a number or an address: %s", text)
			}
		})
	}
}

// TestUntilLifted: the log line of a block without an end has until=lifted.
func TestUntilLifted(t *testing.T) {
	t.Parallel()
	in := install(t)
	n := in.node(prefixLimit(fraud.Enforce, 1))
	n.start("447700900001")
	n.start("447700900002")
	in.clock.Advance(time.Minute)
	n.start("447700900003")
	if lines := n.log.lines("fraud rule"); len(lines) != 2 || lines[1]["until"] != "lifted" || lines[1]["repeat"] != "2" {
		t.Errorf("log: %v, want a second block until it is lifted", lines)
	}
}

// TestRefusalCause: a refusal names the rule, its figures and its end. A block of an
// address returns KindThrottled.
func TestRefusalCause(t *testing.T) {
	t.Parallel()
	n := install(t).node(prefixLimit(fraud.Enforce, 2), func(c *velocity.Config) {
		c.Rules.Source = fraud.Source{Mode: fraud.Enforce, Window: time.Hour, FailedChecks: 1, Blocks: []time.Duration{time.Hour}}
	})
	n.start("447700900001")
	n.start("447700900002")
	_, err := n.Begin(t.Context(), account(), request("447700900003"), 10)
	want := verify.Cause{Rule: verify.RuleVelocity, Detail: "prefix", Count: 2, Limit: 2, Until: t0.Add(time.Minute)}
	if refusal, ok := errors.AsType[*verify.Error](err); !ok || refusal.Kind != verify.KindBlocked || refusal.Network != "4477009" || refusal.By != want {
		t.Errorf("refused by %+v, want %+v", err, want)
	}
	n.Failed(verify.Verification{Request: request("447700900001")}, "192.0.2.1")
	err = n.MayCheck(account(), "192.0.2.1")
	want = verify.Cause{Rule: verify.RuleSource, Detail: "source", Count: 1, Limit: 1, Until: t0.Add(time.Hour)}
	if refusal, ok := errors.AsType[*verify.Error](err); !ok || refusal.Kind != verify.KindThrottled || refusal.By != want {
		t.Errorf("refused by %+v, want %+v", err, want)
	}
}

// TestVerifiedFails: if the earlier verification of a number cannot be looked up, the start
// fails and is not counted.
func TestVerifiedFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("no database")
	n := install(t).node(prefixLimit(fraud.Enforce, 1), func(c *velocity.Config) {
		c.Verified = func(context.Context, string, string) (bool, error) { return false, broken }
	})
	n.start("447700900001")
	if _, err := n.Begin(t.Context(), account(), request("447700900002"), 10); !errors.Is(err, broken) {
		t.Errorf("a start: %v", err)
	}
	if _, err := n.Try(t.Context(), account(), request("447700900002"), 10); !errors.Is(err, broken) {
		t.Errorf("a trial: %v", err)
	}
	if got := n.metric("countersign_fraud_decisions_total", "refused", "prefix"); got != 0 {
		t.Errorf("%v are refused, want none", got)
	}
}

// TestTry: a trial returns the decision of a start and has no effect.
func TestTry(t *testing.T) {
	t.Parallel()
	const verified = "447700900001"
	n := install(t).node(prefixLimit(fraud.Enforce, 1), func(c *velocity.Config) {
		c.Verified = func(_ context.Context, _, number string) (bool, error) { return number == verified, nil }
	})
	try := func(req verify.Request) (fraud.Decision, error) { return n.Try(t.Context(), account(), req, 10) }
	for range 3 {
		d, err := try(request("447700900999"))
		must(t, err)
		if d.Network != "4477009" {
			t.Errorf("the decision is %+v", d)
		}
	}
	n.start("447700900002")
	d, err := try(request("447700900999"))
	if !isKind(err, verify.KindBlocked) || d.Refused == nil || d.Refused.Rule != fraud.RulePrefix || len(d.Fresh) != 1 {
		t.Errorf("at the limit: %+v, %v", d, err)
	}
	if d, err := try(request(verified)); err != nil || d.Refused != nil {
		t.Errorf("a number that was verified before: %+v, %v", d, err)
	}
	premium, test := request("449098790001"), request("447700900999")
	premium.Premium, test.Workflow.Test = true, true
	if _, err := try(premium); !isKind(err, verify.KindUnsupportedNetwork) {
		t.Errorf("a premium number: %v", err)
	}
	if d, err := try(test); err != nil || d.Network != "" {
		t.Errorf("a test number: %+v, %v", d, err)
	}
	if lines := n.log.lines("fraud rule"); len(lines) != 0 {
		t.Errorf("log: %v, want no line of a trial", lines)
	}
	for _, rule := range []string{"prefix", "premium"} {
		if got := n.metric("countersign_fraud_decisions_total", "refused", rule); got != 0 {
			t.Errorf("%v trials are counted as refused by %s", got, rule)
		}
	}
	must(t, n.Sync(t.Context()))
	if got := n.published(); got != 1 || len(n.blocks(fraud.RulePrefix, t0)) != 0 {
		t.Errorf("%d starts and the blocks %+v are published, want 1 and none", got, n.blocks(fraud.RulePrefix, t0))
	}
}

// TestUnblocks: an unblock of a second network keeps the first in force, on the node that
// granted it, on others, and after a restart. A shadow block, or a block of another
// account, cannot be unblocked.
func TestUnblocks(t *testing.T) {
	t.Parallel()
	in := install(t)
	rules := func(c *velocity.Config) {
		prefixLimit(fraud.Enforce, 1)(c)
		c.Rules.Prefix.Blocks = []time.Duration{time.Hour}
	}
	a, b := in.node(rules), in.node(rules)
	networks := map[string]string{"4477001": "447700100001", "4477002": "447700200001"}
	for network, number := range networks {
		a.start(number)
		if got := a.start(number); got != network {
			t.Fatalf("%s is not blocked: %q", network, got)
		}
	}
	other := account()
	other.Key = "other001"
	if _, err := a.Unblock(t.Context(), other, "4477001", time.Hour); !errors.Is(err, store.ErrNoBlock) {
		t.Errorf("unblock of another account: %v", err)
	}
	for network := range networks {
		now := in.clock.Now()
		until, err := a.Unblock(t.Context(), account(), network, time.Hour)
		if err != nil || !until.Equal(now.Add(time.Hour)) {
			t.Errorf("unblock %s: until %v (%v)", network, until, err)
		}
		must(t, b.Sync(t.Context()))
		in.clock.Advance(2 * time.Minute) // the first unblock is not read again
	}
	lines := a.log.lines("network unblocked")
	if len(lines) != 2 || lines[0]["account"] != "demo0001" || networks[lines[0]["network"]] == "" || lines[0]["until"] != t0.Add(time.Hour).Format(time.RFC3339) ||
		lines[1]["until"] != t0.Add(time.Hour+2*time.Minute).Format(time.RFC3339) {
		t.Errorf("log: %v, want both unblocks", lines)
	}
	for name, n := range map[string]node{"a": a, "b": b, "after a restart": in.node(rules)} {
		for network, number := range networks {
			if got := n.start(number); got != "" {
				t.Errorf("%s: %s is still blocked", name, network)
			}
		}
	}
	for _, blocked := range a.blocks(fraud.RulePrefix, t0) {
		if blocked.LiftedBy != fraud.LiftedByAccount || blocked.LiftedAt.IsZero() {
			t.Errorf("the block is %+v, want it lifted", blocked)
		}
	}
}

// TestTestNumbers: test numbers are neither counted nor refused, and a nil Watch has no
// rules.
func TestTestNumbers(t *testing.T) {
	t.Parallel()
	test := verify.Verification{Request: request("447700900001"), Status: verify.Success}
	test.Workflow.Test = true
	n := install(t).node(prefixLimit(fraud.Enforce, 1), func(c *velocity.Config) {
		c.Rules.Voice = fraud.Voice{Mode: fraud.Enforce, Countries: []string{"FR"}, CallsPerHour: 1}
		c.Rules.Source = fraud.Source{Mode: fraud.Enforce, Window: time.Hour, FailedChecks: 1}
	})
	var none *velocity.Watch
	for name, w := range map[string]*velocity.Watch{"test": n.Watch, "nil": none} {
		for range 3 {
			takeBack, err := w.Begin(t.Context(), account(), test.Request, 10)
			must(t, err)
			takeBack()
			if d, err := w.Try(t.Context(), account(), test.Request, 10); err != nil || d.Refused != nil {
				t.Errorf("%s: a trial: %+v, %v", name, d, err)
			}
			if !w.MayCall(test, test.To) {
				t.Errorf("%s: a call is refused", name)
			}
			must(t, w.MayCheck(account(), "192.0.2.1"))
			w.Sent(test, test.To)
			w.Failed(test, "192.0.2.1")
			w.Ended(test, test)
		}
	}
	must(t, n.Sync(t.Context()))
	if nodes, err := n.db.FraudNodes(t.Context()); err != nil || len(nodes) != 0 {
		t.Errorf("news are published: %v (%v)", nodes, err)
	}
	if _, err := none.Unblock(t.Context(), account(), "4477009", time.Hour); !errors.Is(err, store.ErrNoBlock) {
		t.Errorf("unblock without rules: %v", err)
	}
	real := test
	real.Workflow.Test = false
	none.Sent(real, real.To)
	none.Failed(real, "")
	none.Ended(real)
	if !none.MayCall(real, real.To) {
		t.Error("a call is refused without rules")
	}
}

// TestEveryEventIsPublished: news include the starts with their price, the messages, calls,
// failed checks and ends of verifications.
func TestEveryEventIsPublished(t *testing.T) {
	t.Parallel()
	n := install(t).node(func(c *velocity.Config) {
		c.Rules.Voice = fraud.Voice{Mode: fraud.Enforce, CallsPerHour: 10}
		c.Rules.Source = fraud.Source{Mode: fraud.Enforce, Window: time.Hour, Starts: 10, FailedChecks: 10}
	})
	v := verify.Verification{Request: request("447700900001"), Status: verify.Success}
	v.Source = "2001:db8::1"
	_, err := n.Begin(t.Context(), account(), v.Request, 25)
	must(t, err)
	n.Sent(v, v.To)
	n.MayCall(v, v.To)
	n.Failed(v, "::ffff:192.0.2.1")
	failed := v
	failed.Status = verify.Failed
	n.Ended(v, failed)
	must(t, n.Sync(t.Context()))
	nodes, err := n.db.FraudNodes(t.Context())
	must(t, err)
	sums := map[string]fraud.Counts{}
	for node := range nodes {
		entries, _, err := n.db.FraudEntries(t.Context(), node, 0, time.Time{}, 100)
		must(t, err)
		for _, e := range entries {
			key := e.Prefix + e.Source
			sums[key] = sums[key].Plus(e.Counts)
			if e.Range == "" && e.Account != "demo0001" || e.Prefix != "" && e.Country != "GB" {
				t.Errorf("an entry is %+v", e)
			}
		}
	}
	for key, want := range map[string]fraud.Counts{
		"4477009":    {Starts: 1, Sends: 1, Calls: 1, Successes: 1, Finished: 2, FailedChecks: 1, Spend: 25},
		"2001:db8::": {Starts: 1},
		"192.0.2.1":  {FailedChecks: 1},
	} {
		if sums[key] != want {
			t.Errorf("%s: %+v is published, want %+v", key, sums[key], want)
		}
	}
}

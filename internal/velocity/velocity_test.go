package velocity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/fraud"
	"countersign/internal/logtest"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/velocity"
	"countersign/internal/verify"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// rules returns a conversion rule that needs 10 finished verifications.
func rules() fraud.Rules {
	return fraud.Rules{
		RepeatWithin: 24 * time.Hour,
		Conversion: fraud.Conversion{
			Mode: fraud.Enforce, All: fraud.Off, Window: time.Hour, Finished: 10, Below: 10, Alert: 35,
			Blocks: []time.Duration{20 * time.Minute, time.Hour},
		},
		Sequence: fraud.Sequence{Mode: fraud.Off}, Unverified: fraud.Unverified{Mode: fraud.Off},
		Prefix: fraud.Volume{Mode: fraud.Off}, Network: fraud.Volume{Mode: fraud.Off}, Source: fraud.Source{Mode: fraud.Off},
		Country: fraud.Country{Mode: fraud.Off}, Spend: fraud.Spend{Mode: fraud.Off}, Voice: fraud.Voice{Mode: fraud.Off},
	}
}

type node struct {
	*velocity.Watch
	t   *testing.T
	in  *installation
	db  *store.DB
	reg *prometheus.Registry
	log *records
}

// installation has the database, the clock and the key of its nodes.
type installation struct {
	t        *testing.T
	database string
	key      vault.Key
	clock    *clockwork.FakeClock
}

func install(t *testing.T) *installation {
	t.Helper()
	return &installation{
		t: t, key: vault.NewKey(), clock: clockwork.NewFakeClockAt(t0),
		database: pgtest.Chosen(t, filepath.Join(t.TempDir(), "countersign.db"), "migrated", store.Migrate),
	}
}

// node makes a loaded node. It is never stopped, as after a crash.
func (in *installation) node(change ...func(*velocity.Config)) node {
	in.t.Helper()
	n := in.unloaded(change...)
	must(in.t, n.Load(in.t.Context()))
	return n
}

// unloaded makes a node before Load.
func (in *installation) unloaded(change ...func(*velocity.Config)) node {
	in.t.Helper()
	db, err := store.Open(in.t.Context(), store.Config{Database: in.database, Key: in.key, Log: slog.New(slog.DiscardHandler)})
	must(in.t, err)
	in.t.Cleanup(func() { _ = db.Close() })
	n := node{t: in.t, in: in, db: db, reg: prometheus.NewRegistry(), log: &records{}}
	cfg := velocity.Config{Store: db, Clock: in.clock, Log: slog.New(logtest.Handler(in.t, n.log)), Metrics: n.reg, Rules: rules()}
	for _, c := range change {
		c(&cfg)
	}
	n.Watch = velocity.New(cfg)
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func account() verify.Account { return verify.Account{Key: "demo0001"} }

func request(number string) verify.Request {
	return verify.Request{
		Account: "demo0001", To: verify.PhoneAddress(number, "GB"),
		Workflow: verify.Workflow{Steps: []verify.Step{{Channel: verify.SMS}}},
	}
}

// start begins a verification, and returns the blocked network; "" if permitted.
func (n node) start(number string) (blocked string) {
	n.t.Helper()
	_, err := n.Begin(n.t.Context(), account(), request(number), 10)
	if err == nil {
		return ""
	}
	refusal, ok := errors.AsType[*verify.Error](err)
	if !ok || refusal.Kind != verify.KindBlocked {
		n.t.Fatalf("start: %v", err)
	}
	return refusal.Network
}

// fail starts verifications that expire.
func (n node) fail(times int) {
	n.t.Helper()
	for i := range times {
		number := fmt.Sprintf("4477009%05d", i)
		if blocked := n.start(number); blocked != "" {
			n.t.Fatalf("start %d is refused", i)
		}
		n.Ended(verify.Verification{Request: request(number), Status: verify.Expired})
	}
}

// TestShared: nodes share counts; a block of one node applies to all, and so does its end
// by an account.
func TestShared(t *testing.T) {
	t.Parallel()
	in := install(t)
	if !store.IsPostgres(in.database) {
		in.database = pgtest.Prepared(t, "migrated", store.Migrate)
	}
	a, b := in.node(), in.node()
	a.fail(5)
	b.fail(4)
	must(t, a.Sync(t.Context()))
	must(t, b.Sync(t.Context()))
	b.fail(1) // the tenth
	if got := b.start("447700900999"); got != "4477009" {
		t.Errorf("b did not add the counts of a: %q", got)
	}
	if got := a.start("447700900999"); got != "" {
		t.Errorf("a has the block before the next sync: %q", got)
	}
	must(t, b.Sync(t.Context()))
	must(t, a.Sync(t.Context()))
	if got := a.start("447700900999"); got != "4477009" {
		t.Errorf("the block does not hold on a: %q", got)
	}
	until, err := a.Unblock(t.Context(), account(), "4477009", time.Hour)
	if want := t0.Add(time.Hour); err != nil || !until.Equal(want) {
		t.Fatalf("unblocked until %v (%v), want %v", until, err, want)
	}
	must(t, b.Sync(t.Context()))
	if got := b.start("447700900999"); got != "" {
		t.Errorf("b still blocks: %q", got)
	}
	if _, err := a.Unblock(t.Context(), account(), "4477009", time.Hour); !errors.Is(err, store.ErrNoBlock) {
		t.Errorf("unblock again: %v", err)
	}
}

// TestKilled: a crash loses only unpublished counts.
func TestKilled(t *testing.T) {
	t.Parallel()
	in := install(t)
	first := in.node()
	first.fail(9)
	must(t, first.Sync(t.Context()))
	second := in.node()
	second.fail(1)
	if got := second.start("447700900999"); got != "4477009" {
		t.Fatalf("the counts are lost: %q", got)
	}
	must(t, second.Sync(t.Context()))
	third := in.node()
	if got := third.start("447700900999"); got != "4477009" {
		t.Errorf("the block is lost: %q", got)
	}
	in.clock.Advance(21 * time.Minute) // the minute of its end is excluded
	third.fail(10)
	if got := third.start("447700900999"); got != "4477009" {
		t.Fatalf("it is not blocked again: %q", got)
	}
	must(t, third.Sync(t.Context()))
	in.clock.Advance(59 * time.Minute)
	if got := in.node().start("447700900999"); got != "4477009" {
		t.Errorf("the repeat did not take an hour: %q", got)
	}
	in.clock.Advance(time.Minute)
	if got := in.node().start("447700900999"); got != "" {
		t.Errorf("after the repeat: %q", got)
	}
}

// TestPasses: a number verified before, and a test number, are permitted; a failed start
// does not count.
func TestPasses(t *testing.T) {
	t.Parallel()
	in := install(t)
	n := in.node(func(c *velocity.Config) {
		c.Rules.Prefix = fraud.Volume{Mode: fraud.Enforce, Window: time.Hour, Starts: 2, Blocks: []time.Duration{time.Minute}}
		c.Verified = func(_ context.Context, account, number string) (bool, error) {
			return account == "demo0001" && number == "447700900001", nil
		}
	})
	for range 5 {
		takeBack, err := n.Begin(t.Context(), account(), request("447700900100"), 10)
		must(t, err)
		takeBack()
	}
	n.start("447700900100")
	n.start("447700900101")
	if got := n.start("447700900102"); got != "4477009" {
		t.Errorf("over the limit: %q", got)
	}
	if got := n.start("447700900001"); got != "" {
		t.Errorf("verified before: %q", got)
	}
	testing := request("447700900103")
	testing.Workflow.Test = true
	if _, err := n.Begin(t.Context(), account(), testing, 0); err != nil {
		t.Errorf("a test number: %v", err)
	}
	lenient := account()
	lenient.Settings.Fraud.Mode = "shadow"
	if _, err := n.Begin(t.Context(), lenient, request("447700900104"), 10); err != nil {
		t.Errorf("an account in shadow mode: %v", err)
	}
	var none *velocity.Watch
	if _, err := none.Begin(t.Context(), account(), request("447700900105"), 10); err != nil {
		t.Errorf("without rules: %v", err)
	}
}

// TestVoice: calls are limited to allowed countries, and in number per prefix.
func TestVoice(t *testing.T) {
	t.Parallel()
	n := install(t).node(func(c *velocity.Config) {
		c.Rules.Voice = fraud.Voice{
			Mode: fraud.Enforce, Countries: []string{"GB"}, CallsPerHour: 2, Blocks: []time.Duration{time.Minute}, AllowPrefixes: []string{"8816"},
		}
	})
	may := func(number, country string) bool {
		req := request(number)
		req.To.Country = country
		return n.MayCall(verify.Verification{Request: req}, req.To)
	}
	if may("33612345678", "FR") || !may("447700900001", "GB") || !may("8816312345678", "") {
		t.Error("the countries are not kept to")
	}
	if !may("447700900002", "GB") || may("447700900003", "GB") || !may("447701000000", "GB") {
		t.Error("the calls to a prefix are not kept to")
	}
	call := request("33612345678")
	call.To.Country, call.Workflow.Steps = "FR", []verify.Step{{Channel: verify.TTS}}
	if _, err := n.Begin(t.Context(), account(), call, 10); !isKind(err, verify.KindUnsupportedNetwork) {
		t.Errorf("a start with a call there: %v", err)
	}
	premium := request("449098790001")
	premium.Premium = true
	if _, err := n.Begin(t.Context(), account(), premium, 10); !isKind(err, verify.KindUnsupportedNetwork) {
		t.Errorf("a premium number: %v", err)
	}
}

// TestSource: too many wrong codes from an address throttle only that address.
func TestSource(t *testing.T) {
	t.Parallel()
	n := install(t).node(func(c *velocity.Config) {
		c.Rules.Source = fraud.Source{
			Mode: fraud.Enforce, Window: time.Hour, Starts: 2, FailedChecks: 3, Blocks: []time.Duration{time.Minute},
		}
	})
	v := verify.Verification{Request: request("447700900001")}
	for i := range 3 {
		must(t, n.MayCheck(account(), "2001:db8::1"))
		n.Failed(v, fmt.Sprintf("2001:db8::%d", i))
	}
	if err := n.MayCheck(account(), "2001:db8::ffff"); !isKind(err, verify.KindThrottled) {
		t.Errorf("the same network: %v", err)
	}
	must(t, n.MayCheck(account(), "2001:db8:0:1::1"))
	must(t, n.MayCheck(account(), "not an address"))
	from := func(address string) error {
		req := request("447700900001")
		req.Source = address
		_, err := n.Begin(t.Context(), account(), req, 10)
		return err
	}
	must(t, from("192.0.2.1"))
	must(t, from("192.0.2.1"))
	if err := from("192.0.2.1"); !isKind(err, verify.KindThrottled) {
		t.Errorf("a third start: %v", err)
	}
	must(t, from("192.0.2.2"))
}

func isKind(err error, kind verify.Kind) bool {
	refusal, ok := errors.AsType[*verify.Error](err)
	return ok && refusal.Kind == kind
}

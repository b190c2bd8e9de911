package engine_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/await"
	"countersign/internal/engine"
	"countersign/internal/fraud"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// capped configures an engine with caps.
func capped(caps fraud.Caps) func(*bench, *engine.Config) {
	return func(_ *bench, cfg *engine.Config) {
		caps.Remember = 90 * 24 * time.Hour
		cfg.Caps = caps
	}
}

func daily(count int) []fraud.Window { return []fraud.Window{{Count: count, Within: 24 * time.Hour}} }

// accounts creates n accounts, since an account has one verification of a number at a time.
func (b *bench) accounts(n int) []verify.Account {
	b.t.Helper()
	list := make([]verify.Account, n)
	for i := range list {
		list[i] = verify.Account{Key: fmt.Sprintf("app%05d", i), Balance: verify.Unit}
		must(b.t, b.db.CreateAccount(b.t.Context(), store.NewAccount{Account: list[i], Secret: "secret"}, t0))
	}
	return list
}

// requestOf returns a request of an account.
func (b *bench) requestOf(a verify.Account) verify.Request {
	r := b.request()
	r.Account = a.Key
	return r
}

// rightCode and wrongCode are submitted codes.
func rightCode(v verify.Verification) verify.PIN { return v.PIN }

func wrongCode(v verify.Verification) verify.PIN {
	text := []byte(v.PIN.Reveal())
	text[0] = '0' + (text[0]-'0'+1)%10
	pin, _ := verify.ParsePIN(string(text))
	return pin
}

// TestCapStarts: a hundred concurrent starts send exactly the messages that a cap admits,
// and refused starts are not charged.
func TestCapStarts(t *testing.T) {
	t.Parallel()
	b := setUp(t, capped(fraud.Caps{Sends: daily(20)}))
	testCapStarts(t, b, b)
}

// TestCapNumberForms: both forms of a number share its caps; messages use the requested form.
func TestCapNumberForms(t *testing.T) {
	t.Parallel()
	b := setUp(t, capped(fraud.Caps{Sends: daily(2)}))
	accounts := b.accounts(3)
	for i, number := range []string{"5491123456789", "541123456789", "5491123456789"} {
		req := b.requestOf(accounts[i])
		req.To = verify.PhoneAddress(number, "AR")
		v, err := b.Start(t.Context(), accounts[i], req)
		if want := i < 2; (err == nil) != want || err == nil && v.To.Given != number || err != nil && kind(err) != verify.KindBlocked {
			t.Errorf("start %d to %s: %v", i+1, number, err)
		}
	}
}

// TestNodesCapStarts is TestCapStarts with two nodes.
func TestNodesCapStarts(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t, capped(fraud.Caps{Sends: daily(20)}))
	testCapStarts(t, a, b)
}

func testCapStarts(t *testing.T, a, b *bench) {
	apps := a.accounts(100)
	var before []verify.Verification
	for _, app := range apps[:17] {
		v, err := a.Start(t.Context(), app, a.requestOf(app))
		must(t, err)
		before = append(before, v)
	}
	started, refused := make([]bool, len(apps)), 0
	var mu sync.Mutex
	var calls sync.WaitGroup
	for i, app := range apps[17:] {
		calls.Go(func() {
			node := []*bench{a, b}[i%2]
			_, err := node.Start(t.Context(), app, node.requestOf(app))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				started[17+i] = true
			case kind(err) == verify.KindBlocked:
				refused++
			default:
				t.Error(err)
			}
		})
	}
	calls.Wait()
	a.Delivered(t.Context(), "")
	b.Delivered(t.Context(), "")
	sent := len(a.carrier.all())
	if b != a {
		sent += len(b.carrier.all())
	}
	if sent != 20 || refused != 80 {
		t.Errorf("%d messages were sent and %d starts refused, want 20 and 80", sent, refused)
	}
	if err := a.Trigger(t.Context(), apps[0], before[0].ID); kind(err) != verify.KindBlocked {
		t.Errorf("another message of a running verification: %v", err)
	}
	list, err := a.db.Accounts(t.Context())
	must(t, err)
	for _, got := range list {
		var i int
		if _, err := fmt.Sscanf(got.Key, "app%d", &i); err == nil && i >= 17 && !started[i] && got.Balance != verify.Unit {
			t.Errorf("account %s was charged for a refused start: %v", got.Key, got.Balance)
		}
	}
}

// TestCapSteps: an event over a cap is refused, the sent PIN stays valid, and the
// verification continues to its end.
func TestCapSteps(t *testing.T) {
	t.Parallel()
	for _, policy := range []verify.PINPolicy{verify.ReusePIN, verify.RenewPIN} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setUp(t, capped(fraud.Caps{AccountSends: []fraud.Window{{Count: 1, Within: 200 * time.Second}}}))
				b.resume()
				req := b.request()
				req.Workflow.PINPolicy = policy
				v, err := b.Start(t.Context(), b.account, req)
				must(t, err)
				b.settled(v.ID, 0)
				b.rest()
				b.clock.Advance(125 * time.Second)
				e := b.settled(v.ID, 1)
				if e.State != verify.EventRefused || e.Error != verify.CappedEvent || !e.StartedAt.Equal(at(125)) || e.Generation != 1 {
					t.Errorf("the second event is %+v, want it capped", e)
				}
				if n := len(b.carrier.all()); n != 1 {
					t.Errorf("%d messages were sent", n)
				}
				if err := b.Trigger(t.Context(), b.account, v.ID); kind(err) != verify.KindBlocked {
					t.Errorf("Trigger at the cap: %v", err)
				}
				b.rest()
				b.clock.Advance(180 * time.Second) // the first is out of the window
				if e := b.settled(v.ID, 2); e.State != verify.EventAccepted || !e.StartedAt.Equal(at(305)) {
					t.Errorf("the third event is %+v, want it sent on schedule", e)
				}
				b.rest()
				b.clock.Advance(300 * time.Second)
				await.Until(t, "expired", func() bool { return b.record(v.ID).Status == verify.Expired })
			})
		})
	}
}

// TestCapStepKeepsPIN: the code sent before a capped event stays the right one.
func TestCapStepKeepsPIN(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, capped(fraud.Caps{Sends: daily(1)}))
		b.resume()
		req := b.request()
		req.Workflow.PINPolicy = verify.RenewPIN
		v, err := b.Start(t.Context(), b.account, req)
		must(t, err)
		b.settled(v.ID, 0)
		b.rest()
		b.clock.Advance(125 * time.Second)
		b.settled(v.ID, 1)
		if _, err := b.Check(t.Context(), b.account, v.ID, rightCode(v), ""); err != nil {
			t.Errorf("the code that was sent: %v", err)
		}
	})
}

// TestCapConcurrent: a repeated start at a cap names the running verification.
func TestCapConcurrent(t *testing.T) {
	t.Parallel()
	b := setUp(t, capped(fraud.Caps{Sends: daily(1)}))
	v, err := b.Start(t.Context(), b.account, b.request())
	must(t, err)
	_, err = b.Start(t.Context(), b.account, b.request())
	if refusal, ok := errors.AsType[*verify.Error](err); !ok || refusal.Kind != verify.KindConcurrent || refusal.Request != v.ID {
		t.Errorf("a second start: %v, want KindConcurrent and the first", err)
	}
	b.clock.Advance(time.Hour) // past its end, which no runner has processed
	if _, err = b.Start(t.Context(), b.account, b.request()); kind(err) != verify.KindBlocked {
		t.Errorf("when the first is over: %v", err)
	}
}

// TestCapChecks: across verifications an account gets 15 wrong codes for a number. The last
// one ends its verification, and further starts are refused.
func TestCapChecks(t *testing.T) {
	t.Parallel()
	b := setUp(t, capped(fraud.Caps{AccountFailedChecks: daily(14)}))
	wrong := 0
	for i := range 5 {
		v, err := b.Start(t.Context(), b.account, b.request())
		must(t, err)
		for try := 1; ; try++ {
			v, err = b.Check(t.Context(), b.account, v.ID, wrongCode(v), "")
			wrong++
			if kind(err) == verify.KindTooManyCodes {
				break
			}
			if kind(err) != verify.KindWrongCode || try == 3 {
				t.Fatalf("verification %d, attempt %d: %v", i, try, err)
			}
		}
		if v.Status != verify.Failed || b.record(v.ID).Status != verify.Failed {
			t.Errorf("verification %d is %s", i, v.Status)
		}
	}
	if wrong != 14 { // 3 + 3 + 3 + 3 + 2
		t.Errorf("%d wrong codes were compared, want 14", wrong)
	}
	if _, err := b.Start(t.Context(), b.account, b.request()); kind(err) != verify.KindBlocked {
		t.Errorf("another start: %v", err)
	}
	other := b.accounts(1)[0]
	if _, err := b.Start(t.Context(), other, b.requestOf(other)); err != nil {
		t.Errorf("a start of another account: %v", err)
	}
}

// TestCapChecksOfAll: when all accounts together have reached a cap, no code of any of them
// is compared, not even the right one.
func TestCapChecksOfAll(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	b := setUp(t, capped(fraud.Caps{FailedChecks: daily(3)}), func(_ *bench, cfg *engine.Config) { cfg.Metrics = reg })
	apps := b.accounts(2)
	var runs []verify.Verification
	for _, app := range apps {
		v, err := b.Start(t.Context(), app, b.requestOf(app))
		must(t, err)
		runs = append(runs, v)
	}
	for range 3 {
		_, _ = b.Check(t.Context(), apps[0], runs[0].ID, wrongCode(runs[0]), "")
	}
	v, err := b.Check(t.Context(), apps[1], runs[1].ID, rightCode(runs[1]), "192.0.2.1")
	if kind(err) != verify.KindTooManyCodes || v.Status != verify.Failed {
		t.Errorf("the right code after too many wrong ones: %v, %s", err, v.Status)
	}
	rec, ok, err := b.db.Verification(t.Context(), v.ID)
	if err != nil || !ok || len(rec.Checks) != 1 || rec.Checks[0].Valid || rec.Checks[0].IPAddress != "192.0.2.1" {
		t.Errorf("the history is %+v (%v)", rec.Checks, err)
	}
	if _, err := b.Check(t.Context(), apps[1], v.ID, rightCode(runs[1]), ""); kind(err) != verify.KindNotFound {
		t.Errorf("another check: %v", err)
	}
	families, err := reg.Gather()
	must(t, err)
	counted := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "countersign_cap_hits_total" {
				counted[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if len(counted) != 1 || counted["failed_checks_24h"] != 2 { // one fills the cap, one is refused
		t.Errorf("counted are %v", counted)
	}
}

// TestCapChecksParallel: parallel guesses at many verifications on two nodes compare exactly
// the number of wrong codes that the caps admit.
func TestCapChecksParallel(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t, capped(fraud.Caps{FailedChecks: daily(30), AccountFailedChecks: daily(2)}))
	apps := a.accounts(20)
	runs := make([]verify.Verification, len(apps))
	var err error
	for i, app := range apps {
		runs[i], err = a.Start(t.Context(), app, a.requestOf(app))
		must(t, err)
	}
	var calls sync.WaitGroup
	for i := range 1000 {
		calls.Go(func() {
			app, run := apps[i%len(apps)], runs[i%len(apps)]
			_, err := []*bench{a, b}[i/len(apps)%2].Check(t.Context(), app, run.ID, wrongCode(run), "")
			if k := kind(err); k != verify.KindWrongCode && k != verify.KindTooManyCodes && k != verify.KindNotFound {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	n, err := a.db.NumberHistory(t.Context(), number)
	must(t, err)
	sum := 0
	for _, use := range n.Uses {
		sum += len(use.Failed)
		if len(use.Failed) > 2 {
			t.Errorf("%d wrong codes of %s", len(use.Failed), use.Account)
		}
	}
	if sum != 30 {
		t.Errorf("%d wrong codes were compared, want 30", sum)
	}
}

// TestCapStreak: consecutive wrong codes lock the number for the account for a time; a right
// code ends the streak.
func TestCapStreak(t *testing.T) {
	t.Parallel()
	b := setUp(t, capped(fraud.Caps{Streak: 4, Lock: time.Hour}))
	try := func(codes ...func(verify.Verification) verify.PIN) (last error) {
		t.Helper()
		v, err := b.Start(t.Context(), b.account, b.request())
		must(t, err)
		for _, code := range codes {
			_, last = b.Check(t.Context(), b.account, v.ID, code(v), "")
		}
		return last
	}
	must(t, try(wrongCode, wrongCode, rightCode))
	if err := try(wrongCode, wrongCode, wrongCode); kind(err) != verify.KindTooManyCodes {
		t.Fatal(err)
	}
	if err := try(wrongCode); kind(err) != verify.KindTooManyCodes {
		t.Errorf("the fourth in a row: %v", err)
	}
	b.clock.Advance(time.Hour - time.Millisecond)
	if _, err := b.Start(t.Context(), b.account, b.request()); kind(err) != verify.KindBlocked {
		t.Errorf("while it is locked: %v", err)
	}
	b.clock.Advance(time.Millisecond)
	must(t, try(rightCode))
	if err := try(wrongCode, wrongCode, wrongCode); kind(err) != verify.KindTooManyCodes {
		t.Fatal(err)
	}
	must(t, try(rightCode))
}

// TestCapSurvives: counts survive a restart.
func TestCapSurvives(t *testing.T) {
	t.Parallel()
	caps := capped(fraud.Caps{Sends: daily(1)})
	key, clock := vault.NewKey(), clockwork.NewFakeClockAt(t0)
	database := pgtest.Chosen(t, filepath.Join(t.TempDir(), "countersign.db"), "migrated", store.Migrate)
	a := setUpNode(t, database, key, clock, caps)
	v, err := a.Start(t.Context(), a.account, a.request())
	must(t, err)
	a.settled(v.ID, 0)
	must(t, a.db.Close()) // without an orderly stop

	b := setUpNode(t, database, key, clock, caps)
	if err := b.Trigger(t.Context(), b.account, v.ID); kind(err) != verify.KindBlocked {
		t.Errorf("after a restart: %v", err)
	}
}

// TestCapTestNumber: a test number, which receives no messages, has no caps.
func TestCapTestNumber(t *testing.T) {
	t.Parallel()
	b := setUp(t, capped(fraud.Caps{Sends: daily(1), FailedChecks: daily(1), Streak: 1, Lock: time.Hour}))
	b.account.Settings.TestNumbers = []verify.TestNumber{{Number: number, Code: "4711"}}
	for range 3 {
		v, err := b.Start(t.Context(), b.account, b.request())
		must(t, err)
		must(t, b.Trigger(t.Context(), b.account, v.ID))
		if _, err := b.Check(t.Context(), b.account, v.ID, wrongCode(v), ""); kind(err) != verify.KindWrongCode {
			t.Errorf("a wrong code: %v", err)
		}
		_, err = b.Check(t.Context(), b.account, v.ID, rightCode(v), "")
		must(t, err)
	}
	if n, err := b.db.NumberHistory(t.Context(), number); err != nil || len(n.Uses) != 0 {
		t.Errorf("counted are %+v (%v)", n, err)
	}
}

package store_test

import (
	"errors"
	"testing"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// testFutureKeys: a data key from the future seals no value but still opens its values. It
// is destroyed together with the key that replaced it.
func testFutureKeys(t *testing.T, db *store.DB) {
	const day = 24 * time.Hour
	ctx := t.Context()
	current := func() (id int64, keys int) {
		list, err := db.Vault().Status()
		must(t, err)
		for _, k := range list.Data {
			if k.Purpose != "pin" {
				continue
			}
			keys++
			if k.Current {
				id = k.ID
			}
		}
		return id, keys
	}
	now := time.Now().UTC() // when the database was opened
	addAccount(t, db, "demo0001", 0)
	first, _ := current()
	for _, jump := range []time.Duration{400 * day, -400 * day, time.Hour + day} {
		must(t, db.Vault().Refresh(ctx, now.Add(jump)))
		wrong, n := current()
		if wrong == first {
			t.Errorf("%v: no key was made", jump)
		}
		v := begin(t, db, request("demo0001", "447700900077"), t0) // sealed with this key
		must(t, db.Vault().Refresh(ctx, now))
		if id, after := current(); id != first || after != n {
			t.Errorf("%v and back: key %d of %d is in use, want %d of %d", jump, id, after, first, n)
		}
		if got, ok, err := db.Verification(ctx, v.ID); err != nil || !ok || !got.PIN.Equal(v.PIN) {
			t.Errorf("%v and back: the value sealed in between: %v, %v", jump, ok, err)
		}
		save(t, db, v.Withdraw(t0))
	}
	must(t, db.Vault().Refresh(ctx, now.Add(day)))
	_, before := current()
	if _, err := db.Vault().DestroyDataKeys(ctx, now.Add(day+2*time.Hour), day); err != nil {
		t.Fatal(err)
	}
	if _, left := current(); before < 4 || left > 2 {
		t.Errorf("%d of %d keys are left a day later", left, before)
	}
}

// testFutureReceipts: a receipt from the future matches no present message, and is deleted.
func testFutureReceipts(t *testing.T, db *store.DB) {
	keep := func(at time.Time, state verify.EventState) {
		t.Helper()
		must(t, db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
			return tx.KeepReceipt(verify.Receipt{Ref: verify.Ref{Carrier: "a", ID: "1"}, State: state}, at)
		}))
	}
	take := func(at time.Time) (state verify.EventState) {
		t.Helper()
		must(t, db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
			p, _, err := tx.TakeReceipt(verify.Ref{Carrier: "a", ID: "1"}, at)
			state = p.State
			return err
		}))
		return state
	}
	future := t0.AddDate(1, 0, 0)
	keep(future, verify.EventUndeliverable)
	if got := take(t0); got != "" {
		t.Errorf("a receipt of next year is taken: %s", got)
	}
	keep(t0, verify.EventAccepted) // replaces the other, without a merge
	if got := take(t0); got != verify.EventAccepted {
		t.Errorf("the present receipt is %q", got)
	}
	keep(future, verify.EventUndeliverable)
	must(t, db.ForgetReceipts(t.Context(), t0))
	if got := take(future); got != "" {
		t.Errorf("the receipt remains: %s", got)
	}
	keep(t0, verify.EventAccepted)
	keep(t0.Add(2*time.Hour), verify.EventDelivered) // the id was used again
	if got := take(t0.Add(2 * time.Hour)); got != verify.EventDelivered {
		t.Errorf("the second receipt of an id is %q", got)
	}
}

// testFutureSecrets: a secret that is expired only by a wrong clock is kept, and an expired
// secret can be added again.
func testFutureSecrets(t *testing.T, db *store.DB) {
	ctx := t.Context()
	addAccount(t, db, "demo0001", 0)
	_, err := db.AddSecret(ctx, "demo0001", "second", t0.Add(time.Hour), t0)
	must(t, err)
	if _, err := db.AddSecret(ctx, "demo0001", "second", time.Time{}, t0); !errors.Is(err, store.ErrSecretExists) {
		t.Errorf("the same secret again: %v", err)
	}
	_, err = db.AddSecret(ctx, "demo0001", "third", time.Time{}, t0.AddDate(1, 0, 0))
	must(t, err)
	list, err := db.Secrets(ctx, "demo0001", t0)
	if must(t, err); len(list) != 3 {
		t.Errorf("%d secrets are left, want 3", len(list))
	}
	_, err = db.AddSecret(ctx, "demo0001", "second", time.Time{}, t0.Add(2*time.Hour))
	must(t, err)
}

// testFutureBlocks: a block and an unblock from the future are not in force.
func testFutureBlocks(t *testing.T, db *store.DB) {
	ctx, future := t.Context(), t0.AddDate(1, 0, 0)
	block := fraud.Block{
		ID: "b1", Target: fraud.Target{Account: "demo0001", Kind: fraud.KindNetwork, Value: "23410"}, Rule: fraud.RuleNetwork,
		Action: fraud.ActionBlock, Network: "23410", Since: future, Repeat: 1, Ordinal: 1,
	}
	must(t, db.TellFraud(ctx, store.FraudNews{Node: "n", Seq: 1, At: future, Blocks: []fraud.Block{block}, Entries: []fraud.Entry{
		{Minute: future.Unix() / 60, Account: "demo0001", Country: "GB", Prefix: "4477009", Counts: fraud.Counts{Starts: 5000}},
	}}))
	list, err := db.FraudBlocks(ctx, false, t0, 10)
	if must(t, err); len(list) != 0 {
		t.Errorf("%d blocks hold", len(list))
	}
	if list, err = db.FraudBlocks(ctx, true, t0, 10); err != nil || len(list) != 1 {
		t.Errorf("%d blocks in all (%v)", len(list), err)
	}
	if found, err := db.UnblockNetwork(ctx, fraud.Unblock{Account: "demo0001", Network: "23410", Until: at(60)}, "x", t0); err != nil || found {
		t.Errorf("it was unblocked (%v)", err)
	}
	if err := db.LiftFraudBlock(ctx, "b1", "x", t0); !errors.Is(err, store.ErrBlockOver) {
		t.Errorf("lifted: %v", err)
	}
	volumes, err := db.FraudVolumes(ctx, t0.Add(-12*time.Hour), t0, 1)
	if must(t, err); len(volumes) != 0 {
		t.Errorf("volumes %v", volumes)
	}
}

// testRetentionState: the state is shared, and a suspension can be confirmed once.
func testRetentionState(t *testing.T, db *store.DB) {
	ctx := t.Context()
	if s, err := db.RetentionState(ctx); err != nil || s != (store.RetentionState{}) {
		t.Errorf("before the first run: %+v (%v)", s, err)
	}
	want := store.RetentionState{LastRun: at(3), Suspended: true, Before: at(1), After: at(2), Counted: time.Minute}
	must(t, db.ChangeRetentionState(ctx, func(store.RetentionState) (store.RetentionState, error) { return want, nil }))
	if s, err := db.RetentionState(ctx); err != nil || s != want {
		t.Errorf("stored %+v (%v), want %+v", s, err, want)
	}
	must(t, db.ConfirmRetention(ctx, at(5)))
	if s, err := db.RetentionState(ctx); err != nil || s != (store.RetentionState{LastRun: at(5)}) {
		t.Errorf("confirmed: %+v (%v)", s, err)
	}
	if err := db.ConfirmRetention(ctx, at(6)); !errors.Is(err, store.ErrNotSuspended) {
		t.Errorf("again: %v", err)
	}
}

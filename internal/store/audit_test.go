package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"countersign/internal/store"
)

func entry(action, subject string, at time.Time) store.AuditEntry {
	return store.AuditEntry{At: at, Who: "anna", Source: "192.0.2.1", Action: action, Subject: subject, Detail: `{"n":1}`}
}

// actions lists the actions in the audit log, newest first.
func actions(t *testing.T, db *store.DB, f store.AuditFilter) []string {
	t.Helper()
	if f.Limit == 0 {
		f.Limit = 100
	}
	entries, err := db.AuditLog(t.Context(), f)
	must(t, err)
	var list []string
	for _, e := range entries {
		list = append(list, e.Action+" "+e.Subject)
	}
	return list
}

// testAuditWith: an entry is written only with its change, and once, also for a change in
// several transactions.
func testAuditWith(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	ctx, audit := store.WithAudit(t.Context(), entry("account.bar", "nobody00", at(1)))
	if err := db.SetBarred(ctx, "nobody00", true); !errors.Is(err, store.ErrNoAccount) || audit.Written() {
		t.Errorf("bar an unknown account: %v, written %v", err, audit.Written())
	}
	if got := actions(t, db, store.AuditFilter{}); got != nil {
		t.Errorf("a failed change is logged: %q", got)
	}
	if found, err := db.UnblockNumber(ctx, "447700900000"); found || err != nil {
		t.Errorf("unblock a number that is not blocked: %v, %v", found, err)
	}
	if got := actions(t, db, store.AuditFilter{}); got != nil || audit.Written() {
		t.Errorf("a call without a change is logged: %q", got)
	}
	ctx, audit = store.WithAudit(t.Context(), entry("account.bar", "demo0001", at(2)))
	must(t, db.SetBarred(ctx, "demo0001", true))
	must(t, db.SetUnlimited(ctx, "demo0001", true))
	if !audit.Written() {
		t.Error("the entry is not written")
	}
	must(t, db.AddAudit(t.Context(), entry("keys.rotate", "", at(3))))
	if got, want := actions(t, db, store.AuditFilter{}), []string{"keys.rotate ", "account.bar demo0001"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	entries, err := db.AuditLog(t.Context(), store.AuditFilter{Limit: 1})
	must(t, err)
	want := entry("keys.rotate", "", at(3))
	want.Seq = entries[0].Seq
	if entries[0] != want || want.Seq == 0 {
		t.Errorf("got %+v, want %+v", entries[0], want)
	}
}

func testAuditFilter(t *testing.T, db *store.DB) {
	for i, e := range []store.AuditEntry{
		entry("account.bar", "a", at(0)), entry("account.create", "b", at(1)), entry("accounts", "a", at(2)), entry("number.block", "a", at(3)),
	} {
		if i == 3 {
			e.Who = "ben"
		}
		must(t, db.AddAudit(t.Context(), e))
	}
	all, err := db.AuditLog(t.Context(), store.AuditFilter{Limit: 100})
	must(t, err)
	for name, tt := range map[string]struct {
		filter store.AuditFilter
		want   []string
	}{
		"all":     {store.AuditFilter{}, []string{"number.block a", "accounts a", "account.create b", "account.bar a"}},
		"since":   {store.AuditFilter{Since: at(2)}, []string{"number.block a", "accounts a"}},
		"until":   {store.AuditFilter{Until: at(2)}, []string{"account.create b", "account.bar a"}},
		"who":     {store.AuditFilter{Who: "ben"}, []string{"number.block a"}},
		"action":  {store.AuditFilter{Action: "accounts"}, []string{"accounts a"}},
		"begin":   {store.AuditFilter{Action: "account.*"}, []string{"account.create b", "account.bar a"}},
		"subject": {store.AuditFilter{Subject: "b"}, []string{"account.create b"}},
		"page":    {store.AuditFilter{Before: all[1].Seq, Limit: 1}, []string{"account.create b"}},
		"joined":  {store.AuditFilter{Since: at(1), Action: "account*", Subject: "a", Who: "anna"}, []string{"accounts a"}},
	} {
		if got := actions(t, db, tt.filter); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func testAuditForgotten(t *testing.T, db *store.DB) {
	for i, action := range []string{"a", "b", "c"} {
		must(t, db.AddAudit(t.Context(), entry(action, "", at(float64(i)))))
	}
	for _, want := range []int{1, 1, 0} {
		if n, err := db.ForgetAudit(t.Context(), at(1), 1); n != want || err != nil {
			t.Fatalf("%d forgotten (%v), want %d", n, err, want)
		}
	}
	if got, want := actions(t, db, store.AuditFilter{}), []string{"c "}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

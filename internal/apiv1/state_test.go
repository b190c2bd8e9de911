package apiv1_test

import (
	"database/sql"
	"testing"

	"countersign/internal/pgtest"
	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// newAccount creates an account with the demo's secrets and returns its key.
func newAccount(t testing.TB, s *servertest.Server, a verify.Account, signatureMethod string, approved ...string) string {
	t.Helper()
	a.Key = store.NewAPIKey()
	err := s.Store().CreateAccount(t.Context(), store.NewAccount{
		Account: a, Secret: server.DemoSecret, Approved: approved,
		SignatureMethod: signatureMethod, SignatureSecret: server.DemoSignatureSecret,
	}, s.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a.Key
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens the database of a running server.
func open(t testing.TB, s *servertest.Server) *sql.DB {
	t.Helper()
	db, err := pgtest.Open(s.Database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// database changes the database without the server.
func database(t testing.TB, s *servertest.Server, statement string, args ...any) {
	t.Helper()
	if _, err := open(t, s).ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// written counts all rows that a request can write.
type written struct{ verifications, events, checks, ledger, messages, balance int64 }

func countWritten(t testing.TB, s *servertest.Server, db *sql.DB) written {
	t.Helper()
	var w written
	must(t, db.QueryRowContext(t.Context(), `SELECT (SELECT COUNT(*) FROM ledger), (SELECT COUNT(*) FROM phone_messages),
		(SELECT SUM(balance) FROM accounts)`).Scan(&w.ledger, &w.messages, &w.balance))
	found, err := s.Store().FindVerifications(t.Context(), store.VerificationFilter{Until: s.Clock.Now().AddDate(1, 0, 0), Limit: 1_000_000})
	must(t, err)
	for _, v := range found {
		w.verifications++
		w.events += int64(len(v.Events))
		w.checks += int64(len(v.Checks))
	}
	return w
}

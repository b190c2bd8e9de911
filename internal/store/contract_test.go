package store_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// TestStore runs the contract on each engine. Add a new engine here.
func TestStore(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		testStore(t, func(t *testing.T) *store.DB {
			return openFile(t, sqlite(t), key)
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		testStore(t, func(t *testing.T) *store.DB { return openFile(t, postgres(t), key) })
	})
}

// testStore is the contract of every engine. open returns an empty database that is closed
// at the end of the test.
func testStore(t *testing.T, open func(*testing.T) *store.DB) {
	for name, test := range map[string]func(*testing.T, *store.DB){
		"Accounts":              testAccounts,
		"AccountDuplicate":      testAccountDuplicate,
		"AccountChanges":        testAccountChanges,
		"AccountUnknown":        testAccountUnknown,
		"AccountApproved":       testAccountApproved,
		"AccountUnapprove":      testUnapprove,
		"AccountWarned":         testWarned,
		"AccountMessages":       testMessageSettings,
		"AccountUpdate":         testUpdateAccount,
		"AccountUpdateRace":     testUpdateAccountParallel,
		"AccountParents":        testParents,
		"AccountSecrets":        testSecrets,
		"AccountSecretsRace":    testSecretParallel,
		"AccountRotation":       testSecretRotation,
		"AccountSignature":      testSignatureRotation,
		"CredentialsUnknown":    testCredentialsUnknown,
		"Signatures":            testSignatures,
		"SignatureRace":         testSignatureRace,
		"LedgerCharge":          testCharge,
		"LedgerOnce":            testPostOnce,
		"LedgerUnlessRunning":   testChargeUnlessRunning,
		"LedgerParallel":        testParallelCharges,
		"LedgerSum":             testLedgerSum,
		"LedgerRange":           testLedgerRange,
		"LedgerDailyCap":        testDailyCap,
		"LedgerHold":            testHold,
		"LedgerShortage":        testShortage,
		"LedgerDailyCapRace":    testDailyCapParallel,
		"LedgerSubAccounts":     testSubAccounts,
		"Numbers":               testNumbers,
		"NumberForms":           testNumberForms,
		"NumberBlocked":         testBlockedNumber,
		"Prices":                testPrices,
		"PricesAllOrNothing":    testReplacePrices,
		"Verifications":         testVerifications,
		"VerificationFields":    testEveryField,
		"VerificationRunning":   testOneRunning,
		"VerificationUnknown":   testLoadUnknown,
		"Due":                   testDue,
		"DueReasons":            testDueReasons,
		"DueOnce":               testDueOnce,
		"NextDue":               testNextDue,
		"Backlog":               testBacklog,
		"LeaseAcquireRelease":   testAcquireRelease,
		"LeaseOpenEvent":        testLeaseOpenEvent,
		"LeaseFence":            testFence,
		"LeaseRenew":            testRenew,
		"LeaseFree":             testFree,
		"Postpone":              testPostpone,
		"OnUndeliverable":       testOnUndeliverable,
		"MessageIDs":            testMessageIDs,
		"MessageIDReused":       testMessageIDReused,
		"MessageIDBytes":        testMessageIDBytes,
		"Receipts":              testReceipts,
		"ReceiptForgotten":      testReceiptForgotten,
		"ReceiptEarly":          testReceiptEarly,
		"Archive":               testArchive,
		"ArchiveFields":         testArchiveEveryField,
		"ArchivePersonal":       testArchivePersonal,
		"ArchiveStays":          testArchiveStays,
		"ArchiveOrder":          testArchiveOrder,
		"ArchiveLate":           testArchiveLate,
		"ArchiveMessageIDs":     testArchiveMessageIDs,
		"Redact":                testRedact,
		"PurgeArchive":          testPurgeArchive,
		"LedgerEntries":         testEntries,
		"LedgerMoves":           testLedgerMoves,
		"ForgetMessages":        testForgetMessages,
		"ForgetNumber":          testForget,
		"ForgetNumberForms":     testForgetForms,
		"ForgetNumberHeld":      testForgetHeld,
		"ForgetReceipts":        testForgetReceipts,
		"FutureKeys":            testFutureKeys,
		"FutureReceipts":        testFutureReceipts,
		"FutureSecrets":         testFutureSecrets,
		"FutureBlocks":          testFutureBlocks,
		"RetentionState":        testRetentionState,
		"FraudNews":             testFraudNews,
		"FraudHours":            testFraudHours,
		"FraudBlocks":           testFraudBlocks,
		"FraudUnblock":          testFraudUnblock,
		"NumberHistories":       testNumberHistories,
		"NumberHistoryTwice":    testNumberHistoryTwice,
		"NumberHistoryParallel": testNumberHistoryParallel,
		"ForgetNumberHistory":   testForgetNumberHistory,
		"ResetNumberHistory":    testResetNumberHistory,
		"NumberHistoryClock":    testNumberHistoryClockBack,
		"NumberHistoryWalk":     testNumberHistoryWalk,
		"Refusals":              testRefusals,
		"RefusalsForgotten":     testRefusalsForgotten,
		"Explained":             testExplained,
		"Templates":             testTemplates,
		"TemplatesRollBack":     testTemplatesRollBack,
		"TemplatesUnknown":      testTemplatesUnknown,
		"TemplatesParallel":     testTemplatesParallel,
		"AuditWith":             testAuditWith,
		"AuditFilter":           testAuditFilter,
		"AuditForgotten":        testAuditForgotten,
		"FindVerifications":     testFindVerifications,
		"WriteUndone":           testWriteUndone,
		"WriteLimited":          testWriteLimited,
		"WriteParallel":         testParallelWrites,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

var (
	key = vault.NewKey()
	t0  = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
)

// at is the time s seconds after the start.
func at(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }

func openFile(t *testing.T, path string, key vault.Key) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Database: path, Key: key, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

// sqlite makes a file with the schema in it.
func sqlite(t *testing.T) string {
	t.Helper()
	return pgtest.File(t, filepath.Join(t.TempDir(), "countersign.db"), "migrated", store.Migrate)
}

// postgres makes a database with the schema in it.
func postgres(t *testing.T) string {
	t.Helper()
	return pgtest.Prepared(t, "migrated", store.Migrate)
}

// must fails the test on an unexpected error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write runs do in a transaction that must succeed.
func write(t *testing.T, db *store.DB, do func(*store.Tx) error) {
	t.Helper()
	must(t, db.Write(t.Context(), store.Scope{}, do))
}

// addAccount makes an account with a balance.
func addAccount(t *testing.T, db *store.DB, key string, balance verify.Money) {
	t.Helper()
	must(t, db.CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{Key: key, Name: "Test", Balance: balance}, Secret: "secret of " + key,
	}, t0))
}

func request(account, number string) verify.Request {
	return verify.Request{
		Account: account, To: verify.PhoneAddress(number, "GB"), Brand: "Acme", Locale: "en-gb", CodeLength: 4,
		Workflow: verify.Workflow{
			Steps:   []verify.Step{{Channel: verify.SMS, Wait: 125 * time.Second}, {Channel: verify.TTS, Wait: 180 * time.Second}},
			PINLife: 300 * time.Second, PINPolicy: verify.ReusePIN, CancelAfter: 30 * time.Second,
		},
	}
}

// start begins a verification as the engine does: a price must be covered by the balance of
// the payer, unless onCredit. The first event is in flight on node-1.
func start(ctx context.Context, db *store.DB, b verify.Beginning, onCredit bool, now time.Time) (verify.Verification, error) {
	scope := store.Scope{Number: b.To.Given, Begins: b.Account, Account: cmp.Or(b.Payer, b.Account)}
	return startIn(ctx, db, scope, b, onCredit, now)
}

// startIn is start in any scope. A scope avoids deadlocks and round trips; the result is the
// same.
func startIn(ctx context.Context, db *store.DB, scope store.Scope, b verify.Beginning, onCredit bool, now time.Time) (v verify.Verification, err error) {
	err = db.Write(ctx, scope, func(tx *store.Tx) error {
		c, err := beginning(tx, b, onCredit, now)
		if err != nil {
			return err
		}
		v = c.Verification
		return tx.Save(c)
	})
	return v, err
}

// beginning loads the input of verify.Begin and runs it. Its only write is the end of an
// expired verification.
func beginning(tx *store.Tx, b verify.Beginning, onCredit bool, now time.Time) (c verify.Change, err error) {
	b.Payer, b.Node, b.History = cmp.Or(b.Payer, b.Account), "node-1", verify.Uncapped{}
	running, found, err := tx.Running(b.Account, b.To)
	if err != nil {
		return c, err
	}
	if found {
		b.Running = &running
	}
	if b.Price != 0 {
		if b.Funds, err = tx.Funds(b.Account, b.Payer, onCredit); err != nil {
			return c, err
		}
	}
	c, ended, err := verify.Begin(b, now, rand.Reader)
	if ended != nil {
		err = cmp.Or(err, tx.Save(*ended))
	}
	return c, err
}

// begin adds a verification without a price. Its first event is in flight on node-1.
func begin(t testing.TB, db *store.DB, req verify.Request, now time.Time) verify.Verification {
	t.Helper()
	v, err := start(context.WithoutCancel(t.Context()), db, verify.Beginning{Request: req}, false, now)
	must(t, err)
	return v
}

// sent adds a verification without a price or lease. Carrier a accepted its first event under
// the message ids.
func sent(t testing.TB, db *store.DB, req verify.Request, now time.Time, refs ...string) verify.Verification {
	t.Helper()
	v := begin(t, db, req, now)
	return save(t, db, v.Outcome(accepted(v, refs...), onFailure(), now))
}

// accepted is the outcome of the newest event, by carrier a.
func accepted(v verify.Verification, refs ...string) verify.Outcome {
	return outcome(v, verify.EventAccepted, refs...)
}

// outcome is an outcome of the newest event, with the token of the lease.
func outcome(v verify.Verification, state verify.EventState, refs ...string) verify.Outcome {
	e := v.Events[len(v.Events)-1]
	return verify.Outcome{Event: e.Seq, Attempt: e.Attempt, Token: v.Lease.Token, State: state, Carrier: "a", Refs: refs}
}

// onFailure keeps to the timings of the workflow.
func onFailure() verify.OnFailure {
	return verify.OnFailure{Failed: func(s verify.EventState) bool { return verify.Event{State: s}.Failed() }}
}

// save writes a change, and returns the verification.
func save(t testing.TB, db *store.DB, c verify.Change) verify.Verification {
	t.Helper()
	must(t, db.Write(context.WithoutCancel(t.Context()), store.Scope{}, func(tx *store.Tx) error { return tx.Save(c) }))
	return c.Verification
}

// put writes a verification that the test made up.
func put(t testing.TB, db *store.DB, v verify.Verification) verify.Verification {
	t.Helper()
	return save(t, db, verify.Change{Verification: v})
}

// cancelled cancels a verification.
func cancelled(t testing.TB, db *store.DB, v verify.Verification, now time.Time) verify.Verification {
	t.Helper()
	c, err := v.Cancel(now)
	must(t, err)
	return save(t, db, c)
}

// checked submits a code, right or wrong.
func checked(t testing.TB, db *store.DB, v verify.Verification, code verify.PIN, ip string, now time.Time) verify.Verification {
	t.Helper()
	c, err := v.Check(code, ip, verify.Uncapped{}, now)
	must(t, err)
	return save(t, db, c)
}

// lease returns the verification with a new lease of a node.
func lease(v verify.Verification, node string, until time.Time) verify.Verification {
	v.Lease = verify.Lease{Node: node, Until: until, Token: v.Lease.Token + 1}
	return v
}

// released returns the verification without a lease.
func released(v verify.Verification) verify.Verification {
	v.Lease = verify.Lease{Token: v.Lease.Token + 1}
	return v
}

// get loads a verification that must be in the table of requests.
func get(t *testing.T, db *store.DB, id verify.ID) (v verify.Verification) {
	t.Helper()
	write(t, db, func(tx *store.Tx) (err error) {
		var ok bool
		v, ok, err = tx.Verification(id)
		if err == nil && !ok {
			t.Fatalf("verification %s does not exist", id)
		}
		return err
	})
	return v
}

// find reads a verification that must be there, live or archived.
func find(t *testing.T, db *store.DB, id verify.ID) verify.Verification {
	t.Helper()
	v, ok, err := db.Verification(t.Context(), id)
	if err != nil || !ok {
		t.Fatalf("Verification(%s): %v, %v", id, ok, err)
	}
	return v
}

// isRefusal reports whether err is a refusal of a kind.
func isRefusal(err error, kind verify.Kind) bool {
	refusal, ok := errors.AsType[*verify.Error](err)
	return ok && refusal.Kind == kind
}

// due lists the ids of due rows, and fails on rows that cannot be decoded.
func due(t *testing.T, db *store.DB, now time.Time, limit int) []verify.ID {
	t.Helper()
	var ids []verify.ID
	write(t, db, func(tx *store.Tx) error {
		rows, broken, err := tx.Due(now, limit)
		if len(broken) > 0 {
			t.Errorf("rows that cannot be read: %v", broken)
		}
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		return err
	})
	return ids
}

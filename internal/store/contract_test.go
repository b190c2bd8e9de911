package store_test

import (
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// TestStore runs the contract on every engine that there is. Adding one adds a
// line here.
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

// testStore is what every engine must do. open gives an empty database that is
// closed when its test ends.
func testStore(t *testing.T, open func(*testing.T) *store.DB) {
	for name, test := range map[string]func(*testing.T, *store.DB){
		"Accounts":             testAccounts,
		"AccountDuplicate":     testAccountDuplicate,
		"AccountChanges":       testAccountChanges,
		"AccountUnknown":       testAccountUnknown,
		"AccountApproved":      testAccountApproved,
		"AccountUnapprove":     testUnapprove,
		"AccountWarned":        testWarned,
		"AccountMessages":      testMessageSettings,
		"AccountUpdate":        testUpdateAccount,
		"AccountUpdateRace":    testUpdateAccountParallel,
		"AccountParents":       testParents,
		"AccountSecrets":       testSecrets,
		"AccountSecretsRace":   testSecretParallel,
		"AccountRotation":      testSecretRotation,
		"AccountSignature":     testSignatureRotation,
		"CredentialsUnknown":   testCredentialsUnknown,
		"Signatures":           testSignatures,
		"SignatureRace":        testSignatureRace,
		"LedgerCharge":         testCharge,
		"LedgerUnlessRunning":  testChargeUnlessRunning,
		"LedgerParallel":       testParallelCharges,
		"LedgerSum":            testLedgerSum,
		"LedgerRange":          testLedgerRange,
		"LedgerDailyCap":       testDailyCap,
		"LedgerCover":          testCover,
		"LedgerShortage":       testShortage,
		"LedgerDailyCapRace":   testDailyCapParallel,
		"LedgerSubAccounts":    testSubAccounts,
		"Numbers":              testNumbers,
		"NumberForms":          testNumberForms,
		"NumberBlocked":        testBlockedNumber,
		"Prices":               testPrices,
		"PricesAllOrNothing":   testReplacePrices,
		"Verifications":        testVerifications,
		"VerificationRunning":  testOneRunning,
		"VerificationIsolated": testIsolation,
		"VerificationUnknown":  testLoadUnknown,
		"ClaimDue":             testDue,
		"ClaimTakeRelease":     testTakeRelease,
		"ClaimReleaseOpen":     testReleaseOpen,
		"ClaimReleaseRefund":   testReleaseRefund,
		"ClaimFence":           testFence,
		"ClaimPostpone":        testPostpone,
		"ClaimOnce":            testClaimOnce,
		"NextDue":              testNextDue,
		"Backlog":              testBacklog,
		"Events":               testEvents,
		"EventOutcome":         testEventOutcome,
		"EventLate":            testEventLate,
		"EventReported":        testEventReported,
		"Find":                 testFind,
		"OnUndeliverable":      testOnUndeliverable,
		"Parts":                testParts,
		"PartReused":           testPartReused,
		"PartBytes":            testPartBytes,
		"PartTaken":            testPartTaken,
		"Renew":                testRenew,
		"Receipts":             testReceipts,
		"ReceiptForgotten":     testReceiptForgotten,
		"Checks":               testChecks,
		"Archive":              testArchive,
		"ArchiveStays":         testArchiveStays,
		"ArchiveOrder":         testArchiveOrder,
		"ArchiveLate":          testArchiveLate,
		"Redact":               testRedact,
		"Drop":                 testDrop,
		"LedgerEntries":        testEntries,
		"LedgerMoves":          testLedgerMoves,
		"ForgetMessages":       testForgetMessages,
		"ForgetNumber":         testForget,
		"ForgetNumberForms":    testForgetForms,
		"ForgetNumberHeld":     testForgetHeld,
		"ForgetReceipts":       testForgetReceipts,
		"FutureKeys":           testFutureKeys,
		"FutureReceipts":       testFutureReceipts,
		"FutureSecrets":        testFutureSecrets,
		"FutureBlocks":         testFutureBlocks,
		"RetentionState":       testRetentionState,
		"FraudNews":            testFraudNews,
		"FraudHours":           testFraudHours,
		"FraudBlocks":          testFraudBlocks,
		"FraudUnblock":         testFraudUnblock,
		"Guards":               testGuards,
		"GuardTwice":           testGuardTwice,
		"GuardParallel":        testGuardParallel,
		"GuardForgotten":       testGuardForgotten,
		"GuardClear":           testClearGuard,
		"GuardWalk":            testGuardWalk,
		"Refusals":             testRefusals,
		"RefusalsForgotten":    testRefusalsForgotten,
		"Explained":            testExplained,
		"Templates":            testTemplates,
		"TemplatesRollBack":    testTemplatesRollBack,
		"TemplatesUnknown":     testTemplatesUnknown,
		"TemplatesParallel":    testTemplatesParallel,
		"Phone":                testPhone,
		"AuditWith":            testAuditWith,
		"AuditFilter":          testAuditFilter,
		"AuditForgotten":       testAuditForgotten,
		"FindVerifications":    testFindVerifications,
		"WriteUndone":          testWriteUndone,
		"WriteLimited":         testWriteLimited,
		"WriteParallel":        testParallelWrites,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

var (
	key = store.NewKey()
	t0  = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
)

// at is the time s seconds after the start.
func at(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }

func openFile(t *testing.T, path string, key store.Key) *store.DB {
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

// must fails the test on an error that it is not about.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write runs do in a transaction that must succeed.
func write(t *testing.T, db *store.DB, do func(*store.Tx) error) {
	t.Helper()
	must(t, db.Write(t.Context(), do))
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
		Account: account, Number: number, Country: "GB", Brand: "Acme", Locale: "en-gb", CodeLength: 4,
		Workflow: verify.Workflow{
			Steps:   []verify.Step{{Channel: verify.SMS, Wait: 125 * time.Second}, {Channel: verify.TTS, Wait: 180 * time.Second}},
			PINLife: 300 * time.Second, PINPolicy: verify.ReusePIN, CancelAfter: 30 * time.Second,
		},
	}
}

// insert adds a verification that was accepted at now and that nobody holds.
func insert(t *testing.T, db *store.DB, req verify.Request, now time.Time) (*store.Row, verify.Event) {
	t.Helper()
	v, e := verify.Start(req, verify.Unit, now, rand.Reader)
	row := &store.Row{Verification: v}
	write(t, db, func(tx *store.Tx) error { return tx.Insert(row, e) })
	return row, e
}

// get loads a verification that must be there.
func get(t *testing.T, db *store.DB, account string, id verify.ID) *store.Row {
	t.Helper()
	var row *store.Row
	write(t, db, func(tx *store.Tx) error {
		r, ok, err := tx.Get(account, id)
		if err == nil && !ok {
			t.Fatalf("there is no verification %s", id)
		}
		row = r
		return err
	})
	return row
}

// due lists the ids that are due, and fails on a row that cannot be read.
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

package billing_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"countersign/internal/billing"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// broken is a writer to a full disk.
type broken struct{}

var errFull = errors.New("no space left on device")

func (broken) Write([]byte) (int, error) { return 0, errFull }

func export(t *testing.T, db *store.DB, carrier string) string {
	t.Helper()
	var text strings.Builder
	must(t, billing.Export(t.Context(), db, carrier, &text))
	return text.String()
}

// TestSetPrice: a price replaces an open-ended price from its start, only in its own list.
func TestSetPrice(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db.ReplacePrices(t.Context(), "", []verify.Price{{Amount: verify.Unit}, {Country: "GB", Amount: 2 * verify.Unit}}))
	must(t, db.ReplacePrices(t.Context(), "smsc", []verify.Price{{Country: "GB", Amount: verify.Unit}}))
	set := func(p verify.Price) {
		t.Helper()
		must(t, billing.SetPrice(t.Context(), db, p, t0))
	}
	set(verify.Price{Country: "GB", Amount: 3 * verify.Unit, From: day(2026, 3, 1)})
	set(verify.Price{Amount: 4 * verify.Unit, From: day(2026, 3, 1), Until: day(2026, 4, 1)})
	set(verify.Price{Prefix: "44", Channel: verify.TTS, Amount: 5 * verify.Unit})
	set(verify.Price{Carrier: "smsc", Country: "GB", Amount: 6 * verify.Unit, From: day(2026, 3, 1)})
	const want = `country,prefix,channel,price,valid_from,valid_until
*,,,1.00000000,,2026-03-01
*,,,4.00000000,2026-03-01,2026-04-01
*,,,1.00000000,2026-04-01,
,44,tts,5.00000000,,
GB,,,2.00000000,,2026-03-01
GB,,,3.00000000,2026-03-01,
`
	if got := export(t, db, ""); got != want {
		t.Errorf("the prices of accounts are\n%swant\n%s", got, want)
	}
	const carrier = "country,price,valid_from,valid_until\nGB,1.00000000,,2026-03-01\nGB,6.00000000,2026-03-01,\n"
	if got := export(t, db, "smsc"); got != carrier {
		t.Errorf("the prices of the carrier are\n%swant\n%s", got, carrier)
	}
	if got := export(t, db, "other"); got != "country,price\n" {
		t.Errorf("the prices of another carrier are\n%s", got)
	}
}

// TestSetPriceRefuses: an invalid price, or one that leaves accounts without a default,
// does not change the list.
func TestSetPriceRefuses(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db.ReplacePrices(t.Context(), "", nil))
	for _, tt := range []struct {
		price verify.Price
		want  string
	}{
		{verify.Price{Country: "XX"}, `"XX" is not a country`},
		{verify.Price{Amount: -1}, "out of range"},
		{verify.Price{Country: "GB"}, "no price for all other countries (*)"},
		{verify.Price{Channel: verify.SMS}, "no price for all other countries (*)"},
		{verify.Price{From: day(2026, 2, 2)}, "no price for all other countries (*)"},
		{verify.Price{Until: day(2026, 3, 1)}, "no price for all other countries (*) from 2026-03-01T00:00:00Z on"},
	} {
		if err := billing.SetPrice(t.Context(), db, tt.price, t0); err == nil || !strings.HasSuffix(err.Error(), tt.want) && !strings.Contains(err.Error(), tt.want+" (") {
			t.Errorf("%+v: %v, want %q", tt.price, err, tt.want)
		} else if strings.Contains(tt.want, "no price") != errors.Is(err, billing.ErrNoDefault) {
			t.Errorf("%+v: %v is ErrNoDefault: %v", tt.price, err, errors.Is(err, billing.ErrNoDefault))
		}
	}
	if got := export(t, db, ""); got != "country,price\n" {
		t.Errorf("refused prices were set:\n%s", got)
	}
	must(t, billing.SetPrice(t.Context(), db, verify.Price{Carrier: "smsc", Country: "GB", Amount: 1}, t0)) // carriers need no default
	must(t, billing.SetPrice(t.Context(), db, verify.Price{Amount: 1, From: t0}, t0))
}

// TestNoDatabase: every call reports a closed database.
func TestNoDatabase(t *testing.T) {
	t.Parallel()
	db := open(t)
	addAccount(t, db, verify.Account{Key: "acme0001"})
	watch, _ := newWatch(db, &bytes.Buffer{}, 1)
	must(t, db.Close())
	ctx := t.Context()
	for name, do := range map[string]func() error{
		"Export":   func() error { return billing.Export(ctx, db, "", &bytes.Buffer{}) },
		"SetPrice": func() error { return billing.SetPrice(ctx, db, verify.Price{Amount: 1}, t0) },
		"WriteLedger": func() error {
			_, err := billing.WriteLedger(ctx, db, "", time.Time{}, time.Time{}, &bytes.Buffer{})
			return err
		},
		"Books": func() error { _, _, err := billing.Books(ctx, db, ""); return err },
		"Books of one": func() error {
			_, _, err := billing.Books(ctx, db, "acme0001")
			return err
		},
		"Watch": func() error { return watch.Once(ctx) },
	} {
		if err := do(); err == nil || errors.Is(err, store.ErrNoAccount) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBrokenLedger: an account without readable entries is an error, not an empty ledger.
func TestBrokenLedger(t *testing.T) {
	t.Parallel()
	db, path := openAt(t)
	var text bytes.Buffer
	if n, err := billing.WriteLedger(t.Context(), db, "", time.Time{}, time.Time{}, &text); n != 0 || err != nil || text.String() != "time,account,account_name,sub_account,kind,amount,key\n" {
		t.Errorf("without accounts: %d entries, %v: %q", n, err, text.String())
	}
	addAccount(t, db, verify.Account{Key: "acme0001", Balance: 5})
	raw, err := pgtest.Open(path)
	must(t, err)
	defer raw.Close()
	_, err = raw.ExecContext(t.Context(), `ALTER TABLE ledger_past RENAME TO lost`)
	must(t, err)
	if _, err := billing.WriteLedger(t.Context(), db, "", time.Time{}, time.Time{}, &bytes.Buffer{}); err == nil {
		t.Error("WriteLedger reports no error")
	}
	if _, _, err := billing.Books(t.Context(), db, ""); err == nil {
		t.Error("Books reports no error")
	}
}

// TestFullDisk: a failed export returns an error.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	db := open(t)
	addAccount(t, db, verify.Account{Key: "acme0001", Balance: 5})
	if err := billing.Export(t.Context(), db, "", broken{}); !errors.Is(err, errFull) {
		t.Errorf("Export: %v", err)
	}
	if _, err := billing.WriteLedger(t.Context(), db, "", time.Time{}, time.Time{}, broken{}); !errors.Is(err, errFull) {
		t.Errorf("WriteLedger: %v", err)
	}
}

package store_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

func refused(n byte, account, number string, last float64) verify.Refusal {
	return verify.Refusal{
		ID: verify.ID{n}, Account: account, Number: number, Source: "192.0.2.1", Times: int64(n), First: t0, Last: at(last),
		Cause: verify.Cause{Rule: verify.RuleCap, Detail: "sends_10m", Count: 5, Limit: 5, Until: at(600)},
	}
}

// refusals lists the refusals that a filter selects, by the first byte of their ids.
func refusals(t *testing.T, db *store.DB, f store.RefusalFilter) (ids string, list []verify.Refusal) {
	t.Helper()
	f.Limit = 10
	list, err := db.Refusals(t.Context(), f)
	must(t, err)
	for _, r := range list {
		ids += fmt.Sprint(r.ID[0])
	}
	return ids, list
}

func testRefusals(t *testing.T, db *store.DB) {
	const number, twin, other = "5491112345678", "541112345678", "447700900000" // two forms of one number
	all := []verify.Refusal{
		refused(1, "demo0001", number, 1), refused(2, "demo0001", twin, 2), refused(3, "trial001", number, 3),
		refused(4, "demo0001", other, 4), refused(5, "demo0001", "", 5), refused(6, "", "", 6),
	}
	must(t, db.SaveRefusals(t.Context(), all, nil))
	must(t, db.SaveRefusals(t.Context(), all, nil)) // repeated, as after an unknown outcome
	for _, tt := range []struct {
		filter store.RefusalFilter
		want   string
	}{
		{store.RefusalFilter{}, "654321"},
		{store.RefusalFilter{Number: number}, "321"},
		{store.RefusalFilter{Number: twin, Account: "demo0001"}, "21"},
		{store.RefusalFilter{Account: "demo0001", Unnamed: true}, "5"},
		{store.RefusalFilter{Since: at(5)}, "65"},
		{store.RefusalFilter{Number: "447700900001"}, ""},
	} {
		if got, _ := refusals(t, db, tt.filter); got != tt.want {
			t.Errorf("%+v finds %s, want %s", tt.filter, got, tt.want)
		}
	}
	changed := all[3]
	changed.Times, changed.Last, changed.Detail, changed.Until, changed.Source = 99, at(9), "streak", time.Time{}, "2001:db8::1"
	must(t, db.SaveRefusals(t.Context(), nil, []verify.Refusal{changed}))
	if _, got := refusals(t, db, store.RefusalFilter{Number: other}); len(got) != 1 || !reflect.DeepEqual(got[0], changed) {
		t.Errorf("got %+v, want %+v", got, changed)
	}

	// Old refusals lose number and address, and are deleted later.
	n, err := db.RedactRefusals(t.Context(), at(4), 2)
	if m, err2 := db.RedactRefusals(t.Context(), at(4), 2); n != 2 || m != 1 || err != nil || err2 != nil {
		t.Errorf("redacted %d (%v) and %d (%v), want 2 and 1", n, err, m, err2)
	}
	if ids, list := refusals(t, db, store.RefusalFilter{}); ids != "465321" || list[3].Number != "" || list[3].Source != "" || list[0].Number != other {
		t.Errorf("after redaction: %s %+v", ids, list)
	}
	n, err = db.ForgetRefusals(t.Context(), at(2), 10)
	if ids, _ := refusals(t, db, store.RefusalFilter{}); n != 2 || err != nil || ids != "4653" {
		t.Errorf("forgot %d (%v), %s are left", n, err, ids)
	}
}

// testRefusalsForgotten: the erasure of a number deletes its refusals, and later counts by
// a node do not restore them.
func testRefusalsForgotten(t *testing.T, db *store.DB) {
	must(t, db.SaveRefusals(t.Context(), []verify.Refusal{
		refused(1, "demo0001", "5491112345678", 1), refused(2, "demo0001", "541112345678", 2), refused(3, "demo0001", "447700900000", 3),
	}, nil))
	done, err := db.ForgetNumber(t.Context(), store.Forget{Number: "541112345678"}, at(10))
	must(t, err)
	must(t, db.SaveRefusals(t.Context(), nil, []verify.Refusal{refused(1, "demo0001", "5491112345678", 11)}))
	if ids, _ := refusals(t, db, store.RefusalFilter{}); done.Refusals != 2 || ids != "3" {
		t.Errorf("forgot %d, %s are left", done.Refusals, ids)
	}
}

// testExplained: a verification has the ids of carriers, the times of receipts and its
// ledger, before and after it moves to the archive.
func testExplained(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 10*verify.Unit)
	v, err := start(t.Context(), db, verify.Beginning{Request: request("demo0001", "447700900000"), Price: 30}, false, t0)
	must(t, err)
	o := accepted(v, "id-é", "2")
	o.Cost = 3
	v = save(t, db, v.Outcome(o, onFailure(), at(2)))
	c, _, _ := v.Receipt(verify.Receipt{Ref: verify.Ref{Carrier: "a", ID: "id-é"}, State: verify.EventDelivered, Error: "000"}, onFailure(), at(7))
	v = save(t, db, c)
	want := []verify.Part{
		{Attempt: 1, Count: 2, Carrier: "a", Ref: "id-é", State: verify.EventDelivered, Error: "000", ReportedAt: at(7)},
		{Attempt: 1, Seq: 1, Count: 2, Carrier: "a", Ref: "2", State: verify.EventAccepted},
	}
	look := func(when string) {
		t.Helper()
		v, ok, err := db.Verification(t.Context(), v.ID)
		if err != nil || !ok || !reflect.DeepEqual(v.Events[0].Parts, want) {
			t.Errorf("%s: %v, %+v, want parts %+v", when, err, v, want)
		}
		entries, err := db.EntriesOf(t.Context(), v)
		if err != nil || len(entries) != 2 || entries[0].Kind != "charge" || entries[1].Kind != "carrier-cost" {
			t.Errorf("%s: %v, entries %+v", when, err, entries)
		}
	}
	look("in progress")
	save(t, db, v.Withdraw(at(10)))
	moved, err := db.Archive(t.Context(), store.Cutoffs{Codes: at(1e7)}, 10)
	if err != nil || moved != 1 {
		t.Fatalf("archived %d: %v", moved, err)
	}
	look("archived")
	_, err = db.SettleLedger(t.Context(), at(1e7), 100)
	must(t, err)
	look("settled")
}

// TestExplainedInLocale: the ledger of a verification is complete in a PostgreSQL database
// with a locale that ignores the "/" in keys.
func TestExplainedInLocale(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Start(t)
	first := postgres.Create(t, "template0")
	pgtest.Exec(t, first, "CREATE DATABASE shifted TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-u-ka-shifted'")
	database := strings.Replace(first, "/"+pgtest.Name(first)+"?", "/shifted?", 1)
	must(t, store.Migrate(t.Context(), database))
	db, err := open(t, database, key, true)
	must(t, err)
	defer db.Close()
	testExplained(t, db)
}

// TestRefusalSize: a row of the longest values takes no more than the documented size,
// with its indexes.
func TestRefusalSize(t *testing.T) {
	t.Parallel()
	const rows, most = 5000, 500
	path := sqlite(t)
	db := openFile(t, path, key)
	size := func() int64 {
		t.Helper()
		_, err := db.ForgetNumber(t.Context(), store.Forget{Number: "447700900000"}, t0) // empties the log into the file
		must(t, err)
		info, err := os.Stat(path)
		must(t, err)
		return info.Size()
	}
	before := size()
	for batch := range rows / 500 {
		var list []verify.Refusal
		for i := range 500 {
			r := refused(1, "demo0001", fmt.Sprintf("4477%011d", batch*500+i), float64(batch))
			r.ID = verify.NewID(rand.Reader)
			r.Detail, r.Source = strings.Repeat("x", 120), "2001:0db8:1234:5678:9abc:def0:1234:5678"
			list = append(list, r)
		}
		must(t, db.SaveRefusals(t.Context(), list, nil))
	}
	each := (size() - before) / rows
	t.Logf("%d bytes a row", each)
	if each > most {
		t.Errorf("a row takes %d bytes, want at most %d", each, most)
	}
}

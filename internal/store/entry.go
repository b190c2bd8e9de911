package store

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/verify"
)

// Entry is an entry of the ledger.
type Entry struct {
	Key        string // unique key, such as charge/<request id>
	Account    string // account whose balance it changes, if it Counts
	SubAccount string // account of the verification if another account pays, else ""
	Kind       string // charge, refund, top-up, carried, carrier-cost or carried-cost
	Amount     verify.Money
	CreatedAt  time.Time
}

// EntryFilter selects entries of an account.
type EntryFilter struct {
	Account string
	From    time.Time // inclusive; zero for no bound
	Until   time.Time // exclusive; zero for no bound
	After   *Entry    // only later entries in the order of the list; nil for all
	Limit   int
}

const entryColumns = `key, account, sub_account, kind, amount, created_at`

// Entries lists entries of an account, settled ones included, by time. Pass the last
// entry as After to continue. Entries that SettleLedger moves between two calls are
// listed exactly once. Entries that CarryLedger rolls up between two calls may be missing
// or counted twice.
func (db *DB) Entries(ctx context.Context, f EntryFilter) ([]Entry, error) {
	from, until := int64(0), int64(1)<<62
	key := ""
	if !f.From.IsZero() {
		from = millis(f.From)
	}
	if !f.Until.IsZero() {
		until = millis(f.Until)
	}
	if f.After != nil {
		from, key = millis(f.After.CreatedAt), f.After.Key
	}
	const some = ` WHERE account = $1 AND created_at >= $2 AND created_at < $3 AND (created_at > $2 OR key > $4)`
	return db.entries(ctx, `SELECT `+entryColumns+` FROM ledger`+some+`
		UNION ALL SELECT `+entryColumns+` FROM ledger_past`+some+` ORDER BY created_at, key LIMIT $5`,
		f.Account, from, until, key, f.Limit)
}

// entriesWithin is the time after the end of a verification in which it may get entries:
// late costs and refunds.
const entriesWithin = 48 * time.Hour

// EntriesOf lists the entries of a verification, oldest first: its charge, its refund
// and the costs of its events. Entries that were carried over are not listed.
func (db *DB) EntriesOf(ctx context.Context, rec verify.Verification) ([]Entry, error) {
	end := rec.FinalizedAt
	if end.IsZero() {
		end = rec.SubmittedAt.Add(longestLife)
	}
	args := []any{rec.Account, rec.Payer, millis(rec.SubmittedAt), millis(end.Add(entriesWithin)), "charge/" + rec.ID.Hex(), "refund/" + rec.ID.Hex()}
	keys := `(key IN ($5, $6)`
	for _, e := range rec.Events {
		prefix := "cost/" + e.ID.Hex()
		args = append(args, prefix+"/", prefix+"0") // "0" follows "/"
		keys += fmt.Sprintf(` OR key >= $%d AND key < $%d`, len(args)-1, len(args))
	}
	keys += `)`
	return db.entries(ctx, `SELECT `+entryColumns+` FROM ledger WHERE created_at >= $3 AND `+keys+`
		UNION ALL SELECT `+entryColumns+` FROM ledger_past
		WHERE account IN (SELECT $1 UNION SELECT $2 UNION SELECT parent FROM accounts WHERE key = $1)
			AND created_at >= $3 AND created_at < $4 AND `+keys+` ORDER BY created_at, key`, args...)
}

// NewestEntries lists the newest entries of an account, newest first.
func (db *DB) NewestEntries(ctx context.Context, account string, limit int) ([]Entry, error) {
	return db.entries(ctx, `SELECT `+entryColumns+` FROM ledger WHERE account = $1
		UNION ALL SELECT `+entryColumns+` FROM ledger_past WHERE account = $1 ORDER BY created_at DESC, key DESC LIMIT $2`, account, limit)
}

func (db *DB) entries(ctx context.Context, query string, args ...any) (entries []Entry, err error) {
	rows, err := db.query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list the ledger: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e Entry
		var created int64
		if err := rows.Scan(&e.Key, &e.Account, &e.SubAccount, &e.Kind, &e.Amount, &created); err != nil {
			return nil, fmt.Errorf("list the ledger: %w", err)
		}
		e.CreatedAt = fromMillis(created)
		entries = append(entries, e)
	}
	return entries, rows.Err()
}

// Book compares an account's balance with the sum of its entries. A difference is an
// error in the ledger.
type Book struct {
	Account      string
	Balance, Sum verify.Money
	Entries      int          // number of entries, carried ones included
	Carried      verify.Money // part of the sum that was carried over
	Costs        verify.Money // carrier charges, not part of the sum; 0 or less
}

// Book reads an account's balance and entries in one snapshot. ok is false for an unknown
// account.
func (db *DB) Book(ctx context.Context, account string) (b Book, ok bool, err error) {
	rows, err := db.query(ctx, `SELECT a.key, a.balance, COUNT(e.kind),
			CAST(COALESCE(SUM(CASE WHEN e.`+counted+` THEN e.amount ELSE 0 END), 0) AS BIGINT),
			CAST(COALESCE(SUM(CASE WHEN e.kind = 'carried' THEN e.amount ELSE 0 END), 0) AS BIGINT),
			CAST(COALESCE(SUM(CASE WHEN e.`+counted+` THEN 0 ELSE e.amount END), 0) AS BIGINT)
		FROM accounts a LEFT JOIN (SELECT account, kind, amount FROM ledger WHERE account = $1
			UNION ALL SELECT account, kind, amount FROM ledger_past WHERE account = $1) e ON e.account = a.key
		WHERE a.key = $1 GROUP BY a.key, a.balance`, account)
	if err != nil {
		return b, false, fmt.Errorf("read the book of account %s: %w", account, err)
	}
	defer rows.Close()
	if !rows.Next() {
		return b, false, rows.Err()
	}
	if err := rows.Scan(&b.Account, &b.Balance, &b.Entries, &b.Sum, &b.Carried, &b.Costs); err != nil {
		return b, false, fmt.Errorf("read the book of account %s: %w", account, err)
	}
	return b, true, rows.Err()
}

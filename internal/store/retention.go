package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"countersign/internal/store/driver"
	"countersign/internal/verify"
)

// Redact erases numbers and other personal data from up to limit archived verifications
// that ended at or before a time, oldest first. It returns their number.
func (db *DB) Redact(ctx context.Context, ended time.Time, limit int) (redacted int, err error) {
	err = db.Write(ctx, Scope{}, func(tx *Tx) error {
		ids, first, last, err := tx.named(ended, limit)
		redacted = len(ids)
		if err != nil || redacted == 0 {
			return err
		}
		set, err := tx.idSet(ids)
		if err != nil {
			return err
		}
		// The times exclude the other partitions.
		return tx.send(`UPDATE archive SET address = NULL, personal = NULL
			WHERE id`+tx.dialect.Among+` AND finalized_at BETWEEN $2 AND $3`, set, first, last)
	})
	if err != nil {
		return 0, fmt.Errorf("redact: %w", err)
	}
	return redacted, nil
}

// named finds archived verifications with their number.
func (tx *Tx) named(ended time.Time, limit int) (ids []verify.ID, first, last int64, err error) {
	rows, err := tx.query(`SELECT id, finalized_at FROM archive
		WHERE address IS NOT NULL AND finalized_at <= $1 ORDER BY finalized_at LIMIT $2`+tx.dialect.Claim, millis(ended), limit)
	if err != nil {
		return nil, 0, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id, &last); err != nil {
			return nil, 0, 0, err
		}
		if len(ids) == 0 {
			first = last
		}
		ids = append(ids, verify.ID(id))
	}
	return ids, first, last, rows.Err()
}

// PurgeArchive deletes archived verifications that ended at or before a time, oldest first.
// On SQLite it deletes up to limit rows; on PostgreSQL one month, once all its rows are old
// enough. more reports whether others may remain.
func (db *DB) PurgeArchive(ctx context.Context, ended time.Time, limit int) (more bool, err error) {
	if dropped, partitioned, err := db.engine.DropPartition(ctx, archiveTable, ended); partitioned || err != nil {
		return dropped, err
	}
	err = db.Write(ctx, Scope{}, func(tx *Tx) error {
		n, err := tx.exec(`DELETE FROM archive WHERE id IN (
			SELECT id FROM archive WHERE finalized_at <= $1 ORDER BY finalized_at LIMIT $2)`, millis(ended), limit)
		more = n == int64(limit)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("purge the archive: %w", err)
	}
	return more, nil
}

// SettleLedger moves up to limit ledger entries created at or before made to ledger_past,
// oldest first per account, and returns their number. Requests do not read that table;
// its entries still count.
func (db *DB) SettleLedger(ctx context.Context, made time.Time, limit int) (settled int, err error) {
	settled, err = db.moveEntries(ctx, made, limit, ledgerMove{
		oldest: `SELECT created_at FROM ledger WHERE account = accounts.key AND ` + notCarried + ` ORDER BY created_at LIMIT 1`,
		take: func(d driver.Dialect) string {
			return `DELETE FROM ledger WHERE key IN (
				SELECT key FROM ledger WHERE account = $1 AND created_at <= $2 AND ` + notCarried + `
				ORDER BY created_at LIMIT $3` + d.Take + `)`
		},
		put: (*Tx).insertPast,
	})
	if err != nil {
		return 0, fmt.Errorf("settle the ledger: %w", err)
	}
	return settled, nil
}

// notCarried excludes the sums that CarryLedger makes.
const notCarried = `kind NOT IN ('carried', 'carried-cost')`

// CarryLedger rolls up to limit settled entries, created at or before made, into two sums
// for each account: one for the balance, one of carrier costs. It takes the oldest entries
// first and does not change the account's totals. It returns the number of entries.
func (db *DB) CarryLedger(ctx context.Context, made time.Time, limit int) (carried int, err error) {
	carried, err = db.moveEntries(ctx, made, limit, ledgerMove{
		oldest: `SELECT created_at FROM ledger_past WHERE account = accounts.key ORDER BY created_at LIMIT 1`,
		take: func(d driver.Dialect) string {
			return `DELETE FROM ledger_past WHERE seq IN (
				SELECT seq FROM ledger_past WHERE account = $1 AND created_at <= $2
				ORDER BY created_at LIMIT $3` + d.Take + `)`
		},
		put: (*Tx).carry,
	})
	if err != nil {
		return 0, fmt.Errorf("carry the ledger over: %w", err)
	}
	return carried, nil
}

// ledgerMove is the source and target of entries of an account.
type ledgerMove struct {
	oldest string // query of the time of the account's oldest entry in the source
	take   func(driver.Dialect) string
	put    func(*Tx, string, []entry) error
}

type entry struct {
	key, kind  string
	amount     int64
	createdAt  int64
	subAccount string
}

// moveEntries moves entries in one transaction, so that each counts exactly once, also
// after a failure or if two nodes run it at the same time.
func (db *DB) moveEntries(ctx context.Context, made time.Time, limit int, m ledgerMove) (moved int, err error) {
	accounts, err := db.accountsWith(ctx, m.oldest, made, limit)
	if err != nil || len(accounts) == 0 {
		return 0, err
	}
	take := m.take(db.dialect) + ` RETURNING key, kind, amount, created_at, sub_account`
	err = db.Write(ctx, Scope{}, func(tx *Tx) error {
		moved = 0
		for _, account := range accounts {
			if moved == limit {
				break
			}
			entries, err := tx.takeEntries(take, account, made, limit-moved)
			if err != nil {
				return err
			}
			moved += len(entries)
			if err := m.put(tx, account, entries); err != nil {
				return err
			}
		}
		return nil
	})
	return moved, err
}

// accountsWith lists the keys of accounts with entries created at or before made. It
// reads an index once for each account.
func (db *DB) accountsWith(ctx context.Context, oldest string, made time.Time, limit int) (keys []string, err error) {
	rows, err := db.query(ctx, `SELECT key FROM accounts WHERE (`+oldest+`) <= $1 ORDER BY key LIMIT $2`, millis(made), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

func (tx *Tx) takeEntries(take, account string, made time.Time, limit int) (entries []entry, err error) {
	rows, err := tx.query(take, account, millis(made), limit)
	if err != nil {
		return nil, err
	}
	tx.changed = true
	defer rows.Close()
	for rows.Next() {
		var e entry
		if err := rows.Scan(&e.key, &e.kind, &e.amount, &e.createdAt, &e.subAccount); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, rows.Err()
}

// insertPast adds entries to ledger_past.
func (tx *Tx) insertPast(account string, entries []entry) error {
	for _, e := range entries {
		err := tx.send(`INSERT INTO ledger_past (key, account, kind, amount, created_at, sub_account) VALUES ($1, $2, $3, $4, $5, $6)`,
			e.key, account, e.kind, e.amount, e.createdAt, e.subAccount)
		if err != nil {
			return err
		}
	}
	return nil
}

// carry adds entries to the sums of the account. They are its oldest, so the new sum of
// counted entries is a balance that the account once had.
func (tx *Tx) carry(account string, entries []entry) error {
	var carried, costs entry
	for _, e := range entries {
		sum := &carried
		if e.kind == "carrier-cost" {
			sum = &costs
		}
		sum.amount += e.amount
		sum.createdAt = max(sum.createdAt, e.createdAt)
	}
	carried.kind, costs.kind = "carried", "carried-cost"
	for _, sum := range []entry{carried, costs} {
		if sum.createdAt == 0 {
			continue
		}
		err := tx.send(`INSERT INTO ledger (key, account, kind, amount, created_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (key) DO UPDATE SET amount = ledger.amount + excluded.amount,
				created_at = CASE WHEN ledger.created_at > excluded.created_at THEN ledger.created_at ELSE excluded.created_at END`,
			sum.kind+"/"+account, account, sum.kind, sum.amount, sum.createdAt)
		if err != nil {
			return err
		}
	}
	return nil
}

// ForgetMessages deletes up to limit messages of the virtual phone that were sent at or
// before a time, oldest first, and returns their number. It reads no more than limit
// messages. So it also deletes messages from the future, which would hide later ones.
func (db *DB) ForgetMessages(ctx context.Context, sent, now time.Time, limit int) (forgotten int, err error) {
	err = db.Write(ctx, Scope{}, func(tx *Tx) error {
		n, err := tx.exec(`DELETE FROM phone_messages WHERE (sent_at <= $1 OR sent_at > $2) AND seq IN (
			SELECT seq FROM phone_messages ORDER BY seq LIMIT $3`+tx.dialect.Take+`)`, millis(sent), surelyFuture(now), limit)
		forgotten = int(n)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget phone messages: %w", err)
	}
	return forgotten, nil
}

// ForgetReceipts deletes receipts older than receiptLife, and those from the future.
func (db *DB) ForgetReceipts(ctx context.Context, now time.Time) error {
	err := db.Write(ctx, Scope{}, func(tx *Tx) error {
		return tx.send(`DELETE FROM receipts WHERE (carrier, ref) IN (
			SELECT carrier, ref FROM receipts WHERE received_at < $1 OR received_at > $2`+tx.dialect.Take+`)`, millis(now.Add(-receiptLife)), surelyFuture(now))
	})
	if err != nil {
		return fmt.Errorf("forget receipts: %w", err)
	}
	return nil
}

// OldestEnded returns the end of the verification that is next to move to the archive. ok
// is false if all finished verifications are archived.
func (db *DB) OldestEnded(ctx context.Context) (at time.Time, ok bool, err error) {
	var ms sql.NullInt64
	err = db.queryRow(ctx, `SELECT MIN(finalized_at) FROM verifications WHERE finalized_at IS NOT NULL`, nil, &ms)
	return fromMillisOrNull(ms), ms.Valid, err
}

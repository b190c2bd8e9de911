package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/store/driver"
)

// blockHolds is the condition on a block that is in force at $1, in milliseconds. $2 is
// the latest time that is not from the future (see latest).
const blockHolds = `lifted_at IS NULL AND (until IS NULL OR until > $1) AND since <= $2`

const blockColumns = `id, account, kind, value, rule, action, network, figures, since, until, repeats, ordinal, lifted_at, lifted_by`

func (tx *Tx) addFraudBlock(b fraud.Block, now time.Time) error {
	figures, err := json.Marshal(b.Figures)
	if err != nil {
		return err
	}
	return tx.send(`INSERT INTO fraud_blocks (`+blockColumns+`, changed_at) VALUES (`+placeholders(15)+`) ON CONFLICT DO NOTHING`,
		b.ID, b.Account, string(b.Kind), b.Value, string(b.Rule), string(b.Action), b.Network, string(figures),
		millis(b.Since), millisOrNull(b.Until), b.Repeat, b.Ordinal, millisOrNull(b.LiftedAt), b.LiftedBy, millis(now))
}

func scanBlock(rows driver.Rows) (b fraud.Block, err error) {
	var (
		figures       []byte
		since         int64
		until, lifted sql.NullInt64
	)
	if err := rows.Scan(&b.ID, &b.Account, &b.Kind, &b.Value, &b.Rule, &b.Action, &b.Network, &figures,
		&since, &until, &b.Repeat, &b.Ordinal, &lifted, &b.LiftedBy); err != nil {
		return b, err
	}
	b.Since, b.Until, b.LiftedAt = fromMillis(since), fromMillisOrNull(until), fromMillisOrNull(lifted)
	return b, json.Unmarshal(figures, &b.Figures)
}

func (db *DB) blocks(ctx context.Context, where string, args ...any) (list []fraud.Block, err error) {
	rows, err := db.query(ctx, `SELECT `+blockColumns+` FROM fraud_blocks WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("list blocks: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		b, err := scanBlock(rows)
		if err != nil {
			return nil, fmt.Errorf("list blocks: %w", err)
		}
		list = append(list, b)
	}
	return list, rows.Err()
}

// FraudBlocksSince lists the blocks that were made or changed since a time.
func (db *DB) FraudBlocksSince(ctx context.Context, since time.Time) ([]fraud.Block, error) {
	return db.blocks(ctx, `changed_at >= $1 ORDER BY ordinal`, millis(since))
}

// FraudBlocksHeld lists the blocks that are in force or ended at or after a time. A node
// loads them at its start.
func (db *DB) FraudBlocksHeld(ctx context.Context, ended time.Time) ([]fraud.Block, error) {
	return db.blocks(ctx, `COALESCE(lifted_at, until) IS NULL OR COALESCE(lifted_at, until) >= $1 ORDER BY ordinal`, millis(ended))
}

// FraudBlocks lists up to limit blocks, newest first: those in force, or all.
func (db *DB) FraudBlocks(ctx context.Context, all bool, now time.Time, limit int) ([]fraud.Block, error) {
	where := blockHolds
	if all {
		where = `(since <= $2 OR since > $1)` // any
	}
	list, err := db.blocks(ctx, where+` ORDER BY since DESC, id LIMIT $3`, millis(now), latest(now), limit)
	sortBlocks(list)
	return list, err
}

// ErrNoBlock is returned for an unknown id.
var ErrNoBlock = errors.New("no such block")

// ErrBlockOver is returned for a block that is no longer in force.
var ErrBlockOver = errors.New("the block is over")

// FraudBlock finds a block by its id.
func (db *DB) FraudBlock(ctx context.Context, id string) (fraud.Block, error) {
	list, err := db.blocks(ctx, `id = $1`, id)
	if err == nil && len(list) == 0 {
		err = ErrNoBlock
	}
	if err != nil {
		return fraud.Block{}, err
	}
	return list[0], nil
}

// LiftFraudBlock ends a block that is in force.
func (db *DB) LiftFraudBlock(ctx context.Context, id, by string, now time.Time) error {
	if _, err := db.FraudBlock(ctx, id); err != nil {
		return err
	}
	return db.Write(ctx, Scope{}, func(tx *Tx) error { return tx.LiftFraudBlock(id, by, now) })
}

// LiftFraudBlock is DB.LiftFraudBlock in a transaction.
func (tx *Tx) LiftFraudBlock(id, by string, now time.Time) error {
	n, err := tx.exec(`UPDATE fraud_blocks SET lifted_at = $1, lifted_by = $3, changed_at = $1
		WHERE id = $4 AND `+blockHolds, millis(now), latest(now), by, id)
	if err == nil && n == 0 {
		err = ErrBlockOver
	}
	return err
}

// UnblockNetwork allows an account to reach a network until a time, and lifts the account's
// blocks of the network. found is false, without a change, if no block of it is in force
// for the account.
func (db *DB) UnblockNetwork(ctx context.Context, u fraud.Unblock, by string, now time.Time) (found bool, err error) {
	err = db.Write(ctx, Scope{}, func(tx *Tx) error {
		var one int
		if found, err = tx.queryRow(`SELECT 1 FROM fraud_blocks WHERE account IN ($3, '') AND (network = $4 OR value = $4)
			AND action = 'block' AND `+blockHolds+` LIMIT 1`,
			[]any{millis(now), latest(now), u.Account, u.Network}, &one); err != nil {
			return err
		}
		if !found {
			return ErrNoBlock // rolls back, without an audit entry
		}
		if err := tx.send(`UPDATE fraud_blocks SET lifted_at = $1, lifted_by = $5, changed_at = $1
			WHERE account = $3 AND (network = $4 OR value = $4) AND action = 'block' AND `+blockHolds,
			millis(now), latest(now), u.Account, u.Network, by); err != nil {
			return err
		}
		return tx.send(`INSERT INTO fraud_unblocks (account, network, until, changed_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (account, network) DO UPDATE SET until = excluded.until, changed_at = excluded.changed_at`,
			u.Account, u.Network, millis(u.Until), millis(now))
	})
	if errors.Is(err, ErrNoBlock) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("unblock network: %w", err)
	}
	return true, nil
}

// FraudUnblocksSince lists the unblocks granted at or after a time.
func (db *DB) FraudUnblocksSince(ctx context.Context, since time.Time) (list []fraud.Unblock, err error) {
	rows, err := db.query(ctx, `SELECT account, network, changed_at, until FROM fraud_unblocks WHERE changed_at >= $1`, millis(since))
	if err != nil {
		return nil, fmt.Errorf("list unblocks: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var u fraud.Unblock
		var since, until int64
		if err := rows.Scan(&u.Account, &u.Network, &since, &until); err != nil {
			return nil, fmt.Errorf("list unblocks: %w", err)
		}
		u.Since, u.Until = fromMillis(since), fromMillis(until)
		list = append(list, u)
	}
	return list, rows.Err()
}

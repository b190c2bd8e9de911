package store

import (
	"context"
	"crypto/rand"
	"fmt"
)

// Ping returns an error if the database cannot serve requests. It reads a random key from
// each table that requests use. It writes more than an accepted request does, since a small
// write often fits on a nearly full disk. On PostgreSQL it also takes and releases the lock
// of a writer on each table that requests write to.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.engine.CheckFiles(); err != nil { // reads use the result of the last check
		return err
	}
	if err := db.pingReads(ctx); err != nil {
		return err
	}
	// Different each time: SQLite writes nothing for an unchanged value.
	value := make([]byte, db.dialect.PingSize)
	rand.Read(value) // never fails (crypto/rand)
	return db.Write(ctx, Scope{}, func(tx *Tx) error {
		return tx.send(`INSERT INTO settings (name, value) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, db.pingRow(), value)
	})
}

// pinged lists the tables that requests use, with the first column of their primary key.
func pinged() []pingedTable {
	return []pingedTable{
		{"accounts", "key", false, true},
		{"account_secrets", "account", false, false},
		{"approved_numbers", "account", false, false},
		{"blocked_numbers", "number", false, false},
		{"price_list", "carrier", false, false},
		{"templates", "id", true, false},
		{"verifications", "id", true, true},
		{"message_ids", "carrier", false, true},
		{"receipts", "carrier", false, true},
		{"guards", "number", true, true},
		{"ledger", "key", false, true},
		{"used_signatures", "account", false, true},
	}
}

type pingedTable struct {
	name, column string
	octets       bool // the column has 16 octets, else text
	written      bool // requests write to it
}

// pingReads looks up random keys, so that each call reads other pages of an index.
func (db *DB) pingReads(ctx context.Context) error {
	octets := make([]byte, 16)
	rand.Read(octets) // never fails (crypto/rand)
	text := rand.Text()
	for _, t := range pinged() {
		key := any(text)
		if t.octets {
			key = octets
		}
		var found int
		if err := db.queryRow(ctx, `SELECT COUNT(*) FROM `+t.name+` WHERE `+t.column+` = $1`, []any{key}, &found); err != nil {
			return fmt.Errorf("read %s: %w", t.name, err)
		}
		if !t.written {
			continue
		}
		if err := db.engine.ProbeWrite(ctx, t.name); err != nil {
			return fmt.Errorf("write %s: %w", t.name, err)
		}
	}
	return nil
}

// pingSlots bounds the rows that Ping leaves in a shared database.
const pingSlots = 64

// pingRow returns the name of the row that Ping writes. Each node of a shared database
// uses one of pingSlots rows at random, since a ping that hangs blocks the pings of other
// nodes with the same row.
func (db *DB) pingRow() string {
	if !db.Shared() {
		return "write_check"
	}
	return fmt.Sprintf("write_check/%d", db.pingSlot[0]%pingSlots)
}

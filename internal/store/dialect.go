package store

import (
	"encoding/json"
	"strconv"

	"github.com/pressly/goose/v3"

	"countersign/internal/verify"
)

// dialect is the SQL that differs between SQLite and PostgreSQL. All other statements are the
// same.
type dialect struct {
	name  string
	goose goose.Dialect

	// begin begins a write transaction.
	begin string
	// lock ends a query and locks its rows until the end of the transaction. Unlike a plain
	// FOR UPDATE, it does not block foreign-key checks. It is "" on SQLite, which has one writer.
	lock string
	// claim is like lock, but skips rows locked by another transaction.
	claim string
	// take is like claim, for rows to delete.
	take string
	// among ends a condition: the preceding id is in $1, an idSet.
	among string
	// lockNumber acquires the advisory lock $1 until the end of the transaction; "" on SQLite.
	lockNumber string
	// notify notifies the listeners of the channel $1 at the commit; "" on SQLite.
	notify string
	// lockPrices locks the price lists against changes by other nodes; "" on SQLite.
	lockPrices string
	// forget deletes the receipts received before $1 or after $2.
	forget string

	pingSize int // octets written by Ping; on SQLite more than a request writes
}

func onSQLite() dialect {
	return dialect{
		name:   "sqlite",
		goose:  goose.DialectSQLite3,
		begin:  "BEGIN IMMEDIATE",
		forget: `DELETE FROM receipts WHERE received_at < $1 OR received_at > $2`,
		among:  ` IN (SELECT unhex(value) FROM json_each($1))`,

		pingSize: 64 << 10,
	}
}

func onPostgres() dialect {
	return dialect{
		name:       "postgres",
		goose:      goose.DialectPostgres,
		begin:      "BEGIN",
		lock:       ` FOR NO KEY UPDATE`,
		claim:      ` FOR NO KEY UPDATE SKIP LOCKED`,
		take:       ` FOR UPDATE SKIP LOCKED`,
		among:      ` = ANY($1)`,
		lockPrices: `LOCK TABLE price_list IN SHARE ROW EXCLUSIVE MODE`,
		lockNumber: `SELECT pg_advisory_xact_lock($1)`,
		notify:     `SELECT pg_notify($1, '')`,
		// Two nodes that delete the same rows in different orders would deadlock.
		forget: `DELETE FROM receipts WHERE (carrier, ref) IN (
			SELECT carrier, ref FROM receipts WHERE received_at < $1 OR received_at > $2 FOR UPDATE SKIP LOCKED)`,
		pingSize: 32,
	}
}

func (d dialect) postgres() bool { return d.goose == goose.DialectPostgres }

// idSet returns a set of ids as an argument of among.
func (d dialect) idSet(ids []verify.ID) (any, error) {
	if d.postgres() {
		set := make([][]byte, len(ids))
		for i := range ids {
			set[i] = ids[i][:]
		}
		return set, nil
	}
	set := make([]string, len(ids))
	for i, id := range ids {
		set[i] = id.Hex()
	}
	text, err := json.Marshal(set)
	return string(text), err
}

// placeholders returns "$1, … $n".
func placeholders(n int) string {
	var b []byte
	for i := 1; i <= n; i++ {
		if i > 1 {
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(append(b, '$'), int64(i), 10)
	}
	return string(b)
}

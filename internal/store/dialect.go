package store

import (
	"encoding/json"
	"strconv"

	"github.com/pressly/goose/v3"

	"countersign/internal/verify"
)

// dialect is where the SQL of the engines differs. All other statements are the
// same on both.
type dialect struct {
	name  string
	goose goose.Dialect

	// begin begins a transaction that writes.
	begin string
	// lock ends a query that reads in order to change: until the transaction ends
	// nobody else changes the row. It lets the checks of foreign keys pass, which a
	// plain FOR UPDATE would not. On SQLite there is only one writer anyway.
	lock string
	// claim is lock for a query that takes any rows: not those that others hold.
	claim string
	// take is claim for a query that takes rows in order to delete them.
	take string
	// among ends a condition on ids: that it is one of those in $1, an idSet.
	among string
	// lockNumber locks a number that stands for something until the transaction ends.
	lockNumber string
	// notify tells the nodes that listen on the channel $1, once the transaction is
	// committed; "" where there are none.
	notify string
	// lockPrices keeps others from changing the price lists; "" where there are none.
	lockPrices string
	// forget deletes the receipts received before $1 or after $2.
	forget string

	pingSize int // how much Ping writes: where it costs little, more than a request does
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
		// Two nodes that delete the same rows in two orders would wait for each other.
		forget: `DELETE FROM receipts WHERE (carrier, ref) IN (
			SELECT carrier, ref FROM receipts WHERE received_at < $1 OR received_at > $2 FOR UPDATE SKIP LOCKED)`,
		pingSize: 32,
	}
}

func (d dialect) postgres() bool { return d.goose == goose.DialectPostgres }

// idSet is a set of ids as an argument of dialect.among.
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

// placeholders gives "$1, … $n".
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

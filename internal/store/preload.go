package store

import (
	"bytes"
	"maps"
	"slices"

	"countersign/internal/store/driver"
	"countersign/internal/verify"
)

// Queries that lock and return the rows of keys. tryLockGuards does not wait: the state of a
// row locked by another transaction is NULL.
const (
	lockGuards    = `SELECT number, state, running, stale_at FROM guards WHERE number = ANY($1) ORDER BY number FOR NO KEY UPDATE`
	tryLockGuards = `WITH free AS MATERIALIZED (` + lockGuards + ` SKIP LOCKED)
		SELECT g.number, free.state, free.running, COALESCE(free.stale_at, 0) FROM guards g LEFT JOIN free ON free.number = g.number
		WHERE g.number = ANY($1)`
)

// lock returns a query that locks the rows of keys. All nodes lock in the order of the keys,
// which avoids deadlocks. It calls found for each row.
func (g *guards) lock(query string, keys map[guardKey]bool, found func(guardKey, *guardRow)) driver.Question {
	list := make([][]byte, 0, len(keys))
	for key := range keys {
		if g.rows[key] == nil {
			list = append(list, bytes.Clone(key[:]))
		}
	}
	return driver.Question{Query: query, Args: []any{list}, Row: func(row driver.Scanner) error {
		key, r, err := scanGuard(row)
		if err == nil {
			found(key, r)
		}
		return err
	}}
}

// lockAll returns the query that locks the rows of keys and waits for other transactions.
func (g *guards) lockAll(keys map[guardKey]bool) driver.Question {
	return g.lock(lockGuards, keys, func(key guardKey, row *guardRow) { g.rows[key] = row })
}

// locked adds an empty row for each key without a row, after a query has locked all rows of
// keys.
func (g *guards) locked(keys map[guardKey]bool) {
	for key := range keys {
		if g.rows[key] == nil {
			g.rows[key] = &guardRow{}
		}
	}
}

// tryLock locks the rows of keys that no other transaction holds, and returns the keys of the
// others.
func (g *guards) tryLock(keys map[guardKey]bool) (held map[guardKey]bool, err error) {
	want := maps.Clone(keys)
	maps.DeleteFunc(want, func(key guardKey, _ bool) bool { return g.rows[key] != nil })
	if !g.dialect.Shared || len(want) == 0 {
		return nil, nil //nolint:nilnil // other transactions hold no row
	}
	held = map[guardKey]bool{}
	err = g.conn.Ask(g.lock(tryLockGuards, want, func(key guardKey, row *guardRow) {
		if row.state == nil {
			held[key] = true
			delete(want, key)
			return
		}
		g.rows[key] = row
	}))
	g.locked(want)
	return held, err
}

// upsertGuard adds a row, or replaces the columns of the stored one.
const upsertGuard = ` ON CONFLICT (number) DO UPDATE SET state = excluded.state, running = excluded.running, stale_at = excluded.stale_at`

// write sends the rows with the commit. A stored row may have been pruned by another job of the
// batch. A row that another node has added is an error, after which the store runs the job
// again.
func (g *guards) write(changed, added []guardKey) error {
	if g.dialect.RoundTrips {
		if err := g.writeAll(changed, upsertGuard); err != nil {
			return err
		}
		return g.writeAll(added, "")
	}
	for _, key := range slices.Concat(changed, added) {
		number, state, running, staleAt := g.columns(key)
		if err := g.conn.Send(`INSERT INTO guards (number, state, running, stale_at) VALUES ($1, $2, $3, $4)`+upsertGuard,
			[]any{number, state, running, staleAt}); err != nil {
			return err
		}
	}
	return nil
}

// writeAll sends rows in one statement.
func (g *guards) writeAll(keys []guardKey, conflict string) error {
	if len(keys) == 0 {
		return nil
	}
	var (
		numbers, states, running [][]byte
		staleAt                  []int64
	)
	for _, key := range keys {
		number, state, ids, at := g.columns(key)
		numbers, states, running, staleAt = append(numbers, number), append(states, state), append(running, ids), append(staleAt, at)
	}
	return g.conn.Send(`INSERT INTO guards (number, state, running, stale_at)
		SELECT * FROM unnest($1::BYTEA[], $2::BYTEA[], $3::BYTEA[], $4::BIGINT[])`+conflict, []any{numbers, states, running, staleAt})
}

// preload loads the input of a batch before its jobs begin: the rates of their accounts,
// the histories of their addresses, and the balances that they may change. It takes one round
// trip, and one more to find numbers by verification, or verifications by message id. All
// nodes lock rows in one order.
func (tx *Tx) preload(batch []job) (rates, error) {
	rates := ratesOf(batch)
	keys := make(map[guardKey]bool)
	var ids, all [][]byte
	var refs []verify.Ref
	for _, j := range batch {
		if j.Number != "" {
			keys[tx.guards.key(j.Number)] = true
		}
		if j.Verification != (verify.ID{}) {
			ids, all = append(ids, j.Verification[:]), append(all, j.Verification[:])
			tx.loaded[j.Verification] = nil
		}
		if j.Changes != (verify.ID{}) {
			all = append(all, j.Changes[:])
			tx.loaded[j.Changes] = nil
		}
		refs = append(refs, j.Refs...)
	}
	var questions []driver.Question
	if len(rates) > 0 {
		questions = append(questions, rates.lock())
	}
	if len(ids) > 0 {
		questions = append(questions, driver.Question{Query: `SELECT address FROM verifications WHERE id = ANY($1)`, Args: []any{ids}, Row: func(row driver.Scanner) error {
			var number string
			err := row.Scan(&number)
			keys[tx.guards.key(number)] = true
			return err
		}})
	}
	if len(refs) > 0 {
		questions = append(questions, tx.findRefs(refs))
	}
	if len(ids) > 0 || len(refs) > 0 {
		if err := tx.conn.Ask(questions...); err != nil {
			return nil, err
		}
		questions = nil
	}
	for _, id := range tx.refs {
		all, tx.loaded[id] = append(all, id[:]), nil
	}
	if len(keys) > 0 {
		questions = append(questions, tx.guards.lockAll(keys))
	}
	questions = append(questions, tx.lockBalances(batch)...)
	if len(all) > 0 {
		questions = append(questions, tx.load(all))
	}
	if err := tx.conn.Ask(questions...); err != nil {
		return nil, err
	}
	tx.guards.locked(keys)
	return rates, rates.add(tx.conn)
}

// findRefs returns the query for the verifications with some message ids.
func (tx *Tx) findRefs(refs []verify.Ref) driver.Question {
	carriers, ids := make([]string, len(refs)), make([]string, len(refs))
	for i, ref := range refs {
		stored := storedRef(ref)
		carriers[i], ids[i] = stored.Carrier, stored.ID
	}
	return driver.Question{Query: `SELECT m.carrier, m.ref, m.verification FROM unnest($1::TEXT[], $2::TEXT[]) asked (carrier, ref)
		JOIN message_ids m ON m.carrier = asked.carrier AND m.ref = asked.ref`, Args: []any{carriers, ids}, Row: func(row driver.Scanner) error {
		var (
			ref verify.Ref
			id  []byte
		)
		err := row.Scan(&ref.Carrier, &ref.ID, &id)
		if err == nil {
			tx.refs[ref] = verify.ID(id)
		}
		return err
	}}
}

// load returns the query that locks verifications and loads them into tx.loaded. It skips
// rows that cannot be decoded: Tx.Verification returns their error. It locks the rows of a
// batch in the order of their ids, which avoids deadlocks.
func (tx *Tx) load(ids [][]byte) driver.Question {
	return driver.Question{Query: `SELECT ` + verificationColumns + ` FROM verifications WHERE id = ANY($1) ORDER BY id` + tx.dialect.Lock, Args: []any{ids}, Row: func(row driver.Scanner) error {
		r, err := scanRow(row, tx.seal)
		switch {
		case err == nil:
			tx.loaded[r.ID] = &r.Verification
		case r == nil:
			return err
		}
		return nil
	}}
}

// lockBalances returns the queries that lock the balances that some jobs may change. Payers
// come before the accounts that use their balance, see LockBalances.
func (tx *Tx) lockBalances(batch []job) (questions []driver.Question) {
	payers, askers := map[string]bool{}, map[string]bool{}
	for _, j := range batch {
		if j.Charges {
			payers[j.Account] = true
		}
		if j.Begins != "" {
			askers[j.Begins] = true
		}
	}
	maps.DeleteFunc(askers, func(key string, _ bool) bool { return payers[key] })
	for _, accounts := range []map[string]bool{payers, askers} {
		if len(accounts) > 0 {
			questions = append(questions, tx.balances.lock(slices.Sorted(maps.Keys(accounts))))
		}
	}
	return questions
}

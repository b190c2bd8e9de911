package store

import (
	"bytes"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

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
func (g *guards) lock(query string, keys map[guardKey]bool, found func(guardKey, *guardRow)) question {
	list := make([][]byte, 0, len(keys))
	for key := range keys {
		if g.rows[key] == nil {
			list = append(list, bytes.Clone(key[:]))
		}
	}
	return question{query, []any{list}, func(rows pgx.Rows) error {
		key, row, err := scanGuard(rows)
		if err == nil {
			found(key, row)
		}
		return err
	}}
}

// lockAll returns the query that locks the rows of keys and waits for other transactions.
func (g *guards) lockAll(keys map[guardKey]bool) question {
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

// tryLockGuards locks and loads the rows of keys that are not locked by another transaction,
// and reduces keys to the rest.
func (c *postgresConn) tryLockGuards(g *guards, keys map[guardKey]bool) error {
	want := maps.Clone(keys)
	maps.DeleteFunc(want, func(key guardKey, _ bool) bool { return g.rows[key] != nil })
	clear(keys)
	if len(want) == 0 {
		return nil
	}
	err := c.sendQueries(g.lock(tryLockGuards, want, func(key guardKey, row *guardRow) {
		if row.state == nil {
			keys[key] = true
			delete(want, key)
			return
		}
		g.rows[key] = row
	}))
	g.locked(want)
	return err
}

func (c *postgresConn) loadGuard(g *guards, key guardKey) error {
	return c.sendQueries(g.lockAll(map[guardKey]bool{key: true}))
}

// saveGuards sends the rows with the commit. A stored row may have been pruned by another
// job of the batch. A row that another node has added is an error, after which the store
// runs the job again.
func (c *postgresConn) saveGuards(g *guards, changed, added []guardKey) error {
	const insert = `INSERT INTO guards (number, state, running, stale_at)
		SELECT * FROM unnest($1::BYTEA[], $2::BYTEA[], $3::BYTEA[], $4::BIGINT[])`
	for _, rows := range []struct {
		query string
		keys  []guardKey
	}{
		{insert + ` ON CONFLICT (number) DO UPDATE SET state = excluded.state, running = excluded.running, stale_at = excluded.stale_at`, changed},
		{insert, added},
	} {
		if len(rows.keys) == 0 {
			continue
		}
		var (
			numbers, states, running [][]byte
			staleAt                  []int64
		)
		for _, key := range rows.keys {
			number, state, ids, at := g.columns(key)
			numbers, states, running, staleAt = append(numbers, number), append(states, state), append(running, ids), append(staleAt, at)
		}
		if err := c.send(rows.query, []any{numbers, states, running, staleAt}); err != nil {
			return err
		}
	}
	return nil
}

// preload loads the input of a batch before its jobs begin: the rates of their accounts,
// the histories of their addresses, and the balances that they may change. It takes one round
// trip, and one more to find numbers by verification, or verifications by message id. All
// nodes lock rows in one order.
func (c *postgresConn) preload(tx *Tx, batch []job) (rates, error) {
	rates := ratesOf(batch)
	tx.balances, tx.posts, tx.loaded, tx.refs = balances{}, map[string]bool{}, loaded{}, map[verify.Ref]verify.ID{}
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
	var questions []question
	if len(rates) > 0 {
		questions = append(questions, rates.lock())
	}
	if len(ids) > 0 {
		questions = append(questions, question{`SELECT address FROM verifications WHERE id = ANY($1)`, []any{ids}, func(rows pgx.Rows) error {
			var number string
			err := rows.Scan(&number)
			keys[tx.guards.key(number)] = true
			return err
		}})
	}
	if len(refs) > 0 {
		questions = append(questions, tx.findRefs(refs))
	}
	if len(ids) > 0 || len(refs) > 0 {
		if err := c.sendQueries(questions...); err != nil {
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
	if err := c.sendQueries(questions...); err != nil {
		return nil, err
	}
	tx.guards.locked(keys)
	return rates, c.addRates(rates)
}

// findRefs returns the query for the verifications with some message ids.
func (tx *Tx) findRefs(refs []verify.Ref) question {
	carriers, ids := make([]string, len(refs)), make([]string, len(refs))
	for i, ref := range refs {
		stored := storedRef(ref)
		carriers[i], ids[i] = stored.Carrier, stored.ID
	}
	return question{`SELECT m.carrier, m.ref, m.verification FROM unnest($1::TEXT[], $2::TEXT[]) asked (carrier, ref)
		JOIN message_ids m ON m.carrier = asked.carrier AND m.ref = asked.ref`, []any{carriers, ids}, func(rows pgx.Rows) error {
		var (
			ref verify.Ref
			id  []byte
		)
		err := rows.Scan(&ref.Carrier, &ref.ID, &id)
		if err == nil {
			tx.refs[ref] = verify.ID(id)
		}
		return err
	}}
}

// load returns the query that locks verifications and loads them into tx.loaded. It skips
// rows that cannot be decoded: Tx.Verification returns their error. It locks the rows of a
// batch in the order of their ids, which avoids deadlocks.
func (tx *Tx) load(ids [][]byte) question {
	return question{`SELECT ` + verificationColumns + ` FROM verifications WHERE id = ANY($1) ORDER BY id` + tx.lock, []any{ids}, func(rows pgx.Rows) error {
		if _, wanted := tx.loaded[verify.ID(rows.RawValues()[0])]; !wanted {
			return nil
		}
		r, err := scanRow(rows, tx.seal)
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
func (tx *Tx) lockBalances(batch []job) (questions []question) {
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

// question is a query with the function that receives each row of its result.
type question struct {
	query string
	args  []any
	row   func(pgx.Rows) error
}

// sendQueries sends the pending statements and some queries in one round trip, and reads
// all results.
func (c *postgresConn) sendQueries(questions ...question) error {
	if c.failed != nil || len(questions) == 0 {
		return c.failed
	}
	var batch pgx.Batch
	for _, s := range c.pending {
		s.queue(&batch)
	}
	for _, q := range questions {
		batch.Queue(q.query, storable(q.args)...)
	}
	results := c.sendBatch(&batch)
	if err := c.readPending(results); err != nil {
		return err
	}
	for _, q := range questions {
		rows, err := results.Query()
		for err == nil && rows.Next() {
			err = q.row(rows)
		}
		if err == nil {
			rows.Close()
			err = rows.Err()
		}
		if err != nil {
			_ = results.Close()
			return c.fail(q.query, err)
		}
	}
	if err := results.Close(); err != nil {
		return c.fail(questions[len(questions)-1].query, err)
	}
	return nil
}

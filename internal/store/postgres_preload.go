package store

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"countersign/internal/verify"
)

// guards are what is known of the numbers of a batch, locked until its commit. All
// are locked with one statement before any job begins, in one order on all nodes, and
// before anything else that others wait for; all that changed are written with two,
// together with the commit.
//
// A number that has no row cannot be locked. Where two nodes add one at a time, the
// second fails, and does its work again: then there is a row.
type guards struct {
	conn *postgresConn
	rows map[guardKey]*guardRow
}

type guardRow struct {
	state   []byte // nil for none
	there   bool   // in the database
	changed bool
	staleAt int64
}

// Both give the rows of keys that are there. The second gives the state only of those
// that nobody else holds.
const (
	lockGuards    = `SELECT number, state FROM guards WHERE number = ANY($1) ORDER BY number FOR NO KEY UPDATE`
	tryLockGuards = `WITH free AS MATERIALIZED (` + lockGuards + ` SKIP LOCKED)
		SELECT g.number, free.state FROM guards g LEFT JOIN free ON free.number = g.number WHERE g.number = ANY($1)`
)

// lock is the question that locks the rows of keys. Those that it does not find are
// not there.
func (g *guards) lock(query string, keys map[guardKey]bool, row func(guardKey, []byte)) question {
	list := make([][]byte, 0, len(keys))
	for key := range keys {
		if g.rows[key] == nil {
			list = append(list, bytes.Clone(key[:]))
		}
	}
	return question{query, []any{list}, func(rows pgx.Rows) error {
		var number, state []byte
		if err := rows.Scan(&number, &state); err != nil {
			return err
		}
		if len(number) == len(guardKey{}) {
			row(guardKey(number), bytes.Clone(state))
		}
		return nil
	}}
}

// wanted notes that keys were asked for: those that have no row yet have none.
func (g *guards) wanted(keys map[guardKey]bool) {
	for key := range keys {
		if g.rows[key] == nil {
			g.rows[key] = &guardRow{}
		}
	}
}

// lockAll is the question that locks all of keys, and waits for those that others hold.
func (g *guards) lockAll(keys map[guardKey]bool) question {
	return g.lock(lockGuards, keys, func(key guardKey, state []byte) {
		g.rows[key] = &guardRow{state: state, there: true}
	})
}

// tryLock locks those of keys that nobody else holds, and leaves true for the others.
func (g *guards) tryLock(keys map[guardKey]bool) error {
	for key := range keys {
		if g.rows[key] != nil {
			keys[key] = false
		}
	}
	want := maps.Clone(keys)
	maps.DeleteFunc(want, func(_ guardKey, unknown bool) bool { return !unknown })
	if len(want) == 0 {
		return nil
	}
	held := make(map[guardKey]bool)
	err := g.conn.sendQueries(g.lock(tryLockGuards, want, func(key guardKey, state []byte) {
		if held[key] = state == nil; !held[key] {
			g.rows[key] = &guardRow{state: state, there: true}
		}
	}))
	if err != nil {
		return err
	}
	for key := range want {
		keys[key] = held[key]
		if !held[key] && g.rows[key] == nil {
			g.rows[key] = &guardRow{}
		}
	}
	return nil
}

func (g *guards) load(key guardKey) (NumberHistory, error) {
	if g.rows[key] == nil {
		one := map[guardKey]bool{key: true}
		if err := g.conn.sendQueries(g.lockAll(one)); err != nil {
			return NumberHistory{}, fmt.Errorf("load guard: %w", err)
		}
		g.wanted(one)
	}
	return decodeGuard(key, g.rows[key].state)
}

func (g *guards) save(key guardKey, state []byte, staleAt int64) {
	row := g.rows[key]
	row.state, row.staleAt, row.changed = state, staleAt, true
}

// drop forgets a row that is about to be deleted.
func (g *guards) drop(key guardKey) { g.rows[key] = &guardRow{} }

// write sends what has changed, with the commit.
func (g *guards) write() error {
	added, changed := guardColumns{}, guardColumns{}
	for _, key := range slices.SortedFunc(maps.Keys(g.rows), func(a, b guardKey) int { return bytes.Compare(a[:], b[:]) }) {
		switch row := g.rows[key]; {
		case !row.changed:
		case row.there:
			changed.add(key, row)
		default:
			added.add(key, row)
		}
	}
	if len(changed.numbers) > 0 {
		// One that was there may have been swept out by another job of the batch.
		if err := g.conn.send(`INSERT INTO guards (number, state, stale_at)
			SELECT * FROM unnest($1::BYTEA[], $2::BYTEA[], $3::BIGINT[])
			ON CONFLICT (number) DO UPDATE SET state = excluded.state, stale_at = excluded.stale_at`, changed.args()); err != nil {
			return err
		}
	}
	if len(added.numbers) > 0 {
		return g.conn.send(`INSERT INTO guards (number, state, stale_at)
			SELECT * FROM unnest($1::BYTEA[], $2::BYTEA[], $3::BIGINT[])`, added.args())
	}
	return nil
}

// guardColumns are rows as an array for each column.
type guardColumns struct {
	numbers, states [][]byte
	staleAt         []int64
}

func (c *guardColumns) add(key guardKey, row *guardRow) {
	c.numbers = append(c.numbers, bytes.Clone(key[:]))
	c.states = append(c.states, row.state)
	c.staleAt = append(c.staleAt, row.staleAt)
}

func (c *guardColumns) args() []any { return []any{c.numbers, c.states, c.staleAt} }

// preload loads the input of a batch before its jobs begin: the rates of their accounts,
// the histories of their numbers, the balances that they may change, and the verifications
// in progress. It takes one round trip, and one more to find numbers by verification, or
// verifications by message id. All nodes lock rows in one order.
func (c *postgresConn) preload(tx *Tx, batch []job) (rates, error) {
	rates := ratesOf(batch)
	tx.guards = &guards{c, make(map[guardKey]*guardRow)}
	tx.balances, tx.running, tx.posts, tx.loaded, tx.refs = balances{}, running{}, map[string]bool{}, loaded{}, map[verify.Ref]verify.ID{}
	keys := make(map[guardKey]bool)
	var ids, all [][]byte
	var refs []verify.Ref
	for _, j := range batch {
		if j.number != "" {
			keys[tx.seal.hashNumber(j.number)] = true
		}
		if j.verification != (verify.ID{}) {
			ids, all = append(ids, j.verification[:]), append(all, j.verification[:])
			tx.loaded[j.verification] = nil
		}
		if j.changes != (verify.ID{}) {
			all = append(all, j.changes[:])
			tx.loaded[j.changes] = nil
		}
		refs = append(refs, j.refs...)
	}
	var questions []question
	if len(rates) > 0 {
		questions = append(questions, rates.lock())
	}
	if len(ids) > 0 {
		questions = append(questions, question{`SELECT address FROM verifications WHERE id = ANY($1)`, []any{ids}, func(rows pgx.Rows) error {
			var number string
			err := rows.Scan(&number)
			keys[tx.seal.hashNumber(number)] = true
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
	questions = append(questions, tx.beginnings(batch)...)
	if len(all) > 0 {
		questions = append(questions, tx.load(all))
	}
	if err := c.sendQueries(questions...); err != nil {
		return nil, err
	}
	tx.guards.wanted(keys)
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

// beginnings are the questions for what some jobs are about to charge, or to begin.
// Payers come before the accounts that use their balance, see LockBalances; what is in
// progress comes when the guards are held, so that nobody begins anything for the numbers
// meanwhile.
func (tx *Tx) beginnings(batch []job) []question {
	payers, askers := map[string]bool{}, map[string]bool{}
	var accounts, numbers []string
	for _, j := range batch {
		if j.charges {
			payers[j.account] = true
		}
		if j.begins == "" {
			continue
		}
		if key := (runningKey{j.begins, j.number}); !tx.running.known(key) {
			tx.running[key] = verify.ID{}
			accounts, numbers = append(accounts, j.begins), append(numbers, j.number)
		}
		askers[j.begins] = true
	}
	if len(payers) == 0 {
		return nil
	}
	maps.DeleteFunc(askers, func(key string, _ bool) bool { return payers[key] })
	questions := []question{tx.balances.lock(slices.Sorted(maps.Keys(payers)))}
	if len(askers) > 0 {
		questions = append(questions, tx.balances.lock(slices.Sorted(maps.Keys(askers))))
	}
	if len(numbers) == 0 {
		return questions
	}
	return append(questions, question{`SELECT account, address, (SELECT id FROM verifications v
			WHERE v.account = asked.account AND v.address = asked.address AND v.status = 'IN PROGRESS')
		FROM unnest($1::TEXT[], $2::TEXT[]) asked (account, address)`,
		[]any{accounts, numbers}, func(rows pgx.Rows) error {
			var (
				key runningKey
				id  []byte
			)
			err := rows.Scan(&key.account, &key.address, &id)
			if err == nil && id != nil {
				tx.running[key] = verify.ID(id)
			}
			return err
		}})
}

// question is a query and what becomes of each row of its answer.
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

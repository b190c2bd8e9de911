package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/verify"
)

// FraudNews is a node's message to the other nodes, with its counters and decisions.
type FraudNews struct {
	Node    string
	Seq     int64 // sequence number of the node's messages, from 1
	At      time.Time
	Entries []fraud.Entry
	Blocks  []fraud.Block
}

// TellFraud stores news. It has no effect if the message is already stored. It does not
// replace a block that another node has made.
func (db *DB) TellFraud(ctx context.Context, n FraudNews) error {
	body, err := json.Marshal(n.Entries)
	if err != nil {
		return fmt.Errorf("tell fraud counts: %w", err)
	}
	err = db.Write(ctx, Scope{}, func(tx *Tx) error {
		fresh, err := tx.exec(`INSERT INTO fraud_log (node, seq, at, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			n.Node, n.Seq, millis(n.At), string(body))
		if err != nil || fresh == 0 {
			return err
		}
		if err := tx.send(`INSERT INTO fraud_nodes (node, seq, at) VALUES ($1, $2, $3)
			ON CONFLICT (node) DO UPDATE SET seq = excluded.seq, at = excluded.at`, n.Node, n.Seq, millis(n.At)); err != nil {
			return err
		}
		if err := tx.addFraudHours(n); err != nil {
			return err
		}
		for _, b := range n.Blocks {
			if err := tx.addFraudBlock(b, n.At); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("tell fraud counts: %w", err)
	}
	return nil
}

// addFraudHours adds to the hourly sums, which rules with long periods read.
func (tx *Tx) addFraudHours(n FraudNews) error {
	type place struct {
		hour             int64
		account, country string
	}
	sums := map[place]fraud.Counts{}
	var places []place
	for _, e := range n.Entries {
		if e.Starts == 0 && e.Spend == 0 || e.Prefix == "" {
			continue
		}
		p := place{e.Minute / 60, e.Account, e.Country}
		sum, ok := sums[p]
		if !ok {
			places = append(places, p)
		}
		sum.Starts, sum.Spend = sum.Starts+e.Starts, sum.Spend+e.Spend
		sums[p] = sum
	}
	for _, p := range places {
		err := tx.send(`INSERT INTO fraud_hours (hour, account, country, node, starts, spend) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (account, country, hour, node) DO UPDATE SET
				starts = fraud_hours.starts + excluded.starts, spend = fraud_hours.spend + excluded.spend`,
			p.hour, p.account, p.country, n.Node, sums[p].Starts, sums[p].Spend)
		if err != nil {
			return err
		}
	}
	return nil
}

// FraudNodes returns the number of the last message of each node.
func (db *DB) FraudNodes(ctx context.Context) (map[string]int64, error) {
	rows, err := db.query(ctx, `SELECT node, seq FROM fraud_nodes`)
	if err != nil {
		return nil, fmt.Errorf("list nodes that count: %w", err)
	}
	defer rows.Close()
	nodes := map[string]int64{}
	for rows.Next() {
		var node string
		var seq int64
		if err := rows.Scan(&node, &seq); err != nil {
			return nil, fmt.Errorf("list nodes that count: %w", err)
		}
		nodes[node] = seq
	}
	return nodes, rows.Err()
}

// FraudEntries returns the entries in up to limit messages of a node, with numbers above
// after and times not before from. It also returns the number of the last message.
func (db *DB) FraudEntries(ctx context.Context, node string, after int64, from time.Time, limit int) (list []fraud.Entry, last int64, err error) {
	rows, err := db.query(ctx, `SELECT seq, body FROM fraud_log WHERE node = $1 AND seq > $2 AND at >= $3 ORDER BY seq LIMIT $4`,
		node, after, millis(from), limit)
	if err != nil {
		return nil, after, fmt.Errorf("read fraud counts: %w", err)
	}
	defer rows.Close()
	for last = after; rows.Next(); {
		var body []byte
		if err := rows.Scan(&last, &body); err != nil {
			return nil, after, fmt.Errorf("read fraud counts: %w", err)
		}
		var entries []fraud.Entry
		if err := json.Unmarshal(body, &entries); err != nil {
			return nil, after, fmt.Errorf("read fraud counts: %w", err)
		}
		list = append(list, entries...)
	}
	return list, last, rows.Err()
}

// FraudVolume is the number of verifications that an account started in a country.
type FraudVolume struct {
	Account, Country string
	Starts           int64
}

// FraudVolumes lists accounts and countries with at least the given number of starts, in
// the hours after the hour of since, up to the hour of now.
func (db *DB) FraudVolumes(ctx context.Context, since, now time.Time, least int) (list []FraudVolume, err error) {
	rows, err := db.query(ctx, `SELECT account, country, CAST(SUM(starts) AS BIGINT) FROM fraud_hours WHERE hour > $1 AND hour <= $2
		GROUP BY account, country HAVING SUM(starts) >= $3 ORDER BY account, country`, hourOf(since), latest(now)/3_600_000, least)
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var v FraudVolume
		if err := rows.Scan(&v.Account, &v.Country, &v.Starts); err != nil {
			return nil, fmt.Errorf("list volumes: %w", err)
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// FraudHalfDays returns the number of verifications that an account started in a country
// in each 12 hours up to a time, latest first. The list ends with the first use of the
// account.
func (db *DB) FraudHalfDays(ctx context.Context, account, country string, from, to time.Time) (list []int64, err error) {
	rows, err := db.query(ctx, `SELECT hour, CAST(SUM(CASE WHEN country = $2 THEN starts ELSE 0 END) AS BIGINT) FROM fraud_hours
		WHERE account = $1 AND hour > $3 AND hour <= $4 GROUP BY hour ORDER BY hour`, account, country, hourOf(from), hourOf(to))
	if err != nil {
		return nil, fmt.Errorf("list half-days: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var hour, starts int64
		if err := rows.Scan(&hour, &starts); err != nil {
			return nil, fmt.Errorf("list half-days: %w", err)
		}
		ago := int((hourOf(to) - hour) / 12)
		if list == nil { // the first is the oldest
			list = make([]int64, ago+1)
		}
		list[ago] += starts
	}
	return list, rows.Err()
}

// FraudSpend returns the spending of each account on each of some days up to the day of
// now, today first.
func (db *DB) FraudSpend(ctx context.Context, now time.Time, days int) (map[string][]verify.Money, error) {
	today := hourOf(now) / 24
	rows, err := db.query(ctx, `SELECT account, hour / 24, CAST(SUM(spend) AS BIGINT) FROM fraud_hours WHERE hour >= $1
		GROUP BY account, hour / 24`, (today-int64(days)+1)*24)
	if err != nil {
		return nil, fmt.Errorf("list spending: %w", err)
	}
	defer rows.Close()
	spent := map[string][]verify.Money{}
	for rows.Next() {
		var account string
		var day, spend int64
		if err := rows.Scan(&account, &day, &spend); err != nil {
			return nil, fmt.Errorf("list spending: %w", err)
		}
		if spent[account] == nil {
			spent[account] = make([]verify.Money, days)
		}
		if ago := today - day; ago >= 0 && ago < int64(days) {
			spent[account][ago] = verify.Money(spend)
		}
	}
	return spent, rows.Err()
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// ForgetFraud deletes messages of nodes from before logged, hourly sums from before
// hours, and blocks that ended before blocks.
func (db *DB) ForgetFraud(ctx context.Context, logged, hours, blocks time.Time) error {
	err := db.Write(ctx, Scope{}, func(tx *Tx) error {
		for _, q := range []struct {
			query string
			arg   int64
		}{
			{`DELETE FROM fraud_log WHERE at < $1`, millis(logged)},
			{`DELETE FROM fraud_nodes WHERE at < $1`, millis(logged)},
			{`DELETE FROM fraud_hours WHERE hour < $1`, hourOf(hours)},
			{`DELETE FROM fraud_blocks WHERE COALESCE(lifted_at, until) < $1`, millis(blocks)},
			{`DELETE FROM fraud_unblocks WHERE until < $1`, millis(blocks)},
		} {
			if err := tx.send(q.query, q.arg); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget fraud counts: %w", err)
	}
	return nil
}

// sortBlocks puts the newest first.
func sortBlocks(list []fraud.Block) {
	slices.SortStableFunc(list, func(a, b fraud.Block) int { return b.Since.Compare(a.Since) })
}

package store

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"countersign/internal/store/driver"
)

// Limit is the number of writes that an account may make in any second, on all nodes
// together (see Scope). A refused write is not run and does not count; any other counts,
// unless it fails after it has written. On SQLite the single server counts in memory, so the
// store refuses no write. Counting costs one statement for each commit.
type Limit struct {
	Account   string
	PerSecond int // at most 65,535
	Now       func() time.Time
}

// ErrRate is returned by Write for a write that exceeds its Limit.
var ErrRate = errors.New("too many writes in a second")

// A rateWindow counts in steps of 10 ms. It has a counter for each step that a second can
// touch.
const (
	rateStep  = 10 // ms
	rateSteps = 1000/rateStep + 1
)

// rateWindow counts the writes of an account in the last second. A step counts until its
// end is more than a second ago. So the effective limit may be up to 1 % lower, and never
// higher.
type rateWindow struct {
	last   int64 // the newest step, counted since 1970
	counts [rateSteps]uint16
}

// allow reports whether one more write is allowed now, and counts it. A time slightly
// before the last step, from another node's clock, counts as the last step. A last step
// far in the future is discarded.
func (w *rateWindow) allow(limit int, now time.Time) bool {
	step := now.UnixMilli() / rateStep
	if step < w.last && w.last-step < rateSteps {
		step = w.last
	}
	if step < w.last || step-w.last >= rateSteps {
		w.counts = [rateSteps]uint16{}
	} else {
		for s := w.last + 1; s <= step; s++ {
			w.counts[s%rateSteps] = 0
		}
	}
	w.last = step
	sum := 0
	for _, n := range w.counts {
		sum += int(n)
	}
	if sum >= limit {
		return false
	}
	w.counts[step%rateSteps]++
	return true
}

func (w *rateWindow) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+2*rateSteps), uint64(w.last))
	for _, n := range w.counts {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return b
}

// decodeRateWindow decodes the output of encode. Data in another format, of another
// release, is an empty window.
func decodeRateWindow(b []byte) *rateWindow {
	w := &rateWindow{}
	if len(b) != 8+2*rateSteps {
		return w
	}
	w.last = int64(binary.BigEndian.Uint64(b))
	for i := range w.counts {
		w.counts[i] = binary.BigEndian.Uint16(b[8+2*i:])
	}
	return w
}

// rates are the windows of the accounts of a batch of jobs, locked until its commit.
type rates map[string]*rateWindow

// ratesOf returns the windows that a batch needs, not loaded.
func ratesOf(batch []job) rates {
	r := rates{}
	for _, j := range batch {
		if j.Limit != nil {
			r[j.Limit.Account] = nil
		}
	}
	return r
}

// lock returns the query that locks and loads the windows. The order of keys avoids
// deadlocks of nodes.
func (r rates) lock() driver.Question {
	accounts := slices.Sorted(maps.Keys(r))
	return driver.Question{Query: `SELECT account, seen FROM request_rates WHERE account = ANY($1) ORDER BY account FOR UPDATE`, Args: []any{accounts}, Row: func(row driver.Scanner) error {
		var (
			account string
			seen    []byte
		)
		err := row.Scan(&account, &seen)
		r[account] = decodeRateWindow(seen)
		return err
	}}
}

// add inserts the missing windows. Rows that other nodes insert at the same time remain.
func (r rates) add(conn driver.Writer) error {
	for {
		missing := slices.DeleteFunc(slices.Sorted(maps.Keys(r)), func(a string) bool { return r[a] != nil })
		if len(missing) == 0 {
			return nil
		}
		if err := conn.Send(`INSERT INTO request_rates (account, seen) SELECT unnest($1::TEXT[]), '' ON CONFLICT DO NOTHING`,
			[]any{missing}); err != nil {
			return err
		}
		if err := conn.Ask(r.lock()); err != nil {
			return err
		}
	}
}

// admit counts a job against its limit.
func (r rates) admit(j job) error {
	if j.Limit == nil || r[j.Limit.Account].allow(j.Limit.PerSecond, j.Limit.Now()) {
		return nil
	}
	return ErrRate
}

// save writes the windows, with the commit.
func (r rates) save(conn driver.Writer) error {
	for _, account := range slices.Sorted(maps.Keys(r)) {
		if err := conn.Send(`UPDATE request_rates SET seen = $2 WHERE account = $1`, []any{account, r[account].encode()}); err != nil {
			return err
		}
	}
	return nil
}

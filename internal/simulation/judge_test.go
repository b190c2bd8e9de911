package simulation

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// evidence is the input of the judge.
type evidence struct {
	starts    []start
	erasures  []erasure
	delays    []string             // starts that failed because of another account
	numbers   map[verify.ID]string // kept after erasure
	checks    []check
	phones    []sent
	records   []verify.Verification // verifications in the database, at the end
	charges   map[verify.ID]int
	refunds   map[verify.ID]int
	balance   map[string]verify.Money // accounts by key
	due       bool                    // a verification has a step left to run
	crashes   int
	deadlocks int                                 // deadlocks that PostgreSQL resolved
	calm      bool                                // no node crashed or was paused
	values    map[verify.ID][]verify.Verification // values returned by rules
	caps      fraud.Caps
}

// collect reads the evidence from the world and its database, at the end.
func (w *world) collect(db *store.DB) evidence {
	e := evidence{
		starts: w.starts, checks: w.checks, phones: w.phones, charges: map[verify.ID]int{}, refunds: map[verify.ID]int{},
		erasures: w.erasures, delays: w.delays, numbers: w.numbers, balance: map[string]verify.Money{},
		crashes: w.crashes, calm: w.crashes == 0 && !w.stood, caps: w.caps, values: w.values,
	}
	raw, err := pgtest.Open(w.database)
	w.must(err)
	defer raw.Close()
	ids, err := list[[]byte](w.ctx, raw, `SELECT id FROM verifications UNION ALL SELECT id FROM archive`)
	w.must(err)
	for _, id := range ids {
		rec, ok, err := db.Verification(w.ctx, verify.ID(id))
		w.must(err)
		if !ok {
			w.t.Fatalf("seed %d: no record of %x", w.seed, id)
		}
		e.records = append(e.records, rec)
		if rec.To.Given != "" {
			e.numbers[rec.ID] = rec.To.Given
		}
	}
	// Virtual time can be equal for the start of one verification and of the next for its number.
	slices.SortFunc(e.records, func(a, b verify.Verification) int {
		return cmp.Or(a.SubmittedAt.Compare(b.SubmittedAt), a.FinalizedAt.Compare(b.FinalizedAt))
	})
	for kind, counts := range map[string]map[verify.ID]int{"charge": e.charges, "refund": e.refunds} {
		keys, err := list[string](w.ctx, raw, `SELECT substr(key, 8) FROM ledger WHERE kind = $1`, kind)
		w.must(err)
		for _, text := range keys {
			id, _ := verify.ParseID(text)
			counts[id]++
		}
	}
	if store.IsPostgres(w.database) {
		found, err := list[int](w.ctx, raw, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`)
		w.must(err)
		e.deadlocks = found[0]
	}
	accounts, err := db.Accounts(w.ctx)
	w.must(err)
	for _, a := range accounts {
		e.balance[a.Key] = a.Balance
	}
	_, e.due, err = db.NextDue(w.ctx)
	w.must(err)
	return e
}

// list reads the values of one column.
func list[T any](ctx context.Context, db *sql.DB, query string, args ...any) (values []T, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, rows.Err()
}

// judge returns the broken promises.
func judge(e evidence) (broken []string) {
	complain := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	if e.due {
		complain("a verification is still due")
	}
	byID := map[verify.ID]verify.Verification{}
	balance := map[string]verify.Money{}
	for _, key := range accounts() {
		balance[key] = credit
	}
	for _, r := range e.records {
		byID[r.ID] = r
		balance[r.Account] -= r.Price
		if r.Status == verify.InProgress {
			complain("%s for %s has not ended", r.ID, r.To.Given)
		}
		if n := e.charges[r.ID]; n != 1 {
			complain("%s for %s is charged %d times", r.ID, r.To.Given, n)
		}
		balance[r.Account] += r.Price * verify.Money(e.refunds[r.ID])
		want := 0
		if r.Status != verify.Success && !slices.ContainsFunc(r.Events, func(ev verify.Event) bool {
			return ev.Attempt != 1 || ev.State != verify.EventRefused && (ev.State != verify.EventExpired || ev.Carrier != "")
		}) {
			want = 1
		}
		if n := e.refunds[r.ID]; n != want || r.Paid != (n == 0) {
			complain("%s for %s with status %s is refunded %d times, want %d; paid %v; events %+v", r.ID, r.To.Given, r.Status, n, want, r.Paid, r.Events)
		}
		if e.refunds[r.ID] > 0 && slices.ContainsFunc(e.phones, func(s sent) bool { return s.request == r.ID }) {
			complain("%s for %s is refunded, but its message arrived at a phone", r.ID, r.To.Given)
		}
		broken = append(broken, judgeRecord(r)...)
	}
	if len(e.charges) != len(e.records) {
		complain("%d charges for %d verifications", len(e.charges), len(e.records))
	}
	for key, want := range balance {
		if e.balance[key] != want || want < 0 {
			complain("the balance of %s is %d, want %d", key, e.balance[key], want)
		}
	}
	broken = append(broken, judgeLifetimes(e, byID)...)
	broken = append(broken, judgeNumbers(e)...)
	broken = append(broken, judgeCaps(e)...)
	broken = append(broken, judgeErasures(e, byID)...)
	broken = append(broken, judgeClients(e, byID)...)
	broken = append(broken, judgeFacts(e)...)
	broken = append(broken, judgeValues(e)...)
	return append(broken, judgePhones(e, byID)...)
}

// judgeRecord checks one verification on its own.
func judgeRecord(r verify.Verification) (broken []string) {
	complain := func(format string, args ...any) {
		broken = append(broken, fmt.Sprintf("%s for %s: ", r.ID, r.To.Given)+fmt.Sprintf(format, args...))
	}
	wrong, right := map[int]int{}, 0
	for i, c := range r.Checks {
		if c.Valid {
			right++
			if i != len(r.Checks)-1 {
				complain("a code was compared after the right one")
			}
		} else if wrong[c.Generation]++; wrong[c.Generation] > verify.TriesPerPIN {
			complain("%d guesses at one PIN", wrong[c.Generation])
		}
	}
	if right > 1 || (right == 1) != (r.Status == verify.Success) {
		complain("%d right codes, and it is %s", right, r.Status)
	}
	if len(r.Events) == 0 || len(r.Events) > len(r.Workflow.Steps) {
		complain("%d events in %d steps", len(r.Events), len(r.Workflow.Steps))
	}
	for _, event := range r.Events {
		if event.State == verify.EventSubmitting {
			complain("the outcome of event %d is open", event.Seq)
		}
	}
	return broken
}

// judgeNumbers checks that a verification of an account for a number has ended before the next
// one begins.
func judgeNumbers(e evidence) (broken []string) {
	type address struct{ account, number string }
	last := map[address]verify.Verification{}
	for _, r := range e.records {
		a := address{r.Account, e.numbers[r.ID]}
		if a.number == "" {
			continue // erased; only a crashed node had it
		}
		before, ok := last[a]
		if ok && (before.FinalizedAt.IsZero() || r.SubmittedAt.Before(before.FinalizedAt)) {
			broken = append(broken, fmt.Sprintf("%s and %s run at the same time for %s", before.ID, r.ID, a))
		}
		last[a] = r
	}
	return broken
}

// judgeCaps checks that no number has more messages or failed checks in a window than its cap
// allows, and that no capped message arrives. It skips erasable: an erasure resets its counts.
func judgeCaps(e evidence) (broken []string) {
	sends, failed := map[string][]time.Time{}, map[string][]time.Time{}
	for _, r := range e.records {
		number := e.numbers[r.ID]
		if number == "" || number == erasable {
			continue
		}
		for _, event := range r.Events {
			if event.Error != verify.CappedEvent {
				sends[number] = append(sends[number], event.StartedAt)
			} else if slices.ContainsFunc(e.phones, func(s sent) bool { return s.event == event.ID }) {
				broken = append(broken, fmt.Sprintf("%s: event %d is capped but arrived", r.ID, event.Seq))
			}
		}
		for _, c := range r.Checks {
			if !c.Valid {
				failed[r.Account+" and "+number] = append(failed[r.Account+" and "+number], c.ReceivedAt)
			}
		}
	}
	over := func(what string, windows []fraud.Window, times map[string][]time.Time) {
		for number, list := range times {
			for _, w := range windows {
				for _, end := range list {
					n := 0
					for _, at := range list {
						if !at.After(end) && end.Sub(at) < w.Within {
							n++
						}
					}
					if n > w.Count {
						broken = append(broken, fmt.Sprintf("%d %s for %s in %v, at most %d", n, what, number, w.Within, w.Count))
						break
					}
				}
			}
		}
	}
	over("messages", e.caps.Sends, sends)
	over("failed checks", e.caps.AccountFailedChecks, failed)
	return broken
}

// judgeClients checks the answers of clients against the database.
func judgeClients(e evidence, byID map[verify.ID]verify.Verification) (broken []string) {
	complain := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	for _, s := range e.starts {
		if _, ok := byID[s.id]; s.refused == verify.KindInternal && !ok {
			complain("%s for %s was accepted but has no record", s.id, s.number)
		}
	}
	verdicts := map[verify.ID]map[bool]int{}
	for _, c := range e.checks {
		if verdicts[c.id] == nil {
			verdicts[c.id] = map[bool]int{}
		}
		if c.right || c.kind == verify.KindWrongCode || c.kind == verify.KindTooManyCodes {
			verdicts[c.id][c.right]++
		}
		if c.right && byID[c.id].Status != verify.Success {
			complain("%s is %s, but a client was told that a code is right", c.id, byID[c.id].Status)
		}
	}
	for id, v := range verdicts {
		wrong := 0
		for _, c := range byID[id].Checks {
			if !c.Valid {
				wrong++
			}
		}
		if v[true] > 1 {
			complain("%s: clients were told of %d right codes, want at most 1", id, v[true])
		}
		if v[false] > wrong {
			complain("%s: clients were told of %d wrong codes, the record has %d", id, v[false], wrong)
		}
	}
	return broken
}

// judgePhones checks that no message is lost, and that a message arrives twice only if its first
// outcome was hidden.
func judgePhones(e evidence, byID map[verify.ID]verify.Verification) (broken []string) {
	complain := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	type handOver struct {
		event   verify.ID
		attempt int
	}
	seen := map[handOver]bool{}
	pins := map[verify.ID]string{} // PINs by event id
	for _, s := range e.phones {
		r, ok := byID[s.request]
		if !ok {
			complain("a message of an unknown verification arrived at %s", s.number)
			continue
		}
		h := handOver{s.event, s.attempt}
		if seen[h] || s.attempt < 1 || s.attempt > verify.MaxAttempts {
			complain("%s: attempt %d of event %d arrived twice, or is not between 1 and the limit", s.request, s.attempt, s.seq)
		}
		seen[h] = true
		if pin := pins[s.event]; pin != "" && pin != s.pin {
			complain("%s: event %d arrived with two PINs", s.request, s.seq)
		}
		pins[s.event] = s.pin
		if s.seq >= len(r.Events) || r.Events[s.seq].ID != s.event {
			complain("%s: event %d arrived but has no record", s.request, s.seq)
		}
	}
	for _, r := range e.records {
		for _, event := range r.Events {
			arrived := slices.ContainsFunc(e.phones, func(s sent) bool { return s.event == event.ID })
			if !arrived && (event.State == verify.EventAccepted || event.State == verify.EventDelivered) {
				complain("%s: event %d is %s but never arrived", r.ID, event.Seq, event.State)
			}
			if !arrived && event.State == verify.EventUnknown && e.calm {
				complain("%s: event %d is %s, but no node crashed or was paused", r.ID, event.Seq, event.State)
			}
		}
	}
	return broken
}

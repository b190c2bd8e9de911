package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// The columns of works that measure a state instead of a load.
const (
	colServing  = "serving_ms"   // from the start of the process until it is ready
	colResident = "resident_mib" // after the server became idle
	colLag      = "lag_"         // prefix of p50, p99 and max: from the due time of a message to its submission
	colSent     = "sent"         // messages that were due
)

// idle measures an idle server.
func (b *bench) idle(ctx context.Context) (err error) {
	s, done, err := b.newServer(ctx, "sqlite", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if err := s.stop(); err != nil {
		return err
	}
	began := time.Now()
	if err := s.start(ctx); err != nil {
		return err
	}
	r := result{colServing: ms(time.Since(began))}
	if err := rest(ctx, b.spell/2); err != nil {
		return err
	}
	if r[colResident], r[colPeak], err = memory(s); err != nil {
		return err
	}
	b.log("idle: %.0f MiB", r[colResident])
	b.results.add("idle sqlite", r)
	return nil
}

// memory returns the current and the maximum memory of a server, in MiB.
func memory(s *server) (now, most float64, err error) {
	now, err = resident(s.pid())
	if err != nil {
		return 0, 0, err
	}
	most, err = peak(s.pid())
	return now / mebi, most / mebi, err
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The waiting verifications have the plan of workflow 2: its second message is also an SMS.
const (
	secondAfter = 125 * time.Second
	ahead       = 5 * time.Second // from the start of the server to the first due message
)

func waitingPlan() verify.Workflow {
	const sms, tts = verify.SMS, verify.TTS
	return verify.Workflow{
		Steps: []verify.Step{
			{Channel: sms, Wait: secondAfter}, {Channel: sms, Wait: 180 * time.Second}, {Channel: tts, Wait: 300 * time.Second},
		},
		PINLife: 300 * time.Second, CancelAfter: 30 * time.Second,
	}
}

// waitingWork starts a server with verifications that wait for their second message. Then
// dueRate of them are due per second.
func (b *bench) waitingWork(ctx context.Context) (err error) {
	s, done, err := b.newServer(ctx, "sqlite", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if err := s.stop(); err != nil {
		return err
	}
	first, err := b.layDown(ctx, s)
	if err != nil {
		return err
	}
	if err := rest(ctx, time.Until(first.Add(-ahead))); err != nil {
		return err
	}
	began := time.Now()
	if err := s.start(ctx); err != nil {
		return err
	}
	r := result{colServing: ms(time.Since(began))}
	before, err := s.used(ctx)
	if err != nil {
		return err
	}
	last := first.Add(b.spell)
	if err := rest(ctx, time.Until(last)); err != nil {
		return err
	}
	// Late messages are awaited, to measure their delay.
	if err := waitMetric(ctx, s, "countersign_carrier_messages_total", int(b.spell.Seconds()*float64(b.dueRate))+1); err != nil {
		return err
	}
	after, err := s.used(ctx)
	if err != nil {
		return err
	}
	if r[colResident], r[colPeak], err = memory(s); err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	sent, err := b.lags(s, first, last, r)
	if err != nil {
		return err
	}
	if sent > 0 {
		r[colCPU], r[colMallocs] = micros(after.cpu-before.cpu)/float64(sent), (after.mallocs-before.mallocs)/float64(sent)
		r[colWritten] = (after.written - before.written) / float64(sent)
	}
	b.log("%d waiting: ready after %.0f ms, %.0f MiB, a message is %.1f ms late (p99)", b.waiting, r[colServing], r[colPeak], r[colLag+"p99"])
	b.results.add("waiting sqlite", r)
	return nil
}

// lags adds the delays of the messages that were due until last.
func (b *bench) lags(s *server, first, last time.Time, r result) (sent int, err error) {
	var p proof
	if err := p.readRecord(s.record); err != nil {
		return 0, err
	}
	n := newNumbers()
	var buf []byte
	var lags []time.Duration
	missing := 0
	for i := range b.waiting {
		due := first.Add(b.dueAfter(i))
		if due.After(last) {
			break
		}
		buf = n.append(buf[:0], i)
		number, _ := strconv.ParseUint(string(buf), 10, 64)
		if at, ok := p.left[number]; ok {
			lags = append(lags, time.Unix(0, at).Sub(due))
		} else {
			missing++
		}
	}
	if missing > 0 || p.copies > 0 {
		b.miss("waiting: %d due messages were not sent, %d were sent twice", missing, p.copies)
	}
	sent = len(p.left)
	r[colSent] = float64(len(lags))
	r.quantiles(colLag, lags)
	return sent, nil
}

// dueAfter returns the time between the first due verification and the i-th.
func (b *bench) dueAfter(i int) time.Duration {
	return time.Duration(i) * time.Second / time.Duration(b.dueRate)
}

// layDown writes the waiting verifications without the server, and returns the time at which the
// first is due.
func (b *bench) layDown(ctx context.Context, s *server) (first time.Time, err error) {
	key, err := vault.LoadKey(filepath.Join(s.dir, "key"))
	if err != nil {
		return first, err
	}
	db, err := store.Open(ctx, store.Config{Database: s.file(), Key: key, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return first, err
	}
	began := time.Now().UTC().Truncate(time.Millisecond)
	const batch = 1000
	for from := 0; from < b.waiting && err == nil; from += batch {
		err = db.Write(ctx, store.Scope{}, func(tx *store.Tx) error { return b.insert(tx, from, min(batch, b.waiting-from), began) })
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return first, err
	}
	b.log("%d wait, after %.0f s", b.waiting, time.Since(began).Seconds())
	return b.shift(ctx, s, began)
}

// shift moves the due times of all waiting verifications, so that the first is due ahead from now.
// Writing the verifications takes longer than ahead, depending on the machine.
func (b *bench) shift(ctx context.Context, s *server, first time.Time) (time.Time, error) {
	db, err := pgtest.Open(s.file())
	if err != nil {
		return first, err
	}
	defer func() { _ = db.Close() }()
	for guess := time.Duration(b.waiting) * 30 * time.Microsecond; ; guess *= 2 {
		began := time.Now()
		later := began.Add(ahead + time.Second + guess).Sub(first).Round(time.Millisecond)
		first = first.Add(later)
		_, err := db.ExecContext(ctx, `UPDATE verifications SET submitted_at = submitted_at + $1,
			step_at = step_at + $1, due_at = due_at + $1`, later.Milliseconds())
		if err != nil {
			return first, err
		}
		if _, err := db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			return first, err
		}
		if time.Now().Before(first.Add(-ahead)) {
			return first, nil
		}
		guess = max(guess, time.Since(began))
	}
}

// insert adds verifications from an index on, due at the times of dueAfter.
func (b *bench) insert(tx *store.Tx, from, count int, first time.Time) error {
	n := newNumbers()
	for i := from; i < from+count; i++ {
		started := first.Add(b.dueAfter(i) - secondAfter).UTC().Truncate(time.Millisecond)
		begun, _, err := verify.Begin(verify.Beginning{
			Request: verify.Request{
				Account: account, To: verify.PhoneAddress(string(n.append(nil, i)), "GB"), Brand: "Acme", Locale: "en-gb", CodeLength: 4,
				Workflow: waitingPlan(),
			},
			Payer: account, History: verify.Uncapped{},
		}, started, rand.Reader)
		if err != nil {
			return err
		}
		sent := begun.Verification.Outcome(verify.Outcome{Attempt: 1, Token: 1, State: verify.EventAccepted, Carrier: "a"}, verify.OnFailure{}, started)
		sent.New = true
		if err := tx.Save(sent); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
)

// historyMonths is over how long the archive goes back.
const historyMonths = 13

// littleHistory is what a history is compared with.
const littleHistory = 10_000

// histories measures beside a short history and a long one.
func (b *bench) histories(ctx context.Context) error {
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, finished := range []int{littleHistory, b.finished} {
			if err := b.history(ctx, engine, finished); err != nil {
				return err
			}
		}
	}
	return nil
}

// beside is the work of measuring beside a history.
func beside(engine string, finished int) string {
	return fmt.Sprintf("open %s beside %d", engine, finished)
}

func (b *bench) historyComparisons() (list []comparison) {
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, column := range []string{colStart + "p99", colCheck + "p99"} {
			list = append(list, comparison{beside(engine, b.finished), beside(engine, littleHistory), column, "≤ 1.5"})
		}
	}
	return list
}

// history measures starts and checks at a constant rate beside an archive of a size,
// and as many settled charges.
func (b *bench) history(ctx context.Context, engine string, finished int) (err error) {
	s, done, err := b.newServer(ctx, engine, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if err := s.stop(); err != nil {
		return err
	}
	began := time.Now()
	if err := b.fillArchive(ctx, s, finished); err != nil {
		return fmt.Errorf("fill the archive: %w", err)
	}
	b.log("%d finished on %s, in %.0f s", finished, engine, time.Since(began).Seconds())
	if err := s.start(ctx); err != nil {
		return err
	}
	sys, err := s.system(engine)
	if err != nil {
		return err
	}
	a := newArrivals(sys, 0, b.pastRate, max(int(b.spell.Seconds()), 1))
	res, err := b.measure(sys, b.gauge(ctx, s), func() (*run, error) {
		err := a.run(ctx, 2*b.clients)
		return &run{took: time.Since(a.began), times: append([]time.Duration{}, a.checks...)}, err
	})
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	var p proof
	if err := errors.Join(p.readRecord(s.record), p.readRows(ctx, s.database)); err != nil {
		return err
	}
	a.result(res, &p)
	delete(res, colDelivered) // the sink has no receipts
	if v := p.judge(sys.numbers, a.lives, true); v.missing() > 0 || a.wrong.Load() > 0 || p.copies > 0 {
		b.miss("beside %d finished on %s: %s; %d wrong or no answers; %d messages sent twice", finished, engine, v, a.wrong.Load(), p.copies)
	}
	b.results.add(beside(engine, finished), res)
	return nil
}

// fillArchive puts verifications into the archive that ended over the last months, and
// their charges into the settled ledger.
func (b *bench) fillArchive(ctx context.Context, s *server, finished int) (err error) {
	database := strings.TrimPrefix(s.database, "sqlite:")
	now := time.Now().UTC()
	first := now.AddDate(0, 1-historyMonths, 0)
	key, err := store.LoadKey(filepath.Join(s.dir, "key"))
	if err != nil {
		return err
	}
	own, err := store.Open(ctx, store.Config{Database: database, Key: key, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	for m := range historyMonths {
		err = errors.Join(err, own.Prepare(ctx, now.AddDate(0, -m, 0))) // a partition, where there are any
	}
	if err := errors.Join(err, own.Close()); err != nil {
		return err
	}
	db, err := pgtest.Open(database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1) // for what is set for a session
	for _, statement := range fillStatements(s, finished, first, now.Add(-25*time.Hour).Sub(first)) {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func fillStatements(s *server, finished int, first time.Time, span time.Duration) []string {
	ended := fmt.Sprintf("%d + i * %d / %d", first.UnixMilli(), span.Milliseconds(), finished)
	insert := func(id, hex, number string) []string {
		return []string{
			fmt.Sprintf(`INSERT INTO archive (id, account, number, finalized_at, submitted_at, price, document)
				SELECT %s, '%s', %s, ended, ended - 60000, 12050000, '%s' FROM past`, id, account, number, pastDocument),
			fmt.Sprintf(`INSERT INTO ledger_past (key, account, kind, amount, created_at)
				SELECT 'charge/' || %s, '%s', 'charge', -12050000, ended - 60000 FROM past`, hex, account),
		}
	}
	if strings.HasPrefix(s.database, "sqlite:") {
		list := []string{fmt.Sprintf(`CREATE TEMP TABLE past AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d - 1)
			SELECT i, randomblob(16) AS id, %s AS ended FROM n`, finished, ended)}
		return append(append(list, insert("id", "lower(hex(id))", "'4477' || printf('%08d', i)")...), "DROP TABLE past", "ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	list := []string{
		"SET session_replication_role = replica", // the archive has no foreign keys to be checked
		fmt.Sprintf(`CREATE TEMP TABLE past AS SELECT i, decode(md5(i::TEXT), 'hex') AS id, %s AS ended FROM generate_series(0::BIGINT, %d - 1) i`, ended, finished),
	}
	return append(append(list, insert("id", "encode(id, 'hex')", "'4477' || lpad(i::TEXT, 8, '0')")...), "DROP TABLE past", "VACUUM ANALYZE", "CHECKPOINT")
}

// pastDocument is what the archive keeps of a verification with two events and a check.
const pastDocument = `{"status":"SUCCESS","country":"GB","brand":"Acme","sender":"","locale":"en-gb","code_length":4,` +
	`"workflow":{"steps":[{"channel":"sms","wait":125000},{"channel":"tts","wait":180000},{"channel":"tts","wait":300000}],"pin_life":300000,"pin_policy":"reuse","cancel_after":30000},` +
	`"generation":1,"pin_expires_at":1767323345678,"tries":0,"first_event_at":1767323045678,"last_event_at":1767323045678,` +
	`"events":[{"id":"6ba7b8109dad41d180b400c04fd430c8","channel":"sms","generation":1,"state":"delivered","attempt":1,"started_at":1767323045678,"carrier":"a"},` +
	`{"id":"6ba7b8119dad41d180b400c04fd430c8","channel":"tts","generation":1,"state":"accepted","attempt":1,"started_at":1767323170678,"carrier":"b"}],` +
	`"checks":[{"generation":1,"valid":true,"received_at":1767323200678}]}`

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
)

// historyMonths is the age of the archive.
const historyMonths = 13

// histories measures with a short history and with a long one.
func (b *bench) histories(ctx context.Context) error {
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, finished := range slices.Compact([]int{b.little, b.finished}) {
			if err := b.history(ctx, engine, finished); err != nil {
				return err
			}
		}
	}
	return nil
}

// beside returns the name of the work with a history of this size.
func beside(engine string, finished int) string {
	return fmt.Sprintf("open %s beside %d", engine, finished)
}

func (b *bench) historyComparisons() (list []comparison) {
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, column := range []string{colStart + "p99", colCheck + "p99"} {
			list = append(list, comparison{beside(engine, b.finished), beside(engine, b.little), column, "≤ 1.5"})
		}
	}
	return list
}

// history measures starts and checks at a constant rate, on a database with an archive of this
// size and as many settled charges.
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
	res, err := b.measure(sys, b.gauge(ctx, s, "open"), func() (*run, error) {
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
	delete(res, colDelivered) // the sink sends no receipts
	if v := p.judge(sys.numbers, a.lives, b.within, true); v.missing() > 0 || a.wrong.Load() > 0 || p.copies > 0 {
		b.miss("with %d finished on %s: %s; %d wrong or missing answers; %d messages sent twice", finished, engine, v, a.wrong.Load(), p.copies)
	}
	b.results.add(beside(engine, finished), res)
	return nil
}

// fillArchive inserts verifications that ended in the last months into the archive, and their
// charges into the settled ledger.
func (b *bench) fillArchive(ctx context.Context, s *server, finished int) error {
	database := strings.TrimPrefix(s.database, "sqlite:")
	now := time.Now().UTC()
	first := now.AddDate(0, 1-historyMonths, 0)
	key, err := vault.LoadKey(filepath.Join(s.dir, "key"))
	if err != nil {
		return err
	}
	own, err := store.Open(ctx, store.Config{Database: database, Key: key, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	for m := range historyMonths {
		err = errors.Join(err, own.Prepare(ctx, now.AddDate(0, -m, 0))) // creates a partition on PostgreSQL
	}
	if err := errors.Join(err, own.Close()); err != nil {
		return err
	}
	if err := execAll(ctx, database, fillStatements(s, finished, first, now.Add(-25*time.Hour).Sub(first))); err != nil {
		return err
	}
	if strings.HasPrefix(s.database, "sqlite:") {
		return flush(database)
	}
	return nil // the last statement was a CHECKPOINT
}

// execAll runs statements in one session.
func execAll(ctx context.Context, database string, statements []string) (err error) {
	db, err := pgtest.Open(database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// flush flushes a file to disk, so that the kernel does not write it during a measurement.
func flush(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// numbersKept is the time that the archive keeps numbers, slightly less than the default. Older
// rows have no number, since otherwise the server would be busy erasing numbers.
const numbersKept = 89 * 24 * time.Hour

// fillStatements returns statements that insert rows in the order of time, with ids that increase
// with time like those of a server.
func fillStatements(s *server, finished int, first time.Time, span time.Duration) []string {
	kept := first.Add(span - numbersKept).UnixMilli()
	past := func(id, from string) string {
		return fmt.Sprintf(`CREATE TEMP TABLE past AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d - 1),
			times AS (SELECT i, %d + i * %d / %[1]d AS ended FROM %[4]s) SELECT i, ended, %[5]s AS id FROM times`,
			finished, first.UnixMilli(), span.Milliseconds(), from, id)
	}
	insert := func(id, number, document string) []string {
		return []string{
			fmt.Sprintf(`INSERT INTO archive (id, account, address, finalized_at, submitted_at, document)
				SELECT %s, '%s', CASE WHEN ended > %d THEN %s END, ended, ended - 60000, %s FROM past ORDER BY i`,
				id, account, kept, number, fmt.Sprintf(document, pastDocument)),
			fmt.Sprintf(`INSERT INTO ledger_past (key, account, kind, amount, created_at)
				SELECT 'charge/' || id, '%s', 'charge', -12050000, ended - 60000 FROM past ORDER BY i`, account),
		}
	}
	if strings.HasPrefix(s.database, "sqlite:") {
		list := append([]string{
			"PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -200000", // no other process uses the file yet
			past("printf('%012x7', ended - 60000) || substr(lower(hex(randomblob(10))), 1, 19)", "n"),
		}, insert("unhex(id)", "'4477' || printf('%08d', i)", "unhex('%s')")...)
		return append(list, "DROP TABLE past", "ANALYZE", "PRAGMA journal_mode = WAL")
	}
	list := append([]string{
		"SET session_replication_role = replica", // disables triggers and checks of foreign keys
		past("lpad(to_hex(ended - 60000), 12, '0') || '7' || substr(md5(i::TEXT), 1, 19)", fmt.Sprintf("(SELECT generate_series(0::BIGINT, %d - 1) AS i) AS g", finished)),
	}, insert("decode(id, 'hex')", "'4477' || lpad(i::TEXT, 8, '0')", "decode('%s', 'hex')")...)
	return append(list, "DROP TABLE past", "VACUUM ANALYZE", "CHECKPOINT")
}

// pastDocument is the document in the archive of a verification with two events and a check,
// in hexadecimal.
const pastDocument = "08021207535543434553531a0b0a0570686f6e6512024742220441636d652a05656e2d676230083a300a090a03736d731090a10f0a090a0374747310" +
	"c0fc150a090a0374747310c0cf2410c0cf241a05726575736520e0d40340a0f9be0b4802500258c0cf246a2b0a100909000000000000000000000000" +
	"00001203736d731802220964656c697665726564280230003a01616a2c0a10090a000000000000000000000000000012037474731802220861636365" +
	"70746564280230e0d4033a016272080802180228c0b802"

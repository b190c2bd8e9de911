package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The limits of the machine are upper bounds for any server on it. Each is measured in the same run
// as the server.

// rowOctets is the size of the data in a row of the limits that write rows.
const rowOctets = 300

// Sizes of the blocks of [fsyncs], in octets: one like pg_test_fsync, and one like the log of a
// large batch.
const (
	smallBlock = 8 << 10
	largeBlock = 256 << 10
)

// fsyncs repeatedly writes a block of size octets to a file and flushes it (fdatasync).
func fsyncs(dir string, size int, spell time.Duration) (result, error) {
	f, err := os.CreateTemp(dir, "fsync")
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	block := bytes.Repeat([]byte{'x'}, size)
	const length = 16 << 20 // size of the file, allocated first, so that no flush extends it
	if _, err := f.Write(make([]byte, length)); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	var times []time.Duration
	began := time.Now()
	for at := int64(0); time.Since(began) < spell; at = (at + int64(len(block))) % length {
		from := time.Now()
		if _, err := f.WriteAt(block, at); err != nil {
			return nil, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return nil, err
		}
		times = append(times, time.Since(from))
	}
	r := result{colRate: float64(len(times)) / time.Since(began).Seconds()}
	r.latency(times)
	return r, nil
}

// grouped inserts rows into an SQLite database with the settings of the server (write-ahead log,
// synchronous=FULL, the same driver). Each client inserts one row at a time, and one writer
// commits all waiting rows in one transaction.
func grouped(ctx context.Context, dir string, clients int, spell time.Duration) (r result, err error) {
	q := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(4000)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: filepath.Join(dir, "grouped.db"), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "CREATE TABLE row (id INTEGER PRIMARY KEY, payload BLOB NOT NULL)"); err != nil {
		return nil, err
	}
	queue := make(chan chan error, clients)
	written := make(chan error, 1)
	go func() { written <- writeGroups(ctx, db, queue) }()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		times []time.Duration
		stop  atomic.Bool
	)
	began := time.Now()
	for range clients {
		wg.Go(func() {
			var own []time.Duration
			done := make(chan error, 1)
			for !stop.Load() {
				from := time.Now()
				queue <- done
				if <-done != nil {
					break
				}
				own = append(own, time.Since(from))
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, own...)
		})
	}
	time.Sleep(spell)
	stop.Store(true)
	wg.Wait()
	took := time.Since(began)
	close(queue)
	r = result{colRate: float64(len(times)) / took.Seconds()}
	r.latency(times)
	return r, <-written
}

// writeGroups commits all waiting rows together.
func writeGroups(ctx context.Context, db *sql.DB, queue <-chan chan error) error {
	insert, err := db.PrepareContext(ctx, "INSERT INTO row (payload) VALUES (?)")
	if err != nil {
		return err
	}
	defer func() { _ = insert.Close() }()
	payload := bytes.Repeat([]byte{'x'}, rowOctets)
	var group []chan error
	for first := range queue {
		group = append(group[:0], first)
		for len(queue) > 0 {
			group = append(group, <-queue)
		}
		err := func() error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			own := tx.StmtContext(ctx, insert) //nolint:sqlclosecheck // ends with tx
			for range group {
				if _, err := own.ExecContext(ctx, payload); err != nil {
					return err
				}
			}
			return tx.Commit()
		}()
		for _, done := range group {
			done <- err
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var errNoResult = errors.New("pgbench printed no rate")

// pgbench runs PostgreSQL's load generator with a transaction that inserts one row.
func (b *bench) pgbench(ctx context.Context, clients int, spell time.Duration) (r result, err error) {
	database, drop, err := b.postgres.Copy(ctx, "template0")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, drop(context.WithoutCancel(ctx))) }()
	create := b.postgres.Command("psql", "--quiet", "--dbname", database,
		"--command", "CREATE TABLE one_row (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload TEXT)")
	if out, err := create.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("psql: %w: %s", err, out)
	}
	cmd := b.postgres.Command("pgbench", append(pgbenchArgs(clients, spell), database)...)
	cmd.Stdin = strings.NewReader(pgbenchScript)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("pgbench: %w: %s", err, out)
	}
	value := func(pattern string) (float64, error) {
		found := regexp.MustCompile(pattern).FindSubmatch(out)
		if found == nil {
			return 0, fmt.Errorf("%w: %s", errNoResult, out)
		}
		return strconv.ParseFloat(string(found[1]), 64)
	}
	rate, err := value(`tps = ([0-9.]+)`)
	if err != nil {
		return nil, err
	}
	average, err := value(`latency average = ([0-9.]+) ms`)
	return result{colRate: rate, colMean: average}, err
}

const pgbenchScript = "INSERT INTO one_row (payload) VALUES (repeat('x', 300));\n"

func pgbenchArgs(clients int, spell time.Duration) []string {
	return []string{"--no-vacuum", "--protocol=prepared", "--client", strconv.Itoa(clients), "--jobs", "2",
		"--time", strconv.Itoa(max(int(spell.Seconds()), 1)), "--file", "-"}
}

// bareHTTP sends requests like starts to a net/http server without any work.
func (b *bench) bareHTTP(ctx context.Context, clients int, spell time.Duration) (r result, err error) {
	h, err := startHelper(ctx, roleHTTP)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.stop()) }()
	s := &server{url: "http://" + h.address}
	sys, err := s.system("net/http")
	if err != nil {
		return nil, err
	}
	var next atomic.Int64
	return b.measure(sys, gauge{
		used:  func() (usage, error) { return spent(h.cmd.Process.Pid) },
		peak:  func() (float64, error) { return peak(h.cmd.Process.Pid) },
		begin: func() { forgetPeak(h.cmd.Process.Pid) },
	}, func() (*run, error) { return sys.closed(ctx, clients, spell, sys.starts(&next)) })
}

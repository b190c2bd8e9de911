package server_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"countersign/internal/await"
	"countersign/internal/pgtest"
	"countersign/internal/server"
	"countersign/internal/vault"
)

// readyz returns the response of /readyz.
func (r *running) readyz() (code int, body string) {
	r.t.Helper()
	resp, err := r.client.Get(r.OpsURL() + "/readyz")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// awaitReadyz waits for a response of /readyz.
func (r *running) awaitReadyz(code int, contains string) {
	r.t.Helper()
	await.Until(r.t, fmt.Sprintf("response of /readyz: %d with %q", code, contains), func() bool {
		got, body := r.readyz()
		return got == code && strings.Contains(body, contains)
	})
}

// starts sends n starts and returns the number of accepted ones.
func (r *running) starts(n, from int) (accepted int) {
	r.t.Helper()
	for i := range n {
		if _, err := r.start(fmt.Sprintf("4477101%05d", from+i)); err == nil {
			accepted++
		} else if !strings.HasSuffix(err.Error(), "status 5") {
			r.t.Fatalf("start: %v, want status 5", err)
		}
	}
	return accepted
}

// safeLog is a log for concurrent writers.
type safeLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *safeLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// TestReadyDamagedPage overwrites one page of a stopped server, the root of a table or
// index that starts use. The server is not ready, even if the ping succeeds.
func TestReadyDamagedPage(t *testing.T) {
	t.Parallel()
	for _, object := range []string{"guards", "ledger", "ledger_account", "verifications", "sqlite_autoindex_verifications_1"} {
		t.Run(object, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "countersign.db")
			log := &safeLog{}
			opts := options(path, vault.NewKey())
			opts.Log = slog.New(slog.NewTextHandler(log, nil))
			r := run(t, opts)
			if n := r.starts(30, 0); n != 30 {
				t.Fatalf("%d of 30 accepted", n)
			}
			r.halt()
			damage(t, path, object)

			r = run(t, opts)
			defer r.halt()
			if n := r.starts(20, 100); n != 0 {
				t.Errorf("%d of 20 starts accepted: the damaged page is not used", n)
			}
			if code, body := r.readyz(); code != http.StatusServiceUnavailable || !strings.Contains(body, "damaged") {
				t.Errorf("/readyz returns %d %q", code, body)
			}
			r.awaitReadyz(http.StatusServiceUnavailable, "restore a backup")
			if !strings.Contains(log.String(), `msg="not ready"`) {
				t.Errorf("no log line:\n%s", log)
			}
		})
	}
}

// damage overwrites the first page of a table or an index.
func damage(t *testing.T, path, object string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var page, size int64
	if err := db.QueryRowContext(t.Context(), `SELECT rootpage FROM sqlite_schema WHERE name = ?`, object).Scan(&page); err != nil {
		t.Fatalf("%s: %v", object, err)
	}
	if err := db.QueryRowContext(t.Context(), `PRAGMA page_size`).Scan(&size); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xA5}, int(size)), (page-1)*size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReadyTruncated truncates the files of a running server.
func TestReadyTruncated(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"", "-wal"} {
		t.Run("countersign.db"+file, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "countersign.db")
			r := run(t, options(path, vault.NewKey()))
			if n := r.starts(30, 0); n != 30 {
				t.Fatalf("%d of 30 accepted", n)
			}
			checkpoint(t, path)
			r.starts(30, 100)
			info, err := os.Stat(path + file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path+file, info.Size()/8/4096*4096); err != nil {
				t.Fatal(err)
			}
			// /readyz is queried after each start: later starts may succeed again, which
			// ends the state.
			next := 200
			await.Until(t, "not ready", func() bool {
				r.starts(1, next)
				next++
				code, body := r.readyz()
				return code == http.StatusServiceUnavailable && strings.Contains(body, "not ready: ")
			})
			r.stop()
			r.client.CloseIdleConnections()
			<-r.served // any error
		})
	}
}

func checkpoint(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `PRAGMA wal_checkpoint(RESTART)`); err != nil {
		t.Fatal(err)
	}
}

// TestReadyMovedFiles checks that a server with a renamed directory accepts no starts and is
// not ready, even without requests to /readyz. It recovers once the directory is back.
func TestReadyMovedFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	log := &safeLog{}
	opts := options(filepath.Join(dir, "countersign.db"), vault.NewKey())
	opts.Log = slog.New(slog.NewTextHandler(log, nil))
	r := run(t, opts)
	id, err := r.start("447700900000")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "detected without requests", func() bool { return strings.Contains(log.String(), `msg="not ready"`) })
	if n := r.starts(20, 100); n != 0 {
		t.Errorf("%d of 20 starts accepted", n)
	}
	r.awaitReadyz(http.StatusServiceUnavailable, filepath.Join(dir, "countersign.db")+" is missing")
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	r.awaitReadyz(http.StatusOK, "ready")
	if _, err := r.start("447700900001"); err != nil {
		t.Error(err)
	}
	if got := r.found(id); got != "IN PROGRESS" {
		t.Errorf("the first verification is %s", got)
	}
	r.halt()
}

// found returns the status of a verification in a search.
func (r *running) found(id string) string {
	r.t.Helper()
	resp, err := r.client.PostForm(r.URL()+"/verify/search/json", url.Values{
		"api_key": {server.DemoAccount}, "api_secret": {server.DemoSecret}, "request_id": {id},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(body), `"status":"`)
	status, _, _ := strings.Cut(rest, `"`)
	return status
}

// TestReadyLockedTable locks each table that requests write to, as an operator's session might.
func TestReadyLockedTable(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Start(t)
	for _, lock := range []string{"verifications IN ACCESS EXCLUSIVE", "verifications IN SHARE", "guards IN ACCESS EXCLUSIVE", "message_ids IN SHARE"} {
		t.Run(lock, func(t *testing.T) {
			t.Parallel()
			database := postgres.Create(t, "template0")
			opts := options("", vault.NewKey())
			opts.Config.Database = database
			r := run(t, opts)
			defer r.halt()
			r.awaitReadyz(http.StatusOK, "ready")
			db, err := pgtest.Open(database)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(t.Context(), `LOCK TABLE `+lock+` MODE`); err != nil {
				t.Fatal(err)
			}
			if code, body := r.readyz(); code != http.StatusServiceUnavailable {
				t.Errorf("/readyz returns %d %q", code, body)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			r.awaitReadyz(http.StatusOK, "ready")
		})
	}
}

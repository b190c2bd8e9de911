package store_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/internal/store"
)

// disturbance changes the files of a database that a server has open.
type disturbance struct {
	name string
	do   func(t *testing.T, path, backup string)
	undo func(t *testing.T, path string) // nil if the files cannot be brought back
	says string

	keeps bool // accepted verifications survive a restart
}

func disturbances() []disturbance {
	away := func(path string) string { return filepath.Dir(path) + ".away" }
	return []disturbance{
		{
			name: "directory renamed", says: "is missing",
			do:   func(t *testing.T, path, _ string) { must(t, os.Rename(filepath.Dir(path), away(path))) },
			undo: func(t *testing.T, path string) { must(t, os.Rename(away(path), filepath.Dir(path))) },
		},
		{
			name: "directory deleted", says: "is missing",
			do: func(t *testing.T, path, _ string) { must(t, os.RemoveAll(filepath.Dir(path))) },
		},
		{
			name: "directory made anew", says: "is missing",
			do: func(t *testing.T, path, _ string) {
				must(t, os.Rename(filepath.Dir(path), away(path)))
				must(t, os.Mkdir(filepath.Dir(path), 0o700))
			},
			undo: func(t *testing.T, path string) {
				must(t, os.Remove(filepath.Dir(path)))
				must(t, os.Rename(away(path), filepath.Dir(path)))
			},
		},
		{
			name: "log deleted", says: "-wal is missing", keeps: true,
			do: func(t *testing.T, path, _ string) { must(t, os.Remove(path+"-wal")) },
		},
		{
			name: "index of the log deleted", says: "-shm is missing", keeps: true,
			do: func(t *testing.T, path, _ string) { must(t, os.Remove(path+"-shm")) },
		},
		{
			name: "log and its index deleted", says: "-wal is missing", keeps: true,
			do: func(t *testing.T, path, _ string) {
				must(t, os.Remove(path+"-wal"))
				must(t, os.Remove(path+"-shm"))
			},
		},
		{
			name: "backup moved over the database", says: "is another file",
			do: func(t *testing.T, path, backup string) { must(t, os.Rename(backup, path)) },
		},
		{
			name: "backup copied over the database", says: "was overwritten",
			do: func(t *testing.T, path, backup string) { copyOver(t, backup, path) },
		},
		{
			name: "file emptied", says: "was overwritten",
			do: func(t *testing.T, path, _ string) { must(t, os.Truncate(path, 0)) },
		},
		{
			name: "other content", says: "was overwritten",
			do: func(t *testing.T, path, _ string) {
				must(t, os.WriteFile(path, bytes.Repeat([]byte("x"), 1<<16), 0o600))
			},
		},
	}
}

// copyOver does what cp does: the file keeps its inode.
func copyOver(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	must(t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_TRUNC, 0)
	must(t, err)
	_, err = io.Copy(out, in)
	must(t, errors.Join(err, out.Close()))
}

func TestDisturbedFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range disturbances() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			must(t, os.Mkdir(dir, 0o700))
			path, backup := filepath.Join(dir, "countersign.db"), filepath.Join(filepath.Dir(dir), "backup.db")
			var log bytes.Buffer
			db, err := store.Open(t.Context(), store.Config{
				Database: path, Key: key, Serve: true, Log: slog.New(slog.NewTextHandler(&log, nil)),
			})
			must(t, err)
			addAccount(t, db, "demo0001", 100)
			_, err = db.Backup(t.Context(), backup)
			must(t, err)
			v := sent(t, db, request("demo0001", "447700900000"), t0)
			must(t, db.CheckFiles(t.Context()))

			tt.do(t, path, backup)
			accepted := db.Ping(t.Context())
			if !errors.Is(accepted, store.ErrReplaced) || !strings.Contains(accepted.Error(), tt.says) {
				t.Errorf("a commit gave %v, want ErrReplaced with %q", accepted, tt.says)
			}
			if err := db.CheckFiles(t.Context()); !errors.Is(err, store.ErrReplaced) {
				t.Errorf("CheckFiles gave %v, want ErrReplaced", err)
			}
			if _, _, err := db.Verification(t.Context(), v.ID); !errors.Is(err, store.ErrReplaced) {
				t.Errorf("a read gave %v, want ErrReplaced", err)
			}
			if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), path) {
				t.Errorf("logged %q, want one error with the path", log.String())
			}
			if tt.undo != nil {
				tt.undo(t, path)
				must(t, db.Ping(t.Context()))
				same(t, db, v)
			}
			before := content(t, path)
			must(t, db.Close())
			if tt.undo == nil && !tt.keeps && !bytes.Equal(content(t, path), before) {
				t.Error("closing wrote to a file that is not the server's own")
			}
			if tt.undo != nil || tt.keeps {
				db, err := open(t, path, key, true)
				must(t, err)
				same(t, db, v)
				must(t, db.Close())
			}
		})
	}
}

// content returns the bytes of the database and its log, without missing files.
func content(t *testing.T, path string) (all []byte) {
	t.Helper()
	for _, name := range []string{path, path + "-wal"} {
		data, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	return all
}

// TestForeignLog opens a backup that replaced a database but not its log. SQLite would mix
// both.
func TestForeignLog(t *testing.T) {
	t.Parallel()
	path := sqlite(t)
	db, err := open(t, path, key, true)
	must(t, err)
	addAccount(t, db, "demo0001", 100)
	backup := path + ".backup"
	_, err = db.Backup(t.Context(), backup)
	must(t, err)
	begin(t, db, request("demo0001", "447700900000"), t0)
	must(t, os.Rename(backup, path)) // then the server stops without a checkpoint
	must(t, db.Close())
	if db, err := open(t, path, key, true); err == nil || !strings.Contains(err.Error(), "-wal belongs to another database file") {
		t.Errorf("opened %v, %v; want it to name the log", db, err)
	}
	must(t, os.Remove(path+"-wal"))
	must(t, os.Remove(path+"-shm"))
	db, err = open(t, path, key, true)
	must(t, err)
	must(t, db.Close())
}

func BenchmarkCheckFiles(b *testing.B) {
	db, err := store.Open(b.Context(), store.Config{
		Database: filepath.Join(b.TempDir(), "countersign.db"), Key: key, Serve: true, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	b.ReportAllocs()
	for b.Loop() {
		if err := db.CheckFiles(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// A file that became smaller is reported once, unless the server emptied its log itself.
func TestShrunk(t *testing.T) {
	t.Parallel()
	path := sqlite(t)
	db, err := open(t, path, key, true)
	must(t, err)
	defer db.Close()
	must(t, db.Ping(t.Context()))
	_, err = db.ForgetNumber(t.Context(), store.Forget{Number: "447700900000"}, t0)
	must(t, err)
	must(t, db.Ping(t.Context()))
	if db.Shrunk() {
		t.Error("a truncation by the server is reported as damage")
	}
	must(t, db.CheckFiles(t.Context()))
	info, err := os.Stat(path + "-wal")
	must(t, err)
	must(t, os.Truncate(path+"-wal", info.Size()/2))
	must(t, db.CheckFiles(t.Context()))
	if !db.Shrunk() || db.Shrunk() {
		t.Error("a truncated log is not reported exactly once")
	}
}

package main

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"countersign/internal/await"
)

// TestKilledBackup kills backups in progress: no file appears under the final name, and
// the remains do not affect the next backup.
func TestKilledBackup(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.ok("account", "create", "Acme", "CONFIG", "--key=acme0001")
	fill(t, filepath.Join(in.dir, "data", "countersign.db"))
	to := filepath.Join(in.dir, "copy.db")
	for range 3 {
		killBackup(t, in, to)
		if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("a killed backup has left %s (%v)", to, err)
		}
	}
	in.ok("backup", to, "CONFIG")
	if left, _ := filepath.Glob(to + ".*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	in.ok("restore", "--from", to, "CONFIG")
	in.credentials("acme0001")
}

// fill creates a database with a backup long enough to kill.
func fill(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	load := make([]byte, 1<<20)
	rand.Read(load) // never fails (crypto/rand)
	for i := range 40 {
		if _, err := db.ExecContext(t.Context(), `INSERT INTO settings (name, value) VALUES ($1, $2)`, "load"+string(rune('A'+i)), load); err != nil {
			t.Fatal(err)
		}
	}
}

// killBackup starts a backup in a separate process and kills it once it writes.
func killBackup(t *testing.T, in *installation, to string) {
	t.Helper()
	program, err := exec.LookPath("countersign") // this program, see TestMain
	if err != nil {
		t.Fatal(err)
	}
	backup := exec.CommandContext(t.Context(), program, "backup", to, "--config", filepath.Join(in.dir, "config.yaml"))
	began := time.Now()
	if err := backup.Start(); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "begun: the backup", func() bool {
		now, err := os.Stat(to + ".partial")
		return err == nil && now.Size() > 1<<20 && now.ModTime().After(began)
	})
	if err := backup.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := backup.Wait(); err == nil {
		t.Fatal("the backup ended before it could be killed")
	}
}

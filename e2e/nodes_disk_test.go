package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"countersign/internal/await"
	"countersign/internal/pgtest"
)

// TestNodesDiskFull fills the disk of the database while verifications start. Each start is
// answered, no accepted verification is lost, and starts succeed again once there is room. While
// most starts are refused the node is not ready, although a small write still succeeds.
func TestNodesDiskFull(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Start(t)
	disk := smallDisk(t, postgres, 48)
	server := postgres.Create(t, "template0")
	pgtest.Exec(t, server, "CREATE TABLESPACE small LOCATION '"+disk+"'")
	pgtest.Exec(t, server, "CREATE DATABASE verify TEMPLATE template0 TABLESPACE small")
	database := strings.Replace(server, "/test1?", "/verify?", 1)
	ops := "127.0.0.1:" + freeUDP(t)
	s := launch(t, "demo", "--unlimited", "--listen", "127.0.0.1:0", "--ops-listen", ops, "--database", database)
	s.awaitURL(t)
	defer s.end(t)

	before := s.verify(t, "447700900100")
	balloon := filepath.Join(disk, "balloon")
	full := fill(t, balloon)
	if full == 0 {
		t.Fatal("the disk has no room before the test")
	}
	var accepted []string
	refused := 0
	for n := range 3000 { // until the remaining space of each page is used up
		got := s.ask(t, "/verify/json", "number", strconv.Itoa(447700910000+n), "brand", "Acme")
		switch got["status"] {
		case "0":
			accepted = append(accepted, got.text(t, "request_id"))
		case "5":
			refused++
		default:
			t.Fatalf("a start is answered %v", got)
		}
		if refused == 20 {
			break
		}
	}
	if refused == 0 {
		t.Error("no start was refused")
	}
	if code, body := readyz(t, ops); code != http.StatusServiceUnavailable || !strings.Contains(body, "not ready: ") {
		t.Errorf("while starts are refused, /readyz answers %d %q, want 503 with a reason", code, body)
	}
	if log := s.log.String(); !strings.Contains(log, "database unavailable") || !strings.Contains(log, "No space left on device (SQLSTATE 53100)") {
		t.Error("the log does not report the full disk")
	}
	if err := os.Remove(balloon); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "an accepted start after room was freed", func() bool {
		return s.ask(t, "/verify/json", "number", "447700920000", "brand", "Acme")["status"] == "0"
	})
	await.Until(t, "readiness after room was freed", func() bool {
		code, _ := readyz(t, ops)
		return code == http.StatusOK
	})
	for _, id := range append(accepted, before) {
		if s.found(t, id)["status"] != "IN PROGRESS" {
			t.Errorf("%s was accepted but is lost", id)
		}
	}
	t.Logf("%d accepted while the disk filled, %d refused", len(accepted), refused)
}

// readyz requests the readiness of a server.
func readyz(t *testing.T, ops string) (code int, body string) {
	t.Helper()
	resp, err := http.Get("http://" + ops + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// smallDisk mounts a disk in memory, owned by the user of the database server.
func smallDisk(t *testing.T, postgres *pgtest.Server, megabytes int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small disk requires root")
	}
	dir := filepath.Join(filepath.Dir(postgres.Socket()), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(megabytes)+"m"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	info, err := os.Stat(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) (octets int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		n, err := f.Write(block)
		octets += n
		if err != nil {
			return octets
		}
	}
}

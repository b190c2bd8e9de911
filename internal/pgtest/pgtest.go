// Package pgtest provides a real PostgreSQL for tests: one private server per test process, and
// a separate database for each test. A cleanup process removes everything after the test
// process ends, even after SIGKILL.
//
// The package must not know the contents of the databases.
package pgtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// Server is a PostgreSQL server in a private directory. It listens on a Unix socket there.
type Server struct {
	dir       string
	bin       string
	parent    string              // parent directory of dir; "" for os.TempDir
	as        *syscall.Credential // nil for the current user
	keepAlive *os.File            // pipe to the cleanup process; the server stops when it closes

	host      string   // IP address to listen on; "" for the socket only
	settings  []string // settings in addition to the arguments of run
	databases atomic.Int64
	templates sync.Map // names to *template
}

type template struct {
	once sync.Once
	err  error
}

// shared is the server of the test process.
//
//nolint:gochecknoglobals // started once
var shared = sync.OnceValues(func() (*Server, error) { return start(quick()) })

// initial is a server that never runs. Its directory holds the result of initdb, which
// every other server copies.
//
//nolint:gochecknoglobals // initdb runs once
var initial = sync.OnceValues(initialize)

// Shared returns the server of the test process. The first call starts it.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Start starts a separate server for one test, for example to stop it, with settings such as
// "max_connections=20".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	parent, relaxed := quick()
	s, err := start(parent, append(relaxed, settings...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// quick returns the parent directory and the settings of a server for tests. Without fsync, a
// commit survives a crash of the server, because the kernel has its data, and only a crash
// of the machine loses it. Autovacuum would visit each of the many databases every minute.
// A benchmark measures a server on the disk with neither setting.
func quick() (parent string, settings []string) {
	if f := flag.Lookup("test.bench"); f != nil && f.Value.String() != "" {
		return "", nil
	}
	return memory(), []string{"fsync=off", "autovacuum=off"}
}

// memory returns the directory of a file system in memory; "" if it has not enough room. A
// database has 300 files. On ext4 their creation takes more processor time than the tests,
// because the search for a free inode passes over recently deleted ones.
func memory() string {
	const dir, room = "/dev/shm", 2 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < room {
		return ""
	}
	return dir
}

// Launch starts a server for a benchmark program, with settings such as
// "shared_buffers=128MB". It flushes each commit to the disk. The caller closes it.
func Launch(settings ...string) (*Server, error) { return start("", settings) }

// Close stops the server and removes its directory.
func (s *Server) Close() error { return s.keepAlive.Close() }

// URL creates an empty database for a test on the shared server and returns its URL.
func URL(t testing.TB) string {
	t.Helper()
	return Shared(t).Create(t, "template0")
}

// Prepared is URL for a database that prepare fills. prepare runs once per name, and each test
// gets a copy of the result.
func Prepared(t testing.TB, name string, prepare func(ctx context.Context, url string) error) string {
	t.Helper()
	s := Shared(t)
	v, _ := s.templates.LoadOrStore(name, &template{})
	tmpl := v.(*template)
	tmpl.once.Do(func() {
		ctx := context.Background()
		if tmpl.err = s.create(ctx, name, "template0"); tmpl.err == nil {
			tmpl.err = prepare(ctx, s.url(name))
		}
	})
	if tmpl.err != nil {
		t.Fatalf("prepare database %s: %v", name, tmpl.err)
	}
	return s.Create(t, name)
}

// Open opens a database of either engine, independent of its other users.
func Open(database string) (*sql.DB, error) {
	if strings.HasPrefix(database, "postgres://") {
		return sql.Open("pgx", database)
	}
	return sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(database), RawQuery: "_pragma=busy_timeout(5000)"}).String())
}

// Create creates a copy of a database, and drops it at the end of the test.
func (s *Server) Create(t testing.TB, from string) string {
	t.Helper()
	database, drop, err := s.Copy(t.Context(), from)
	if err != nil {
		t.Fatalf("make database: %v", err)
	}
	t.Cleanup(func() {
		if err := drop(context.WithoutCancel(t.Context())); err != nil {
			t.Logf("drop database: %v", err)
		}
	})
	return database
}

// Copy creates a copy of a database, "template0" for an empty database. The caller calls drop.
func (s *Server) Copy(ctx context.Context, from string) (database string, drop func(context.Context) error, err error) {
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	if err := s.create(ctx, name, from); err != nil {
		return "", nil, err
	}
	drop = func(ctx context.Context) error {
		// FORCE: a test may leave connections open on purpose.
		return s.do(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
	}
	return s.url(name), drop, nil
}

// Exec runs a statement in a database, independent of its other users.
func Exec(t testing.TB, database, query string, args ...any) {
	t.Helper()
	within(t, database, func(conn *pgx.Conn) error {
		_, err := conn.Exec(t.Context(), query, args...)
		return err
	}, query)
}

// Scan reads one row from a database, independent of its other users.
func Scan(t testing.TB, database, query string, dest ...any) {
	t.Helper()
	within(t, database, func(conn *pgx.Conn) error { return conn.QueryRow(t.Context(), query).Scan(dest...) }, query)
}

// within calls do with a new connection.
func within(t testing.TB, database string, do func(*pgx.Conn) error, query string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if err := do(conn); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// url returns the URL of a database of the server. The path of the socket identifies the
// server.
func (s *Server) url(name string) string {
	return (&url.URL{Scheme: "postgres", User: url.User(s.user()), Path: "/" + name, RawQuery: url.Values{"host": {s.dir}}.Encode()}).String()
}

func (s *Server) user() string { return "postgres" }

// create creates a copy of a database.
func (s *Server) create(ctx context.Context, name, from string) error {
	return s.within(ctx, func(conn *pgx.Conn) error {
		query := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize() + " TEMPLATE " + pgx.Identifier{from}.Sanitize()
		// The default of PostgreSQL 15 writes each page to the log, and takes twice the time
		// of copying files. Older releases only copy files, and lack the clause.
		var release int
		if _, err := fmt.Sscan(strings.Split(conn.PgConn().ParameterStatus("server_version"), ".")[0], &release); err == nil && release >= 15 {
			query += " STRATEGY FILE_COPY"
		}
		_, err := conn.Exec(ctx, query)
		return err
	})
}

func (s *Server) do(ctx context.Context, query string) error {
	return s.within(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, query)
		return err
	})
}

// within calls do with a connection to the database of the administrator.
func (s *Server) within(ctx context.Context, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	return errors.Join(do(conn), conn.Close(ctx))
}

// Restart stops the server like pg_ctl stop -m fast, which closes all connections and loses no
// commit, and starts it again.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	s.Resume(t)
}

// Stop stops the server until Resume.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.stop(t, "fast")
}

// Crash stops the server without a checkpoint until Resume, which recovers from the
// write-ahead log.
func (s *Server) Crash(t testing.TB) {
	t.Helper()
	s.stop(t, "immediate")
}

func (s *Server) stop(t testing.TB, mode string) {
	t.Helper()
	if out, err := s.Command("pg_ctl", "stop", "-D", s.data(), "-m", mode, "-w").CombinedOutput(); err != nil {
		t.Fatalf("stop PostgreSQL: %v\n%s", err, out)
	}
}

// Resume starts a stopped server.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

// Freeze suspends all processes of the server until the caller calls thaw. Connections stay
// open without an answer.
func (s *Server) Freeze(t testing.TB) (thaw func()) {
	t.Helper()
	postmaster, err := s.Process()
	if err != nil {
		t.Fatal(err)
	}
	processes := []int{postmaster}
	signal := func(sig syscall.Signal) {
		for _, pid := range processes {
			_ = syscall.Kill(pid, sig) // a process may have ended
		}
	}
	signal(syscall.SIGSTOP) // prevents new processes
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", postmaster))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(text); err == nil {
			processes = append(processes, pid)
		}
	}
	signal(syscall.SIGSTOP)
	return func() { signal(syscall.SIGCONT) }
}

// Process returns the id of the postmaster, the parent of all processes of the server.
func (s *Server) Process() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(line)
}

// Socket returns the path of the socket of the server.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Command returns a command that runs as the user of the server. program is an absolute path
// or the name of a program of PostgreSQL.
func (s *Server) Command(program string, args ...string) *exec.Cmd {
	if !filepath.IsAbs(program) {
		program = filepath.Join(s.bin, program)
	}
	cmd := exec.Command(program, args...) //nolint:gosec,noctx // constant programs, which the caller waits for
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setsid: true}
	return cmd
}

func start(parent string, settings []string) (*Server, error) {
	from, err := initial()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: from.bin, as: from.as, parent: parent, settings: settings}
	return s, s.begin("/bin/cp", "-r", from.data(), "data")
}

// initialize creates the directory of a server without starting it.
func initialize() (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	s.parent, _ = quick()
	if os.Geteuid() == 0 { // PostgreSQL does not run as root
		if s.as, err = credential("postgres"); err != nil {
			return nil, err
		}
	}
	return s, s.fill("initdb", "--pgdata", "data", "--username", s.user(), "--auth", "trust",
		"--encoding", "UTF8", "--no-locale", "--no-sync")
}

// begin creates the directory of the server with a program (see fill) and starts the server.
// After an error it removes the directory.
func (s *Server) begin(program string, args ...string) error {
	if err := s.fill(program, args...); err != nil {
		return err
	}
	if err := s.run(); err != nil {
		return errors.Join(err, s.keepAlive.Close())
	}
	return nil
}

// fill creates the directory of the server and runs a program in it (see Command), which
// creates the data directory. After an error it removes the directory.
func (s *Server) fill(program string, args ...string) (err error) {
	if s.dir, err = os.MkdirTemp(s.parent, "pgtest-"); err != nil {
		return err
	}
	if s.as != nil {
		if err := os.Chown(s.dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return errors.Join(err, os.RemoveAll(s.dir))
		}
	}
	if out, err := s.Command(program, args...).CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("%s: %w\n%s", program, err, out), os.RemoveAll(s.dir))
	}
	if err := s.keep(); err != nil {
		return errors.Join(err, os.RemoveAll(s.dir))
	}
	return nil
}

// keep starts the cleanup process. It reads from a pipe until this process ends, even by
// SIGKILL, then stops the server and removes the directory.
func (s *Server) keep() error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = read.Close() }()
	cmd := exec.Command("/bin/sh", "-c", `read -r _; "$0"/pg_ctl stop -D data -m immediate >/dev/null 2>&1; cd / && rm -rf "$1"`, s.bin, s.dir) //nolint:gosec,noctx // it outlives this process
	cmd.Dir, cmd.Stdin = s.dir, read
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setsid: true}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, write.Close())
	}
	s.keepAlive = write
	return nil
}

// run starts the server and waits until it accepts connections.
func (s *Server) run() error {
	config := fmt.Sprintf("-c listen_addresses= -c unix_socket_directories=%s -c max_connections=300 -c shared_buffers=32MB -c log_min_messages=fatal", s.dir)
	for _, setting := range s.settings {
		config += " -c " + setting
	}
	log := filepath.Join(s.dir, "log")
	if err := s.Command("pg_ctl", "start", "-D", s.data(), "-w", "-t", "60", "-l", log, "-o", config).Run(); err != nil {
		text, _ := os.ReadFile(log)
		return fmt.Errorf("start PostgreSQL: %w\n%s", err, bytes.TrimSpace(text))
	}
	return nil
}

// programs returns the directory of initdb and the other programs of PostgreSQL, from the
// PATH or, without them, of the newest release. Debian does not add them to the PATH.
func programs() (dir string, err error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed; run e2e/setup or install the Debian package postgresql")
	}
	release := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return release(a) - release(b) })
	return filepath.Dir(newest), nil
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"countersign/internal/config"
	"countersign/internal/deliver/smpp/smpptest"
	"countersign/internal/server"
	"countersign/internal/store"
)

// What the test binary is started as, if not to run benchmarks.
const (
	roleVar = "COUNTERSIGN_BENCH_ROLE"
	smscVar = "COUNTERSIGN_BENCH_SMSC" // address of the SMSC, for roleServer
	dirVar  = "COUNTERSIGN_BENCH_DIR"  // of the database and the log, for roleServer

	roleSMSC   = "smsc"
	roleServer = "server"
	roleSink   = "sink"
)

// patience bounds the wait for what happens on its own. Only a benchmark that
// fails waits for all of it.
const patience = 10 * time.Second

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleVar) {
	case roleSMSC:
		err = beSMSC()
	case roleSink:
		err = beSink()
	case roleServer:
		err = beServer(os.Getenv(dirVar), os.Getenv(smscVar))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// beSMSC is an SMSC without faults, until standard input ends.
func beSMSC() error {
	s := smpptest.New(smpptest.Config{})
	if err := s.Listen("127.0.0.1:0"); err != nil {
		return errors.Join(err, s.Close())
	}
	fmt.Println(s.Addr())
	_, err := io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, s.Close())
}

// beServer is the whole server as "countersign serve" runs it, with what an
// operator would leave as it is, until standard input ends. Only the limit on
// requests is off.
func beServer(dir, smsc string) (err error) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	cfg := config.Default()
	cfg.Listen, cfg.OpsListen = "127.0.0.1:0", ""
	cfg.Database = "sqlite:" + filepath.Join(dir, "countersign.db")
	cfg.Carriers = []config.Carrier{{
		Name: "smsc", Type: config.CarrierSMPP,
		SMPP: config.SMPP{Addresses: []string{smsc}, SystemID: "bench", Password: "secret"},
	}}
	cfg.Routes = []config.Route{{Carriers: []string{"smsc"}}}
	s, err := server.New(ctx, server.Options{
		Config: cfg, Key: store.NewKey(), Clock: clockwork.NewRealClock(),
		Log: slog.New(slog.NewJSONHandler(log, nil)), Unlimited: true,
	})
	if err != nil {
		return err
	}
	if err := server.SeedDemo(ctx, s.Store(), true, time.Now()); err != nil {
		return errors.Join(err, s.Close())
	}
	fmt.Println(s.URL())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return s.Serve(ctx)
}

// start runs a command until the benchmark ends, and gives its first line: where
// it listens.
func start(b *testing.B, cmd *exec.Cmd) string {
	b.Helper()
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("%s: %v", cmd, err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatalf("%s does not say where it listens: %v", cmd, err)
	}
	return strings.TrimSpace(line)
}

// again is a command that runs this binary in another role.
func again(b *testing.B, role string, env ...string) *exec.Cmd {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), roleVar+"="+role), env...)
	return cmd
}

// npm is the address of an SMSC of npm's smpp. Without it the benchmark is
// skipped.
func npm(b *testing.B) string {
	b.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		b.Skip("no Node.js; e2e/setup installs it")
	}
	modules, err := filepath.Abs(filepath.Join("..", "e2e", "node_modules"))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "smpp")); err != nil {
		b.Skip("no npm package smpp; e2e/setup installs it")
	}
	cmd := exec.Command(node, "npm-smsc.js")
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	return start(b, cmd)
}

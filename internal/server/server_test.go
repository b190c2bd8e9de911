package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"

	"countersign/internal/await"
	"countersign/internal/inbox"
	"countersign/internal/server"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a server that the test stops.
type running struct {
	*server.Server
	t      *testing.T
	stop   context.CancelFunc
	served chan error
	client *http.Client
}

func options(path string, key vault.Key) server.Options {
	opts := server.Options{
		Config: server.DemoConfig(), Key: key, Clock: clockwork.NewRealClock(),
		Log: slog.New(slog.DiscardHandler), Unlimited: true,
	}
	opts.Config.Listen, opts.Config.OpsListen = "127.0.0.1:0", "127.0.0.1:0"
	opts.Config.Database = "sqlite:" + path
	return opts
}

func run(t *testing.T, opts server.Options) *running {
	t.Helper()
	s, err := server.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.SeedDemo(t.Context(), s.Store(), true, time.Now()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{s, t, stop, make(chan error, 1), &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
	go func() { r.served <- s.Serve(ctx) }()
	return r
}

// halt stops the server gracefully.
func (r *running) halt() {
	r.t.Helper()
	r.stop()
	r.client.CloseIdleConnections()
	if err := <-r.served; err != nil {
		r.t.Errorf("Serve: %v", err)
	}
}

// ops returns the status of a path of the operations listener.
func (r *running) ops(path string) int {
	r.t.Helper()
	resp, err := r.client.Get(r.OpsURL() + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// start starts a verification; requestID is "" if it was not accepted.
func (r *running) start(number string) (requestID string, err error) {
	resp, err := r.client.PostForm(r.URL()+"/verify/json", url.Values{
		"api_key": {server.DemoAccount}, "api_secret": {server.DemoSecret}, "number": {number}, "brand": {"Acme"},
	})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		RequestID string `json:"request_id"`
		Status    string `json:"status"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	if answer.Status != "0" {
		return "", fmt.Errorf("HTTP %d, status %s", resp.StatusCode, answer.Status)
	}
	return answer.RequestID, nil
}

// TestStopUnderLoad checks that each start accepted before a stop exists after a restart,
// and that its message is sent once.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	opts := options(filepath.Join(t.TempDir(), "countersign.db"), vault.NewKey())
	r := run(t, opts)
	var mu sync.Mutex
	accepted := map[string]string{} // number, by request id
	enough := make(chan struct{})
	var wg sync.WaitGroup
	for client := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				number := fmt.Sprintf("4477%d%07d", client, i)
				id, err := r.start(number)
				if err != nil {
					return // the server is stopping
				}
				mu.Lock()
				accepted[id] = number
				if len(accepted) == 100 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	r.halt()
	wg.Wait()
	t.Logf("%d verifications were accepted", len(accepted))

	r = run(t, opts)
	defer r.halt()
	for id, number := range accepted {
		requestID, _ := verify.ParseID(id)
		v, ok, err := r.Store().Verification(t.Context(), requestID)
		if err != nil || !ok || v.Account != server.DemoAccount || v.To.Given != number || v.Status != verify.InProgress {
			t.Fatalf("%s of %s is lost: %v, %+v", id, number, err, v)
		}
		await.Until(t, "received: the message to "+number, func() bool {
			messages, err := inbox.New(r.Store()).Messages(t.Context(), number, 10)
			if err != nil || len(messages) > 1 {
				t.Fatalf("messages of %s: %v, %v", number, messages, err)
			}
			return len(messages) == 1
		})
	}
	sum, charges, err := r.Store().LedgerSum(t.Context(), server.DemoAccount)
	if err != nil || charges < len(accepted) || sum != 1000*verify.Unit-verify.Money(charges)*12_050_000 {
		t.Errorf("%s after %d charges (%v) for %d accepted verifications", sum, charges, err, len(accepted))
	}
}

func TestSelfSigned(t *testing.T) {
	t.Parallel()
	now := time.Now()
	config, pem, err := server.SelfSigned(now)
	if err != nil {
		t.Fatal(err)
	}
	opts := options(filepath.Join(t.TempDir(), "countersign.db"), vault.NewKey())
	opts.TLS = config
	r := run(t, opts)
	defer r.halt()
	if !strings.HasPrefix(r.URL(), "https://127.0.0.1:") {
		t.Fatalf("served at %s", r.URL())
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("the certificate is not PEM")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	r.client = &http.Client{Transport: transport}
	if _, err := r.start("447700900000"); err != nil {
		t.Errorf("a client that trusts the certificate: %v", err)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: now}); err != nil {
			t.Errorf("for %s: %v", host, err)
		}
	}
	stranger := &http.Transport{}
	defer stranger.CloseIdleConnections()
	if resp, err := (&http.Client{Transport: stranger}).Get(r.URL()); err == nil {
		resp.Body.Close()
		t.Error("a client that does not trust the certificate was served")
	}
}

func TestNewFails(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	tests := map[string]func(*server.Options){
		"address taken":     func(o *server.Options) { o.Config.Listen = taken.Addr().String() },
		"ops address taken": func(o *server.Options) { o.Config.OpsListen = taken.Addr().String() },
		"no such directory": func(o *server.Options) { o.Config.Database = "sqlite:/no/such/directory/x.db" },
		"other engine":      func(o *server.Options) { o.Config.Database = "mysql:x" },
		"no certificate":    func(o *server.Options) { o.Config.TLS.Cert, o.Config.TLS.Key = "/no/such/cert", "/no/such/key" },
		"proxy":             func(o *server.Options) { o.Config.TrustedProxies = []string{"x"} },
		"unknown carrier":   func(o *server.Options) { o.Config.Routes[0].Carriers = []string{"nobody"} },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, key := filepath.Join(t.TempDir(), "countersign.db"), vault.NewKey()
			opts := options(path, key)
			change(&opts)
			if s, err := server.New(t.Context(), opts); err == nil {
				t.Errorf("created %v", s.Close())
			}
			// All resources are released: the same database can be served.
			s, err := server.New(t.Context(), options(path, key))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

func TestSeedDemoTwice(t *testing.T) {
	t.Parallel()
	db, err := store.Open(t.Context(), store.Config{Database: filepath.Join(t.TempDir(), "countersign.db"), Key: vault.NewKey(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	seed := func(unlimited bool, now time.Time) (accounts []verify.Account, blocked []store.BlockedNumber) {
		t.Helper()
		if err := server.SeedDemo(t.Context(), db, unlimited, now); err != nil {
			t.Fatal(err)
		}
		accounts, err := db.Accounts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if blocked, err = db.BlockedNumbers(t.Context()); err != nil {
			t.Fatal(err)
		}
		return accounts, blocked
	}
	day := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	accounts, blocked := seed(false, day)
	var unblock verify.Settings
	unblock.Fraud.Unblock = true
	want := []verify.Account{
		{Key: "barred01", Name: "Barred", Barred: true, Balance: 1000 * verify.Unit, OnUndeliverable: verify.UndeliverableWait},
		{Key: "broke001", Name: "Without credit", OnUndeliverable: verify.UndeliverableWait},
		{Key: "demo0001", Name: "Demonstration", CustomPIN: true, Balance: 1000 * verify.Unit, OnUndeliverable: verify.UndeliverableWait, Settings: unblock},
		{Key: "trial001", Name: "Trial", Trial: true, Balance: 1000 * verify.Unit, OnUndeliverable: verify.UndeliverableWait},
	}
	if !reflect.DeepEqual(accounts, want) || len(blocked) != 1 || blocked[0].Number != "447700900007" {
		t.Errorf("seeded %+v and %+v", accounts, blocked)
	}
	if again, blockedAgain := seed(false, day.AddDate(0, 0, 1)); !reflect.DeepEqual(again, accounts) || !reflect.DeepEqual(blockedAgain, blocked) {
		t.Errorf("the second call changed it to %+v and %+v", again, blockedAgain)
	}
	for _, a := range want {
		c, err := db.Credentials(t.Context(), a.Key)
		if err != nil || !c.HasSecret("demosecret0001", time.Now()) || c.SignatureSecret != "demosignature0001" || c.SignatureMethod != "sha256" {
			t.Errorf("%s: %v, or other secrets than the published ones", a.Key, err)
		}
		sum, _, err := db.LedgerSum(t.Context(), a.Key)
		if err != nil || sum != a.Balance {
			t.Errorf("%s: ledger %s (%v), want %s", a.Key, sum, err, a.Balance)
		}
	}
	if ok, err := db.Approved(t.Context(), "trial001", "447700900001"); !ok || err != nil {
		t.Errorf("the approved number: %v, %v", ok, err)
	}
	for _, unlimited := range []bool{true, false} {
		accounts, _ := seed(unlimited, day)
		for _, a := range accounts {
			if a.Unlimited != (unlimited && (a.Key == "demo0001" || a.Key == "trial001")) {
				t.Errorf("unlimited %v: %s is %v", unlimited, a.Key, a.Unlimited)
			}
		}
	}
}

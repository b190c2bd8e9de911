package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/server"
)

// output collects the output of a program in the background.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// serve runs the installation's server with its admin API until the test ends, and
// returns the URL of the admin API.
func (in *installation) serve() (adminURL string) {
	in.t.Helper()
	environ := append([]string{
		"COUNTERSIGN_LISTEN=127.0.0.1:0", "COUNTERSIGN_OPS_LISTEN=", "COUNTERSIGN_ADMIN_LISTEN=127.0.0.1:0",
	}, in.environ...)
	var log output
	ctx, stop := context.WithCancel(context.WithoutCancel(in.t.Context()))
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--config=" + filepath.Join(in.dir, "config.yaml")}, environ, &log, &log)
	}()
	in.t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 {
			in.t.Errorf("serve ends with %d: %s", code, log.String())
		}
	})
	var found []string
	await.Until(in.t, "serving", func() bool {
		if len(ended) > 0 {
			in.t.Fatalf("the server does not serve: %s", log.String())
		}
		found = regexp.MustCompile(`"admin_url":"([^"]+)"`).FindStringSubmatch(log.String())
		return found != nil
	})
	return found[1]
}

// administered returns an installation with its token in its directory.
func administered(t *testing.T) *installation {
	t.Helper()
	in := install(t)
	in.environ = append(in.environ, "COUNTERSIGN_ADMIN_TOKEN_FILE="+filepath.Join(in.dir, "data", "admin-token"))
	return in
}

// ways returns the arguments for each way of access: database or server.
func ways() map[string]func(*installation) []string {
	return map[string]func(*installation) []string{
		"database": func(*installation) []string { return nil },
		"named":    func(in *installation) []string { return []string{"COUNTERSIGN_ADMIN_URL=" + in.serve()} },
		"found": func(in *installation) []string {
			return []string{"COUNTERSIGN_ADMIN_LISTEN=" + strings.TrimPrefix(in.serve(), "http://")}
		},
	}
}

// TestSameOutput checks that commands on the database and through a server print equal
// output and equal errors.
func TestSameOutput(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	said := map[string]string{}
	t.Cleanup(func() {
		for way, text := range said {
			if text != said["database"] {
				t.Errorf("%s prints\n%s\nand on the database\n%s", way, text, said["database"])
			}
		}
		if len(said) != len(ways()) {
			t.Errorf("only %d ways ended", len(said))
		}
	})
	for name, way := range ways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := administered(t)
			in.environ = append(in.environ, way(in)...)
			prices := strings.NewReplacer("PRICES", in.file("prices.csv", "GB,0.07\n*,0.1\n"), "WRONG", in.file("wrong.csv", "Britain,1\n"))
			var all strings.Builder
			for _, line := range commands() {
				code, stdout, stderr := in.run(append(strings.Split(prices.Replace(strings.TrimPrefix(line, "!")), "|"), "CONFIG")...)
				all.WriteString(line + "\n" + stdout + strings.ReplaceAll(stderr, in.dir, "DIR"))
				if wanted := strings.HasPrefix(line, "!"); wanted != (code != 0) {
					t.Errorf("%s ends with %d: %s", line, code, stderr)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			said[name] = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z|[a-z2-7]{32}|\b[0-9a-f]{16}\b`).ReplaceAllString(all.String(), "…")
		})
	}
}

// commands returns command lines, with words separated by bars. Lines with a leading ! fail.
func commands() []string {
	return []string{
		"account|create|Acme Ltd|--key=acme0001|--secret=mysecret|--credit=100.5|--rate=7|--pin-code|--trial|--approve=+44 7700 900001|--signature-method=sha512",
		"account|create|Other|--key=other001",
		"account|list", "account|bar|other001", "account|list", "account|unbar|other001",
		"account|credit|acme0001|0.25", "account|set|acme0001|--on-undeliverable=next_event", "account|rotate-secret|acme0001", "account|list",
		"number|block|+44 7700-900007|--reason=fraud, twice", "number|block|447700900006", "number|list", "number|unblock|447700900006", "number|list",
		"number|status|447700900007", "number|forget|447700900007|--unblock", "keys|status", "keys|rotate",
		"price|set|GB|0.05", "price|set|44770|0.04|--channel=tts|--from=2026-01-01|--until=2036-01-01", "price|export", "price|list", "price|import|PRICES", "price|list", "template|list", "ledger|check", "ledger|check|--account=acme0001",
		"verification|list|--number=447700900000", "verification|list|--account=acme0001", "migrate|status",
		"!account|create|Thief|--key=acme0001", "!account|create|x|--credit=lots", "!account|bar|nobody00", "!account|credit|acme0001|much",
		"!ledger|list|nobody00", "!ledger|export|--from=soon", "!number|block|12", "!template|approve|nonsense", "!number|unlock|447700900006", "!number|status|12",
		"!price|import|WRONG", "!price|set|Britain|1", "!price|set|GB|much", "!price|set|GB|1|--carrier=nobody", "!number|unblock|447700900006", "!retention|confirm", "!verification|list", "!verification|show|1", "!audit|list|--limit=0",
	}
}

// TestAudit checks the audit log for changes through each way of access.
func TestAudit(t *testing.T) {
	t.Parallel()
	for name, way := range ways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := administered(t)
			in.environ = append(in.environ, way(in)...)
			in.ok("account", "create", "Acme", "--key=acme0001", "CONFIG")
			in.ok("number", "block", "447700900007", "--reason=fraud", "CONFIG")
			in.fails(3, "no such account", "account", "bar", "nobody00", "CONFIG")
			var log []struct{ Who, Source, Action, Subject string }
			if err := json.Unmarshal([]byte(in.ok("audit", "list", "--json", "CONFIG")), &log); err != nil {
				t.Fatal(err)
			}
			if len(log) != 2 || log[0].Action != "number.block" || log[0].Subject != "4477••••07" || log[1].Action != "account.create" || log[1].Subject != "acme0001" {
				t.Fatalf("logged %+v", log)
			}
			who, source := "admin", "127.0.0.1"
			if name == "database" {
				who, source = operator()
			}
			if log[0].Who != who || log[0].Source != source {
				t.Errorf("logged %+v, want %s and %s", log[0], who, source)
			}
			if got := in.ok("audit", "list", "--action=account.*", "CONFIG"); strings.Count(got, "\n") != 2 || !strings.Contains(got, " account.create  acme0001 ") {
				t.Errorf("listed %q", got)
			}
		})
	}
}

// TestNoAdmin checks the errors for a configured server that does not answer or refuses
// the token.
func TestNoAdmin(t *testing.T) {
	t.Parallel()
	in := administered(t)
	in.fails(1, "read token", "account", "list", "--admin=http://127.0.0.1:1", "CONFIG")
	token := in.file("token", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	in.fails(4, "no response from the server", "account", "list", "--admin=http://127.0.0.1:1", "--admin-token-file="+token, "CONFIG")
	in.fails(1, "must be https", "account", "list", "--admin=http://verify.example.com", "CONFIG")
	url := in.serve()
	in.fails(1, "missing or unknown token; send Authorization: Bearer TOKEN", "account", "list", "--admin="+url, "--admin-token-file="+token, "CONFIG")
	in.ok("account", "list", "--admin="+url+"/", "CONFIG")
	if _, err := os.Stat(filepath.Join(in.dir, "data", "admin-token")); err != nil {
		t.Error(err)
	}
	in.fails(2, "unknown flag", "serve", "--admin="+url)
}

// certificate writes a loopback certificate and its key.
func (in *installation) certificate(name string) (cert, key string) {
	in.t.Helper()
	conf, text, err := server.SelfSigned(time.Now())
	if err != nil {
		in.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(conf.Certificates[0].PrivateKey)
	if err != nil {
		in.t.Fatal(err)
	}
	return in.file(name+".pem", string(text)), in.file(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

// TestAdminTLS checks that the local server must present the configured certificate, and
// a server at a URL a trusted one.
func TestAdminTLS(t *testing.T) {
	t.Parallel()
	in := administered(t)
	cert, key := in.certificate("server")
	wrong, _ := in.certificate("other")
	environ := in.environ
	in.environ = append(in.environ, "COUNTERSIGN_ADMIN_TLS_CERT="+cert, "COUNTERSIGN_ADMIN_TLS_KEY="+key)
	url := in.serve()
	address, ok := strings.CutPrefix(url, "https://")
	if !ok {
		t.Fatalf("the API is at %s", url)
	}
	in.environ = append(in.environ, "COUNTERSIGN_ADMIN_LISTEN="+address)
	in.ok("account", "list", "CONFIG")
	in.environ = append(environ[:len(environ):len(environ)], "COUNTERSIGN_ADMIN_TLS_CERT="+wrong, "COUNTERSIGN_ADMIN_TLS_KEY="+key, "COUNTERSIGN_ADMIN_LISTEN="+address)
	in.fails(1, "another certificate than admin.tls.cert", "account", "list", "CONFIG")
	in.environ = append(environ[:len(environ):len(environ)], "COUNTERSIGN_ADMIN_URL="+url)
	in.fails(1, "certificate", "account", "list", "CONFIG")
	in.environ = append(in.environ, "COUNTERSIGN_ADMIN_CLIENT_CA="+cert)
	in.ok("account", "list", "CONFIG")
}

package adminapi_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"countersign/internal/adminapi"
	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/web"
)

// TestMain fails if a goroutine is left. A user agent of sipgo may leave a socket if it
// closes before a response arrives.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/emiago/sipgo/sip.(*TransportUDP).readUDPConnection"))
}

// office is a server with its admin API and clients that validate every response.
type office struct {
	*servertest.Server
	*adminapi.Client
	t         *testing.T
	tokenFile string
}

func start(t *testing.T, options ...servertest.Option) *office {
	t.Helper()
	o := &office{t: t}
	options = append(options, servertest.WithAdmin(t), func(opts *server.Options) { o.tokenFile = opts.Config.Admin.TokenFile })
	o.Server = servertest.Start(t, options...)
	token, err := adminapi.ReadToken(o.tokenFile)
	must(t, err)
	o.Client = o.as(token)
	return o
}

// as returns a client with another token.
func (o *office) as(token string) *adminapi.Client {
	return &adminapi.Client{URL: o.AdminURL(), Token: token, HTTP: &http.Client{
		Transport: checked{o.t, loadDocument(o.t), http.DefaultTransport},
	}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ok sends a request that must succeed.
func (o *office) ok(method, path string, in, out any) {
	o.t.Helper()
	if err := o.Do(o.t.Context(), adminapi.Request{Method: method, Path: path, JSON: in}, out); err != nil {
		o.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// refused sends a request that must be refused, and returns the problem.
func refused(t *testing.T, c *adminapi.Client, r adminapi.Request) *web.Problem {
	t.Helper()
	err := c.Do(t.Context(), r, nil)
	p, ok := errors.AsType[*web.Problem](err)
	if !ok {
		t.Fatalf("%s %s: %v, want a problem", r.Method, r.Path, err)
	}
	if p.Title != http.StatusText(p.Status) || p.Detail == "" {
		t.Errorf("%s %s: %+v", r.Method, r.Path, p)
	}
	return p
}

// log returns the audit log, oldest first.
func (o *office) log() []adminapi.AuditEntry {
	o.t.Helper()
	var log adminapi.AuditLog
	o.ok("GET", "/audit", nil, &log)
	for i, j := 0, len(log.Entries)-1; i < j; i, j = i+1, j-1 {
		log.Entries[i], log.Entries[j] = log.Entries[j], log.Entries[i]
	}
	return log.Entries
}

// tokens replaces the token file.
func (o *office) tokens(lines ...string) {
	o.t.Helper()
	must(o.t, writeFile(o.tokenFile, strings.Join(lines, "\n")+"\n"))
}

func temp(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(t.TempDir(), name)
}

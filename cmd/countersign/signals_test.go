package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/server"
)

// child is a process of this program.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	log    *output // standard error, and standard output unless a pipe replaces it
	exited chan struct{}
}

func startChild(t *testing.T, environ []string, args ...string) *child {
	t.Helper()
	program, err := exec.LookPath("countersign") // this program, see TestMain
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.CommandContext(t.Context(), program, args...), log: &output{}, exited: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), environ...)
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	c.begin()
	return c
}

func (c *child) begin() {
	c.t.Helper()
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		defer close(c.exited)
		_ = c.cmd.Wait() // cmd.ProcessState has the result
	}()
	c.t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // the process may have ended
		<-c.exited
	})
}

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatalf("%s: %v; the log is\n%s", s, err, c.log)
	}
}

// await returns the first group of a pattern in the log.
func (c *child) await(pattern string) string {
	c.t.Helper()
	var found []string
	defer func() {
		if found == nil {
			c.t.Logf("the log is\n%s", c.log)
		}
	}()
	await.Until(c.t, "in the log: "+pattern, func() bool {
		ended := false
		select {
		case <-c.exited:
			ended = true
		default:
		}
		found = regexp.MustCompile(pattern).FindStringSubmatch(c.log.String())
		if found == nil && ended {
			c.t.Fatalf("the process ended (%s) before it logged %s", c.cmd.ProcessState, pattern)
		}
		return found != nil
	})
	return found[len(found)-1]
}

// ends waits for the end of the process, with exit code 0.
func (c *child) ends() {
	c.t.Helper()
	select {
	case <-c.exited:
	case <-time.After(await.Limit):
		c.t.Fatalf("the process does not end; the log is\n%s", c.log)
	}
	if !c.cmd.ProcessState.Success() {
		c.t.Errorf("the process ended with %s; the log is\n%s", c.cmd.ProcessState, c.log)
	}
}

// certify writes a new certificate and its key, each by rename, and returns its serial
// number.
func (in *installation) certify() (serial string) {
	in.t.Helper()
	config, cert, err := server.SelfSigned(time.Now())
	if err != nil {
		in.t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(config.Certificates[0].PrivateKey)
	if err != nil {
		in.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		in.t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	} {
		if err := os.Rename(in.file(name+".new", string(text)), filepath.Join(in.dir, name)); err != nil {
			in.t.Fatal(err)
		}
	}
	return leaf.SerialNumber.String()
}

// shown returns the serial number of the certificate of a server.
func shown(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// TestHangup checks that SIGHUP reloads certificate and log level while a message is in
// flight. The message is sent once, and the server keeps running.
func TestHangup(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.ok("account", "create", "Acme", "CONFIG", "--key=acme0001", "--secret=mysecret", "--credit=10")
	var sent atomic.Int64
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent.Add(1)
		arrived <- struct{}{}
		<-release
		_, _ = io.WriteString(w, `{"id":"1"}`) // the server detects a failed write
	}))
	defer gateway.Close()
	path := filepath.Join(in.dir, "config.yaml")
	base, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(more string) {
		in.file("config.yaml", string(base)+"listen: 127.0.0.1:0\nops_listen: 127.0.0.1:0\ntls: {cert: "+filepath.Join(in.dir, "cert.pem")+", key: "+filepath.Join(in.dir, "key.pem")+
			"}\ncarriers:\n  - name: gw\n    type: httpsms\n    http: {url: "+gateway.URL+", headers: [\"Content-Type: text/plain\"], body: '{{.To}}', success: [\"http 200-299\"], ref: id}\nroutes: [{carriers: [gw]}]\n"+more)
	}
	write("")
	first := in.certify()
	c := startChild(t, nil, "serve", "--config", path)
	api := c.await(`"msg":"serving","url":"([^"]+)"`)
	ops := c.await(`"ops_url":"([^"]+)"`)
	if got := shown(t, api); got != first {
		t.Fatalf("the certificate is %s, want %s", got, first)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	start := func(number string) {
		t.Helper()
		res, err := client.PostForm(api+"/verify/json", url.Values{"api_key": {"acme0001"}, "api_secret": {"mysecret"}, "number": {number}, "brand": {"Acme"}})
		if err != nil {
			t.Fatalf("%v; the log is\n%s", err, c.log)
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(body), `"status":"0"`) {
			t.Fatalf("the answer is %s (%v)", body, err)
		}
	}
	start("447700900000")
	<-arrived

	second := in.certify()
	write("log: {level: warn}\nlimits: {body_bytes: 70000}\n")
	c.signal(syscall.SIGHUP)
	line := c.await(`({[^\n]*"msg":"configuration reloaded[^\n]*})`)
	for _, part := range []string{`"level":"WARN"`, `"reloaded":["tls","log.level"]`, `"restart_needed":["limits.body_bytes"]`} {
		if !strings.Contains(line, part) {
			t.Errorf("the line is %s, want %s in it", line, part)
		}
	}
	if got := shown(t, api); got != second {
		t.Errorf("the certificate is %s, want %s", got, second)
	}
	close(release)
	start("447700900001")
	<-arrived
	if strings.Contains(c.log.String()[strings.Index(c.log.String(), line):], `"level":"INFO"`) {
		t.Errorf("lines of level info after the change to warn:\n%s", c.log)
	}

	write("log: {level: loud}\n")
	c.signal(syscall.SIGHUP)
	if line := c.await(`({[^\n]*"msg":"configuration not reloaded[^\n]*})`); !strings.Contains(line, "log.level") || !strings.Contains(line, "send SIGHUP again") {
		t.Errorf("the line is %s", line)
	}
	write("limits: {body_bites: 1}\n")
	c.signal(syscall.SIGHUP)
	if line := c.await(`({[^\n]*body_bites[^\n]*})`); !strings.Contains(line, path) {
		t.Errorf("the line is %s, want the file in it", line)
	}
	write("log: {level: debug}\n")
	c.signal(syscall.SIGHUP)
	c.await(`("reloaded":\["tls","log.level"\]})`)
	start("447700900002")
	<-arrived

	res, err := http.Get(ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(body), `countersign_tls_certificate_expiry_timestamp_seconds{listener="api"}`) {
		t.Errorf("no expiry in the metrics (%v)", err)
	}
	c.signal(syscall.SIGTERM)
	c.ends()
	if n := sent.Load(); n != 3 {
		t.Errorf("%d messages were sent, want 3", n)
	}
}

// TestHangupOfRehearsals checks that a closed terminal ends foreground commands as SIGTERM does.
func TestHangupOfRehearsals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args  []string
		ready string
	}{
		"demo":  {[]string{"demo", "--listen=127.0.0.1:0"}, `Data in (\S+)\. Stop`},
		"smsc":  {[]string{"smsc", "--listen=127.0.0.1:0"}, `"listening":"([^"]+)"`},
		"phone": {[]string{"phone", "--listen=127.0.0.1:0"}, `"listening":"([^"]+)"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startChild(t, nil, tt.args...)
			what := c.await(tt.ready)
			c.signal(syscall.SIGHUP)
			c.ends()
			if name == "demo" {
				if _, err := os.Stat(what); err == nil {
					t.Errorf("the directory %s still exists", what)
				}
			}
		})
	}
}

// TestClosedLog checks that the server survives the end of the reader of its log.
func TestClosedLog(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.ok("account", "create", "Acme", "CONFIG", "--key=acme0001", "--secret=mysecret")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("countersign")
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.CommandContext(t.Context(), program, "serve", "--config", filepath.Join(in.dir, "config.yaml")), log: &output{}, exited: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), "COUNTERSIGN_LISTEN=127.0.0.1:0", "COUNTERSIGN_OPS_LISTEN=")
	c.cmd.Stdout, c.cmd.Stderr = w, w
	c.begin()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	copied := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(copied)
		b := make([]byte, 4096)
		for {
			n, err := r.Read(b)
			_, _ = c.log.Write(b[:n]) // a write to memory does not fail
			select {
			case <-stop:
				return
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	api := c.await(`"msg":"serving","url":"([^"]+)"`)
	close(stop)
	get := func() int {
		t.Helper()
		res, err := http.Get(api + "/verify/json")
		if err != nil {
			t.Fatalf("the server ended: %v", err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	get() // its log line ends the copy
	<-copied
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if code := get(); code != http.StatusOK {
			t.Errorf("status %d", code)
		}
	}
	c.signal(syscall.SIGTERM)
	c.ends()
}

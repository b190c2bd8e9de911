package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"countersign/internal/deliver/smpp/smsc"
	"countersign/internal/pgtest"
)

// defaultCanaries is how many verifications TestCanaries makes on each database;
// COUNTERSIGN_CANARIES asks for more.
const defaultCanaries = 1000

// mark is what every secret of TestCanaries begins with, and nothing else has.
const mark = "Qj9Zk"

// TestCanaries gives the program marked codes and secrets under load, lets things go
// wrong, kills it, has it print all that it does, and searches whatever it wrote.
func TestCanaries(t *testing.T) {
	t.Parallel()
	require(t)
	t.Run("sqlite", func(t *testing.T) {
		r := newAviary(t, "")
		r.live()
		files := r.databaseFiles(r.dir, "countersign.db*")
		backup := filepath.Join(t.TempDir(), "backup.db")
		r.command("backup", backup)
		r.die()
		r.judge(append(append(files, r.databaseFiles(r.dir, "countersign.db*")...), r.databaseFiles(filepath.Dir(backup), "*")...))
	})
	t.Run("postgres", func(t *testing.T) {
		pg := pgtest.Start(t)
		r := newAviary(t, strings.Replace(pg.Create(t, "template0"), "postgres@", "postgres:"+r10()+"@", 1))
		r.live()
		pgtest.Exec(t, r.database, "CHECKPOINT")
		dump, err := pg.Command("pg_dump", r.database).Output()
		if err != nil {
			t.Fatal(err)
		}
		r.die()
		// Data files, pg_wal, and what the server logs.
		r.judge(append(r.databaseFiles(filepath.Dir(pg.Socket()), "*"), source{"pg_dump", dump}))
	})
}

// r10 is a secret of ten characters, as long as a PIN may be.
func r10() string { return secret(10) }

func secret(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return mark + strings.ToLower(hex.EncodeToString(b))[:n-len(mark)]
}

// aviary is an installation in which all secrets are marked.
type aviary struct {
	installation
	t        *testing.T
	database string // "" for a file
	smsc     *smsc.Server
	server   *server
	printed  []*journal // of all processes
	more     []source   // what else was written
	drawn    []string   // secrets that the program drew

	secret, wrongSecret         string
	values                      atomic.Int64 // marked codes that were given to it
	accepted, refused, verified atomic.Int64
}

func newAviary(t *testing.T, database string) *aviary {
	t.Helper()
	r := &aviary{
		installation: installation{t.TempDir()}, t: t, database: database,
		secret: secret(32), wrongSecret: secret(32),
	}
	r.smsc = smsc.New(smsc.Config{Faults: smsc.MustFaults("receipt-delay=50ms")})
	if err := r.smsc.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.smsc.Close() })
	if database == "" {
		database = "sqlite:" + r.installation.database()
	}
	settings := fmt.Sprintf(`listen: 127.0.0.1:0
ops_listen: 127.0.0.1:0
database: %q
key_file: %s
log: {level: debug}
limits: {requests_per_second: 65535}
carriers:
  - {name: a, type: smpp, smpp: {addresses: [%q], system_id: acme, password: Qj9ZkSmp}}
routes: [{carriers: [a]}]
fraud: {rules: {conversion: {mode: shadow}, sequence: {mode: shadow}, unverified: {mode: shadow}, prefix: {mode: shadow}}}
`, database, filepath.Join(r.dir, "key"), r.smsc.Addr())
	if err := os.WriteFile(r.config(), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	r.prepare(t)
	out := r.command("account", "create", "Tests", "--key", apiKey, "--secret", r.secret, "--credit", "1000", "--pin-code", "--signature-method", "sha256")
	r.draw(out, `signature_secret: (\S+)`)
	r.draw(r.command("account", "create", "Other", "--key", "other001"), `api_secret: (\S+)`)
	r.serve()
	return r
}

// draw notes a secret that the program drew.
func (r *aviary) draw(out, pattern string) {
	r.t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(out)
	if found == nil {
		r.t.Fatalf("no %s in %s", pattern, out)
	}
	r.drawn = append(r.drawn, found[1])
}

// command runs another command of the program.
func (r *aviary) command(args ...string) string {
	r.t.Helper()
	out, err := r.run(r.t, args...)
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", args[0], err, out)
	}
	return out
}

func (r *aviary) serve() {
	r.t.Helper()
	r.server = r.launch(r.t)
	r.t.Cleanup(r.server.kill)
	r.server.awaitURL(r.t)
	r.printed = append(r.printed, r.server.log)
}

// live is a life with everything that may happen.
func (r *aviary) live() {
	r.t.Helper()
	count := int(setting(r.t, "COUNTERSIGN_CANARIES", defaultCanaries))
	r.load(0, count/2)
	r.slips()
	r.command("keys", "rotate")
	r.server.kill()
	r.serve()
	profiled := make(chan error, 1)
	go func() { profiled <- r.fetch("/debug/pprof/profile?seconds=1") }() // with the load in its samples
	r.load(count/2, count)
	r.slips()
	if err := <-profiled; err != nil {
		r.t.Fatal(err)
	}
	if got := r.accepted.Load(); got < int64(count)*9/10 {
		r.t.Errorf("%d of %d verifications were accepted", got, count)
	}
	if got := r.verified.Load(); got < r.accepted.Load()/2 {
		r.t.Errorf("%d of %d were verified", got, r.accepted.Load())
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", r.server.cmd.Process.Pid))
	if err != nil || !regexp.MustCompile(`Max core file size +0 +0 `).Match(limits) {
		r.t.Errorf("core files are allowed (%v):\n%s", err, limits)
	}
	r.visitOps()
}

// load verifies numbers, a few at a time; every third stays in progress.
func (r *aviary) load(from, to int) {
	var workers sync.WaitGroup
	next := atomic.Int64{}
	next.Store(int64(from))
	for range 12 {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < to; i = int(next.Add(1)) - 1 {
				r.person(i)
			}
		})
	}
	workers.Wait()
}

// person verifies a number with a marked code, after a wrong one that is marked, too.
func (r *aviary) person(i int) {
	code, typo := r10(), r10()
	r.values.Add(2)
	started, err := r.server.tryAsk("/verify/json", "api_secret", r.secret, "number", numberOf(i), "brand", "Acme", "pin_code", code)
	if err != nil || started["status"] != "0" {
		if r.refused.Add(1) < 10 {
			r.t.Logf("%v: %v", started, err)
		}
		return
	}
	r.accepted.Add(1)
	id := fmt.Sprint(started["request_id"])
	_, _ = r.server.tryAsk("/verify/check/json", "api_secret", r.secret, "request_id", id, "code", typo)
	_, _ = r.server.tryAsk("/verify/search/json", "api_secret", r.secret, "request_id", id)
	if i%3 == 0 {
		return
	}
	done, err := r.server.tryAsk("/verify/check/json", "api_secret", r.secret, "request_id", id, "code", code)
	if err == nil && done["status"] == "0" {
		r.verified.Add(1)
	}
}

// numberOf spreads the numbers over a range.
func numberOf(i int) string { return fmt.Sprintf("44770%07d", 900000+(i*7919)%1000*97+i) }

// slips are what clients do wrong: secrets where they should not be.
func (r *aviary) slips() {
	auth := base64.StdEncoding.EncodeToString([]byte(apiKey + ":" + r.wrongSecret))
	r.values.Add(3)
	query := url.Values{"api_key": {apiKey}, "api_secret": {r.secret}, "number": {"447700900001"}, "brand": {"Acme"}, "pin_code": {r10() + "TooLong"}}
	for _, s := range []struct{ method, path, body, header string }{
		{http.MethodGet, "/verify/json?" + query.Encode(), "", ""},
		{http.MethodGet, "/verify/" + r.secret + "?" + query.Encode(), "", ""},
		{http.MethodGet, "/" + r.secret + "/" + r10(), "", ""},
		{http.MethodGet, "/verify/json?api_secret=%zz" + r.secret, "", ""},
		{http.MethodPost, "/verify/json", `{"api_key": "` + apiKey + `", "api_secret": "` + r.secret, "application/json"},
		{http.MethodPost, "/verify/json", query.Encode() + "&" + query.Encode(), "application/x-www-form-urlencoded"},
		{http.MethodPost, "/verify/json", "api_key=" + r.secret + "&api_secret=" + r.wrongSecret + "&number=1&brand=" + r.secret, "application/x-www-form-urlencoded"},
		{http.MethodPost, "/verify/json", strings.Repeat(r.secret, 1<<13), "application/x-www-form-urlencoded"},
		{http.MethodPost, "/verify/check/json", "api_key=" + apiKey + "&api_secret=" + r.secret + "&request_id=" + r.secret + "&code=" + r10(), "application/x-www-form-urlencoded"},
		{http.MethodGet, "/verify/json?api_key=" + apiKey + "&sig=" + r.secret + "&timestamp=1", "", ""},
		{r.secret[:8], "/verify/json", "", ""},
	} {
		req, err := http.NewRequestWithContext(r.t.Context(), s.method, r.server.url, strings.NewReader(s.body))
		if err != nil {
			r.t.Fatal(err)
		}
		req.URL.Opaque = s.path // as it is, also where it is wrong
		req.Header.Set("Authorization", "Basic "+auth)
		req.Header.Set("User-Agent", "canary "+r.secret)
		if s.header != "" {
			req.Header.Set("Content-Type", s.header)
		}
		if strings.Contains(s.path+s.body, "api_") {
			req.Header.Del("Authorization")
		}
		if res, err := r.server.client.Do(req); err == nil { // or the connection was closed for it
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	}
}

// visitOps fetches the answers of the operations listener.
func (r *aviary) visitOps() {
	r.t.Helper()
	for _, path := range []string{"/metrics", "/carriers", "/readyz", "/healthz", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap"} {
		if err := r.fetch(path); err != nil {
			r.t.Fatal(err)
		}
	}
}

// fetch adds an answer of the operations listener to r.more. It uncompresses a profile.
func (r *aviary) fetch(path string) error {
	found := regexp.MustCompile(`"ops_url":"([^"]+)"`).FindStringSubmatch(r.server.log.String())
	if found == nil {
		return fmt.Errorf("no ops_url in %s", r.server.log)
	}
	res, err := r.server.client.Get(found[1] + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if unzipped, notZipped := gzip.NewReader(bytes.NewReader(body)); err == nil && notZipped == nil {
		body, err = io.ReadAll(unzipped)
	}
	r.more = append(r.more, source{path, body})
	return err
}

// die lets the program print all that it does, as it does when it crashes.
func (r *aviary) die() {
	r.t.Helper()
	if err := r.server.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		r.t.Fatal(err)
	}
	<-r.server.ended
	if !strings.Contains(r.server.log.String(), "goroutine 1 ") {
		r.t.Error("the program did not print what it was doing")
	}
}

// source is something that was written, and is searched.
type source struct {
	name string
	text []byte
}

// databaseFiles reads the files below a directory whose names match.
func (r *aviary) databaseFiles(dir, pattern string) (list []source) {
	r.t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		if ok, err := filepath.Match(pattern, entry.Name()); !ok {
			return err
		}
		text, err := os.ReadFile(path)
		list = append(list, source{path, text})
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// judge searches all that was written.
func (r *aviary) judge(database []source) {
	r.t.Helper()
	var logs []source
	for i, j := range r.printed {
		logs = append(logs, source{fmt.Sprintf("log %d", i+1), []byte(j.String())})
	}
	all := append(append(append([]source{}, database...), logs...), r.more...)
	key, err := os.ReadFile(filepath.Join(r.dir, "key"))
	if err != nil {
		r.t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(key)))
	if err != nil {
		r.t.Fatal(err)
	}
	wanted := append([]string{mark, strings.TrimSpace(string(key)), string(raw)}, r.drawn...)
	hits, searched := 0, 0
	for _, s := range all {
		searched += len(s.text)
		for _, at := range search(s.text, wanted) {
			hits++
			if hits <= 20 {
				r.t.Errorf("%s has a secret: %q", s.name, s.text[max(0, at-60):min(len(s.text), at+40)])
			}
		}
	}
	r.t.Logf("%d marked codes, %d secrets and a key, in %d files and logs of %d MB: %d hits",
		r.values.Load(), 4+len(r.drawn), len(all), searched>>20, hits)

	// That the search finds something: a number is in the database, in clear, and not
	// in the logs; and each form of a secret is found where it was put.
	inDatabase := 0
	for _, s := range database {
		inDatabase += bytes.Count(s.text, []byte(numberOf(3)))
	}
	r.t.Logf("the control, a number, is in the database %d times", inDatabase)
	if inDatabase == 0 {
		r.t.Error("a number is not found in the database: these are the wrong files")
	}
	for _, s := range append(logs, r.more...) {
		if bytes.Contains(s.text, []byte(numberOf(3))) {
			r.t.Errorf("%s has a number", s.name)
		}
	}
	planted := r10()
	for _, text := range []string{
		planted, hex.EncodeToString([]byte(planted)), base64.StdEncoding.EncodeToString([]byte("x" + planted)),
		"\x00\x01" + string(raw) + "\x02", r.drawn[0],
	} {
		if got := search([]byte("before "+text+" after"), wanted); len(got) != 1 {
			r.t.Errorf("%q is found %d times, want once", text, len(got))
		}
	}
}

// search finds values in a text, as they are, in hexadecimal or in base64, and tells
// where.
func search(text []byte, values []string) (at []int) {
	for _, v := range values {
		forms := []string{v, hex.EncodeToString([]byte(v)), strings.ToUpper(hex.EncodeToString([]byte(v)))}
		for shift := range 3 { // what of it does not depend on its neighbours
			coded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + v))
			from, to := (shift*8+5)/6, (shift+len(v))*8/6
			forms = append(forms, coded[from:to])
		}
		for _, form := range forms {
			for from := 0; ; {
				i := bytes.Index(text[from:], []byte(form))
				if i < 0 {
					break
				}
				at, from = append(at, from+i), from+i+len(form)
			}
		}
	}
	return at
}

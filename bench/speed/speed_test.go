package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" { // started by startHelper
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// smoke runs some works for a very short time. Their measurements have no meaning, but every start
// must be valid.
func smoke(t *testing.T, args string) (r results, out string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "results.json")
	o, err := parse(strings.Fields("-rounds 1 -seconds 0.3 -clients 8 -within 1m -json "+file+" "+args), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var printed, progress bytes.Buffer
	if err := o.run(t.Context(), &printed, &progress); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r, printed.String()
}

func TestSmoke(t *testing.T) {
	t.Parallel()
	r, out := smoke(t, "-rate 20 -only fsync,log,grouped,sqlite,http,pgbench,postgres,open -peers ../peers")
	for _, work := range []string{
		"fsync", "log", "grouped", "start sqlite", "check sqlite", "search sqlite", "life sqlite", "http", "start example", "check example",
		"pgbench", "start postgres", "check postgres", "search postgres", "life postgres",
	} {
		if r.median(work, colRate) <= 0 {
			t.Errorf("%s was not measured", work)
		}
	}
	for _, work := range []string{"start sqlite", "life sqlite", "start postgres", "life postgres"} {
		if counted := r.median(work, colCounted); counted != 100 {
			t.Errorf("%v %% of %s are valid, want 100 %%", counted, work)
		}
		if mallocs := r.median(work, colMallocs); mallocs <= 0 {
			t.Errorf("%s has %v allocations", work, mallocs)
		}
	}
	for _, work := range []string{"start sqlite", "life sqlite", "start postgres", "life postgres"} {
		if !hasParts(parts(), r.Runs[work][0]) {
			t.Errorf("%s has no CPU by part", work)
		}
	}
	if delivered := r.median("open sqlite", colDelivered); delivered != 100 {
		t.Errorf("%v %% of the messages over SMPP have a receipt, want 100 %%", delivered)
	}
	for _, want := range []string{
		"| CPU by part | start, SQLite | |", "| start, SQLite ÷ limit: grouped SQLite commits |", "| start, PostgreSQL ÷ limit: pgbench INSERT |", "| check, SQLite ÷ check, example |",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	r, _ := smoke(t, "-only idle,waiting,history -waiting 100 -due-rate 50 -finished 500 -little 500 -past-rate 20")
	if resident := r.median("idle sqlite", colResident); resident <= 0 {
		t.Errorf("an idle server uses %v MiB", resident)
	}
	if lag := r.median("waiting sqlite", colLag+"p99"); r.median("waiting sqlite", colSent) != 16 || lag <= 0 {
		t.Errorf("%v messages were due, p99 %v ms late", r.median("waiting sqlite", colSent), lag)
	}
	for _, engine := range []string{"sqlite", "postgres"} {
		if start := r.median(beside(engine, 500), colStart+"p99"); start <= 0 {
			t.Errorf("with a history on %s the p99 of start is %v ms", engine, start)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"-only x", "-calls start,x", "-rounds 0", "-seconds 0", "-clients 0", "-rate 0", "-peers /no/such/directory", "more", "-x"} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, tt := range []struct {
		sorted []time.Duration
		q      float64
		want   time.Duration
	}{
		{hundred, 0, 1}, {hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 0.991, 100}, {hundred, 1, 100},
		{hundred[:1], 0.99, 1}, {nil, 0.5, 0},
	} {
		if got := quantile(tt.sorted, tt.q); got != tt.want {
			t.Errorf("quantile %v of %d = %d, want %d", tt.q, len(tt.sorted), got, tt.want)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var r results
	for _, rate := range []float64{9000, 12_345.6, 10_000} {
		r.add("start sqlite", result{colRate: rate, colP99: 20.04, colWritten: 2048})
		r.add("grouped", result{colRate: 2 * rate})
	}
	r.add("open sqlite", result{colArrivals: 2000, colLate: 3, colStart + "p99": 7.51})
	r.add("start sqlite", result{colRate: 1e6}) // a round without the limit
	b := &bench{}
	table := r.tables(64, b.workName, nil)
	for _, row := range []string{
		"| start, SQLite | 11,173 | – | 20.0 ms | – | – | – | – | – | – | 2.0 KiB | – |",
		"| limit: grouped SQLite commits | 20,000 | – | – | – | – | – | – | – | – | – | – |",
		"| start, SQLite ÷ limit: grouped SQLite commits | 0.50 |  |",
		"| whole life over SMPP, SQLite | 2,000 | 3 | – | 7.5 ms | – | – | – | – | – | – | – | – | – | – | – | – | – | – |",
	} {
		if !strings.Contains(table, row+"\n") {
			t.Errorf("missing %s in\n%s", row, table)
		}
	}
	if got := (&results{}).tables(64, b.workName, nil); got != "" {
		t.Errorf("tables without results: %s", got)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1_234_567.4: "1,234,567"} {
		if got := count(v); got != want {
			t.Errorf("count(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	a := ask{
		Path: "/check?x={other}", Headers: map[string]string{"Content-Type": "application/json"},
		Body: `{"to":"{number}","code":"{pin}","id":"{id}"}`, Contains: `"ok"`, Match: `"n":\d+`, Keep: []string{"token"},
	}
	c, err := a.compile("127.0.0.1:1", []string{"id"})
	if err != nil {
		t.Fatal(err)
	}
	n := newNumbers()
	l := life{index: 9001}
	l.kept[0].set([]byte("abc"))
	request, _ := c.append(nil, nil, n, &l)
	body := `{"to":"` + string(n.append(nil, 9001)) + `","code":"1001","id":"abc"}`
	want := "POST /check?x={other} HTTP/1.1\r\nHost: 127.0.0.1:1\r\nUser-Agent: countersign-bench\r\nAccept: application/json\r\n" +
		"Content-Type: application/json\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body
	if string(request) != want {
		t.Errorf("request\n%s\nwant\n%s", request, want)
	}
	for answer, right := range map[string]bool{
		`{"ok":1,"n":1,"token": "t1"}`: true, `{"ok":1,"n":1}`: false, `{"n":1,"token":"t1"}`: false, `{"ok":1,"token":"t1"}`: false,
		`{"ok":1,"n":1,"token":"` + strings.Repeat("t", 64) + `"}`: false, `{"ok":1,"n":1,"token":7}`: false,
	} {
		if got := c.judge(200, []byte(answer), &l); got != right {
			t.Errorf("judge(%s) = %t", answer, got)
		}
	}
	if c.judge(200, []byte(`{"ok":1,"n":1,"token":"t2"}`), &l); string(l.kept[0].bytes()) != "t2" {
		t.Errorf("kept %q", l.kept[0].bytes())
	}
	if c.judge(201, []byte(`{"ok":1,"n":1,"token":"t2"}`), &l) {
		t.Error("another status is accepted")
	}
	for _, wrong := range []ask{{Path: "x"}, {Path: "/", Match: "("}, {Path: "/", Keep: []string{"a", "b", "c"}}} {
		if _, err := wrong.compile("h", nil); err == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
}

// TestAnswer checks that answers are read correctly in pieces of any size.
func TestAnswer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 20_000)
	for _, tt := range []struct {
		sent   string
		status int
		body   string
		err    error
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", nil},
		{"HTTP/1.1 404 Not Found\r\nX: y\r\ncontent-length:3\r\nDate: now\r\n\r\nabc", 404, "abc", nil},
		{"HTTP/1.1 204 No Content\r\n\r\n", 204, "", nil},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 200, "abcde", nil},
		{"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + long, 200, long, nil},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 0, "", errAnswer},
		{"220 smtp.example ready\r\n\r\n", 0, "", errAnswer},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", 0, "", io.EOF},
	} {
		for _, piece := range []int{1, 7, 100_000} {
			here, there := net.Pipe()
			go func() {
				for rest := tt.sent; rest != ""; {
					n := min(piece, len(rest))
					_, _ = there.Write([]byte(rest[:n]))
					rest = rest[n:]
				}
				there.Close()
			}()
			c := &conn{Conn: here, buf: make([]byte, 64)}
			status, body, err := c.answer()
			if !errors.Is(err, tt.err) || err == nil && (status != tt.status || string(body) != tt.body) {
				t.Errorf("%.60q in pieces of %d: %d %.60q, %v", tt.sent, piece, status, body, err)
			}
			here.Close()
		}
	}
}

// TestJudge checks that a start is valid only with all its results.
func TestJudge(t *testing.T) {
	t.Parallel()
	n := newNumbers()
	record := filepath.Join(t.TempDir(), "record")
	var text string
	p := proof{rows: map[uint64]bool{}, ended: map[uint64]bool{}}
	var lives []life
	const answered = 1_800_000_000_000_000_000
	for i, left := range []int64{-5, int64(time.Second), int64(time.Second) + 1, 0, 0, 0} {
		lives = append(lives, life{index: i, answered: answered})
		number := string(n.append(nil, i))
		if i != 3 { // no message was sent
			text += fmt.Sprintf("%d %s\n", answered+left, number)
		}
		var digits uint64
		if _, err := fmt.Sscan(number, &digits); err != nil {
			t.Fatal(err)
		}
		p.rows[digits] = i != 4 // no rows were written
		p.ended[digits] = i == 0
	}
	if err := os.WriteFile(record, []byte(text+text[:strings.Index(text, "\n")+1]), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.readRecord(record); err != nil {
		t.Fatal(err)
	}
	if p.copies != 1 {
		t.Errorf("%d copies", p.copies)
	}
	if got, want := p.judge(n, lives, time.Second, false), (verdict{counted: 3, unsent: 1, late: 1, unwritten: 1}); got != want {
		t.Errorf("judge = %+v, want %+v", got, want)
	}
	if got, want := p.judge(n, lives, time.Second, true), (verdict{counted: 1, unsent: 1, late: 1, unwritten: 1, unverified: 2}); got != want {
		t.Errorf("judge = %+v, want %+v", got, want)
	}
}

func TestPeer(t *testing.T) {
	t.Parallel()
	const good = `{"name":"p","command":["p"],"ready":"/","start":{"path":"/s","keep":["id"]},"check":{"path":"/c/{id}"}}`
	p, err := parsePeer([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.system("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	l := life{}
	l.kept[0].set([]byte("x1"))
	if request, _ := s.calls["check"].append(nil, nil, s.numbers, &l); !strings.HasPrefix(string(request), "POST /c/x1 HTTP/1.1\r\n") {
		t.Errorf("the request %q does not contain the id of the start", request)
	}
	if got := strings.Join(fill([]string{"{dir}/p", "127.0.0.1:{port}"}, 80, "/tmp"), " "); got != "/tmp/p 127.0.0.1:80" {
		t.Errorf("command %s", got)
	}
	for part, wrong := range map[string]string{
		`"name":"p"`: `"name":"sqlite"`, `"command":["p"]`: `"command":[]`, `"ready":"/"`: `"ready":"x"`,
		`"path":"/s"`: `"path":"s"`, `"path":"/c/{id}"`: `"path":"/c","match":"("`, `"keep":["id"]`: `"hold":["id"]`,
	} {
		if _, err := parsePeer([]byte(strings.Replace(good, part, wrong, 1))); err == nil {
			t.Errorf("%s is accepted", wrong)
		}
	}
}

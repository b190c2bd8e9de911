package main

import (
	"bytes"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

// TestPartOf attributes stacks, innermost function first, by the table of the server.
func TestPartOf(t *testing.T) {
	t.Parallel()
	const ours, lite = "countersign/internal/", "modernc.org/sqlite/lib."
	for stack, want := range map[string]string{
		"runtime.memmove encoding/json.Marshal " + ours + "apiv1.write " + ours + "web.serve net/http.(*conn).serve":   "parsing, credentials, answer",
		"syscall.write net.(*conn).Write net/http.(*response).Write " + ours + "apiv1.write net/http.(*conn).serve":    "net/http",
		"syscall.write os.(*File).Write log/slog.(*Logger).Info " + ours + "web.serve net/http.(*conn).serve":          "log",
		ours + "verify.Verification.Start " + ours + "engine.(*Engine).Start.func1 " + ours + "store.(*writer).run":    "rules of a verification",
		ours + "engine.(*Engine).Start.func1 " + ours + "store.(*writer).run":                                          "engine, texts",
		"runtime.chansend " + ours + "store.(*DB).Write " + ours + "engine.(*Engine).Start " + ours + "apiv1.start":    "store: batches, rows",
		ours + "store/sqlite.(*stmt).bind " + ours + "store.(*writer).run":                                             "SQLite: driver",
		"modernc.org/libc.Xmalloc " + ours + "store/sqlite.(*stmt).bind":                                               "SQLite: driver",
		"modernc.org/libc.Xmalloc " + lite + "_sqlite3Step " + ours + "store/sqlite.(*stmt).step":                      "SQLite: statements",
		"syscall.fdatasync " + lite + "_unixSync " + lite + "_sqlite3VdbeHalt " + lite + "_sqlite3Step":                "SQLite: flush to disk",
		"syscall.pwrite " + lite + "_walFrames " + lite + "_sqlite3VdbeHalt " + lite + "_sqlite3Step":                  "SQLite: commit",
		"syscall.pread " + lite + "_readDbPage " + lite + "_sqlite3Step":                                               "SQLite: read pages of the file",
		"github.com/jackc/pgx/v5.(*Conn).Query " + ours + "store.(*DB).Find":                                           "PostgreSQL: driver",
		"runtime.mallocgc " + ours + "store/postgres.(*Writer).Send " + ours + "store.(*writer).run":                   "PostgreSQL: driver",
		ours + "store/driver.Change.Parse " + ours + "store/postgres.(*Writer).Add":                                    "store: batches, rows",
		"crypto/sha256.Sum256 " + ours + "vault.hash":                                                                  "sealing, hashes",
		ours + "deliver/sink.(*Carrier).Submit " + ours + "deliver.(*Router).Submit " + ours + "engine.(*Engine).send": "delivery",
		"runtime.scanObject runtime.gcBgMarkWorker":                                                                    "garbage collection",
		"runtime.scanObject runtime.gcAssistAlloc runtime.mallocgc " + ours + "apiv1.start":                            "garbage collection",
		"runtime.mallocgc " + ours + "apiv1.start":                                                                     "parsing, credentials, answer",
		"runtime.futex runtime.findRunnable runtime.mcall":                                                             otherPart,
		"": otherPart,
	} {
		if got := partOf(parts(), strings.Fields(stack)); got != want {
			t.Errorf("%s: %s, want %s", stack, got, want)
		}
	}
}

// TestPartNames checks that each part has a unique name and functions.
func TestPartNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range parts() {
		if seen[p.name] || len(p.anywhere)+len(p.functions) == 0 {
			t.Errorf("%s occurs twice in the table, or has no function", p.name)
		}
		seen[p.name] = true
		for _, f := range append(p.anywhere, p.functions...) {
			if got := partOf(parts(), []string{f}); got != p.name {
				t.Errorf("%s: %s, want %s", f, got, p.name)
			}
		}
	}
}

// synthetic returns a profile with a sample of each stack, innermost function first, and
// its CPU time in ms. The functions of a stack after "+" are inlined in the one before.
func synthetic(t *testing.T, samples map[string]int64) []byte {
	t.Helper()
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 10_000_000,
	}
	for stack, took := range samples {
		s := &profile.Sample{Value: []int64{1, took * 1_000_000}}
		for frame := range strings.FieldsSeq(stack) {
			l := &profile.Location{ID: uint64(len(p.Location) + 1)}
			for name := range strings.SplitSeq(frame, "+") {
				f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: name}
				p.Function = append(p.Function, f)
				l.Line = append(l.Line, profile.Line{Function: f})
			}
			p.Location, s.Location = append(p.Location, l), append(s.Location, l)
		}
		p.Sample = append(p.Sample, s)
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPartTables checks that a profile divides the CPU time of a work, by time and not by the
// number of samples.
func TestPartTables(t *testing.T) {
	t.Parallel()
	list := []part{{"flush", []string{"lite.sync"}, nil}, {"store", nil, []string{"store."}}, {"unused", nil, []string{"x."}}}
	data := synthetic(t, map[string]int64{
		"sys.flush lite.sync store.write": 50, "runtime.copy+store.encode store.write": 20, "store.write": 10, "runtime.schedule": 20,
	})
	var r results
	for i, cpu := range []float64{300, 500} {
		run := result{colCPU: cpu}
		if err := run.addParts(list, data); err != nil {
			t.Fatal(err)
		}
		r.add("start sqlite", run)
		if sum := run[colPart+"flush"] + run[colPart+"store"] + run[colPart+otherPart]; math.Abs(sum-cpu) > 1e-9 {
			t.Errorf("run %d: the parts are %v µs of %v", i, sum, cpu)
		}
	}
	r.add("http", result{colCPU: 30}) // without a profile
	b := &bench{}
	want := `| CPU by part | start, SQLite | |
|---|--:|--:|
| flush | 200.0 µs | 50.0 % |
| store | 120.0 µs | 30.0 % |
| scheduler of Go | 80.0 µs | 20.0 % |
| all | 400 µs | 100 % |
`
	if got := r.partTables(list, b.workName); got != want {
		t.Errorf("table\n%s\nwant\n%s", got, want)
	}
	if got := (&results{}).partTables(list, b.workName); got != "" {
		t.Errorf("table without results: %s", got)
	}
	if found, err := shares(list, synthetic(t, nil)); err != nil || len(found) > 0 {
		t.Errorf("no samples: %v, %v", found, err)
	}
	for _, wrong := range []string{"", "x"} {
		if _, err := shares(list, []byte(wrong)); err == nil {
			t.Errorf("%q was accepted as a profile", wrong)
		}
	}
}

// TestProfileOfServer checks that a server without profiles has no parts, and that another status
// is an error.
func TestProfileOfServer(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]bool{200: true, 404: true, 409: false} {
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte("text"))
		}))
		data, err := (&server{ops: h.URL}).profile(t.Context(), time.Second)
		if (err == nil) != want || (data != nil) != (code == 200) {
			t.Errorf("%d: %q, %v", code, data, err)
		}
		h.Close()
	}
}

package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"countersign/internal/store/sqlite"
)

// create makes an empty file.
func create(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "ä b?mode=memory#c%20.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path string) *sqlite.Conn {
	t.Helper()
	c, err := sqlite.Open(path, "busy_timeout(2000)", "journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func exec(t *testing.T, c *sqlite.Conn, text string, args ...any) (changed int64) {
	t.Helper()
	changed, err := c.Exec(t.Context(), text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return changed
}

type (
	status string
	amount int64
	count  uint8
	flag   bool
	blob   []byte
	ratio  float32
)

// upper stores a text in upper case and reads it in lower case.
type upper struct{ text string }

func (u upper) Value() (driver.Value, error) { return strings.ToUpper(u.text), nil }

func (u *upper) Scan(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("a %T", v)
	}
	u.text = strings.ToLower(text)
	return nil
}

func ptr[T any](v T) *T { return &v }

func TestValues(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long\x00", 50_000)
	tests := []struct {
		arg    any
		stored string // typeof
		into   any
		want   any
	}{
		{int64(-1 << 63), "integer", new(int64), int64(-1 << 63)},
		{int64(1<<63 - 1), "integer", new(int64), int64(1<<63 - 1)},
		{7, "integer", new(int), 7},
		{7, "integer", new(string), "7"},
		{7, "integer", new([]byte), []byte("7")},
		{7, "integer", new(any), int64(7)},
		{7, "integer", new(float64), 7.0},
		{7.0, "real", new(int64), int64(7)},
		{"7", "text", new(int64), int64(7)},
		{true, "integer", new(bool), true},
		{false, "integer", new(bool), false},
		{true, "integer", new(int64), int64(1)},
		{flag(true), "integer", new(flag), flag(true)},
		{"ä\x00b", "text", new(string), "ä\x00b"},
		{"", "text", new(string), ""},
		{long, "text", new(string), long},
		{"text", "text", new([]byte), []byte("text")},
		{"text", "text", new(any), "text"},
		{"text", "text", new(sql.NullString), sql.NullString{String: "text", Valid: true}},
		{[]byte{0, 1, 255}, "blob", new([]byte), []byte{0, 1, 255}},
		{[]byte{}, "blob", new([]byte), []byte{}},
		{[]byte(long), "blob", new([]byte), []byte(long)},
		{[]byte("b"), "blob", new(string), "b"},
		{[]byte("b"), "blob", new(any), []byte("b")},
		{0.5, "real", new(float64), 0.5},
		{0.5, "real", new(any), 0.5},
		{ratio(0.5), "real", new(ratio), ratio(0.5)},
		{status("SUCCESS"), "text", new(status), status("SUCCESS")},
		{amount(-3), "integer", new(amount), amount(-3)},
		{count(255), "integer", new(count), count(255)},
		{blob("b"), "blob", new(blob), blob("b")},
		{upper{"abc"}, "text", new(string), "ABC"},
		{upper{"abc"}, "text", new(upper), upper{"abc"}},
		{sql.NullInt64{Int64: 5, Valid: true}, "integer", new(sql.NullInt64), sql.NullInt64{Int64: 5, Valid: true}},
		{sql.NullString{String: "", Valid: true}, "text", new(sql.NullString), sql.NullString{Valid: true}},
		{ptr(int64(5)), "integer", new(*int64), ptr(int64(5))},
		{nil, "null", new([]byte), []byte(nil)},
		{nil, "null", new(sql.NullInt64), sql.NullInt64{}},
		{nil, "null", new(sql.NullString), sql.NullString{}},
		{nil, "null", new(any), nil},
		{nil, "null", new(*int64), (*int64)(nil)},
		{[]byte(nil), "null", new([]byte), []byte(nil)},
		{blob(nil), "null", new(blob), blob(nil)},
		{sql.NullInt64{Int64: 5}, "null", new(sql.NullInt64), sql.NullInt64{}},
		{sql.NullString{String: "x"}, "null", new(sql.NullString), sql.NullString{}},
		{(*int64)(nil), "null", new(*int64), (*int64)(nil)},
	}
	c := open(t, create(t))
	for _, tt := range tests {
		name := fmt.Sprintf("%T %.20v to %T", tt.arg, tt.arg, tt.into)
		var stored string
		err := c.QueryRow(t.Context(), `SELECT typeof($1), $1`, []any{tt.arg}, &stored, tt.into)
		got := reflect.ValueOf(tt.into).Elem().Interface()
		if err != nil || stored != tt.stored || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %s %.20v, error %v, want %s %.20v", name, stored, got, err, tt.stored, tt.want)
		}
	}
}

func TestValuesRefused(t *testing.T) {
	t.Parallel()
	c := open(t, create(t))
	for _, tt := range []struct {
		arg, into any
		want      string // in the error
	}{
		{nil, new(int64), "column 1 (n): NULL"},
		{nil, new(string), "NULL"},
		{nil, new(bool), "NULL"},
		{nil, new(float64), "NULL"},
		{nil, new(status), "NULL"},
		{nil, new(amount), "NULL"},
		{"abc", new(int64), `parsing "abc"`},
		{"abc", new(float64), `parsing "abc"`},
		{2, new(bool), `parsing "2"`},
		{0.5, new(int64), "0.5 is not a 64-bit integer"},
		{1e30, new(int64), "1e+30 is not a 64-bit integer"},
		{256, new(count), "256 overflows"},
		{-1, new(count), "-1 overflows"},
		{7, new(upper), "a int64"},
		{7, new(time.Time), "unsupported destination type time.Time"},
		{7, 7, "destination int is not a pointer"},
		{7, (*amount)(nil), "not a pointer"},
		{time.Time{}, new(string), "argument $1: unsupported type time.Time"},
		{uint64(1 << 63), new(string), "out of range"},
		{[16]byte{}, new(string), "unsupported type [16]uint8"},
	} {
		var stored string
		err := c.QueryRow(t.Context(), `SELECT typeof($1), $1 AS n`, []any{tt.arg}, &stored, tt.into)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%T %v to %T: got error %v, want %q", tt.arg, tt.arg, tt.into, err, tt.want)
		}
	}
	for text, want := range map[string]string{
		"":                           "not one statement",
		"-- comment":                 "not one statement",
		"SELECT 1; SELECT 2":         "not one statement",
		"SELECT @name":               "parameter @name is not a number",
		"SELECT $1, $3":              "no argument for parameter $3",
		"SELECT 1, 2":                "1 destinations for 2 columns",
		"SELECT missing":             "no such column: missing (1)",
		"SELECT 1 WHERE $1 IS NULL ": sql.ErrNoRows.Error(),
	} {
		err := c.QueryRow(t.Context(), text, []any{1, 2}, new(int64))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want %q", text, err, want)
		}
	}
}

// SQLite numbers parameters by their first use.
func TestParametersByNumber(t *testing.T) {
	t.Parallel()
	c := open(t, create(t))
	var text string
	err := c.QueryRow(t.Context(), `SELECT $3 || $2 || $11 || $2`, []any{"a", "b", "c", 4, 5, 6, 7, 8, 9, 10, "k", "unused"}, &text)
	if err != nil || text != "cbkb" {
		t.Errorf("got %q, error %v", text, err)
	}
}

func TestStatementAfterError(t *testing.T) {
	t.Parallel()
	path := create(t)
	c := open(t, path)
	exec(t, c, `CREATE TABLE pairs (name TEXT PRIMARY KEY, value BLOB)`)
	const insert = `INSERT INTO pairs (name, value) VALUES ($1, $2)`
	if n := exec(t, c, insert, "a", []byte("secret")); n != 1 {
		t.Errorf("changed %d rows, want 1", n)
	}
	_, err := c.Exec(t.Context(), insert, "a", nil)
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok || e.Code() != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
		t.Fatalf("got error %v", err)
	}
	// The driver for database/sql has the same text and code.
	other, err := sql.Open("sqlite", "file:"+strings.NewReplacer("?", "%3f", "#", "%23", "%", "%25").Replace(path))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = other.ExecContext(t.Context(), insert, "a", nil)
	if code, found := sqlite.AsError(err); found == nil || code != e.Code() || err.Error() != e.Error() {
		t.Errorf("got error %q, the driver has %q", e, err)
	}
	if _, err := c.Exec(t.Context(), insert, "b", struct{}{}); err == nil {
		t.Error("bound a struct")
	}
	if n := exec(t, c, insert, "b", nil); n != 1 {
		t.Errorf("changed %d rows after an error, want 1", n)
	}
	var rows, nulls int
	if err := c.QueryRow(t.Context(), `SELECT COUNT(*), COUNT(*) FILTER (WHERE value IS NULL) FROM pairs`, nil, &rows, &nulls); err != nil || rows != 2 || nulls != 1 {
		t.Errorf("%d rows, %d NULL, error %v; want 2 and 1", rows, nulls, err)
	}
	if n := exec(t, c, `DELETE FROM pairs WHERE name IN ($1, $2) RETURNING name`, "a", "b"); n != 2 {
		t.Errorf("deleted %d rows, want 2", n)
	}
}

func TestSameStatementTwice(t *testing.T) {
	t.Parallel()
	c := open(t, create(t))
	const text = `SELECT value FROM json_each($1)`
	outer, err := c.Query(t.Context(), text, "[1, 2, 3]")
	if err != nil {
		t.Fatal(err)
	}
	sum, n := 0, 0
	for outer.Next() {
		if err := c.QueryRow(t.Context(), text, []any{"[10]"}, &n); err != nil {
			t.Fatal(err)
		}
		sum += n
		if err := outer.Scan(&n); err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if err := errors.Join(outer.Err(), outer.Close(), outer.Close()); err != nil || sum != 36 {
		t.Errorf("sum %d, error %v, want 36", sum, err)
	}
	if err := outer.Scan(&n); err == nil {
		t.Error("scanned closed rows")
	}
}

// endless is a statement without an end.
const endless = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n`

func TestInterrupt(t *testing.T) {
	t.Parallel()
	c := open(t, create(t))
	for name, run := range map[string]func(context.Context) error{
		"query": func(ctx context.Context) error { return c.QueryRow(ctx, endless, nil, new(int64)) },
		"exec": func(ctx context.Context) error {
			_, err := c.Exec(ctx, endless)
			return err
		},
		"next": func(ctx context.Context) error {
			rows, err := c.Query(ctx, `SELECT 1 UNION ALL SELECT * FROM (`+endless+`)`)
			if err != nil {
				return err
			}
			for rows.Next() {
			}
			if err := rows.Err(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("rows ended with %v", err)
			}
			return rows.Close()
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if err := run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got error %v", name, err)
		}
		cancel()
		if err := run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s with an ended context: got error %v", name, err)
		}
		var one int
		if err := c.QueryRow(t.Context(), `SELECT 1`, nil, &one); err != nil || one != 1 {
			t.Errorf("%s, then: got %d, error %v", name, one, err)
		}
	}
}

// The end of a context must not interrupt the statement of another context.
func TestInterruptIsOver(t *testing.T) {
	t.Parallel()
	c := open(t, create(t))
	for i := range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if err := c.QueryRow(ctx, `SELECT 1`, nil, new(int64)); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		var n int
		if err := c.QueryRow(t.Context(), `SELECT COUNT(*) FROM json_each($1)`, []any{"[1, 2, 3]"}, &n); err != nil || n != 3 {
			t.Fatalf("run %d: got %d, error %v", i, n, err)
		}
	}
}

func TestCloseWithOpenRows(t *testing.T) {
	t.Parallel()
	c := open(t, create(t))
	rows, err := c.Query(t.Context(), `SELECT 1`)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err == nil || !strings.Contains(err.Error(), `rows of "SELECT 1" are open`) {
		t.Errorf("got error %v", err)
	}
	if !rows.Next() {
		t.Errorf("no row, error %v", rows.Err())
	}
	if err := errors.Join(rows.Close(), c.Close(), c.Close()); err != nil {
		t.Error(err)
	}
	if _, err := c.Query(t.Context(), `SELECT 1`); err == nil {
		t.Error("a closed connection ran a statement")
	}
}

// TestCloseWithSecondRows: Close also fails for open rows of a second use of a statement.
func TestCloseWithSecondRows(t *testing.T) {
	t.Parallel()
	c := open(t, create(t))
	first, err := c.Query(t.Context(), `SELECT 1`)
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Query(t.Context(), `SELECT 1`)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err == nil || !strings.Contains(err.Error(), "rows are open") {
		t.Errorf("got error %v", err)
	}
	if !second.Next() {
		t.Errorf("no row, error %v", second.Err())
	}
	if err := errors.Join(second.Close(), c.Close()); err != nil {
		t.Error(err)
	}
}

// TestColumnAdded: a cached statement has the columns of the present table.
func TestColumnAdded(t *testing.T) {
	t.Parallel()
	c := open(t, create(t))
	exec(t, c, `CREATE TABLE t (a)`)
	exec(t, c, `INSERT INTO t VALUES (1)`)
	var a, b int
	if err := c.QueryRow(t.Context(), `SELECT * FROM t`, nil, &a); err != nil {
		t.Fatal(err)
	}
	exec(t, c, `ALTER TABLE t ADD COLUMN b DEFAULT 2`)
	if err := c.QueryRow(t.Context(), `SELECT * FROM t`, nil, &a, &b); err != nil || a != 1 || b != 2 {
		t.Errorf("got %d, %d, error %v", a, b, err)
	}
}

func TestOpenRefused(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing.db")
	if _, err := sqlite.Open(missing); err == nil || err.Error() != "unable to open database file (14)" {
		t.Errorf("missing file: got error %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("the file was created")
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, bytes.Repeat([]byte("no database "), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Open(other, "journal_mode(WAL)")
	if code, found := sqlite.AsError(err); found == nil || code != sqlite3.SQLITE_NOTADB {
		t.Errorf("another file: got error %v", err)
	}
}

func TestBusy(t *testing.T) {
	t.Parallel()
	path := create(t)
	first, second := open(t, path), open(t, path)
	exec(t, second, `PRAGMA busy_timeout(1)`)
	exec(t, first, `BEGIN IMMEDIATE`)
	_, err := second.Exec(t.Context(), `BEGIN IMMEDIATE`)
	if err == nil || err.Error() != "database is locked (5) (SQLITE_BUSY)" {
		t.Errorf("got error %v", err)
	}
	exec(t, first, `COMMIT`)
	exec(t, second, `BEGIN IMMEDIATE`)
	exec(t, second, `COMMIT`)
}

func TestBackup(t *testing.T) {
	t.Parallel()
	from, path := open(t, create(t)), create(t)
	exec(t, from, `CREATE TABLE numbers (n BIGINT)`)
	exec(t, from, `INSERT INTO numbers WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT i FROM n`, 10_000)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := from.Backup(ended, path, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
	if err := from.Backup(t.Context(), path, 3); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := open(t, path).QueryRow(t.Context(), `SELECT COUNT(*) FROM numbers`, nil, &n); err != nil || n != 10_000 {
		t.Errorf("the copy has %d rows, error %v", n, err)
	}
	if err := from.Backup(t.Context(), filepath.Join(t.TempDir(), "missing"), 3); err == nil {
		t.Error("copied to a missing file")
	}
}

// pool returns a pool of a file with a table "numbers" of 100 rows.
func pool(t *testing.T, limit int) (p *sqlite.Pool, write *sqlite.Conn) {
	t.Helper()
	path := create(t)
	write = open(t, path)
	exec(t, write, `CREATE TABLE numbers (n BIGINT, text TEXT)`)
	for i := range 100 {
		exec(t, write, `INSERT INTO numbers VALUES ($1, $2)`, i, fmt.Sprint(i))
	}
	p = sqlite.NewPool(limit, func() (*sqlite.Conn, error) { return sqlite.Open(path, "busy_timeout(2000)") })
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, write
}

func TestPoolConcurrent(t *testing.T) {
	t.Parallel()
	p, write := pool(t, 3)
	var tasks sync.WaitGroup
	for range 8 {
		tasks.Go(func() {
			for i := range 50 {
				ctx, cancel := context.WithCancel(t.Context())
				var text string
				if err := p.QueryRow(ctx, `SELECT text FROM numbers WHERE n = $1`, []any{i}, &text); err != nil || text != fmt.Sprint(i) {
					t.Errorf("got %q, error %v, want %d", text, err, i)
				}
				rows, err := p.Query(ctx, `SELECT n FROM numbers WHERE n < 100 ORDER BY n`)
				if err != nil {
					t.Error(err)
					cancel()
					return
				}
				n := 0
				for rows.Next() {
					n++
				}
				if err := errors.Join(rows.Err(), rows.Close()); err != nil || n != 100 {
					t.Errorf("got %d rows, error %v", n, err)
				}
				cancel()
			}
		})
	}
	for i := range 100 {
		exec(t, write, `INSERT INTO numbers VALUES ($1, 'new')`, 100+i)
	}
	tasks.Wait()
	if s := p.Stats(); s.InUse != 0 || s.Idle == 0 || s.Idle > 3 || s.Limit != 3 {
		t.Errorf("stats %+v", s)
	}
}

func TestPoolWaits(t *testing.T) {
	t.Parallel()
	p, _ := pool(t, 1)
	rows, err := p.Query(t.Context(), `SELECT n FROM numbers`)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := p.QueryRow(ctx, `SELECT 1`, nil, new(int)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v", err)
	}
	if s := p.Stats(); s.InUse != 1 || s.Idle != 0 || s.Waits != 1 || s.Waited == 0 {
		t.Errorf("stats %+v", s)
	}
	for rows.Next() { // the end frees the connection
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
	if _, err := p.Query(t.Context(), `SELECT missing`); err == nil {
		t.Error("no error")
	}
	if err := p.QueryRow(t.Context(), `SELECT 1`, nil, new(int)); err != nil {
		t.Errorf("after an error: %v", err)
	}
}

func TestPoolCloseWithOpenRows(t *testing.T) {
	t.Parallel()
	p, _ := pool(t, 2)
	rows, err := p.Query(t.Context(), `SELECT n FROM numbers`)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	n := 0
	for rows.Next() {
		n++
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || n != 100 {
		t.Errorf("got %d rows, error %v", n, err)
	}
	if _, err := p.Query(t.Context(), `SELECT 1`); !errors.Is(err, sqlite.ErrClosed) {
		t.Errorf("got error %v", err)
	}
	if s := p.Stats(); s.InUse != 0 || s.Idle != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestPoolCannotOpen(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing.db")
	p := sqlite.NewPool(1, func() (*sqlite.Conn, error) { return sqlite.Open(missing) })
	for range 2 { // a failure does not use up the limit
		if err := p.QueryRow(t.Context(), `SELECT 1`, nil, new(int)); err == nil {
			t.Error("no error")
		}
	}
}

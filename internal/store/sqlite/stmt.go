package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/libc/sys/types"
	sqlite3 "modernc.org/sqlite/lib"
)

const pointerSize = types.Size_t(unsafe.Sizeof(uintptr(0)))

// stmt is a prepared statement.
type stmt struct {
	c       *Conn
	handle  uintptr // sqlite3_stmt*
	args    []int   // Index of the argument of each parameter; 0 for $1.
	columns int     // number of columns of its last query
	open    bool    // in use by rows
	bound   arena
}

// prepare parses one statement.
func (c *Conn) prepare(text string) (*stmt, error) {
	p, err := libc.CString(text)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, p)
	out := libc.Xcalloc(c.tls, 2, pointerSize)
	if out == 0 {
		return nil, errMemory
	}
	defer libc.Xfree(c.tls, out)
	rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, p, -1, sqlite3.SQLITE_PREPARE_PERSISTENT, out, out+uintptr(pointerSize))
	if rc != sqlite3.SQLITE_OK {
		return nil, c.failure(rc)
	}
	s := &stmt{c: c, handle: libc.AtomicLoadPUintptr(out)}
	if rest := libc.GoString(libc.AtomicLoadPUintptr(out + uintptr(pointerSize))); s.handle == 0 || strings.TrimSpace(rest) != "" {
		s.finalize()
		return nil, fmt.Errorf("sqlite: %q is not one statement", text)
	}
	for i := range sqlite3.Xsqlite3_bind_parameter_count(c.tls, s.handle) {
		name := libc.GoString(sqlite3.Xsqlite3_bind_parameter_name(c.tls, s.handle, i+1))
		n := int(i + 1)
		if name != "" {
			if n, err = strconv.Atoi(name[1:]); err != nil || n < 1 {
				s.finalize()
				return nil, fmt.Errorf("sqlite: parameter %s is not a number", name)
			}
		}
		s.args = append(s.args, n-1)
	}
	return s, nil
}

func (s *stmt) finalize() {
	sqlite3.Xsqlite3_finalize(s.c.tls, s.handle) // The error repeats one of step.
	s.bound.free(s.c.tls)
}

// step reports whether it reached a row. It returns false without an error at the end.
func (s *stmt) step() (row bool, err error) {
	switch rc := sqlite3.Xsqlite3_step(s.c.tls, s.handle); rc {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		return false, s.c.failure(rc)
	}
}

// stepFor is step with the error of ctx for an interrupt.
func (s *stmt) stepFor(ctx context.Context) (row bool, err error) {
	row, err = s.step()
	if e, ok := err.(*Error); ok && e.code&0xff == sqlite3.SQLITE_INTERRUPT { //nolint:errorlint // step wraps nothing
		err = cmp.Or(ctx.Err(), err)
	}
	return row, err
}

// done ends a use of the statement. It returns err, or the error of reset if err is nil.
func (s *stmt) done(kept bool, err error) error {
	err = cmp.Or(err, s.reset()) // after an error reset repeats it
	s.open = false
	if !kept {
		s.finalize()
		s.c.extra--
	}
	return err
}

// reset makes the statement ready for its next use. It returns the error of a commit that
// it caused.
func (s *stmt) reset() (err error) {
	if rc := sqlite3.Xsqlite3_reset(s.c.tls, s.handle); rc != sqlite3.SQLITE_OK {
		err = s.c.failure(rc)
	}
	sqlite3.Xsqlite3_clear_bindings(s.c.tls, s.handle)
	s.bound.reset(s.c.tls)
	return err
}

// bind binds the arguments of all parameters.
func (s *stmt) bind(args []any) error {
	for i, from := range s.args {
		if from >= len(args) {
			return fmt.Errorf("sqlite: no argument for parameter $%d", from+1)
		}
		if err := s.bindOne(int32(i+1), args[from]); err != nil {
			return fmt.Errorf("sqlite: argument $%d: %w", from+1, err)
		}
	}
	return nil
}

func (s *stmt) bindOne(i int32, arg any) error {
	switch a := arg.(type) {
	case nil:
		return nil // an unbound parameter is NULL
	case int64:
		return s.bindInt(i, a)
	case int:
		return s.bindInt(i, int64(a))
	case bool:
		var n int64
		if a {
			n = 1
		}
		return s.bindInt(i, n)
	case string:
		p, err := s.bound.put(s.c.tls, len(a))
		if err != nil {
			return err
		}
		copy(libc.GoBytes(p, len(a)), a)
		return s.check(sqlite3.Xsqlite3_bind_text(s.c.tls, s.handle, i, p, int32(len(a)), static))
	case []byte:
		if a == nil {
			return nil
		}
		p, err := s.bound.put(s.c.tls, len(a))
		if err != nil {
			return err
		}
		copy(libc.GoBytes(p, len(a)), a)
		return s.check(sqlite3.Xsqlite3_bind_blob(s.c.tls, s.handle, i, p, int32(len(a)), static))
	case float64:
		return s.check(sqlite3.Xsqlite3_bind_double(s.c.tls, s.handle, i, a))
	case sql.NullInt64:
		if !a.Valid {
			return nil
		}
		return s.bindInt(i, a.Int64)
	case sql.NullString:
		if !a.Valid {
			return nil
		}
		return s.bindOne(i, a.String)
	case driver.Valuer:
		v, err := a.Value()
		if err != nil {
			return err
		}
		if _, again := v.(driver.Valuer); again {
			return fmt.Errorf("%T returns a %T", arg, v)
		}
		return s.bindOne(i, v)
	}
	return s.bindKind(i, reflect.ValueOf(arg))
}

// static is the destructor of memory that SQLite does not free.
const static = sqlite3.SQLITE_STATIC

func (s *stmt) bindInt(i int32, n int64) error {
	return s.check(sqlite3.Xsqlite3_bind_int64(s.c.tls, s.handle, i, n))
}

// bindKind binds an argument by the kind of its type.
func (s *stmt) bindKind(i int32, v reflect.Value) error {
	switch k := v.Kind(); {
	case k == reflect.String:
		return s.bindOne(i, v.String())
	case k == reflect.Bool:
		return s.bindOne(i, v.Bool())
	case v.CanInt():
		return s.bindInt(i, v.Int())
	case v.CanUint() && v.Uint() <= math.MaxInt64:
		return s.bindInt(i, int64(v.Uint()))
	case v.CanFloat():
		return s.bindOne(i, v.Float())
	case k == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return s.bindOne(i, v.Bytes())
	case k == reflect.Pointer && v.IsNil():
		return nil
	case k == reflect.Pointer:
		return s.bindOne(i, v.Elem().Interface())
	}
	return fmt.Errorf("unsupported type %s, or value out of range", v.Type())
}

func (s *stmt) check(rc int32) error {
	if rc != sqlite3.SQLITE_OK {
		return s.c.failure(rc)
	}
	return nil
}

// arena is memory for the arguments of one use of a statement. SQLite reads them there
// until the statement is reset, so it makes no copies. The zero value is empty.
type arena struct {
	blocks []block
	used   int // octets of the last block
}

type block struct {
	at   uintptr
	size int
}

const (
	leastBlock = 512
	mostKept   = 64 << 10
)

// put returns the address of n octets, also for 0.
func (a *arena) put(tls *libc.TLS, n int) (uintptr, error) {
	if len(a.blocks) == 0 || n > a.blocks[len(a.blocks)-1].size-a.used {
		size := max(n, leastBlock)
		if len(a.blocks) > 0 {
			size = max(size, 2*a.blocks[len(a.blocks)-1].size)
		}
		p := libc.Xmalloc(tls, types.Size_t(size))
		if p == 0 {
			return 0, errMemory
		}
		a.blocks, a.used = append(a.blocks, block{p, size}), 0
	}
	p := a.blocks[len(a.blocks)-1].at + uintptr(a.used)
	a.used += n
	return p, nil
}

// reset keeps the last block, which is the largest, unless it exceeds mostKept.
func (a *arena) reset(tls *libc.TLS) {
	a.used = 0
	n := len(a.blocks)
	if n == 0 {
		return
	}
	if n == 1 && a.blocks[0].size <= mostKept {
		return
	}
	last := a.blocks[n-1]
	if last.size > mostKept {
		a.free(tls)
		return
	}
	a.blocks = a.blocks[:n-1]
	a.free(tls)
	a.blocks = append(a.blocks, last)
}

func (a *arena) free(tls *libc.TLS) {
	for _, b := range a.blocks {
		libc.Xfree(tls, b.at)
	}
	a.blocks, a.used = a.blocks[:0], 0
}

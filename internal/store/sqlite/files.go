package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrReplaced is wrapped by the errors of a database after its files were deleted, moved,
// replaced or overwritten. The next start would not find a commit to the open files.
var ErrReplaced = errors.New("the database files changed under the server")

// files compares the paths of an SQLite database with the open files. It uses stat and the
// descriptor of the server's lock only: closing another descriptor of the database would
// release SQLite's locks.
type files struct {
	database *os.File // opened before SQLite opened it
	log      *slog.Logger

	mu      sync.Mutex
	opened  []openedFile
	header  header
	sizes   [2]int64 // sizes of the database and its -wal file at the last check
	shrunk  bool     // one of them is smaller than before: see Engine.Shrunk
	content bool     // was overwritten; final

	fault atomic.Pointer[error] // nil while the paths lead to the open files
}

type openedFile struct {
	path string
	info os.FileInfo
}

// watchFiles begins to compare. SQLite must have opened the files.
func watchFiles(database *os.File, log *slog.Logger) (*files, error) {
	path, err := filepath.EvalSymlinks(database.Name()) // as SQLite does
	if err != nil {
		return nil, err
	}
	w := &files{database: database, log: log}
	info, err := database.Stat()
	if err != nil {
		return nil, err
	}
	w.opened = []openedFile{{database.Name(), info}}
	w.sizes[0] = info.Size()
	for _, end := range []string{"-wal", "-shm"} {
		info, err := os.Stat(path + end)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrReplaced, err)
		}
		w.opened = append(w.opened, openedFile{path + end, info})
	}
	w.sizes[1] = w.opened[1].info.Size()
	w.header, err = readHeader(database)
	return w, errors.Join(err, w.check())
}

// check returns an error that wraps ErrReplaced while a path leads to another file or none.
// It costs about 15 µs. On a nil receiver it returns nil.
func (w *files) check() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.compare()
	if before := w.known(); (before == nil) != (err == nil) {
		if err != nil {
			w.log.Error("database files changed: requests are refused", "database", w.database.Name(), "error", err)
			w.fault.Store(&err)
		} else {
			w.log.Warn("database files are back", "database", w.database.Name())
			w.fault.Store(nil)
		}
	}
	return err
}

// known returns the result of the last check.
func (w *files) known() error {
	if w == nil {
		return nil
	}
	if err := w.fault.Load(); err != nil {
		return *err
	}
	return nil
}

func (w *files) compare() error {
	if w.content {
		return w.known()
	}
	for i, f := range w.opened {
		now, err := os.Stat(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && i == 0:
			return fmt.Errorf("%w: %s is missing; move it back, or stop the server and restore a backup (countersign restore --from FILE)", ErrReplaced, f.path)
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%w: %s is missing; restart the server", ErrReplaced, f.path)
		case err != nil:
			return fmt.Errorf("%w: %w", ErrReplaced, err)
		case !os.SameFile(f.info, now):
			return fmt.Errorf("%w: %s is another file now; move the former back, or stop the server and restore a backup (countersign restore --from FILE)", ErrReplaced, f.path)
		case i < len(w.sizes):
			w.shrunk = w.shrunk || now.Size() < w.sizes[i]
			w.sizes[i] = now.Size()
		}
	}
	if !w.overwritten() {
		return nil
	}
	w.content = true
	return fmt.Errorf("%w: %s was overwritten; stop the server and restore a backup (countersign restore --from FILE)", ErrReplaced, w.database.Name())
}

// headerTries bounds the reads of a deviating header: SQLite may be writing it.
const headerTries = 5

// overwritten reports whether the header of the file cannot come from this server.
func (w *files) overwritten() bool {
	for range headerTries {
		now, err := readHeader(w.database)
		if err == nil && now.follows(w.header) {
			w.header = now
			return false
		}
		time.Sleep(2 * time.Millisecond)
	}
	return true
}

// header is the begin of an SQLite file (file format, section 1.3).
type header [28]byte

func readHeader(f *os.File) (h header, err error) {
	_, err = f.ReadAt(h[:], 0)
	return h, err
}

// inWAL reports whether the file is in write-ahead mode. Backups and files that were
// never served are not.
func (h header) inWAL() bool { return h[18] == 2 && h[19] == 2 }

// follows reports whether h may be the header of the same database after before: its
// constant part is the same, and the file change counter does not go back.
func (h header) follows(before header) bool {
	counter := func(h header) uint32 { return binary.BigEndian.Uint32(h[24:]) }
	return bytes.Equal(h[:24], before[:24]) && int32(counter(h)-counter(before)) >= 0
}

// ours reports whether the database path leads to the open file and the path of the log
// leads to the open log or no file. A checkpoint is then safe.
func (w *files) ours() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	database, log := w.opened[0], w.opened[1]
	now, err := os.Stat(database.path)
	if w.content || err != nil || !os.SameFile(database.info, now) {
		return false
	}
	now, err = os.Stat(log.path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && os.SameFile(log.info, now)
}

// takeShrunk reports, once each time, that a file is smaller than it was. On a nil receiver it
// returns false.
func (w *files) takeShrunk() bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.shrunk
	w.shrunk = false
	return was
}

// logEmptied notes that this server has emptied the -wal file.
func (w *files) logEmptied() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sizes[1] = 0
}

// mayClose reports whether SQLite may copy its write-ahead log to the database and delete
// it, as the last connection does when it is closed.
func (w *files) mayClose() bool { return w == nil || w.check() == nil || w.ours() }

// checkLog refuses a database with the write-ahead log of another file. SQLite would mix
// both. A backup is not in write-ahead mode, so such a log belongs to the replaced file.
func checkLog(f *os.File) error {
	h, err := readHeader(f)
	if err != nil || h.inWAL() || !slices.Equal(h[:16], []byte("SQLite format 3\x00")) {
		return nil //nolint:nilerr // a new or foreign file: SQLite reports it
	}
	path, err := filepath.EvalSymlinks(f.Name())
	if err != nil {
		return err
	}
	info, err := os.Stat(path + "-wal")
	if err != nil || info.Size() == 0 {
		return nil //nolint:nilerr // no log
	}
	return fmt.Errorf("%s-wal belongs to another database file, which was replaced; restore the backup with countersign restore --from FILE, or delete %[1]s-wal and %[1]s-shm if the replacement is meant", path)
}

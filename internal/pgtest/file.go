package pgtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

type file struct {
	once    sync.Once
	content []byte
	err     error
}

// files are the templates of File, by name.
//
//nolint:gochecknoglobals // each is prepared once
var files sync.Map // names to *file

// Chosen returns a prepared database: the result of Prepared if COUNTERSIGN_TEST_DATABASE is
// "postgres", otherwise the result of File.
func Chosen(t testing.TB, path, name string, prepare func(ctx context.Context, database string) error) string {
	t.Helper()
	if os.Getenv("COUNTERSIGN_TEST_DATABASE") == "postgres" {
		return Prepared(t, name, prepare)
	}
	return File(t, path, name, prepare)
}

// File is Prepared for an SQLite file. It writes the copy to path and returns path.
func File(t testing.TB, path, name string, prepare func(ctx context.Context, path string) error) string {
	t.Helper()
	v, _ := files.LoadOrStore(name, &file{})
	f := v.(*file)
	f.once.Do(func() { f.content, f.err = contentOf(prepare) })
	if f.err != nil {
		t.Fatalf("prepare database %s: %v", name, f.err)
	}
	if err := os.WriteFile(path, f.content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// contentOf returns the content of the file that prepare creates and closes.
func contentOf(prepare func(ctx context.Context, path string) error) (content []byte, err error) {
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "prepared.db")
	if err := prepare(context.Background(), path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

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
//nolint:gochecknoglobals // each is to be prepared once
var files sync.Map // of names to *file

// Chosen is the database for a test that runs on either engine: the file at path as
// File makes it, or one as Prepared does when COUNTERSIGN_TEST_DATABASE is "postgres".
func Chosen(t testing.TB, path, name string, prepare func(ctx context.Context, database string) error) string {
	t.Helper()
	if os.Getenv("COUNTERSIGN_TEST_DATABASE") == "postgres" {
		return Prepared(t, name, prepare)
	}
	return File(t, path, name, prepare)
}

// File is Prepared for a database that is a file: the one at path, which it returns.
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

// contentOf is what a file holds that prepare has made and closed.
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

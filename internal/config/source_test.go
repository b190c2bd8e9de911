package config_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"countersign/internal/config"
)

// TestPlace: a setting has the place of its line or variable. A default has no place, even
// within a mapping of the file.
func TestPlace(t *testing.T) {
	t.Parallel()
	path := write(t, "listen: :80\nlog:\n  level: warn\n")
	_, from, err := config.Read(path, []string{"COUNTERSIGN_LISTEN=:81", "COUNTERSIGN_KEY_FILE=k"})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"listen": "COUNTERSIGN_LISTEN", "key_file": "COUNTERSIGN_KEY_FILE", "log.level": path + ":3", "log": path + ":2",
		"log.format": "", "database": "", "nonsense": "",
	} {
		if got := from.Place(key); got != want {
			t.Errorf("the place of %s is %q, want %q", key, got, want)
		}
	}
}

// TestLocateKeepsOtherErrors: an error with a part that is not a Problem is unchanged.
func TestLocateKeepsOtherErrors(t *testing.T) {
	t.Parallel()
	c, from, err := config.Read(write(t, "log: {level: x}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	mixed := errors.Join(c.Validate(), fs.ErrExist)
	if got := from.Locate(mixed); got != mixed { //nolint:errorlint // it must be unchanged
		t.Errorf("Locate = %v, want %v", got, mixed)
	}
}

// TestSyntaxWithoutLine: a YAML error without a line has the file as its place.
func TestSyntaxWithoutLine(t *testing.T) {
	t.Parallel()
	path := write(t, "listen: \x01\n")
	_, err := load(path, nil)
	if err == nil || !strings.HasPrefix(err.Error(), path+": yaml: control characters") {
		t.Errorf("Load = %v", err)
	}
}

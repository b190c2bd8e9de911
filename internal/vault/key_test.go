package vault_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/internal/vault"
)

func TestKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if _, err := vault.LoadKey(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v, want ErrNotExist", err)
	}
	key := vault.NewKey()
	must(t, key.Save(path))
	if got, err := vault.LoadKey(path); err != nil || got != key {
		t.Errorf("the key does not come back: %v", err)
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key file has mode %v, want 0600", info.Mode())
	}
	if err := vault.NewKey().Save(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second key: %v, want ErrExist", err)
	}
	if got, err := vault.LoadKey(path); err != nil || got != key {
		t.Errorf("the second key has replaced the first (%v)", err)
	}
	if another := vault.NewKey(); another == key {
		t.Error("two keys are the same")
	}
	digits := hex.EncodeToString(key[:])
	numbers := fmt.Sprintf("%v", key[:])
	if shown := fmt.Sprintf("%v %s %+v", key, key, struct{ K vault.Key }{key}); strings.Contains(shown, digits) || strings.Contains(shown, numbers) {
		t.Errorf("the key shows itself: %s", shown)
	}
}

func TestLoadKeyRefuses(t *testing.T) {
	t.Parallel()
	digits := strings.Repeat("0f", 32)
	for text, want := range map[string]bool{
		digits: true, digits + "\n": true, " " + strings.ToUpper(digits) + "\r\n": true,
		"": false, "\n": false, digits[:62]: false, digits[:63]: false, digits + "0": false, digits + "00": false,
		"x" + digits[1:]: false, digits[:32] + "\n" + digits[32:]: false,
	} {
		path := filepath.Join(t.TempDir(), "key")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if _, err := vault.LoadKey(path); (err == nil) != want {
			t.Errorf("LoadKey of %q: %v, want it to be read: %v", text, err, want)
		}
	}
}

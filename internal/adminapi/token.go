package adminapi

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"countersign/internal/atomicfile"
)

// A token file has one token per line. A line of one word is the token named adminName.
// Other lines have a name for the audit log, the token, and "read-only" for a token
// without permission to change data. The token can be replaced with its hash (sha256: and
// 64 hexadecimal digits). Comments begin with #.
//
//	UJ5XYK6BNQ3ZLH7C4TQ2VXGMWR
//	anna    7QXK2M4VTR6ZB5NLP3CHWYDJAG
//	board   sha256:9f86d0…  read-only

// adminName is the name of a token on a line without a name.
const adminName = "admin"

// minToken is the minimum length of a token: 128 bits in letters and digits.
const minToken = 22

const hashPrefix = "sha256:"

// token is a line of the token file.
type token struct {
	name     string
	text     string // "" if the file has the hash
	hash     [sha256.Size]byte
	readOnly bool
}

// CreateTokens creates a token file, readable only by its owner, unless it exists. The
// file contains a random token and a newline, so that scripts can use its whole content.
func CreateTokens(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("create token file: %w", err)
	}
	// Another server may have created the file since.
	if err := atomicfile.WriteNew(path, []byte(rand.Text()+"\n"), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create token file: %w", err)
	}
	return nil
}

// ReadToken returns the first token in a token file that is not a hash, for a client.
func ReadToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	list, err := parseTokens(text)
	if err != nil {
		return "", fmt.Errorf("token file %s: %w", path, err)
	}
	for _, t := range list {
		if t.text != "" {
			return t.text, nil
		}
	}
	return "", fmt.Errorf("token file %s contains only hashes; use the token itself", path)
}

// parseTokens parses a token file. Its errors contain no tokens.
func parseTokens(text []byte) ([]token, error) {
	var list []token
	named := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		t, err := parseToken(words)
		if err == nil && named[t.name] {
			err = fmt.Errorf("the name %q is used twice", t.name)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		named[t.name] = true
		list = append(list, t)
	}
	if len(list) == 0 && lines.Err() == nil {
		return nil, errors.New("no token in the file")
	}
	return list, lines.Err()
}

// parseToken returns the token of a line, split into words.
func parseToken(words []string) (t token, err error) {
	if len(words) == 2 && words[1] == "read-only" {
		return t, errors.New("a read-only token needs a name: NAME TOKEN read-only")
	}
	if len(words) == 1 {
		words = []string{adminName, words[0]}
	}
	if len(words) < 2 || len(words) > 3 || len(words) == 3 && words[2] != "read-only" {
		return t, errors.New(`must be TOKEN, NAME TOKEN, or NAME TOKEN read-only`)
	}
	if !regexp.MustCompile(`^[0-9A-Za-z._@-]{1,64}$`).MatchString(words[0]) {
		return t, errors.New("the name must be letters, digits and . _ @ -")
	}
	t = token{name: words[0], readOnly: len(words) == 3}
	if digits, ok := strings.CutPrefix(words[1], hashPrefix); ok {
		hash, err := hex.DecodeString(digits)
		if err != nil || len(hash) != len(t.hash) {
			return t, errors.New("the hash must be 64 hexadecimal digits")
		}
		copy(t.hash[:], hash)
		return t, nil
	}
	if len(words[1]) < minToken {
		return t, fmt.Errorf("the token of %q is shorter than %d characters", t.name, minToken)
	}
	t.text, t.hash = words[1], sha256.Sum256([]byte(words[1]))
	return t, nil
}

// tokens is a token file, reloaded after a change.
type tokens struct {
	path string

	mu       sync.Mutex
	list     []token
	modified time.Time
	size     int64
}

// find returns the token that matches a client's token. It compares hashes with all
// tokens in constant time.
func (t *tokens) find(shown string) (found token, ok bool, err error) {
	list, err := t.load()
	if err != nil {
		return token{}, false, err
	}
	hash := sha256.Sum256([]byte(shown))
	for _, known := range list {
		if subtle.ConstantTimeCompare(hash[:], known.hash[:]) == 1 {
			found, ok = known, true
		}
	}
	return found, ok, nil
}

// load returns the current tokens of the file.
func (t *tokens) load() ([]token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	info, err := os.Stat(t.path)
	if err != nil {
		return nil, fmt.Errorf("token file: %w", err)
	}
	if t.list != nil && info.ModTime().Equal(t.modified) && info.Size() == t.size {
		return t.list, nil
	}
	text, err := os.ReadFile(t.path)
	if err != nil {
		return nil, fmt.Errorf("token file: %w", err)
	}
	list, err := parseTokens(text)
	if err != nil {
		return nil, fmt.Errorf("token file %s: %w", t.path, err)
	}
	t.list, t.modified, t.size = list, info.ModTime(), info.Size()
	return list, nil
}

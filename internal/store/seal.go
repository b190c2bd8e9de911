package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"countersign/internal/verify"
)

// Key is the secret under which everything secret in the database lies. It is
// kept outside the database, so that a stolen copy of the file opens nothing.
type Key [32]byte

// NewKey draws a key.
func NewKey() Key {
	var k Key
	rand.Read(k[:]) // never fails (crypto/rand)
	return k
}

// LoadKey reads a key file: 64 hexadecimal digits.
func LoadKey(path string) (Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Key{}, fmt.Errorf("read key: %w", err)
	}
	var k Key
	digits := strings.TrimSpace(string(text))
	if n, err := hex.Decode(k[:], []byte(digits[:min(len(digits), 2*len(k))])); err != nil || n != len(k) || len(digits) != 2*len(k) {
		return Key{}, fmt.Errorf("key file %s does not hold %d hexadecimal digits", path, 2*len(k))
	}
	return k, nil
}

// Save writes the key to a new file that only its owner may read. It never
// overwrites: a lost key is a lost database. The file appears under its name when
// it is whole, so that a crash leaves no key that cannot be read.
func (k Key) Save(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*")
	if err != nil {
		return fmt.Errorf("create key file: %w", err)
	}
	_, err = fmt.Fprintln(f, hex.EncodeToString(k[:]))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Link(f.Name(), path)
	}
	return errors.Join(err, os.Remove(f.Name()))
}

// String keeps the key out of logs.
func (k Key) String() string { return "[key]" }

// sealer does the cryptography of the store. Each purpose has a key of its own,
// derived from the one Key (HKDF, RFC 5869).
type sealer struct {
	pins     cipher.AEAD // PINs and typed codes
	accounts cipher.AEAD // signature secrets, key check
	secrets  [32]byte    // keyed hash of API secrets
}

func newSealer(k Key) (*sealer, error) {
	derive := func(purpose string) []byte {
		sub, err := hkdf.Key(sha256.New, k[:], nil, "countersign "+purpose, 32)
		if err != nil {
			panic(err) // only for a length that SHA-256 cannot give
		}
		return sub
	}
	aead := func(purpose string) (cipher.AEAD, error) {
		block, err := aes.NewCipher(derive(purpose))
		if err != nil {
			return nil, err
		}
		return cipher.NewGCMWithRandomNonce(block)
	}
	s := &sealer{secrets: [32]byte(derive("api secret"))}
	var err error
	if s.pins, err = aead("pin"); err != nil {
		return nil, err
	}
	if s.accounts, err = aead("account"); err != nil {
		return nil, err
	}
	return s, nil
}

// pinContext binds a sealed PIN to its place: a ciphertext that was moved to
// another verification or generation does not open.
func pinContext(id verify.ID, generation int) []byte {
	return binary.BigEndian.AppendUint32(id[:], uint32(generation))
}

func (s *sealer) sealPIN(p verify.PIN, id verify.ID, generation int) []byte {
	if p.IsZero() {
		return nil
	}
	return s.pins.Seal(nil, nil, []byte(p.Reveal()), pinContext(id, generation))
}

func (s *sealer) openPIN(sealed []byte, id verify.ID, generation int) (verify.PIN, error) {
	if sealed == nil {
		return verify.PIN{}, nil
	}
	code, err := s.pins.Open(nil, nil, sealed, pinContext(id, generation))
	if err != nil {
		return verify.PIN{}, fmt.Errorf("open PIN of %s: %w", id, err)
	}
	pin, ok := verify.ParsePIN(string(code))
	if !ok {
		return verify.PIN{}, fmt.Errorf("open PIN of %s: not a PIN", id)
	}
	return pin, nil
}

func (s *sealer) sealAccount(secret, account string) []byte {
	return s.accounts.Seal(nil, nil, []byte(secret), []byte(account))
}

func (s *sealer) openAccount(sealed []byte, account string) (string, error) {
	secret, err := s.accounts.Open(nil, nil, sealed, []byte(account))
	if err != nil {
		return "", fmt.Errorf("open secret of account %s: %w", account, err)
	}
	return string(secret), nil
}

// openSignature opens a signature secret; one that is not there is "".
func (s *sealer) openSignature(sealed []byte, account string) (string, error) {
	if sealed == nil {
		return "", nil
	}
	return s.openAccount(sealed, account)
}

// hashSecret is what is stored of an API secret. A keyed hash suffices, since
// secrets are long and random, and it costs nothing on the hot path.
func (s *sealer) hashSecret(account, secret string) []byte {
	mac := hmac.New(sha256.New, s.secrets[:])
	mac.Write([]byte(account))
	mac.Write([]byte{0})
	mac.Write([]byte(secret))
	return mac.Sum(nil)
}

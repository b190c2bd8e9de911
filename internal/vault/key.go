package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"countersign/internal/atomicfile"
)

// Key is the secret of a key file. It is kept outside the database: a copy of the database
// alone opens no sealed value.
type Key [32]byte

// ErrKey indicates that a key does not open the database.
var ErrKey = errors.New("the key does not open this database")

// NewKey returns a random key.
func NewKey() Key {
	var k Key
	rand.Read(k[:]) // never fails (crypto/rand)
	return k
}

// LoadKey reads a key file: 64 hexadecimal digits, with or without white space around them.
// Its error wraps fs.ErrNotExist if the file is missing.
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

// Save writes the key to a new file with mode 0600. It never overwrites a file: without its
// key, a database is lost. Its error wraps fs.ErrExist or atomicfile.ErrDiskFull.
func (k Key) Save(path string) error {
	if err := atomicfile.WriteNew(path, []byte(hex.EncodeToString(k[:])+"\n"), 0o600); err != nil {
		return fmt.Errorf("create key file: %w", atomicfile.Full(path, err))
	}
	return nil
}

// String redacts the key in logs.
func (k Key) String() string { return "[key]" }

// fingerprintSize is the length of a fingerprint in octets. A database has at most two key
// files.
const fingerprintSize = 8

// Fingerprint returns the identifier of the key in hexadecimal digits. The key cannot be
// derived from it.
func (k Key) Fingerprint() string { return hex.EncodeToString(k.fingerprint()) }

func (k Key) fingerprint() []byte { return k.derive("fingerprint", fingerprintSize) }

// derive returns a key for a purpose (HKDF, RFC 5869).
func (k Key) derive(purpose string, size int) []byte {
	sub, err := hkdf.Key(sha256.New, k[:], nil, "countersign "+purpose, size)
	if err != nil {
		panic(err) // only for a length that SHA-256 cannot produce
	}
	return sub
}

// newAEAD returns AES-256-GCM with a random nonce in front of the ciphertext. A key may seal
// 2³² values: data keys of PINs and codes are used for a day, and the others seal few values.
func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for an invalid length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for a block cipher other than AES
	}
	return aead
}

// sealMaster seals the master key with the key of a file.
func (k Key) sealMaster(master Key) []byte {
	return newAEAD(k.derive("master", len(k))).Seal(nil, nil, master[:], k.fingerprint())
}

func (k Key) openMaster(sealed []byte) (master Key, err error) {
	opened, err := newAEAD(k.derive("master", len(k))).Open(nil, nil, sealed, k.fingerprint())
	if err != nil || len(opened) != len(master) {
		return master, ErrKey
	}
	return Key(opened), nil
}

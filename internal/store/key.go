package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"countersign/internal/atomicfile"
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

// Save writes the key to a new file that only its owner may read. It never overwrites a
// file: a lost key is a lost database.
func (k Key) Save(path string) error {
	if err := atomicfile.WriteNew(path, []byte(hex.EncodeToString(k[:])+"\n"), 0o600); err != nil {
		return fmt.Errorf("create key file: %w", diskFull(path, err))
	}
	return nil
}

// String keeps the key out of logs.
func (k Key) String() string { return "[key]" }

// fingerprintSize tells key files apart, of which there are two at most.
const fingerprintSize = 8

// Fingerprint tells this key from others, and nothing else of it.
func (k Key) Fingerprint() string { return hex.EncodeToString(k.fingerprint()) }

func (k Key) fingerprint() []byte { return k.derive("fingerprint", fingerprintSize) }

// derive gives a key for a purpose, from which k cannot be told (HKDF, RFC 5869).
func (k Key) derive(purpose string, size int) []byte {
	sub, err := hkdf.Key(sha256.New, k[:], nil, "countersign "+purpose, size)
	if err != nil {
		panic(err) // only for a length that SHA-256 cannot give
	}
	return sub
}

// newAEAD seals and opens with a key of 32 bytes: AES-256-GCM, with a random nonce in
// front. A key may seal 2³² values; each lasts a day, and those that last longer seal
// a few.
func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for a length that is none
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for a block that is not that of AES
	}
	return aead
}

// sealMaster seals the master key under the key of a file.
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

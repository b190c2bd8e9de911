package vault

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"countersign/internal/verify"
)

// Sealer seals and hashes values with the keys of a [Vault]. It is safe for concurrent use.
// Each sealed value is bound to its place by associated data: moved to another place, it does
// not open.
type Sealer struct {
	accounts cipher.AEAD // seals signature secrets and the key check
	secrets  [32]byte    // key of the hash of API secrets
	numbers  [32]byte    // key of the hash of phone numbers
	data     current     // keys of PINs and codes
}

// newSealer takes the permanent keys from ring. The key of the hash of numbers is derived
// from the key of the hash of secrets.
func newSealer(ring *keyring) *Sealer {
	secrets := ring.newest[ForSecret].raw
	s := &Sealer{
		accounts: ring.newest[ForAccount].aead, secrets: secrets,
		numbers: [32]byte(secrets.derive("number", 32)),
	}
	s.data.keys.Store(ring)
	return s
}

// placeOf returns the associated data of a PIN or code.
func placeOf(id verify.ID, generation int) []byte {
	return binary.BigEndian.AppendUint32(id[:], uint32(generation))
}

// A sealed PIN is the id of its data key, the nonce, the ciphertext and the tag.
const (
	sealedID    = 8 // octets
	sealedExtra = 12 + 16
)

// SealPIN seals the PIN of a verification and generation with the current data key; nil for
// the zero PIN. It does not query the database.
func (s *Sealer) SealPIN(p verify.PIN, id verify.ID, generation int) []byte {
	return sealWith(s.data.newest(ForPIN), p, id, generation)
}

// SealCode seals the code of a check; nil for the zero code. It uses the data key of the time
// at which the code arrived, so that a later change of the verification does not prolong the
// life of the code.
func (s *Sealer) SealCode(c verify.Check, id verify.ID) []byte {
	return sealWith(s.data.at(ForCode, c.ReceivedAt), c.Code, id, c.Generation)
}

func sealWith(key *dataKey, p verify.PIN, id verify.ID, generation int) []byte {
	if p.IsZero() {
		return nil
	}
	sealed := make([]byte, 0, sealedID+sealedExtra+verify.MaxPINLength)
	sealed = binary.BigEndian.AppendUint64(sealed, uint64(key.id))
	return key.aead.Seal(sealed, nil, []byte(p.Reveal()), placeOf(id, generation))
}

// ErrDestroyed indicates that the data key of a value was destroyed: the value is lost.
var ErrDestroyed = errors.New("its data key was destroyed")

// OpenPIN opens a result of SealPIN; the zero PIN for nil. Its error wraps [ErrDestroyed], or
// [ErrUnavailable] if the data keys could not be read.
func (s *Sealer) OpenPIN(sealed []byte, id verify.ID, generation int) (verify.PIN, error) {
	if sealed == nil {
		return verify.PIN{}, nil
	}
	if len(sealed) < sealedID+sealedExtra {
		return verify.PIN{}, fmt.Errorf("open PIN of %s: %d octets are too few", id, len(sealed))
	}
	key, err := s.data.find(int64(binary.BigEndian.Uint64(sealed)))
	if err != nil {
		return verify.PIN{}, fmt.Errorf("open PIN of %s: %w", id, err)
	}
	code, err := key.aead.Open(nil, nil, sealed[sealedID:], placeOf(id, generation))
	if err != nil {
		return verify.PIN{}, fmt.Errorf("open PIN of %s: %w", id, err)
	}
	pin, ok := verify.ParsePIN(string(code))
	if !ok {
		return verify.PIN{}, fmt.Errorf("open PIN of %s: not a PIN", id)
	}
	return pin, nil
}

// OpenCode opens a result of SealCode. It returns the zero code for nil and for a destroyed
// data key.
func (s *Sealer) OpenCode(sealed []byte, id verify.ID, generation int) (verify.PIN, error) {
	code, err := s.OpenPIN(sealed, id, generation)
	if errors.Is(err, ErrDestroyed) {
		return verify.PIN{}, nil
	}
	return code, err
}

// SealSecret seals the signature secret of an account.
func (s *Sealer) SealSecret(secret, account string) []byte {
	return s.accounts.Seal(nil, nil, []byte(secret), []byte(account))
}

// OpenSecret opens a result of SealSecret; "" for nil.
func (s *Sealer) OpenSecret(sealed []byte, account string) (string, error) {
	if sealed == nil {
		return "", nil
	}
	secret, err := s.accounts.Open(nil, nil, sealed, []byte(account))
	if err != nil {
		return "", fmt.Errorf("open secret of account %s: %w", account, err)
	}
	return string(secret), nil
}

// HashSecret returns the keyed hash of an API secret of an account, 32 octets. Secrets are
// long and random, so no slow hash is needed.
func (s *Sealer) HashSecret(account, secret string) []byte {
	mac := hmac.New(sha256.New, s.secrets[:])
	mac.Write([]byte(account))
	mac.Write([]byte{0})
	mac.Write([]byte(secret))
	return mac.Sum(nil)
}

// HashNumber returns the keyed hash of a phone number, the same for all forms of the number.
// An unkeyed hash could be reversed by hashing all phone numbers.
func (s *Sealer) HashNumber(number string) (hash [16]byte) {
	mac := hmac.New(sha256.New, s.numbers[:])
	mac.Write([]byte(verify.CanonicalNumber(number)))
	copy(hash[:], mac.Sum(nil))
	return hash
}

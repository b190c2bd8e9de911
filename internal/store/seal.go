package store

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"countersign/internal/verify"
)

// sealer does the cryptography of the store. What lasts has a key that lasts, too;
// PINs and typed codes have data keys, which go (see keyring).
type sealer struct {
	accounts cipher.AEAD // signature secrets, key check
	secrets  [32]byte    // keyed hash of API secrets
	numbers  [32]byte    // keyed hash of phone numbers
	data     keyring
}

// pinContext binds a sealed PIN to its place: a ciphertext that was moved to
// another verification or generation does not open.
func pinContext(id verify.ID, generation int) []byte {
	return binary.BigEndian.AppendUint32(id[:], uint32(generation))
}

// A sealed PIN begins with the id of its data key, and is longer by nonce and tag.
const (
	sealedID    = 8 // octets
	sealedExtra = 12 + 16
)

// sealPIN seals the PIN of a verification with the current data key. It needs no query.
func (s *sealer) sealPIN(p verify.PIN, id verify.ID, generation int) []byte {
	return sealWith(s.data.current(forPIN), p, id, generation)
}

// sealCode seals a submitted code with the data key of the time at which it arrived, so
// that a later change of its verification does not extend its lifetime.
func (s *sealer) sealCode(c verify.Check, id verify.ID) []byte {
	return sealWith(s.data.at(forCode, c.ReceivedAt), c.Code, id, c.Generation)
}

// sealWith seals a PIN or a code; nil for none.
func sealWith(key *dataKey, p verify.PIN, id verify.ID, generation int) []byte {
	if p.IsZero() {
		return nil
	}
	sealed := make([]byte, 0, sealedID+sealedExtra+verify.MaxPINLength)
	sealed = binary.BigEndian.AppendUint64(sealed, uint64(key.id))
	return key.aead.Seal(sealed, nil, []byte(p.Reveal()), pinContext(id, generation))
}

// errDestroyed is wrapped where the data key of a value is gone, and so is the value.
var errDestroyed = errors.New("its data key was destroyed")

func (s *sealer) openPIN(sealed []byte, id verify.ID, generation int) (verify.PIN, error) {
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
	code, err := key.aead.Open(nil, nil, sealed[sealedID:], pinContext(id, generation))
	if err != nil {
		return verify.PIN{}, fmt.Errorf("open PIN of %s: %w", id, err)
	}
	pin, ok := verify.ParsePIN(string(code))
	if !ok {
		return verify.PIN{}, fmt.Errorf("open PIN of %s: not a PIN", id)
	}
	return pin, nil
}

// openCode is openPIN for a code that somebody typed. One whose time is over is
// empty, as it is in the archive.
func (s *sealer) openCode(sealed []byte, id verify.ID, generation int) (verify.PIN, error) {
	code, err := s.openPIN(sealed, id, generation)
	if errors.Is(err, errDestroyed) {
		return verify.PIN{}, nil
	}
	return code, err
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

// hashNumber returns the keyed hash under which the state of a number is stored, the
// same for all forms of the number. Phone numbers are few, so an unkeyed hash could be
// reversed by trying all of them.
func (s *sealer) hashNumber(number string) guardKey {
	mac := hmac.New(sha256.New, s.numbers[:])
	mac.Write([]byte(verify.CanonicalNumber(number)))
	return guardKey(mac.Sum(nil)[:len(guardKey{})])
}

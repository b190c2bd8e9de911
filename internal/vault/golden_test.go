package vault_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"countersign/internal/vault"
	"countersign/internal/verify"
)

// golden is testdata/golden.json: a key file, the rows of its database, and values that were
// sealed or hashed with them. Octets are hexadecimal, times are in milliseconds.
type golden struct {
	KeyFile string `json:"key_file"` // content of the file
	Files   []struct {
		Fingerprint, Master string
		CreatedAt           int64 `json:"created_at"`
	}
	DataKeys []struct {
		ID        int64
		Purpose   string
		Sealed    string
		CreatedAt int64 `json:"created_at"`
	} `json:"data_keys"`
	KeyCheck string `json:"key_check"`

	ID, PIN, Code, Number, Account, Secret, Signature string
	Generation                                        int

	SealedPIN       string `json:"sealed_pin"`
	SealedCode      string `json:"sealed_code"`
	SealedSignature string `json:"sealed_signature"` // with the account
	SecretHash      string `json:"secret_hash"`      // with the account
	NumberHash      string `json:"number_hash"`
}

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "golden.json"))
	if err == nil {
		err = json.Unmarshal(text, &g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func octets(t *testing.T, digits string) []byte {
	t.Helper()
	value, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestGolden: stored keys, sealed values and hashes of earlier programs stay readable.
func TestGolden(t *testing.T) {
	t.Parallel()
	g := readGolden(t)
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(g.KeyFile), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := vault.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	rows := vault.Rows{Check: octets(t, g.KeyCheck)}
	for _, f := range g.Files {
		rows.Files = append(rows.Files, vault.FileRow{
			Fingerprint: octets(t, f.Fingerprint), Master: octets(t, f.Master), CreatedAt: time.UnixMilli(f.CreatedAt).UTC(),
		})
	}
	for _, d := range g.DataKeys {
		rows.DataKeys = append(rows.DataKeys, vault.DataKeyRow{
			ID: d.ID, Purpose: vault.Purpose(d.Purpose), Sealed: octets(t, d.Sealed), CreatedAt: time.UnixMilli(d.CreatedAt).UTC(),
		})
	}
	v, err := vault.Open(rows, vault.Config{Key: file}, rows.DataKeys[0].CreatedAt)
	if err != nil {
		t.Fatal(err)
	}
	s := v.Sealer()
	id, ok := verify.ParseID(g.ID)
	if !ok {
		t.Fatal(g.ID)
	}
	if pin, err := s.OpenPIN(octets(t, g.SealedPIN), id, g.Generation); err != nil || pin.Reveal() != g.PIN {
		t.Errorf("PIN %q (%v), want %q", pin.Reveal(), err, g.PIN)
	}
	if code, err := s.OpenCode(octets(t, g.SealedCode), id, g.Generation); err != nil || code.Reveal() != g.Code {
		t.Errorf("code %q (%v), want %q", code.Reveal(), err, g.Code)
	}
	if secret, err := s.OpenSecret(octets(t, g.SealedSignature), g.Account); err != nil || secret != g.Signature {
		t.Errorf("signature secret %q (%v), want %q", secret, err, g.Signature)
	}
	if hash := s.HashSecret(g.Account, g.Secret); !bytes.Equal(hash, octets(t, g.SecretHash)) {
		t.Errorf("hash of the secret %x, want %s", hash, g.SecretHash)
	}
	if hash := s.HashNumber(g.Number); !bytes.Equal(hash[:], octets(t, g.NumberHash)) {
		t.Errorf("hash of the number %x, want %s", hash, g.NumberHash)
	}
}

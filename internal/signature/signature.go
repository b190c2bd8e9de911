// Package signature signs the parameters of a request with an account's
// signature secret, and checks such signatures, as published for the original
// API ("Signing messages") and built into its SDKs.
//
// The package must not know HTTP, accounts or the time. Its caller collects the
// parameters, looks up the secret and method, and judges the age of the
// "timestamp" parameter, which the signature covers like any other.
package signature

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"slices"
	"strings"
)

// Method is how a signature is computed, chosen per account.
type Method string

// The published methods. MD5Hash, the default of the older SDKs, is the digest of
// the parameters followed by the secret; the others are HMACs. SHA256 is the one
// to choose when the client leaves the choice.
const (
	MD5Hash Method = "md5hash"
	MD5     Method = "md5"
	SHA1    Method = "sha1"
	SHA256  Method = "sha256"
	SHA512  Method = "sha512"
)

// Valid reports whether m is one of the methods above.
func (m Method) Valid() bool {
	switch m {
	case MD5Hash, MD5, SHA1, SHA256, SHA512:
		return true
	}
	return false
}

// Sign gives the signature of params in lower-case hexadecimal digits, or "" for
// a method that is not [Method.Valid]. A parameter "sig" is left out.
func Sign(m Method, secret string, params map[string]string) string {
	return hex.EncodeToString(m.sum(secret, canonical(params)))
}

// Verify reports whether sig, hexadecimal digits in any letter case, signs
// params. Parameters without a value may be signed or not: the Java SDK leaves
// them out, the others do not. Nothing is signed with an empty secret.
func Verify(m Method, secret string, params map[string]string, sig string) bool {
	given, err := hex.DecodeString(sig)
	if err != nil || secret == "" || !m.Valid() {
		return false
	}
	if hmac.Equal(given, m.sum(secret, canonical(params))) {
		return true
	}
	return hmac.Equal(given, m.sum(secret, canonical(withoutBlank(params))))
}

func (m Method) sum(secret, text string) []byte {
	var mac hash.Hash
	switch m {
	case MD5Hash:
		digest := md5.Sum([]byte(text + secret))
		return digest[:]
	case MD5:
		mac = hmac.New(md5.New, []byte(secret))
	case SHA1:
		mac = hmac.New(sha1.New, []byte(secret))
	case SHA256:
		mac = hmac.New(sha256.New, []byte(secret))
	case SHA512:
		mac = hmac.New(sha512.New, []byte(secret))
	default:
		return nil
	}
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// canonical writes the parameters in the order of their names, each as
// "&name=value" without URL encoding.
//
// "&" and "=" in a value become "_", as published. They become so in a name too,
// as only the Java SDK has it: otherwise a single parameter named "a=1&b" would
// carry the signature of the two parameters a and b. No parameter of the API has
// either in its name.
func canonical(params map[string]string) string {
	names := make([]string, 0, len(params))
	size := 0
	for name, value := range params {
		if name != "sig" {
			names = append(names, name)
			size += len("&=") + len(name) + len(value)
		}
	}
	slices.Sort(names)
	b := make([]byte, 0, size)
	for _, name := range names {
		b = appendClean(append(b, '&'), name)
		b = appendClean(append(b, '='), params[name])
	}
	return string(b)
}

func appendClean(b []byte, text string) []byte {
	from := len(b)
	b = append(b, text...)
	for i, c := range b[from:] {
		if c == '&' || c == '=' {
			b[from+i] = '_'
		}
	}
	return b
}

// withoutBlank drops what the Java SDK calls empty: values with nothing but
// ASCII space and controls (String.trim), so that they count as not given.
func withoutBlank(params map[string]string) map[string]string {
	kept := make(map[string]string, len(params))
	for name, value := range params {
		if strings.ContainsFunc(value, func(r rune) bool { return r > ' ' }) {
			kept[name] = value
		}
	}
	return kept
}

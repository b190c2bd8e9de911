// Package signature signs the parameters of a request with an account's signature
// secret, and verifies such signatures. It follows the documentation of the original API
// ("Signing messages") and its SDKs.
//
// The package does not depend on HTTP, accounts or the time. The caller collects the
// parameters, looks up the secret and method, and checks the age of the "timestamp"
// parameter, which is signed like any other.
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

// Method is the algorithm of a signature, configured per account.
type Method string

// Published methods. MD5Hash, the default of the older SDKs, is the digest of the
// parameters followed by the secret. The others are HMACs. SHA256 is recommended if the
// client supports it.
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

// Sign returns the signature of params in lower-case hexadecimal digits; "" if the method
// is not [Method.Valid]. A parameter "sig" is ignored.
func Sign(m Method, secret string, params map[string]string) string {
	return hex.EncodeToString(m.sum(secret, canonical(params)))
}

// Verify reports whether sig, hexadecimal digits in any letter case, is a signature of
// params. Blank parameters may be unsigned: the Java SDK omits them, the others do not.
// Verify returns false for an empty secret.
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

// canonical returns the parameters in the order of their names, each as "&name=value"
// without URL encoding.
//
// "&" and "=" in a value become "_", as published. This applies to names as well, as in
// the Java SDK: otherwise a single parameter named "a=1&b" would have the signature of the
// two parameters a and b. No parameter of the API has either in its name.
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

// withoutBlank returns params without blank values, which the Java SDK omits: values of
// only ASCII space and control characters (String.trim).
func withoutBlank(params map[string]string) map[string]string {
	kept := make(map[string]string, len(params))
	for name, value := range params {
		if strings.ContainsFunc(value, func(r rune) bool { return r > ' ' }) {
			kept[name] = value
		}
	}
	return kept
}

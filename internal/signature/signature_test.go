package signature_test

import (
	"strings"
	"testing"

	"countersign/internal/signature"
)

const secret = "demosignature0001"

// The expected values are from openssl, over the canonical text of each case:
//
//	printf %s '&a=1&b=2' | openssl dgst -sha256 -hmac SECRET
//	printf %s '&a=1&b=2SECRET' | openssl dgst -md5
func TestSign(t *testing.T) {
	t.Parallel()
	// Parameters, secret and most results are from RequestSigningTest in
	// vonage-java-sdk.
	vendor := map[string]string{"a": "alphabet", "b": "bananas", "timestamp": "2100"}
	demo := map[string]string{
		"timestamp": "1700000000", "number": "447700900000", "brand": "A&B=C", "api_key": "demo0001",
		"sig": "not part of the signed text",
	}
	tests := []struct {
		name   string
		method signature.Method
		secret string
		params map[string]string
		want   string
	}{
		{"vendor md5hash", signature.MD5Hash, "abcde", vendor, "7d43241108912b32cc315b48ce681acf"},
		{"vendor md5", signature.MD5, "abcde", vendor, "e0afe267aefd6dd18a848c1681517a19"},
		{"vendor sha1", signature.SHA1, "abcde", vendor, "b7f749de27b4adcf736cc95c9a7e059a16c85127"},
		{
			"vendor sha256", signature.SHA256, "abcde", vendor,
			"8d1b0428276b6a070578225914c3502cc0687a454dfbbbb370c76a14234cb546",
		},
		{
			"vendor sha512", signature.SHA512, "abcde", vendor,
			"1c834a1f6a377d4473971387b065cb38e2ad6c4869ba77b7b53e207a344e87ba" +
				"04b456dfc697b371a2d1ce476d01dafd4394aa97525eff23badad39d2389a710",
		},
		{"sorted, cleaned, without sig", signature.MD5Hash, secret, demo, "11628d5556dd17c6b1fb1fb317a476a5"},
		{
			"the same with sha256", signature.SHA256, secret, demo,
			"ef5f83f8bd5bf1f4295ed6d3df58552f6370875228970c3c8868353fd88fc4c4",
		},
		{
			"not URL-encoded", signature.SHA256, secret,
			map[string]string{"api_key": "demo0001", "brand": "Zoë 확인 <&>"},
			"3dd56314ed07b1777f7238b6e35a92d50cec7bd3f2b8acdaa07b12c072421699",
		},
		{
			"empty values count", signature.SHA256, secret,
			map[string]string{"api_key": "demo0001", "blank": "  ", "country": "", "number": "447700900000"},
			"85eb111abe70d793cea9bba054f8cde6de106d2e774afe070270c272a38d0872",
		},
		{
			"names are cleaned", signature.SHA256, secret,
			map[string]string{"api_key": "demo0001", "a=b": "c"},
			"7bdefa236b17d25bc5330beb7e1d4af5ff3b3502950d1055660e3da5190ae59b",
		},
		{
			"nothing to sign", signature.SHA256, secret, nil,
			"193206953f9ef6b897144fb98fde72ab2cff87f4fb3f619f6011a33a81423ef2",
		},
		{"unknown method", "sha3", secret, demo, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := signature.Sign(tt.method, tt.secret, tt.params)
			if got != tt.want {
				t.Errorf("Sign = %s, want %s", got, tt.want)
			}
			if got, want := signature.Verify(tt.method, tt.secret, tt.params, got), tt.want != ""; got != want {
				t.Errorf("Verify of the result of Sign = %t, want %t", got, want)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	params := map[string]string{"api_key": "demo0001", "blank": "  ", "country": "", "number": "447700900000"}
	const (
		plain = "85eb111abe70d793cea9bba054f8cde6de106d2e774afe070270c272a38d0872"
		java  = "ee86985f08d4d037285093c1f5eaf8e690db07fe517e103392fd860a55969f20" // without blank and country
		other = "8d1b0428276b6a070578225914c3502cc0687a454dfbbbb370c76a14234cb546"
	)
	tests := []struct {
		name        string
		method      signature.Method
		secret, sig string
		want        bool
	}{
		{"all parameters", signature.SHA256, secret, plain, true},
		{"without empty ones, as the Java SDK", signature.SHA256, secret, java, true},
		{"upper case, as the Ruby SDK", signature.SHA256, secret, strings.ToUpper(plain), true},
		{"md5hash", signature.MD5Hash, secret, "1849582b492adf168d4de10984e05659", true},
		{"md5hash as the Java SDK", signature.MD5Hash, secret, "7fb13eb3ae0d5b4183496028aa5e6287", true},
		{"of other parameters", signature.SHA256, secret, other, false},
		{"of another method", signature.SHA512, secret, plain, false},
		{"of another secret", signature.SHA256, secret + "x", plain, false},
		{"cut short", signature.SHA256, secret, plain[:62], false},
		{"half a byte short", signature.SHA256, secret, plain[:63], false},
		{"longer", signature.SHA256, secret, plain + "00", false},
		{"not hexadecimal", signature.SHA256, secret, strings.Repeat("zz", 32), false},
		{"empty", signature.SHA256, secret, "", false},
		{"unknown method", "sha3", secret, plain, false},
		{"no method and no signature", "", secret, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := signature.Verify(tt.method, tt.secret, params, tt.sig); got != tt.want {
				t.Errorf("Verify = %t, want %t", got, tt.want)
			}
		})
	}
}

// Signatures with an empty secret must not authenticate an account without a signature
// secret.
func TestVerifyRefusesEmptySecret(t *testing.T) {
	t.Parallel()
	params := map[string]string{"a": "1"}
	const digest = "f77d16d989f11ddd3877a03f19b99d7c" // printf '&a=1' | openssl dgst -md5
	if got := signature.Sign(signature.MD5Hash, "", params); got != digest {
		t.Fatalf("Sign = %s, want %s", got, digest)
	}
	if signature.Verify(signature.MD5Hash, "", params, digest) {
		t.Error("Verify accepted a signature with the empty secret")
	}
}

// The signature of two parameters must not be valid for one.
func TestVerifyKeepsParametersApart(t *testing.T) {
	t.Parallel()
	sig := signature.Sign(signature.SHA256, secret, map[string]string{"a": "1", "b": "2"})
	if signature.Verify(signature.SHA256, secret, map[string]string{"a=1&b": "2"}, sig) {
		t.Error("the signature of a and b was accepted for a parameter named a=1&b")
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("sha256", secret, "brand", "A&B", "country", "", "00ff")
	f.Add("md5hash", "abcde", "a", "alphabet", "sig", "x", "7D43241108912B32CC315B48CE681ACF")
	f.Add("", "", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, method, secret, name1, value1, name2, value2, sig string) {
		m := signature.Method(method)
		params := map[string]string{name1: value1, name2: value2}
		good := signature.Sign(m, secret, params)
		if got, want := signature.Verify(m, secret, params, strings.ToUpper(good)), m.Valid() && secret != ""; got != want {
			t.Fatalf("Verify of the result of Sign = %t, want %t", got, want)
		}
		if !signature.Verify(m, secret, params, sig) || strings.EqualFold(sig, good) {
			return
		}
		// Only blank values may be unsigned.
		for name, value := range params {
			if strings.TrimSpace(value) == "" {
				delete(params, name)
			}
		}
		if !strings.EqualFold(sig, signature.Sign(m, secret, params)) {
			t.Fatalf("Verify accepted %q for %q", sig, params)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	params := map[string]string{
		"api_key": "demo0001", "number": "447700900000", "brand": "Acme", "lg": "en-gb",
		"code_length": "6", "workflow_id": "4", "timestamp": "1700000000",
	}
	sig := signature.Sign(signature.SHA256, secret, params)
	b.ReportAllocs()
	for b.Loop() {
		if !signature.Verify(signature.SHA256, secret, params, sig) {
			b.Fatal("signature refused")
		}
	}
}

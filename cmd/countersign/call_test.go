package main

import (
	"strings"
	"testing"
)

// TestCall checks the output of a call, which succeeds if all audio is heard.
func TestCall(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		phone []string
		call  []string
		code  int
		want  string // on either stream
	}{
		"heard": {
			nil, []string{"--from=442071838750"}, 0, "complete=true",
		},
		"with a password": {
			[]string{"--user=acme", "--password=secret"}, []string{"--user=acme", "--password=secret"}, 0, "RTP sent: packets=",
		},
		"with a wrong password": {
			[]string{"--user=acme", "--password=secret"}, []string{"--user=acme", "--password=guess"}, 1, "refused by carrier: 401",
		},
		"busy":       {[]string{"--busy"}, nil, 1, "busy after"},
		"rejected":   {[]string{"--reject"}, nil, 1, "rejected after"},
		"unanswered": {[]string{"--ring-forever"}, []string{"--timeout=300ms"}, 1, "no answer after"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startPhone(t, tt.phone...)
			code, stdout, stderr := install(t).run(append([]string{
				"call", "--trunk=sip:" + h.addr, "--to=+44 7700 900001", "--pin=1234", "--lg=en-gb",
			}, tt.call...)...)
			if code != tt.code || !strings.Contains(stdout+stderr, tt.want) {
				t.Errorf("code %d, want %d; no %q in %q, %q", code, tt.code, tt.want, stdout, stderr)
			}
			if strings.Contains(stdout+stderr, "1234") {
				t.Errorf("the PIN is printed: %q, %q", stdout, stderr)
			}
		})
	}
}

func TestCallRefuses(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.fails(2, "--to", "call", "--trunk=sip:127.0.0.1", "--pin=1234")
	in.fails(2, "--trunk or --carrier is missing", "call", "--to=447700900001", "--pin=1234")
	in.fails(2, "exclude each other", "call", "--to=447700900001", "--pin=1234", "--trunk=sip:a", "--carrier=b", "CONFIG")
	in.fails(2, "must be sip:HOST", "call", "--to=447700900001", "--pin=1234", "--trunk=tel:1")
	in.fails(2, "--to: ", "call", "--to=44", "--pin=1234", "--trunk=sip:127.0.0.1")
	in.fails(2, "--pin: ", "call", "--to=447700900001", "--pin=12", "--trunk=sip:127.0.0.1")
	in.fails(2, "--lg: ", "call", "--to=447700900001", "--pin=1234", "--lg=xx", "--trunk=sip:127.0.0.1")
	in.fails(3, `has no "nobody"`, "call", "--to=447700900001", "--pin=1234", "--carrier=nobody", "CONFIG")
	in.fails(1, "tls_ca", "call", "--to=447700900001", "--pin=1234", "--trunk=sip:127.0.0.1", "--transport=tls", "--tls-ca="+in.file("ca.pem", "no PEM"))
}

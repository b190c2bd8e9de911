package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/internal/await"
)

// npmCarrier starts the carrier of npm's smpp, and returns its address.
func npmCarrier(t *testing.T) (*client, string) {
	t.Helper()
	carrier := run(t, "smpp-smsc.js", "SMPP_PASSWORD="+smppPassword)
	port, ok := carrier.call(t, "listen")["port"].(float64)
	if !ok {
		t.Fatal("the carrier has no port")
	}
	return carrier, fmt.Sprintf("127.0.0.1:%d", int(port))
}

// TestSMPPCarrier sends verifications over an SMSC of npm's smpp, which decodes the texts and
// writes message ids differently in responses and receipts.
func TestSMPPCarrier(t *testing.T) {
	t.Parallel()
	carrier, address := npmCarrier(t)
	s := install(t, "carriers:\n"+viaSMPP("npm", address, "message_id: hex-to-decimal")+"routes: [{carriers: [npm]}]").serve(t)
	sent := 0
	for _, tt := range []struct {
		name, path string
		params     []string
		want       string // PIN stands for the code
		coding     float64
		parts      float64
		state      string
		number     string
	}{
		{"GSM", "/verify/json", []string{"brand", "A{c}m~e [x\\y] |€^"}, "A{c}m~e [x\\y] |€^ code: PIN. Valid for 5 minutes.", 0, 1, "delivered", "447700900100"},
		{"UCS-2", "/verify/json", []string{"brand", "에이크미", "lg", "ko-kr"}, "[에이크미] 인증번호는 PIN입니다. 5분 안에 입력해 주세요.", 8, 1, "delivered", "447700900103"},
		{
			"long", "/verify/psd2/json", []string{"payee", "Ключ на все замки", "amount", "48.00"},
			"Code PIN confirms your payment of €48.00 to Ключ на все замки. Valid for 5 minutes.", 8, 2, "delivered", "447700900104",
		},
		{"undeliverable", "/verify/json", []string{"brand", "Acme"}, "Acme code: PIN. Valid for 5 minutes.", 0, 1, "undeliverable", "447700900102"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := s.ask(t, tt.path, append(tt.params, "number", tt.number)...).text(t, "request_id")
			s.awaitState(t, id, tt.state)
			list := carrier.call(t, "messages").list(t, "messages")
			if sent++; len(list) != sent {
				t.Fatalf("got %v, want %d messages", list, sent)
			}
			got := list[sent-1]
			pin := message{Channel: "sms", Text: got.text(t, "text")}.pin(t)
			got.want(t, "text", strings.Replace(tt.want, "PIN", pin, 1), "from", "VERIFY", "to", tt.number)
			if got["coding"] != tt.coding || got["parts"] != tt.parts {
				t.Errorf("got data_coding %v and %v parts, want %v and %v", got["coding"], got["parts"], tt.coding, tt.parts)
			}
			s.ask(t, "/verify/check/json", "request_id", id, "code", pin).want(t, "status", "0")
			s.found(t, id).want(t, "status", "SUCCESS")
		})
	}
	t.Run("refused", func(t *testing.T) {
		id := s.ask(t, "/verify/json", "brand", "Acme", "number", "447700900101").text(t, "request_id")
		s.awaitState(t, id, "refused")
	})
	const want = 5.0 // two for the long message
	await.Until(t, "a response to every receipt", func() bool { return carrier.call(t, "messages")["receipts"] == want })
}

// TestSMPPSend sends with "countersign sms send" over a carrier, like an operator.
func TestSMPPSend(t *testing.T) {
	t.Parallel()
	carrier, address := npmCarrier(t)
	i := install(t, "carriers:\n"+viaSMPP("npm", address, "message_id: hex-to-decimal")+"routes: [{carriers: [npm]}]")
	for _, tt := range []struct {
		name string
		args []string
		ok   bool
		want []string
	}{
		{"accepted", []string{"--carrier", "npm", "--to", "447700900100"}, true, []string{"accepted after"}},
		{"delivered", []string{"--carrier", "npm", "--to", "447700900103", "--wait-receipt"}, true, []string{"accepted after", "delivered after"}},
		{"undeliverable", []string{"--carrier", "npm", "--to", "447700900102", "--wait-receipt"}, false, []string{"accepted after", "undeliverable", "034"}},
		{"refused", []string{"--carrier", "npm", "--to", "447700900101"}, false, []string{"ESME_RSUBMITFAIL"}},
		{"wrong password", []string{"--smpp", address, "--system-id", "acme", "--password", "wrong", "--to", "447700900100"}, false, []string{"ESME_RINVPASWD"}},
		{"no number", []string{"--carrier", "npm", "--to", "12"}, false, []string{"--to"}},
		{"connection refused", []string{"--smpp", "127.0.0.1:1", "--to", "447700900100"}, false, []string{"connect"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			out, err := i.run(t, append([]string{"sms", "send", "--text", "Grüße {1}"}, tt.args...)...)
			if (err == nil) != tt.ok {
				t.Errorf("the command ended with %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("got %q, want %q in it", out, want)
				}
			}
			if took := time.Since(began); took > patience {
				t.Errorf("the command took %v", took)
			}
		})
	}
	for _, m := range carrier.call(t, "messages").list(t, "messages") {
		m.want(t, "text", "Grüße {1}")
	}
}

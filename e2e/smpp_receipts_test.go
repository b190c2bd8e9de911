package e2e

import (
	"fmt"
	"strings"
	"testing"

	"countersign/internal/await"
)

// TestSMPPTwoSystems checks receipts of two SMSCs with the same message ids. A receipt must
// apply only to a message of its own SMSC, also after a restart of the server.
func TestSMPPTwoSystems(t *testing.T) {
	t.Parallel()
	ends := map[string]*rehearsal{
		"delivered":     rehearse(t, "--seed", "7", "--fault", "receipt-delay=3s"),
		"undeliverable": rehearse(t, "--seed", "7", "--fault", "receipt-delay=3s,undeliverable"),
	}
	i := install(t, fmt.Sprintf("carriers:\n  - {name: a, type: smpp, smpp: {addresses: [%q, %q], binds: 2}}\nroutes: [{channel: sms, carriers: [a]}]\n",
		ends["delivered"].address, ends["undeliverable"].address))
	s := i.serve(t)
	s.awaitLog(t, `"msg":"bound"`, 2)
	const messages = 8
	ids := map[string]string{} // verification ids by number
	for n := range messages {
		number := fmt.Sprint("44770090030", n)
		got := s.ask(t, "/verify/json", "number", number, "brand", "Acme")
		got.want(t, "status", "0")
		ids[number], _ = got["request_id"].(string)
		s.awaitState(t, ids[number], "accepted")
		if n == messages/2 {
			s.stop(t)
			s = i.serve(t)
			s.awaitLog(t, `"msg":"bound"`, 2)
		}
	}
	seen := 0
	for want, smsc := range ends {
		for number, id := range ids {
			if smsc.has(number) {
				s.awaitState(t, id, want)
				seen++
			}
		}
	}
	if seen != messages {
		t.Errorf("%d messages at the SMSCs, want %d", seen, messages)
	}
}

// has reports whether the SMSC received a message for number.
func (r *rehearsal) has(number string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.lines {
		to, _ := line["to"].(map[string]any)
		if to["addr"] == number {
			return true
		}
	}
	return false
}

// other returns the second address of the SMSC.
func (r *rehearsal) other(t *testing.T) string {
	t.Helper()
	var address string
	await.Until(t, "the second address of the SMSC", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, line := range r.lines {
			if text, ok := line["listening"].(string); ok {
				address = text
				return true
			}
		}
		return false
	})
	return address
}

// awaitLog waits until the program has logged a text n times.
func (s *server) awaitLog(t *testing.T, text string, n int) {
	t.Helper()
	s.until(t, fmt.Sprintf("%d times %q in the log", n, text), func() bool { return strings.Count(s.log.String(), text) >= n })
}

// TestSMPPOddReceipts checks that receipts in the form of plain messages are logged, and
// interpreted if so configured, as are receipts over the other address.
func TestSMPPOddReceipts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault, setting string
		binds          int
	}{
		{"receipt-as-message", "receipts_in_messages: true", 1},
		{"receipt-as-ack", "receipts_in_messages: true", 1},
		{"receipt-elsewhere,receipt-delay=500ms", "message_id_scope: carrier", 2},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			t.Parallel()
			smsc := rehearse(t, "--listen", "127.0.0.1:0", "--fault", tt.fault)
			for _, set := range []bool{false, true} {
				more := ""
				if set {
					more = ", " + tt.setting
				}
				s := install(t, fmt.Sprintf("carriers:\n  - {name: a, type: smpp, smpp: {addresses: [%q, %q], binds: %d, system_id: %q%s}}\nroutes: [{channel: sms, carriers: [a]}]\n",
					smsc.address, smsc.other(t), tt.binds, fmt.Sprint("esme", set), more)).serve(t)
				s.awaitLog(t, `"msg":"bound"`, tt.binds)
				got := s.ask(t, "/verify/json", "number", "447700900300", "brand", "Acme")
				got.want(t, "status", "0")
				id, _ := got["request_id"].(string)
				if set {
					s.awaitState(t, id, "delivered")
				} else {
					s.awaitLog(t, "smpp."+tt.setting, 1)
					s.awaitState(t, id, "accepted")
				}
				if strings.Contains(s.log.String(), "447700900300") {
					t.Error("the log contains the number")
				}
				s.stop(t)
			}
		})
	}
}

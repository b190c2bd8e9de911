package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/await"
)

// TestSMPPKannel binds Kannel to "countersign smsc" and sends messages through it. The messages
// must arrive unchanged, and Kannel must understand the responses and receipts.
func TestSMPPKannel(t *testing.T) {
	t.Parallel()
	require(t, "bearerbox", "smsbox")
	smsc := rehearse(t, "--system-id", "kannel", "--password", "gateway", "--fault", "undeliverable=447700900102", "--fault", "refuse=1x:0x0B", "--receipts", "text")
	reports := make(chan url.Values, 100)
	listener := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reports <- r.URL.Query() }))
	t.Cleanup(listener.Close)
	address := startKannel(t, smsc.port(t))
	send := func(t *testing.T, params url.Values) {
		t.Helper()
		params.Set("username", "tests")
		params.Set("password", "tests")
		status, body := page(t, address+"/cgi-bin/sendsms?"+params.Encode())
		if status != http.StatusAccepted {
			t.Fatalf("Kannel answers %d %s", status, body)
		}
	}

	// A message and Kannel's reports for it: 1 delivered, 2 undeliverable, 8 accepted by the SMSC,
	// 16 refused by the SMSC.
	for _, tt := range []struct {
		name, number, text string
		params             url.Values
		field              string // field of the output line with the text
		alphabet           string
		reports            []string
	}{
		{"refused", "447700900100", "Not delivered", nil, "", "", []string{"16"}},
		{"GSM", "447700900104", "Grüße {€} für 5 £", nil, "text", "gsm7", []string{"1", "8"}},
		{"UCS-2", "447700900101", "인증번호는 1234입니다", url.Values{"coding": {"2"}}, "text", "ucs2", []string{"1", "8"}},
		{"undeliverable", "447700900102", "Undeliverable", nil, "text", "gsm7", []string{"2", "8"}},
		{"long", "447700900103", strings.Repeat("Zażółć gęślą jaźń. ", 12), url.Values{"coding": {"2"}}, "whole", "", []string{"1", "8"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			params := url.Values{
				"from": {"Acme"}, "to": {tt.number}, "text": {tt.text}, "charset": {"UTF-8"}, "dlr-mask": {"31"},
				"dlr-url": {listener.URL + "/?type=%d&to=%p&name=" + url.QueryEscape(tt.name)},
			}
			for name, value := range tt.params {
				params[name] = value
			}
			send(t, params)
			if tt.field != "" {
				line := smsc.await(t, tt.number, tt.field)
				line.want(t, tt.field, tt.text)
				if tt.alphabet != "" {
					line.want(t, "alphabet", tt.alphabet)
				}
			}
			var got []string // in any order: each report is a separate call
			for range tt.reports {
				select {
				case report := <-reports:
					got = append(got, report.Get("type"))
					if report.Get("name") != tt.name || report.Get("to") != tt.number {
						t.Errorf("Kannel reports %v", report)
					}
				case <-time.After(patience):
					t.Fatalf("Kannel reports %q, want %q", got, tt.reports)
				}
			}
			if slices.Sort(got); !slices.Equal(got, tt.reports) {
				t.Errorf("Kannel reports %q, want %q", got, tt.reports)
			}
		})
	}
}

// startKannel starts Kannel's two programs, bound to an SMSC, and ends them after the test. It
// returns the URL of sendsms without its path; user and password are "tests".
func startKannel(t *testing.T, port int) (address string) {
	t.Helper()
	ports := make([]string, 3)
	for i := range ports {
		_, ports[i], _ = net.SplitHostPort(quietAddress(t))
	}
	config := filepath.Join(t.TempDir(), "kannel.conf")
	text := fmt.Sprintf(`
group = core
admin-port = %s
admin-interface = 127.0.0.1
admin-password = admin
smsbox-port = %s
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1

group = smsc
smsc = smpp
smsc-id = rehearsal
host = 127.0.0.1
port = %d
smsc-username = kannel
smsc-password = gateway
system-type = ""
transceiver-mode = true
source-addr-autodetect = true
dest-addr-ton = 1
dest-addr-npi = 1

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = %[2]s
sendsms-port = %[4]s
sendsms-interface = 127.0.0.1

group = sendsms-user
username = tests
password = tests
max-messages = 5
concatenation = true
`, ports[0], ports[1], port, ports[2])
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	runKannel(t, "bearerbox", config)
	awaitPage(t, "http://127.0.0.1:"+ports[0]+"/status.txt?password=admin", "rehearsal", "(online")
	runKannel(t, "smsbox", config)
	awaitPage(t, "http://127.0.0.1:"+ports[0]+"/status.txt?password=admin", "smsbox:")
	return "http://127.0.0.1:" + ports[2]
}

// runKannel starts one of Kannel's programs.
func runKannel(t *testing.T, program, config string) {
	t.Helper()
	cmd := exec.Command(program, "-v", "1", config)
	cmd.Dir = filepath.Dir(config)
	log := newJournal()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // SIGTERM would take long
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of %s:\n%s", program, log)
		}
	})
}

// awaitPage waits until a page contains all the words.
func awaitPage(t *testing.T, address string, words ...string) {
	t.Helper()
	body := ""
	defer func() {
		if t.Failed() {
			t.Log(body)
		}
	}()
	await.Until(t, fmt.Sprintf("%q at %s", words, address), func() bool {
		_, body = page(t, address)
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(body, word) })
	})
}

// page returns a page of any program; the status is 0 without an answer.
func page(t *testing.T, address string) (status int, body string) {
	t.Helper()
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	res, err := client.Get(address)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(text)
}

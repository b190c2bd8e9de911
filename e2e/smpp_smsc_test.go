package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"countersign/internal/await"
)

// rehearsal is a running "countersign smsc".
type rehearsal struct {
	address string

	mu    sync.Mutex
	lines []fields // output lines
}

// rehearse starts "countersign smsc", and stops it at the end of the test.
func rehearse(t *testing.T, args ...string) *rehearsal {
	t.Helper()
	cmd := exec.Command(countersign(t), append([]string{"smsc", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = environment()
	log := newJournal()
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &rehearsal{}
	ended := make(chan struct{})
	lines := bufio.NewScanner(out)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // an error means that the SMSC has ended
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("the SMSC: %v\n%s", err, log)
		}
	})
	read := func() (line fields) {
		if lines.Scan() {
			_ = json.Unmarshal(lines.Bytes(), &line) // a test misses a line that is not JSON
		}
		return line
	}
	r.address, _ = read()["listening"].(string)
	go func() {
		defer close(ended)
		for line := read(); line != nil; line = read() {
			r.mu.Lock()
			r.lines = append(r.lines, line)
			r.mu.Unlock()
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	if r.address == "" {
		t.Fatalf("the SMSC did not log its address:\n%s", log)
	}
	return r
}

func (r *rehearsal) port(t *testing.T) int {
	t.Helper()
	_, text, err := net.SplitHostPort(r.address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// await waits for the line about a message to number that has a field, such as text or whole, and
// returns it.
func (r *rehearsal) await(t *testing.T, number, field string) fields {
	t.Helper()
	var found fields
	await.Until(t, "a message to "+number, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, line := range r.lines {
			to, _ := line["to"].(map[string]any)
			if to["addr"] == number && line[field] != nil {
				found = line
				return true
			}
		}
		return false
	})
	return found
}

// TestSMPPRehearsal binds Perl's Net::SMPP to "countersign smsc".
func TestSMPPRehearsal(t *testing.T) {
	t.Parallel()
	smsc := rehearse(t, "--system-id", "perl", "--password", "larry", "--ids", "hex")
	esme := run(t, "smpp-client.pl")
	esme.call(t, "connect", smsc.port(t))
	sequence := 0.0
	ask := func(command string, f fields) fields {
		t.Helper()
		sequence++
		f["sequence_number"] = sequence
		esme.call(t, "send", command, f)
		got := esme.call(t, "receive")
		if got["command"] != command+"_resp" || got["sequence_number"] != sequence {
			t.Fatalf("%s is answered with %v", command, got)
		}
		return got
	}
	status := func(got fields, want float64) {
		t.Helper()
		if got["command_status"] != want {
			t.Fatalf("got %v, want status %v", got, want)
		}
	}
	status(ask("bind_transceiver", fields{"system_id": "perl", "password": "wrong"}), 0x0E)
	status(ask("bind_transceiver", fields{"system_id": "perl", "password": "larry"}), 0)
	taken := ask("submit_sm", fields{
		"source_addr": "Larry", "source_addr_ton": 5, "destination_addr": "447700900123", "dest_addr_ton": 1, "dest_addr_npi": 1,
		"short_message": "There's more than one way to do it", "registered_delivery": 1,
	})
	status(taken, 0)
	id := taken.text(t, "message_id")
	line := smsc.await(t, "447700900123", "text")
	line.want(t, "text", "There's more than one way to do it", "message_id", id, "system_id", "perl")

	receipt := esme.call(t, "receive")
	receipt.want(t, "command", "deliver_sm", "source_addr", "447700900123", "destination_addr", "Larry", "receipted_message_id", id)
	if receipt["message_state"] != 2.0 || receipt["esm_class"] != 4.0 {
		t.Errorf("got receipt %v, want state 2 (delivered)", receipt)
	}
	esme.call(t, "send", "deliver_sm_resp", fields{"sequence_number": receipt["sequence_number"], "message_id": ""})

	state := ask("query_sm", fields{"message_id": id, "source_addr": "Larry", "source_addr_ton": 5})
	state.want(t, "message_id", id)
	if state["message_state"] != 2.0 {
		t.Errorf("query_sm returns %v, want state 2 (delivered)", state)
	}
	status(ask("query_sm", fields{"message_id": "ffff", "source_addr": "Larry", "source_addr_ton": 5}), 0x0C)
	status(ask("unbind", fields{}), 0)
	if got, failure := esme.try(t, "receive"); failure == "" {
		t.Errorf("got %v after unbind, want the connection closed", got)
	}
}

// TestSMPPTLS sends a verification to an SMSC over TLS, and checks that an untrusted SMSC receives
// no message.
func TestSMPPTLS(t *testing.T) {
	t.Parallel()
	require(t)
	cert, key := newCertificate(t)
	smsc := rehearse(t, "--tls-cert", cert, "--tls-key", key, "--password", smppPassword)
	trusting := viaSMPP("trusting", smsc.address, "tls: true", "tls_ca: "+cert)
	wary := viaSMPP("wary", smsc.address, "tls: true")
	i := install(t, "carriers:\n"+trusting+wary+"routes: [{carriers: [trusting]}]")
	s := i.serve(t)

	id := s.ask(t, "/verify/json", "number", "447700900123", "brand", "Acme").text(t, "request_id")
	s.awaitState(t, id, "delivered")
	pin := message{Channel: "sms", Text: smsc.await(t, "447700900123", "text").text(t, "text")}.pin(t)
	s.ask(t, "/verify/check/json", "request_id", id, "code", pin).want(t, "status", "0")

	out, err := i.run(t, "sms", "send", "--carrier", "wary", "--to", "447700900124", "--text", "x")
	if err == nil || !strings.Contains(out, "certificate signed by unknown authority") {
		t.Errorf("got %v, %s, want an error for the untrusted certificate", err, out)
	}
}

// newCertificate returns files with a self-signed certificate for 127.0.0.1 and its key.
func newCertificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", key)
}

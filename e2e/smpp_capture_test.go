package e2e

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp/smsc"
)

// TestSMPPCapture writes a long message on the wire, from bind to unbind, to the file
// COUNTERSIGN_PCAP.
func TestSMPPCapture(t *testing.T) {
	t.Parallel()
	file := os.Getenv("COUNTERSIGN_PCAP")
	if file == "" {
		t.Skip("COUNTERSIGN_PCAP is not set")
	}
	require(t, "dumpcap")
	srv := smsc.Start(t, smsc.Config{MaxMessages: 10})
	_, port, err := net.SplitHostPort(srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	capture := exec.Command("dumpcap", "-i", "lo", "-f", "tcp port "+port, "-w", file)
	log := newJournal()
	capture.Stderr = log
	if err := capture.Start(); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "a capture", func() bool { return strings.Contains(log.String(), "File:") })
	s := install(t, "carriers:\n"+viaSMPP("a", srv.Addr())+"routes: [{carriers: [a]}]").serve(t)
	id := s.ask(t, "/verify/psd2/json", "number", crashNumber, "payee", "Ключ на все замки", "amount", "48.00").text(t, "request_id")
	s.awaitState(t, id, "delivered")
	s.stop(t)
	lapse(time.Second) // the capture is written twice a second
	if err := capture.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := capture.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
}

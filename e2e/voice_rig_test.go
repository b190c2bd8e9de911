package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/await"
)

// callTo runs "countersign call" to a peer, and returns its output.
func callTo(t *testing.T, addr string, args ...string) (output string, err error) {
	t.Helper()
	args = append([]string{"call", "--trunk", "sip:" + addr, "--to", "447700900001"}, args...)
	if !strings.Contains(strings.Join(args, " "), "--pin") {
		args = append(args, "--say", "Hello.")
	}
	cmd := exec.CommandContext(t.Context(), countersign(t), args...)
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// ports counts the blocks of ports that freeUDP has handed out.
var ports atomic.Uint32

// freeUDP returns a port of 127.0.0.1 for a peer that cannot choose one itself. The port and the
// three after it are free for UDP, the port also for TCP: sipp binds the port of its sound and
// the one two above it. The ports are below the range of the system for port 0 (from 32768 by
// default) and outside the ports of RTP. No call returns a block twice, so another test cannot
// take one before the peer binds it.
func freeUDP(t *testing.T) string {
	t.Helper()
	const first, blocks = 4000, 1500
	for range blocks {
		// Two runs on one machine begin at different blocks.
		block := (uint32(os.Getpid()) + ports.Add(1)) % blocks
		port := first + int(block)*4
		if unused(port) {
			return strconv.Itoa(port)
		}
	}
	t.Fatalf("no free port from %d to %d", first, first+blocks*4-1)
	return ""
}

// unused reports whether the block of ports that begins at port can be bound.
func unused(port int) bool {
	for n := range 4 {
		conn, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port+n))
		if err != nil {
			return false
		}
		_ = conn.Close()
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// peer is a program that accepts calls.
type peer struct {
	name  string
	addr  string
	dir   string
	cmd   *exec.Cmd
	log   *journal
	ended chan struct{}
}

// startPeer runs a program until the test ends.
func startPeer(t *testing.T, dir, addr, program string, args ...string) *peer {
	t.Helper()
	require(t, program)
	p := &peer{name: program, addr: addr, dir: dir, cmd: exec.Command(program, args...), log: newJournal(), ended: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // ProcessState has the result
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", program, p.log)
		}
	})
	return p
}

func (p *peer) kill() {
	_ = p.cmd.Process.Kill() // an error means that it has ended
	<-p.ended
}

// await waits for words in the output of the program.
func (p *peer) await(t *testing.T, words string) {
	t.Helper()
	done := false
	defer func() {
		if !done {
			t.Log(p.log)
		}
	}()
	await.Until(t, fmt.Sprintf("%q in the output of %s", words, p.name), func() bool { return strings.Contains(p.log.String(), words) })
	done = true
}

// well waits until the program has ended, and checks that it reported no error.
func (p *peer) well(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("%s is still running", p.name)
	}
	if !p.cmd.ProcessState.Success() {
		errs, _ := filepath.Glob(filepath.Join(p.dir, "*_errors.log"))
		for _, name := range errs {
			text, _ := os.ReadFile(name)
			t.Logf("%s: %s", filepath.Base(name), text)
		}
		t.Errorf("%s ended with %v", p.name, p.cmd.ProcessState)
	}
}

// sipp runs a scenario of one call, as callee.
func sipp(t *testing.T, scenario string, args ...string) *peer {
	t.Helper()
	require(t, "sipp")
	dir, port := t.TempDir(), freeUDP(t)
	path := filepath.Join(dir, "scenario.xml")
	if err := os.WriteFile(path, []byte(scenario), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{
		"-sf", path, "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", port, "-mp", freeUDP(t), "-m", "1", "-nostdin",
		"-trace_err", "-timeout", "20", "-timeout_error", "-deadcall_wait", "0",
	}, args...)
	p := startPeer(t, dir, "127.0.0.1:"+port, "sipp", args...)
	kind := "/proc/net/udp"
	if strings.Contains(strings.Join(args, " "), "-t t1") {
		kind = "/proc/net/tcp"
	}
	awaitSocket(t, kind, port)
	return p
}

// awaitSocket waits for a listener on a port of 127.0.0.1 in a table of the kernel. The peer would
// treat a connection as a call.
func awaitSocket(t *testing.T, table, port string) {
	t.Helper()
	var n int
	_, _ = fmt.Sscan(port, &n) // a number
	entry := fmt.Sprintf("0100007F:%04X", n)
	await.Until(t, "listening on port "+port, func() bool {
		text, err := os.ReadFile(table)
		return err == nil && bytes.Contains(text, []byte(entry))
	})
}

// Parts of a scenario.

func scenario(steps ...string) string {
	text := strings.Join(steps, "\n")
	for _, name := range []string{"caller", "seq", "from", "to"} {
		if strings.Contains(text, `assign_to="`+name+`"`) { // an unused variable is an error
			text += `<Reference variables="` + name + `"/>`
		}
	}
	return `<?xml version="1.0" encoding="UTF-8" ?><!DOCTYPE scenario SYSTEM "sipp.dtd"><scenario name="test">` + text + `</scenario>`
}

// recv waits for a request. recvInvite and recvAck also save the headers that later requests of the
// callee need.
func recv(method string) string {
	return `<recv request="` + method + `"/>`
}

func recvInvite() string {
	return `<recv request="INVITE"><action>
		<ereg regexp="sip:[^&gt;]*" search_in="hdr" header="Contact:" assign_to="caller"/>
		<ereg regexp="[0-9]+" search_in="hdr" header="CSeq:" assign_to="seq"/>
	</action></recv>`
}

func recvAck() string {
	return `<recv request="ACK"><action>
		<ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>
		<ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/>
	</action></recv>`
}

func recvStatus(status string) string { return `<recv response="` + status + `"/>` }

func pause(d time.Duration) string {
	return fmt.Sprintf(`<pause milliseconds="%d"/>`, d.Milliseconds())
}

// reply answers the last request. more are header lines.
func reply(status string, more ...string) string { return replyAs(status, "[last_CSeq:]", "", more...) }

func replyAs(status, seq, body string, more ...string) string {
	if body != "" {
		more = append(more, "Content-Type: application/sdp")
	}
	return `<send><![CDATA[
		SIP/2.0 ` + status + `
		[last_Via:]
		[last_From:]
		[last_To:];tag=t[call_number]
		[last_Call-ID:]
		` + seq + `
		Contact: <sip:[local_ip]:[local_port];transport=[transport]>
		` + strings.Join(more, "\n\t\t") + `
		Content-Length: [len]

		` + body + `
	]]></send>`
}

const sdp = `v=0
		o=- 1 1 IN IP4 [local_ip]
		s=-
		c=IN IP4 [media_ip]
		t=0 0
		m=audio [media_port] RTP/AVP 0 101
		a=rtpmap:0 PCMU/8000
		a=rtpmap:101 telephone-event/8000`

// answers sends status 200 with a description.
func answers(more ...string) string { return replyAs("200 OK", "[last_CSeq:]", sdp, more...) }

// again retransmits a response until it is acknowledged.
func again(send string) string { return strings.Replace(send, "<send>", `<send retrans="500">`, 1) }

// bye answers the BYE that ends a call regularly. The BYE already has the tag.
func bye() string { return recv("BYE") + "\n" + done() }

// done answers a request within the call.
func done() string {
	return `<send><![CDATA[
		SIP/2.0 200 OK
		[last_Via:]
		[last_From:]
		[last_To:]
		[last_Call-ID:]
		[last_CSeq:]
		Content-Length: 0

	]]></send>`
}

// ask sends a request of the callee within the call, with its CSeq number.
func ask(method string, number int, body string, more ...string) string {
	return fmt.Sprintf(`<send><![CDATA[
		%[1]s [$caller] SIP/2.0
		Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
		From:[$to]
		To:[$from]
		[last_Call-ID:]
		CSeq: %[2]d %[1]s
		Contact: <sip:[local_ip]:[local_port];transport=[transport]>
		Max-Forwards: 70
		%[3]s
		Content-Length: [len]

		%[4]s
	]]></send>`, method, number, strings.Join(more, "\n\t\t"), body)
}

// talked returns the duration of an answered call from the output of "countersign call".
func talked(t *testing.T, output string) time.Duration {
	t.Helper()
	m := regexp.MustCompile(`talked=(\S+)`).FindStringSubmatch(output)
	if m == nil {
		t.Fatalf("the call was not answered:\n%s", output)
	}
	d, err := time.ParseDuration(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

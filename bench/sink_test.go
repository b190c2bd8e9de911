package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// sink counts the RTP packets of all calls, and the late ones. Times of arrival are the
// kernel's, so a delay of the sink does not affect them.
type sink struct {
	mu      sync.Mutex
	streams map[netip.AddrPort]*stream
	packets int
	late    int
	longest time.Duration
}

// stream is the state of one call, identified by its source address.
type stream struct {
	sequence uint16
	n        int64         // packets since the first, by sequence number
	base     time.Duration // time of the first packet, extrapolated from the fastest
	seen     bool
}

const (
	frame    = 20 * time.Millisecond
	lateness = 10 * time.Millisecond // maximum delay of a packet that is not late
)

func (s *sink) take(from netip.AddrPort, packet []byte, at time.Duration) {
	if len(packet) < 12 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[from]
	if st == nil {
		st = &stream{sequence: binary.BigEndian.Uint16(packet[2:])}
		s.streams[from] = st
	}
	sequence := binary.BigEndian.Uint16(packet[2:])
	st.n += int64(int16(sequence - st.sequence))
	st.sequence = sequence
	base := at - time.Duration(st.n)*frame
	if !st.seen || base < st.base {
		st.base = base
	}
	st.seen = true
	s.packets++
	late := base - st.base
	s.longest = max(s.longest, late)
	if late > lateness {
		s.late++
	}
}

// beSink runs a sink until standard input ends. It prints its address and then, for each line
// of input, the counts since the previous line.
func beSink() error {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetReadBuffer(8 << 20) // limited by the system
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var option error
	err = raw.Control(func(fd uintptr) {
		option = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, 1)
	})
	if err := errors.Join(err, option); err != nil {
		return err
	}
	s := &sink{streams: map[netip.AddrPort]*stream{}}
	go s.read(conn)
	fmt.Println(conn.LocalAddr())
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		s.mu.Lock()
		fmt.Println(len(s.streams), s.packets, s.late, s.longest.Microseconds())
		s.packets, s.late, s.longest = 0, 0, 0
		s.mu.Unlock()
	}
	return lines.Err()
}

func (s *sink) read(conn *net.UDPConn) {
	packet, control := make([]byte, 1500), make([]byte, 64)
	for {
		n, c, _, from, err := conn.ReadMsgUDPAddrPort(packet, control)
		if err != nil {
			return
		}
		messages, err := syscall.ParseSocketControlMessage(control[:c])
		if err != nil || len(messages) == 0 || len(messages[0].Data) < int(unsafe.Sizeof(syscall.Timespec{})) {
			continue
		}
		seconds := binary.NativeEndian.Uint64(messages[0].Data)
		nanos := binary.NativeEndian.Uint64(messages[0].Data[8:])
		s.take(from, packet[:n], time.Duration(seconds)*time.Second+time.Duration(nanos))
	}
}

// counts are the results of a sink.
type counts struct {
	streams, packets, late int
	longest                time.Duration
}

// sinkProcess is a sink in a separate process.
type sinkProcess struct {
	addr string
	in   io.WriteCloser
	out  *bufio.Reader
}

func startSink(b *testing.B) *sinkProcess {
	b.Helper()
	cmd := again(b, roleSink)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	s := &sinkProcess{in: in, out: bufio.NewReader(out)}
	b.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	if _, err := fmt.Fscanln(s.out, &s.addr); err != nil {
		b.Fatal(err)
	}
	return s
}

// counted returns the counts since the previous call.
func (s *sinkProcess) counted(b *testing.B) (c counts) {
	b.Helper()
	var longest int64
	if _, err := fmt.Fprintln(s.in); err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Fscanln(s.out, &c.streams, &c.packets, &c.late, &longest); err != nil {
		b.Fatal(err)
	}
	c.longest = time.Duration(longest) * time.Microsecond
	return c
}

// sipp returns a command of Debian's sipp. Without sipp it skips the benchmark.
func sipp(b *testing.B, args ...string) *exec.Cmd {
	b.Helper()
	path, err := exec.LookPath("sipp")
	if err != nil {
		b.Skip("no sipp; e2e/setup installs it")
	}
	cmd := exec.Command(path, append(args, "-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin")...)
	cmd.Stderr = os.Stderr
	cmd.Dir = b.TempDir()
	return cmd
}

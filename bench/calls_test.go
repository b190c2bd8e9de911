package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/tts/audio"
	script "countersign/internal/message"
	"countersign/internal/verify"
)

// BenchmarkCalls starts calls at a constant rate, and measures while all of them speak.
const (
	callRate = 200 // calls started per second
	measured = 10 * time.Second
)

// BenchmarkCalls measures concurrent calls, each with an RTP packet every 20 ms. It counts the
// packets that reach a sink in another process more than 10 ms late. The callers are a
// carrier, and sipp, which plays the same packets from a capture.
func BenchmarkCalls(b *testing.B) {
	for _, calls := range []int{250, 500, 1000, 1500, 2000, 3000, 4000} {
		b.Run(fmt.Sprint("caller=carrier/calls=", calls), func(b *testing.B) { callWithCarrier(b, calls) })
		b.Run(fmt.Sprint("caller=sipp/calls=", calls), func(b *testing.B) { callWithSIPp(b, calls) })
	}
}

// monologue speaks a tone for a minute, longer than the measurement.
type monologue struct{ audio.Samples }

func newMonologue() monologue {
	s := audio.Silence(time.Minute)
	for i := range s {
		s[i] = int16(i*37%8000 - 4000)
	}
	return monologue{s}
}

// Speak implements [sip.Speaker].
func (m monologue) Speak(context.Context, script.Script) (audio.Samples, error) {
	return m.Samples, nil
}

func callWithCarrier(b *testing.B, calls int) {
	far := startSink(b)
	trunk := startUAS(b, "listens.xml", far.addr)
	carrier, err := sip.New(sip.Config{
		Name: "bench", Host: trunk, Listen: "127.0.0.1:0", FirstPort: 10000, LastPort: 39999,
		MaxCalls: calls, FirstResponse: patience, Speaker: newMonologue(),
	})
	if err != nil {
		b.Fatal(err)
	}
	memory, resident := inUse()
	var sending sync.WaitGroup
	for i := range calls {
		sending.Go(func() {
			if _, err := carrier.Send(b.Context(), callMessage(i)); err != nil {
				b.Error(err)
			}
		})
		<-time.After(time.Second / callRate) // paces the load
	}
	sending.Wait()
	<-time.After(time.Second) // until the load is constant
	after, residentAfter := inUse()
	far.counted(b)
	before := cpu()
	<-time.After(measured)
	used := cpu() - before
	c := far.counted(b)
	if c.streams != calls {
		b.Errorf("%d calls speak, want %d", c.streams, calls)
	}
	report(b, calls, c)
	b.ReportMetric(used.Seconds()/measured.Seconds()/float64(calls)*1e6, "cpu-us/call/s")
	b.ReportMetric(float64(after-memory)/float64(calls)/1024, "KiB/call")
	b.ReportMetric(float64(residentAfter-resident)/float64(calls)/1024, "RSS-KiB/call")
	if err := carrier.Close(); err != nil {
		b.Error(err)
	}
}

func callMessage(i int) deliver.Message {
	return deliver.Message{
		EventID: verify.ID{byte(i), byte(i >> 8), 1}, Attempt: 1, Channel: verify.TTS,
		To: verify.PhoneAddress("447700900001", ""), ValidFor: 5 * time.Minute,
	}
}

func report(b *testing.B, calls int, c counts) {
	b.Helper()
	wanted := float64(calls) * measured.Seconds() * float64(time.Second/frame)
	b.ReportMetric(100*float64(c.late)/float64(max(c.packets, 1)), "%late")
	b.ReportMetric(100*float64(c.packets)/wanted, "%arrived")
	b.ReportMetric(c.longest.Seconds()*1000, "late-max-ms")
	b.ReportMetric(0, "ns/op")
}

// callWithSIPp makes calls with sipp, which plays a minute of packets in each.
func callWithSIPp(b *testing.B, calls int) {
	far := startSink(b)
	trunk := startUAS(b, "listens.xml", far.addr)
	dir := b.TempDir()
	capture(b, filepath.Join(dir, "minute.pcap"))
	cmd := sipp(b, "-sf", scenario(b, "speaks.xml", "PCAP", filepath.Join(dir, "minute.pcap")),
		"-r", strconv.Itoa(callRate), "-m", strconv.Itoa(calls), "-l", strconv.Itoa(calls), "-mp", "10000", "-p", freePort(b), trunk)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill() // the calls are still running
		_ = cmd.Wait()
	}()
	<-time.After(time.Duration(calls)*time.Second/callRate + 2*time.Second) // sipp reports no progress
	far.counted(b)
	before := cpuOf(b, cmd.Process.Pid)
	<-time.After(measured)
	used := cpuOf(b, cmd.Process.Pid) - before
	report(b, calls, far.counted(b))
	b.ReportMetric(used.Seconds()/measured.Seconds()/float64(calls)*1e6, "cpu-us/call/s")
}

// BenchmarkSetup measures completed calls per second: INVITE, 200, ACK, and an immediate BYE
// from the trunk. It varies the number of concurrent calls of the carrier, and the target
// rate of sipp.
func BenchmarkSetup(b *testing.B) {
	for _, calls := range []int{1, 10, 100, 500} {
		b.Run(fmt.Sprint("caller=carrier/at-once=", calls), func(b *testing.B) { setUp(b, calls) })
	}
	for _, rate := range []int{500, 1000, 2000, 3000, 4000} {
		b.Run(fmt.Sprint("caller=sipp/asked=", rate), func(b *testing.B) { setUpWithSIPp(b, rate) })
	}
}

func setUp(b *testing.B, calls int) {
	trunk := startUAS(b, "hangs-up.xml", "127.0.0.1:9")
	places := make(chan struct{}, calls)
	var calling sync.WaitGroup
	var failed atomic.Int64
	carrier, err := sip.New(sip.Config{
		Name: "bench", Host: trunk, Listen: "127.0.0.1:0", FirstPort: 10000, LastPort: 39999,
		MaxCalls: 2 * calls, FirstResponse: patience, Speaker: newMonologue(),
		Ended: func(_ deliver.Message, r sip.Result) {
			if r.Talked == 0 {
				failed.Add(1)
			}
			<-places
			calling.Done()
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		places <- struct{}{}
		calling.Add(1)
		go func() {
			if _, err := carrier.Send(b.Context(), callMessage(i)); err != nil {
				b.Error(err)
			}
		}()
	}
	calling.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	if n := failed.Load(); n > 0 {
		b.Errorf("%d calls were not answered", n)
	}
	b.StopTimer()
	if err := carrier.Close(); err != nil {
		b.Error(err)
	}
}

// setUpWithSIPp measures the rate that sipp reaches with a target rate.
func setUpWithSIPp(b *testing.B, rate int) {
	trunk := startUAS(b, "hangs-up.xml", "127.0.0.1:9")
	calls := 5 * rate
	cmd := sipp(b, "-sf", scenario(b, "calls.xml"), "-r", strconv.Itoa(rate), "-m", strconv.Itoa(calls),
		"-l", strconv.Itoa(calls), "-p", freePort(b), "-timeout", "60", trunk)
	began := time.Now()
	if err := cmd.Run(); err != nil {
		b.Errorf("calls failed: %v", err)
	}
	b.ReportMetric(float64(calls)/time.Since(began).Seconds(), "calls/s")
	b.ReportMetric(0, "ns/op")
}

// startUAS starts a sipp that answers calls by a scenario and directs their audio to sink.
func startUAS(b *testing.B, name, sink string) (addr string) {
	b.Helper()
	port := freePort(b)
	_, media, err := net.SplitHostPort(sink)
	if err != nil {
		b.Fatal(err)
	}
	cmd := sipp(b, "-sf", scenario(b, name, "SINK", media), "-p", port)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	<-time.After(500 * time.Millisecond) // sipp does not report when it listens
	return "127.0.0.1:" + port
}

// scenario writes a scenario with replaced words and returns its path.
func scenario(b *testing.B, name string, replace ...string) string {
	b.Helper()
	text, err := os.ReadFile(filepath.Join("sipp", name))
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), name)
	if err := os.WriteFile(path, []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

func freePort(b *testing.B) string {
	b.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	_, port, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		b.Fatal(err)
	}
	return port
}

// capture writes a minute of RTP in pcap format.
func capture(b *testing.B, path string) {
	b.Helper()
	le, be := binary.LittleEndian, binary.BigEndian
	out := le.AppendUint32(nil, 0xa1b2c3d4)
	out = le.AppendUint16(out, 2)
	out = le.AppendUint16(out, 4)
	out = append(out, make([]byte, 8)...)
	out = le.AppendUint32(out, 65535)
	out = le.AppendUint32(out, 1) // Ethernet
	for i := range int(time.Minute / frame) {
		at := time.Duration(i) * frame
		packet := append(make([]byte, 12), 8, 0) // empty MAC addresses, IPv4
		packet = append(packet, 0x45, 0, 0, 200, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1)
		packet = be.AppendUint16(packet, 1000)
		packet = be.AppendUint16(packet, 1000)
		packet = be.AppendUint16(packet, 180)
		packet = be.AppendUint16(packet, 0)
		packet = append(packet, 0x80, 0)
		packet = be.AppendUint16(packet, uint16(i))
		packet = be.AppendUint32(packet, uint32(160*i))
		packet = be.AppendUint32(packet, 7)
		packet = append(packet, make([]byte, 160)...)
		out = le.AppendUint32(out, uint32(at/time.Second))
		out = le.AppendUint32(out, uint32(at%time.Second/time.Microsecond))
		out = le.AppendUint32(out, uint32(len(packet)))
		out = le.AppendUint32(out, uint32(len(packet)))
		out = append(out, packet...)
	}
	if err := os.WriteFile(path, out, 0o600); err != nil {
		b.Fatal(err)
	}
}

// cpu returns the processor time used by this process.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpuOf returns the processor time used by a process (proc(5)).
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}

// inUse returns the memory of this process in octets: Go's heap and stacks, and resident.
func inUse() (memory, resident uint64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	text, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		_, _ = fmt.Sscan(string(text), new(uint64), &resident)
	}
	return m.HeapInuse + m.StackInuse, resident * uint64(os.Getpagesize())
}

package media

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// TestReports: each side learns the reports of the other. The test is internal, since
// reports are seconds apart.
func TestReports(t *testing.T) {
	t.Parallel()
	here := netip.MustParseAddrPort("192.0.2.1:10000")
	a := &Session{ssrc: 1, target: here}
	b := &Session{ssrc: 2, target: here, codec: PCMU, locked: true}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

	// b receives three of four packets, the last one 5 ms late.
	for _, packet := range []struct {
		seq uint16
		ms  int
	}{{65534, 0}, {65535, 20}, {1, 65}} {
		p := &rtp.Packet{Header: rtp.Header{
			Version: 2, PayloadType: PCMU, SSRC: 1, SequenceNumber: packet.seq, Timestamp: uint32(packet.seq-65534) * 160,
		}}
		b.count(p, start.Add(time.Duration(packet.ms)*time.Millisecond))
	}
	deliver := func(from, to *Session, now time.Time) {
		data, err := rtcp.Marshal(from.report(now))
		if err != nil {
			t.Fatal(err)
		}
		to.readReport(data, netip.MustParseAddr("192.0.2.66"), now) // from another host: ignored
		to.readReport(data, here.Addr(), now)
	}
	deliver(a, b, start)
	deliver(b, a, start.Add(time.Second))
	got := a.Stats().Remote
	if got.Reports != 1 || got.Lost != 0.25 || got.Jitter != 250*time.Microsecond {
		t.Errorf("stored %+v, want one report of a quarter lost", got)
	}
	deliver(b, a, start.Add(time.Second+80*time.Millisecond)) // 80 ms delay
	if got = a.Stats().Remote; got.Lost != 0 || got.RoundTrip > time.Millisecond {
		t.Errorf("stored %+v, want no loss since the last report", got)
	}
	if in := b.Stats().Received; in.Lost != 1 || in.Packets != 3 {
		t.Errorf("b received %+v", in)
	}
	for _, data := range [][]byte{nil, {1, 2, 3}, make([]byte, 1500)} {
		a.readReport(data, here.Addr(), start)
	}
}

// TestMOS: a good call reaches almost the maximum of G.711, and a bad call does not.
func TestMOS(t *testing.T) {
	t.Parallel()
	if got := (Stats{}).MOS(); got != 0 {
		t.Errorf("without a report %.2f, want 0", got)
	}
	for _, tt := range []struct {
		remote   RemoteStats
		min, max float64
	}{
		{RemoteStats{Reports: 1, RoundTrip: 20 * time.Millisecond, Jitter: time.Millisecond}, 4.3, 4.5},
		{RemoteStats{Reports: 1, RoundTrip: 200 * time.Millisecond, Jitter: 20 * time.Millisecond, Lost: 0.05}, 3.5, 4.2},
		{RemoteStats{Reports: 1, RoundTrip: time.Second, Jitter: 100 * time.Millisecond, Lost: 0.3}, 1, 1.1},
	} {
		if got := (Stats{Remote: tt.remote}).MOS(); got < tt.min || got > tt.max {
			t.Errorf("%+v: %.2f, want %.1f to %.1f", tt.remote, got, tt.min, tt.max)
		}
	}
}

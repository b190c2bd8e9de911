package media

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/pion/rtcp"
)

// reportEvery is the mean interval between our reports. Each interval is random, from
// 0.5 to 1.5 times the mean (RFC 3550 §6.2).
const reportEvery = 5 * time.Second

// reports is the state of received RTCP, guarded by the session's mutex.
type reports struct {
	lastSR   uint32    // middle 32 bits of the NTP time of the last sender report
	lastSRAt time.Time // arrival of the last sender report
	remote   RemoteStats
	received int // compound packets
}

// RemoteStats are the other side's statistics of our packets, from its last report.
type RemoteStats struct {
	Reports   int           // number of reports
	Lost      float64       // share of lost packets since the previous report, 0 to 1
	Jitter    time.Duration // interarrival jitter
	RoundTrip time.Duration // 0 until measured
}

func (s *Session) reportLoop(ctx context.Context) {
	for {
		pause := reportEvery/2 + time.Duration(rand.Int64N(int64(reportEvery))) //nolint:gosec // not a secret
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			s.sendReport(s.report(time.Now()))
		}
	}
}

func (s *Session) sendBye() {
	packets := append(s.report(time.Now()), &rtcp.Goodbye{Sources: []uint32{s.ssrc}})
	s.sendReport(packets)
}

// report returns a sender report and our CNAME, which each compound packet must have.
func (s *Session) report(now time.Time) []rtcp.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	sr := &rtcp.SenderReport{
		SSRC: s.ssrc, NTPTime: ntp(now), RTPTime: s.out.timestamp,
		PacketCount: uint32(s.out.stats.Packets), OctetCount: uint32(s.out.stats.Octets),
	}
	if s.in.began {
		sr.Reports = []rtcp.ReceptionReport{s.reception(now)}
	}
	return []rtcp.Packet{sr, &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
		Source: s.ssrc,
		Items:  []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "countersign"}},
	}}}}
}

// reception returns the reception report since the last report (RFC 3550 Appendix A.3).
func (s *Session) reception(now time.Time) rtcp.ReceptionReport {
	in := &s.in
	expected, received := in.highest-in.first+1, in.received
	newExpected, newReceived := expected-in.expectedPrior, received-in.receivedPrior
	in.expectedPrior, in.receivedPrior = expected, received
	r := rtcp.ReceptionReport{
		SSRC: in.source, LastSequenceNumber: in.highest, Jitter: uint32(in.jitter),
		LastSenderReport: s.reports.lastSR,
	}
	if newExpected > newReceived {
		r.FractionLost = uint8(min((newExpected-newReceived)*256/newExpected, 255))
	}
	if expected > received {
		r.TotalLost = min(expected-received, 1<<23-1)
	}
	if s.reports.lastSR != 0 {
		r.Delay = uint32(now.Sub(s.reports.lastSRAt).Seconds() * 65536)
	}
	return r
}

func (s *Session) sendReport(packets []rtcp.Packet) {
	data, err := rtcp.Marshal(packets)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Mute || !s.target.IsValid() || s.target.Addr().IsUnspecified() { // 0.0.0.0 means hold
		return
	}
	if s.seal != nil {
		if data, err = s.seal.EncryptRTCP(nil, data, nil); err != nil {
			return
		}
	}
	to := netip.AddrPortFrom(s.target.Addr(), s.target.Port()+1)
	_, _ = s.rtcp.WriteToUDPAddrPort(data, to) // best effort
}

// receiveReports reads until the socket is closed.
func (s *Session) receiveReports() {
	buffer := make([]byte, maxPacket)
	for {
		n, from, err := s.rtcp.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		s.readReport(buffer[:n], from.Addr().Unmap(), time.Now())
	}
}

func (s *Session) readReport(data []byte, from netip.Addr, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.target.IsValid() {
		return // not started
	}
	if s.open != nil {
		var err error
		if data, err = s.open.DecryptRTCP(nil, data, nil); err != nil {
			return
		}
	}
	packets, err := rtcp.Unmarshal(data)
	if err != nil {
		return
	}
	s.reports.received++ // from any source: proves that the call is alive
	if from != s.target.Addr() {
		return
	}
	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.SenderReport:
			s.reports.lastSR, s.reports.lastSRAt = uint32(p.NTPTime>>16), now
			s.learn(p.Reports, now)
		case *rtcp.ReceiverReport:
			s.learn(p.Reports, now)
		}
	}
}

// learn updates the statistics of our packets from reception reports.
func (s *Session) learn(list []rtcp.ReceptionReport, now time.Time) {
	for _, r := range list {
		if r.SSRC != s.ssrc {
			continue
		}
		remote := &s.reports.remote
		remote.Reports++
		remote.Lost = float64(r.FractionLost) / 256
		remote.Jitter = time.Duration(r.Jitter) * time.Second / 8000
		if r.LastSenderReport != 0 {
			passed := uint32(ntp(now)>>16) - r.LastSenderReport - r.Delay // in units of 2⁻¹⁶ s
			if int32(passed) >= 0 {
				remote.RoundTrip = time.Duration(passed) * time.Second / 65536
			}
		}
	}
}

// ntp returns t as an NTP timestamp: seconds since 1900 with 32 fractional bits.
func ntp(t time.Time) uint64 {
	const since1900 = 2_208_988_800
	return uint64(t.Unix()+since1900)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

package media_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"countersign/internal/await"
	"countersign/internal/deliver/sip/media"
	"countersign/internal/deliver/tts/audio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = netip.MustParseAddr("127.0.0.1")

// patience bounds the wait for asynchronous events.
const patience = 10 * time.Second

// ear records the received audio of a session.
type ear struct {
	mu   sync.Mutex
	data []byte
}

func (e *ear) hear(_ uint8, payload []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.data = append(e.data, payload...)
}

func (e *ear) has(sound []byte) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return bytes.Contains(e.data, sound)
}

func config() media.Config { return media.Config{Local: loopback, FirstPort: 30000, LastPort: 39999} }

func open(t testing.TB, cfg media.Config) *media.Session {
	t.Helper()
	s, err := media.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, net.ErrClosed) { // a test may close it first
			t.Error(err)
		}
	})
	return s
}

// call connects two sessions. change edits the offer of the caller.
func call(t *testing.T, caller, callee media.Config, change func(*media.Description)) (a, b *media.Session) {
	t.Helper()
	a, b = open(t, caller), open(t, callee)
	offer, err := media.Parse(a.Offer().Marshal())
	if err != nil {
		t.Fatal(err)
	}
	change(&offer)
	answer, err := b.Answer(offer)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err = media.Parse(answer.Marshal()); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{b.Start(offer), a.Start(answer)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func asIs(*media.Description) {}

func tone(d time.Duration) audio.Samples {
	s := audio.Silence(d)
	for i := range s {
		s[i] = int16(8000 * math.Sin(float64(i)*float64(i)/20_000)) // all frames differ
	}
	return s
}

// TestPlay: played samples arrive one by one, in both codecs, with and without SRTP.
func TestPlay(t *testing.T) {
	t.Parallel()
	for _, codec := range []uint8{media.PCMU, media.PCMA} {
		for _, secure := range []bool{false, true} {
			name := map[uint8]string{media.PCMU: "PCMU", media.PCMA: "PCMA"}[codec]
			if secure {
				name += " encrypted"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var e ear
				caller, callee := config(), config()
				caller.Secure, callee.Tap = secure, e.hear
				a, b := call(t, caller, callee, func(d *media.Description) { d.Codecs = []uint8{codec} })
				sound := tone(300 * time.Millisecond)
				want := sound.MuLaw()
				if codec == media.PCMA {
					want = audio.ALaw.AppendEncode(nil, sound)
				}
				if said := a.Play(t.Context(), sound); said != sound.Duration() {
					t.Fatalf("played %s of %s", said, sound.Duration())
				}
				await.Until(t, "the sound arrives", func() bool { return e.has(want) })
				s := b.Stats().Received
				if s.Garbage != 0 || s.Lost != 0 || s.Flood != 0 || s.Octets != 160*s.Packets || s.Speech < 200*time.Millisecond {
					t.Errorf("received %+v", s)
				}
				if sent := a.Stats().Sent; sent.Packets < 15 || sent.Failed != 0 {
					t.Errorf("sent %+v", sent)
				}
			})
		}
	}
}

// TestPlayIsReplaced: a second Play or the end of ctx ends the first.
func TestPlayIsReplaced(t *testing.T) {
	t.Parallel()
	var e ear
	callee := config()
	callee.Tap = e.hear
	a, _ := call(t, config(), callee, asIs)
	first, sound := make(chan time.Duration, 1), tone(100*time.Millisecond)
	go func() { first <- a.Play(t.Context(), slices.Concat(sound, audio.Silence(time.Hour))) }()
	await.Until(t, "it plays", func() bool { return e.has(sound.MuLaw()) })
	if said := a.Play(t.Context(), tone(20*time.Millisecond)); said != 20*time.Millisecond {
		t.Errorf("played %s of the second", said)
	}
	if said := <-first; said < 20*time.Millisecond || said > patience {
		t.Errorf("played %s of the first", said)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if said := a.Play(ctx, audio.Silence(time.Hour)); said > patience {
		t.Errorf("played %s before the deadline", said)
	}
}

// TestKeys: each key counts once, with any payload type for events.
func TestKeys(t *testing.T) {
	t.Parallel()
	c, d := call(t, config(), config(), func(d *media.Description) { d.Events = 96 })
	if err := c.Press("11#d"); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for len(got) < 4 {
		select {
		case digit := <-d.Digits():
			got = append(got, digit)
		case <-time.After(patience):
			t.Fatalf("only %q received", got)
		}
	}
	if string(got) != "11#D" {
		t.Errorf("got %q, want 11#D", got)
	}
	if err := c.Press("x"); err == nil {
		t.Error("x was accepted as a key")
	}
	e, _ := call(t, config(), config(), func(d *media.Description) { d.Events = 0 })
	if err := e.Press("1"); err == nil {
		t.Error("a key was queued without telephone-event on the other side")
	}
}

// TestStrangers: garbage and packets from untrusted sources have no effect.
func TestStrangers(t *testing.T) {
	t.Parallel()
	var e ear
	callee := config()
	callee.Tap = e.hear
	a, b := call(t, config(), callee, asIs)
	a.Play(t.Context(), tone(100*time.Millisecond))
	await.Until(t, "packets", func() bool { return b.Stats().Received.Packets > 3 })
	stranger, err := net.Dial("udp", b.Offer().Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	good := append([]byte{0x80, media.PCMU, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4}, bytes.Repeat([]byte{0x11}, 160)...)
	for _, packet := range [][]byte{{}, {1}, bytes.Repeat([]byte{0xFF}, 1500), good} {
		if _, err := stranger.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	await.Until(t, "garbage is counted", func() bool { return b.Stats().Received.Garbage >= 4 })
	if e.has(bytes.Repeat([]byte{0x11}, 160)) {
		t.Error("audio of an untrusted source was accepted")
	}
}

// TestNamedHost: with LatchAny the first source is trusted, as a trunk behind a NAT, until
// the host in the SDP sends. From then on only that host is trusted.
func TestNamedHost(t *testing.T) {
	t.Parallel()
	var e ear
	cfg := config()
	cfg.Latch, cfg.Tap = media.LatchAny, e.hear
	_, b := call(t, config(), cfg, func(d *media.Description) { d.Direction = media.Inactive })
	said := func(by byte) []byte { return bytes.Repeat([]byte{by}, 160) }
	from := func(host string) func(seq, by byte) {
		conn, err := (&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(host)}}).Dial("udp", b.Offer().Addr.String())
		if err != nil {
			t.Skipf("this machine has no %s: %v", host, err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return func(seq, by byte) {
			packet := append([]byte{0x80, media.PCMU, 0, seq, 0, 0, 0, 1, 1, 2, 3, 4}, said(by)...)
			if _, err := conn.Write(packet); err != nil {
				t.Fatal(err)
			}
		}
	}
	stranger, named := from("127.0.0.2"), from("127.0.0.1")
	stranger(1, 0x11)
	await.Until(t, "the first is heard", func() bool { return e.has(said(0x11)) })
	named(2, 0x22)
	await.Until(t, "the host that was named is heard", func() bool { return e.has(said(0x22)) })
	stranger(3, 0x33)
	await.Until(t, "the first counts as garbage now", func() bool { return b.Stats().Received.Garbage == 1 })
	if e.has(said(0x33)) {
		t.Error("the first source is still trusted")
	}
}

// TestFlood: packets above the maximum rate are dropped.
func TestFlood(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.Latch = media.LatchAny
	_, b := call(t, config(), cfg, func(d *media.Description) { d.Direction = media.Inactive })
	flood, err := net.Dial("udp", b.Offer().Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer flood.Close()
	packet := append([]byte{0x80, media.PCMU, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4}, bytes.Repeat([]byte{0x11}, 160)...)
	await.Until(t, "a flood is not looked at", func() bool {
		for range 500 {
			if _, err := flood.Write(packet); err != nil {
				t.Fatal(err)
			}
		}
		return b.Stats().Received.Flood > 0
	})
	if s := b.Stats().Received; s.Packets == 0 {
		t.Errorf("received %+v", s)
	}
}

// TestSymmetric: if the other side is behind a NAT, audio is sent to the source of its
// RTP.
func TestSymmetric(t *testing.T) {
	t.Parallel()
	var e ear
	caller := config()
	caller.Tap = e.hear
	a, b := call(t, caller, config(), asIs)
	wrong := a.Offer()
	wrong.Addr, wrong.Source = addr("127.0.0.9:9"), loopback // discards packets
	if err := b.Start(wrong); err != nil {
		t.Fatal(err)
	}
	sound := tone(400 * time.Millisecond)
	b.Play(t.Context(), sound)
	b.Play(t.Context(), sound)
	await.Until(t, "the second time arrives", func() bool { return e.has(sound.MuLaw()) })
}

// TestHold: no packets are sent to a side that is on hold, and playback resumes where it
// paused.
func TestHold(t *testing.T) {
	t.Parallel()
	var e ear
	callee := config()
	callee.Tap = e.hear
	a, b := call(t, config(), callee, asIs)
	hold := b.Offer()
	hold.Direction = media.SendOnly
	if err := a.Start(hold); err != nil {
		t.Fatal(err)
	}
	sound := tone(200 * time.Millisecond)
	played := make(chan time.Duration, 1)
	go func() { played <- a.Play(t.Context(), sound) }()
	other, _ := call(t, config(), config(), asIs)
	other.Play(t.Context(), tone(100*time.Millisecond)) // another call, not on hold
	select {
	case said := <-played:
		t.Fatalf("played %s on hold", said)
	default:
	}
	hold.Direction = media.SendRecv
	if err := a.Start(hold); err != nil {
		t.Fatal(err)
	}
	if said := <-played; said != sound.Duration() {
		t.Errorf("played %s of %s", said, sound.Duration())
	}
	await.Until(t, "all of it arrives", func() bool { return e.has(sound.MuLaw()) })
}

// TestNegotiation: sessions without common capabilities do not start.
func TestNegotiation(t *testing.T) {
	t.Parallel()
	a := open(t, config())
	secure := config()
	secure.Secure = true
	b := open(t, secure)
	if _, err := b.Answer(a.Offer()); !errors.Is(err, media.ErrDescription) {
		t.Errorf("plain RTP was accepted although SRTP is required: %v", err)
	}
	if err := a.Start(b.Offer()); !errors.Is(err, media.ErrDescription) {
		t.Errorf("SRTP without a key of ours: %v", err)
	}
	other := b.Offer()
	other.Codecs = []uint8{9}
	if _, err := b.Answer(other); !errors.Is(err, media.ErrDescription) {
		t.Errorf("an offer of other codecs: %v", err)
	}
	if err := b.Start(other); !errors.Is(err, media.ErrDescription) {
		t.Errorf("an answer of other codecs: %v", err)
	}
}

// TestPorts: an exhausted range is an error, and a released port can be used again.
func TestPorts(t *testing.T) {
	t.Parallel()
	cfg := media.Config{Local: loopback, FirstPort: 29501, LastPort: 29505}
	first := open(t, cfg)
	port := first.Offer().Addr.Port()
	if second := open(t, cfg).Offer().Addr.Port(); min(port, second) != 29502 || max(port, second) != 29504 {
		t.Errorf("ports %d and %d, want the even ones", port, second)
	}
	if _, err := media.Open(cfg); !errors.Is(err, media.ErrNoPort) {
		t.Errorf("a third: %v, want ErrNoPort", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if again := open(t, cfg).Offer().Addr.Port(); again != port {
		t.Errorf("port %d, want the released %d", again, port)
	}
	cfg.LastPort = cfg.FirstPort
	if _, err := media.Open(cfg); !errors.Is(err, media.ErrNoPort) {
		t.Errorf("an empty range: %v, want ErrNoPort", err)
	}
}

// TestAdvertise: the offer has the advertised address.
func TestAdvertise(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.Advertise = netip.MustParseAddr("203.0.113.5")
	if sdp := string(open(t, cfg).Offer().Marshal()); strings.Contains(sdp, "127.0.0.1") || strings.Count(sdp, "203.0.113.5") != 2 {
		t.Errorf("offer:\n%s", sdp)
	}
}

// BenchmarkCalls measures the CPU time (of two cores) of many calls with audio in both
// directions, and their late packets.
func BenchmarkCalls(b *testing.B) {
	const calls = 200
	sessions := make([]*media.Session, 2*calls)
	for i := range calls {
		x, y := open(b, config()), open(b, config())
		if err := errors.Join(x.Start(y.Offer()), y.Start(x.Offer())); err != nil {
			b.Fatal(err)
		}
		sessions[2*i], sessions[2*i+1] = x, y
	}
	sound := tone(time.Second)
	b.ResetTimer()
	for b.Loop() {
		var wg sync.WaitGroup
		for _, s := range sessions {
			wg.Go(func() { s.Play(b.Context(), sound) })
		}
		wg.Wait()
	}
	b.StopTimer()
	sent, late := 0, 0
	var longest []time.Duration
	for _, s := range sessions {
		stats := s.Stats().Sent
		sent, late = sent+stats.Packets, late+stats.Late
		longest = append(longest, stats.Lateness)
	}
	b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "packets/s")
	b.ReportMetric(100*float64(late)/float64(sent), "%late")
	b.ReportMetric(slices.Max(longest).Seconds()*1000, "late-max-ms")
}

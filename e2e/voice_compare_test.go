package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/tts"
	"countersign/internal/deliver/tts/audio"
	text "countersign/internal/message"
	"countersign/internal/verify"
)

// The expected speech of a call comes from packages of the program, which have tests of the speech
// itself. These tests check that exactly this speech arrives at foreign telephone software.

// saying returns the script of a call with some words.
func saying(words string) text.Script {
	return text.Script{Locale: "en-us", Parts: []text.Part{{Text: words}}}
}

// spelling returns the script of only a PIN, spoken once.
func spelling(lg, pin string) text.Script {
	return text.Script{Locale: lg, Parts: []text.Part{{Spell: pin}}}
}

// telling returns the script of a call with the PIN of a verification.
func telling(t *testing.T, lg, brand, pin string) text.Script {
	t.Helper()
	messages, err := text.New()
	if err != nil {
		t.Fatal(err)
	}
	locale, ok := messages.Locale(text.Verification, lg, text.Destination{})
	if !ok {
		t.Fatalf("no locale %s", lg)
	}
	parsed, ok := verify.ParsePIN(pin)
	if !ok {
		t.Fatalf("no PIN: %s", pin)
	}
	return messages.Call(text.Input{Locale: locale, Brand: brand, PIN: parsed, ValidFor: 5 * time.Minute})
}

// sound returns the speech of a script on a telephone line: one octet of G.711 for each
// sample.
func sound(t *testing.T, law audio.Law, script text.Script) []byte {
	t.Helper()
	speaker, err := tts.New(tts.Config{})
	if err != nil {
		t.Fatal(err)
	}
	said, err := speaker.Speak(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	if said.Peak() == 0 {
		t.Fatalf("%q is silent", script.Words())
	}
	return law.AppendEncode(nil, said)
}

// recorded returns the octets that a baresip in dir received, once the call has ended. The file has
// samples of baresip's tables, which differ slightly from the standard (a zero of μ-law is 2 or
// -2) but map back to the same octets.
func recorded(t *testing.T, law audio.Law, dir string) []byte {
	t.Helper()
	var sound []byte
	await.Until(t, "a complete recording", func() bool {
		files, err := filepath.Glob(filepath.Join(dir, "dump-*-dec.wav"))
		if err != nil || len(files) > 1 {
			t.Fatalf("recordings %q, %v", files, err)
		}
		if len(files) == 0 {
			return false
		}
		file, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if len(file) < 44 || int(binary.LittleEndian.Uint32(file[4:])) != len(file)-8 {
			return false // incomplete
		}
		samples, err := audio.ParseWAV(file)
		if err != nil {
			t.Fatal(err)
		}
		sound = law.AppendEncode(nil, samples)
		return true
	})
	return sound
}

// compare checks that a recording has the speech exactly once, unchanged, and otherwise only
// silence. No difference is acceptable: loopback loses no packets, and the phone inserts no
// samples.
func compare(t *testing.T, law audio.Law, got, want []byte) {
	t.Helper()
	at := find(got, want)
	if len(at) != 1 {
		t.Errorf("the speech (%d samples) occurs %d times in the recording (%d samples), want once", len(want), len(at), len(got))
		if len(at) == 0 {
			explain(t, law, got, want)
		}
		return
	}
	from, to := at[0], at[0]+len(want)
	for i, v := range got {
		if (i < from || i >= to) && v != law.Silence() {
			t.Errorf("sample %d of the recording is %#x, want silence outside %d to %d", i, v, from, to)
			return
		}
	}
	if from%audio.FrameSize != 0 || len(got)%audio.FrameSize != 0 {
		t.Errorf("the speech begins at sample %d of %d, within a packet", from, len(got))
	}
}

// find returns the positions of what in a recording.
func find(in, what []byte) (at []int) {
	for from := 0; ; from++ {
		i := bytes.Index(in[from:], what)
		if i < 0 {
			return at
		}
		from += i
		at = append(at, from)
	}
}

// explain logs the longest match between the speech and the recording, in packets. With
// "go test -artifacts" it keeps both.
func explain(t *testing.T, law audio.Law, got, want []byte) {
	t.Helper()
	best, start := -1, 0
	for i := 0; i < len(got); i += audio.FrameSize {
		n := 0
		for n < len(want) && i+n < len(got) && got[i+n] == want[n] {
			n++
		}
		if n > best {
			best, start = n, i
		}
	}
	t.Logf("from packet %d of the recording %d samples match, up to packet %d of %d",
		start/audio.FrameSize, best, best/audio.FrameSize, len(want)/audio.FrameSize)
	for name, octets := range map[string][]byte{"got.wav": got, "want.wav": want} {
		if err := os.WriteFile(filepath.Join(t.ArtifactDir(), name), law.AppendDecode(nil, octets).WAV(), 0o600); err != nil {
			t.Log(err)
		}
	}
}

const (
	// called is the number of baresip.
	called = "447700900001"
	// trunkPassword is the password of all users in Kamailio.
	trunkPassword = "pA55word"
)

// phone is a baresip process.
type phone struct{ *peer }

// baresip starts a phone with an account at a host. params are further parameters of the account.
func baresip(t *testing.T, host string, params ...string) phone {
	t.Helper()
	return baresipWith(t, nil, host, params...)
}

func baresipWith(t *testing.T, flags []string, host string, params ...string) phone {
	t.Helper()
	require(t, "baresip")
	dir, port := t.TempDir(), freeUDP(t)
	account := "<sip:+" + called + "@" + host + ">;" + strings.Join(params, ";") + "\n"
	for name, content := range map[string][]byte{
		"config":      settings(t, "baresip.conf", port, "/usr/lib/baresip/modules", "/usr/lib/*/baresip/modules"),
		"accounts":    []byte(account),
		"contacts":    nil,
		"silence.wav": audio.Silence(time.Minute).WAV(),
		"phone.pem":   certificate(t),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := phone{startPeer(t, dir, "127.0.0.1:"+port, "baresip", append([]string{"-4", "-f", dir}, flags...)...)}
	p.await(t, "baresip is ready")
	awaitSocket(t, "/proc/net/udp", port)
	return p
}

// registered starts a phone that registers with Kamailio.
func registered(t *testing.T, proxy *peer, params ...string) phone {
	t.Helper()
	return registeredWith(t, nil, proxy, params...)
}

func registeredWith(t *testing.T, flags []string, proxy *peer, params ...string) phone {
	t.Helper()
	p := baresipWith(t, flags, proxy.addr, append([]string{"auth_user=phone", "auth_pass=" + trunkPassword, "regint=60"}, params...)...)
	p.await(t, "[1 binding]")
	return p
}

// tls returns the TLS address of the phone: baresip uses the next port.
func (p phone) tls(t *testing.T) string {
	t.Helper()
	addr, err := net.ResolveTCPAddr("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	addr.Port++
	return addr.String()
}

// kamailio starts a proxy and registrar.
func kamailio(t *testing.T) *peer {
	t.Helper()
	require(t, "kamailio")
	dir, port := t.TempDir(), freeUDP(t)
	config := filepath.Join(dir, "kamailio.cfg")
	if err := os.WriteFile(config, settings(t, "kamailio.cfg", port, "/usr/lib/*/kamailio/modules"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startPeer(t, dir, "127.0.0.1:"+port, "kamailio", "-f", config, "-DD", "-E", "-w", dir)
	t.Cleanup(func() { terminate(t, p) })
	awaitSocket(t, "/proc/net/udp", port)
	return p
}

// terminate ends a program with SIGTERM. Kamailio has several processes: if only the first one
// were killed, the others would continue to answer.
func terminate(t *testing.T, p *peer) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Errorf("%s is still running after SIGTERM", p.name)
	}
}

// settings fills a configuration with a port and the first existing directory of modules.
func settings(t *testing.T, name, port string, modules ...string) []byte {
	t.Helper()
	config, err := os.ReadFile(filepath.Join("testdata", "voice", name))
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range modules {
		if dirs, err := filepath.Glob(pattern); err == nil && len(dirs) > 0 {
			return []byte(strings.NewReplacer("PORT", port, "MODULES", dirs[0], "PASSWORD", trunkPassword).Replace(string(config)))
		}
	}
	t.Fatalf("no directory of modules exists: %q", modules)
	return nil
}

// certificate returns a self-signed certificate with its key.
func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for kind, block := range map[string][]byte{"CERTIFICATE": der, "PRIVATE KEY": secret} {
		if err := pem.Encode(&b, &pem.Block{Type: kind, Bytes: block}); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// invited returns the time of an INVITE to sipp: its log has the time before each message.
func invited(t *testing.T, path string) time.Time {
	t.Helper()
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`-{10,} (\d{4}-\d\d-\d\d)\s(\d\d:\d\d:\d\d\.\d+)[^-]*received[^-]*?INVITE sip:`).FindSubmatch(log)
	if m == nil {
		t.Fatalf("sipp received no INVITE:\n%s", log)
	}
	at, err := time.ParseInLocation("2006-01-02 15:04:05", string(m[1])+" "+string(m[2]), time.Local)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// listener is a trunk that never answers. invited returns the time of its first INVITE.
func listener(t *testing.T) (addr string, invited func(*testing.T) time.Time) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	at := make(chan time.Time, 1)
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, _, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if bytes.HasPrefix(b[:n], []byte("INVITE ")) {
				select {
				case at <- time.Now():
				default: // a retransmission
				}
			}
		}
	}()
	return conn.LocalAddr().String(), func(t *testing.T) time.Time {
		t.Helper()
		select {
		case got := <-at:
			return got
		case <-time.After(patience):
			t.Fatal("no INVITE arrived")
			return time.Time{}
		}
	}
}

// throw sends random datagrams to each of the addresses. Some have a valid beginning. This takes
// some seconds, so that it overlaps with a call.
func throw(t *testing.T, n int, addrs ...string) {
	t.Helper()
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	rng := mathrand.New(mathrand.NewPCG(seed, 0))
	beginnings := []string{
		"", "", "\x80\x00", "\x80\x65", "\x80\xc8", "\x80\xcb", "INVITE sip:x@127.0.0.1 SIP/2.0\r\n", "BYE sip:x@127.0.0.1 SIP/2.0\r\nCall-ID: ",
		"SIP/2.0 200 OK\r\n", "SIP/2.0 487 \r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK", "ACK", "\r\n\r\n",
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range n {
		for _, addr := range addrs {
			to, err := net.ResolveUDPAddr("udp", addr)
			if err != nil {
				t.Fatal(err)
			}
			datagram := []byte(beginnings[rng.IntN(len(beginnings))])
			for range rng.IntN(1400) {
				datagram = append(datagram, byte(rng.Uint32()))
			}
			if _, err := conn.WriteTo(datagram, to); err != nil {
				t.Fatal(err)
			}
		}
		lapse(time.Millisecond) // the kernel would drop faster datagrams
	}
}

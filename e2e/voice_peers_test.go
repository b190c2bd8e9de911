package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/tts/audio"
)

// TestVoiceRecording calls baresip with each combination of trunk settings, and compares the
// recording with the speech, sample by sample.
func TestVoiceRecording(t *testing.T) {
	t.Parallel()
	require(t, "baresip", "espeak-ng")
	for _, transport := range []string{"udp", "tcp", "tls"} {
		for law, name := range map[audio.Law]string{audio.MuLaw: "PCMU", audio.ALaw: "PCMA"} {
			for _, secure := range []string{"RTP", "SRTP"} {
				t.Run(transport+"/"+name+"/"+secure, func(t *testing.T) {
					t.Parallel()
					testRecording(t, transport, name, law, secure == "SRTP")
				})
			}
		}
	}
	t.Run("Certificate", func(t *testing.T) {
		t.Parallel()
		p := baresip(t, "127.0.0.1", "regint=0", "answermode=auto", "audio_codecs=PCMU/8000/1")
		i := over(t, viaSIP("known", p.tls(t), "transport: tls", "tls_ca: "+filepath.Join(p.dir, "phone.pem")),
			viaSIP("unknown", p.tls(t), "transport: tls"))
		if out, err := i.run(t, "call", "--carrier", "unknown", "--to", called, "--say", "Hello."); err == nil || !strings.Contains(out, "certificate") {
			t.Errorf("the call to a host with an unknown certificate ended with %v, want a certificate error:\n%s", err, out)
		}
		if out, err := i.run(t, "call", "--carrier", "known", "--to", called, "--say", "Hello."); err != nil {
			t.Errorf("the call to a host with a known certificate ended with %v:\n%s", err, out)
		}
		p.await(t, "session closed")
		compare(t, audio.MuLaw, recorded(t, audio.MuLaw, p.dir), sound(t, audio.MuLaw, saying("Hello.")))
	})
	t.Run("NotEncrypted", func(t *testing.T) {
		t.Parallel()
		p := baresip(t, "127.0.0.1", "regint=0", "answermode=auto", "mediaenc=srtp-mand")
		if out, err := callTo(t, p.addr); err == nil || strings.Contains(out, "complete=true") {
			t.Errorf("a phone that requires SRTP accepted a call without SRTP: %v\n%s", err, out)
		}
	})
}

func testRecording(t *testing.T, transport, name string, law audio.Law, secure bool) {
	t.Helper()
	account, args := []string{"regint=0", "answermode=auto", "audio_codecs=" + name + "/8000/1"}, []string{"--transport", transport}
	if secure {
		account, args = append(account, "mediaenc=srtp-mand"), append(args, "--srtp")
	}
	script := saying("Hello.") // spoken by callTo
	// A PIN takes long to speak, so each law has only one combination with a PIN.
	if transport == "udp" && law == audio.MuLaw && !secure || transport == "tls" && law == audio.ALaw && secure {
		script = telling(t, "en-gb", "Countersign", "123456")
		args = append(args, "--lg", "en-gb", "--pin", "123456")
	}
	p := baresip(t, "127.0.0.1", account...)
	addr := p.addr
	if transport == "tls" {
		addr, args = p.tls(t), append(args, "--tls-insecure")
	}
	out, err := callTo(t, addr, args...)
	if err != nil || !strings.Contains(out, "complete=true") {
		t.Errorf("the call ended with %v:\n%s", err, out)
	}
	p.await(t, "session closed")
	if encrypted := strings.Contains(p.log.String(), "SRTP is Enabled"); encrypted != secure {
		t.Errorf("encrypted: %t, want %t", encrypted, secure)
	}
	compare(t, law, recorded(t, law, p.dir), sound(t, law, script))
}

// TestVoiceProxy calls over Kamailio, which requires authentication, to a phone registered there.
func TestVoiceProxy(t *testing.T) {
	t.Parallel()
	require(t, "baresip", "kamailio", "espeak-ng")
	proxy := kamailio(t)
	p := registered(t, proxy, "answermode=auto")
	for _, tt := range []struct {
		name, to, password string
		ok                 bool
		want               string // in the output
	}{
		{"Answered", called, trunkPassword, true, "complete=true"},
		{"WrongPassword", called, "guess", false, "refused by carrier: 407"},
		{"NoPassword", called, "", false, "refused by carrier: 407"},
		{"Nobody", "447700900002", trunkPassword, false, "unreachable after"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := []string{"--to", tt.to}
			if tt.password != "" {
				args = append(args, "--user", "acme", "--password", tt.password)
			}
			out, err := callTo(t, proxy.addr, args...)
			if (err == nil) != tt.ok || !strings.Contains(out, tt.want) {
				t.Errorf("the call ended with %v:\n%s", err, out)
			}
			if exit := (*exec.ExitError)(nil); !tt.ok && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
				t.Errorf("the program ended with %v, want exit status 1", err)
			}
		})
	}
	t.Cleanup(func() { // after all subtests
		if n := strings.Count(p.log.String(), "answering call"); n != 1 {
			t.Errorf("the phone was called %d times, want once", n)
		}
	})
}

// viaSIP returns the configuration of a trunk, with more settings such as "register: true".
func viaSIP(name, host string, more ...string) string {
	return fmt.Sprintf("  - {name: %s, type: sip, sip: {host: %q%s}}\n", name, host, strings.Join(append([]string{""}, more...), ", "))
}

// over returns an installation that calls over trunks, in order.
func over(t *testing.T, trunks ...string) installation {
	t.Helper()
	names := make([]string, len(trunks))
	for i, trunk := range trunks {
		names[i] = regexp.MustCompile(`name: (\w+)`).FindStringSubmatch(trunk)[1]
	}
	return install(t, fmt.Sprintf("ops_listen: %s\ncarriers:\n%sroutes:\n  - {channel: tts, carriers: [%s]}\n",
		quietAddress(t), strings.Join(trunks, ""), strings.Join(names, ", ")), "--pin-code")
}

// spokenTo starts a verification with only a call.
func (s *server) spokenTo(t *testing.T, pin string) (id string) {
	t.Helper()
	started := s.ask(t, "/verify/json", "number", called, "brand", "Acme", "lg", "en-gb", "pin_code", pin, "workflow_id", "7")
	started.want(t, "status", "0")
	return started.text(t, "request_id")
}

// awaitBinds waits until "countersign carriers" shows a trunk as registered.
func (i installation) awaitBinds(t *testing.T, name string) {
	t.Helper()
	var out string
	defer func() {
		if t.Failed() {
			t.Log(out)
		}
	}()
	await.Until(t, name+" registered", func() bool {
		out, _ = i.run(t, "carriers") // the server may not listen yet
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); f[0] == name && f[1] == "sip" && f[2] == "up" && f[3] == "1/1" {
				return true
			}
		}
		return false
	})
}

// TestVoiceServer verifies a number by a call over Kamailio, where the server is registered, to a
// phone with a recorder.
func TestVoiceServer(t *testing.T) {
	t.Parallel()
	require(t, "baresip", "kamailio", "espeak-ng")
	const pin = "407193"
	proxy := kamailio(t)
	p := registered(t, proxy, "answermode=auto", "audio_codecs=PCMA/8000/1")
	i := over(t, viaSIP("voice", proxy.addr, "user: acme", "password: "+trunkPassword, "register: true"))
	s := i.serve(t)
	i.awaitBinds(t, "voice")

	id := s.spokenTo(t, pin)
	p.await(t, "answering call")
	s.awaitState(t, id, "accepted")
	p.await(t, "session closed")
	s.awaitState(t, id, "delivered")
	s.ask(t, "/verify/check/json", "request_id", id, "code", pin).want(t, "status", "0")
	found := s.found(t, id)
	found.want(t, "status", "SUCCESS")
	events := found.list(t, "events")
	if len(events) != 1 {
		t.Fatalf("got events %v, want one", events)
	}
	events[0].want(t, "type", "tts", "status", "delivered")

	got := recorded(t, audio.ALaw, p.dir)
	compare(t, audio.ALaw, got, sound(t, audio.ALaw, telling(t, "en-gb", "Acme", pin)))
	if at := find(got, sound(t, audio.ALaw, spelling("en-gb", pin))); len(at) != 2 {
		t.Errorf("the PIN occurs at samples %d, want it twice", at)
	}
	for _, secret := range []string{pin, trunkPassword, called} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the program's log contains %s", secret)
		}
	}
}

// failing is a trunk that fails, so that the call fails over to the next one.
type failing struct {
	config  string
	fail    func(installation)         // makes the trunk fail after the server has started
	invited func(*testing.T) time.Time // time of the INVITE; nil if unknown
}

// traced is sipp's log of messages, in its directory.
const traced = "messages.log"

// TestVoiceFailover checks that the server calls over the second trunk within a second of each kind
// of failure of the first.
func TestVoiceFailover(t *testing.T) {
	t.Parallel()
	require(t, "sipp", "kamailio", "espeak-ng")
	for _, tt := range []struct {
		name  string
		first func(*testing.T) failing
		rule  time.Duration // time until the second INVITE
	}{
		{"Silent", func(t *testing.T) failing {
			t.Helper()
			addr, invited := listener(t)
			return failing{config: viaSIP("first", addr), invited: invited}
		}, time.Second},
		{"Killed", func(t *testing.T) failing {
			t.Helper()
			proxy := kamailio(t)
			return failing{config: viaSIP("first", proxy.addr, "user: acme", "password: "+trunkPassword, "register: true"), fail: func(i installation) {
				i.awaitBinds(t, "first")
				terminate(t, proxy)
			}}
		}, time.Second},
		// A refused connection and an error response cause immediate failover.
		{"Refused", func(t *testing.T) failing {
			t.Helper()
			return failing{config: viaSIP("first", "127.0.0.1:"+freeUDP(t), "transport: tcp")}
		}, 0},
		{"503", func(t *testing.T) failing {
			t.Helper()
			p := sipp(t, scenario(recvInvite(), reply("503 Service Unavailable"), recv("ACK")), "-trace_msg", "-message_file", traced)
			return failing{config: viaSIP("first", p.addr), invited: func(t *testing.T) time.Time {
				t.Helper()
				p.well(t)
				return invited(t, filepath.Join(p.dir, traced))
			}}
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			testFailover(t, tt.first(t), tt.rule)
		})
	}
}

func testFailover(t *testing.T, one failing, rule time.Duration) {
	t.Helper()
	two := sipp(t, scenario(recvInvite(), answers(), recvAck(), ask("BYE", 1, ""), recvStatus("200")), "-trace_msg", "-message_file", traced)
	i := over(t, one.config, viaSIP("second", two.addr))
	s := i.serve(t)
	if one.fail != nil {
		one.fail(i)
	}
	id := s.spokenTo(t, "407193")
	answered := time.Now()
	two.well(t)
	at := invited(t, filepath.Join(two.dir, traced))
	// Before the first INVITE, espeak-ng generates the speech, in several processes on a machine
	// that is busy with the other tests.
	if took, limit := at.Sub(answered), rule+3*time.Second; took > limit {
		t.Errorf("the second trunk has its INVITE %s after the answer to the request, want at most %s", took, limit)
	}
	// The time between the trunks is the rule, plus delays on a busy machine. The first trunk
	// records its time slightly after its INVITE.
	if one.invited != nil {
		least, most := rule-100*time.Millisecond, rule+time.Second
		if took := at.Sub(one.invited(t)); took < least || took > most {
			t.Errorf("the second trunk has its INVITE %s after the first, want %s to %s", took, least, most)
		}
	}
	s.awaitState(t, id, "undeliverable") // the callee hung up before the PIN was spoken
}

// TestVoiceCancel checks that a phone stops ringing when its call is obsolete.
func TestVoiceCancel(t *testing.T) {
	t.Parallel()
	require(t, "baresip", "kamailio", "espeak-ng")
	const pin = "407193"
	for name, end := range map[string]func(*testing.T, *server, string){
		"Checked": func(t *testing.T, s *server, id string) {
			t.Helper()
			s.ask(t, "/verify/check/json", "request_id", id, "code", pin).want(t, "status", "0")
		},
		"Cancelled": func(t *testing.T, s *server, id string) {
			t.Helper()
			var got fields
			lapse(30 * time.Second) // the API rejects an earlier cancel
			await.Until(t, "cancelled", func() bool {
				got = s.ask(t, "/verify/control/json", "request_id", id, "cmd", "cancel")
				return got["status"] == "0"
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := kamailio(t)
			p := registeredWith(t, []string{"-s"}, proxy, "answermode=manual") // with a SIP trace
			s := over(t, viaSIP("voice", proxy.addr, "user: acme", "password: "+trunkPassword)).serve(t)
			id := s.spokenTo(t, pin)
			p.await(t, "SIP/2.0 180 Ringing")
			s.awaitState(t, id, "accepted")
			if strings.Contains(p.log.String(), "CANCEL sip:") {
				t.Fatal("the call was cancelled while its verification was in progress")
			}
			end(t, s, id)
			ended := time.Now()
			p.await(t, "CANCEL sip:")
			if took := time.Since(ended); took > 2*time.Second { // one second, and a margin for a busy machine
				t.Errorf("the phone rang for %s more, want at most 2 s", took)
			}
			p.await(t, "SIP/2.0 487 Request Terminated")
			s.awaitState(t, id, "expired")
			events := s.found(t, id).list(t, "events")
			if len(events) != 1 {
				t.Fatalf("got events %v, want one", events)
			}
			events[0].want(t, "type", "tts", "note", "cancelled")
			if log := p.log.String(); strings.Contains(log, "answering call") || strings.Contains(log, "BYE sip:") {
				t.Error("the call was answered")
			}
		})
	}
}

// TestVoiceGarbage checks that datagrams from strangers to the ports of the server neither end a
// call nor become audible in it.
func TestVoiceGarbage(t *testing.T) {
	t.Parallel()
	require(t, "baresip", "espeak-ng")
	p := baresip(t, "127.0.0.1", "regint=0", "answermode=auto", "audio_codecs=PCMU/8000/1")
	signals, sounds := freeUDP(t), freeUDP(t)
	var port int
	_, _ = fmt.Sscan(sounds, &port) // a number
	s := over(t, viaSIP("voice", p.addr, "listen: \"127.0.0.1:"+signals+"\"", fmt.Sprintf("rtp_ports: %d-%d", port, port+1))).serve(t)
	id := s.spokenTo(t, "407193")
	p.await(t, "Call established")
	p.await(t, "incoming rtp for 'audio' established")
	// The server sends its sound to the first source of RTP, so the phone must send before the
	// garbage. Ten packets of 160 samples in its encode file show that it has.
	await.Until(t, "RTP from the phone", func() bool {
		files, err := filepath.Glob(filepath.Join(p.dir, "dump-*-enc.wav"))
		if err != nil || len(files) == 0 {
			return false
		}
		info, err := os.Stat(files[0])
		return err == nil && info.Size() > 10*2*audio.FrameSize
	})
	throw(t, 2000, "127.0.0.1:"+signals, "127.0.0.1:"+sounds, fmt.Sprintf("127.0.0.1:%d", port+1))
	if strings.Contains(p.log.String(), "session closed") {
		t.Fatal("the call ended before the end of the garbage")
	}
	p.await(t, "session closed")
	s.awaitState(t, id, "delivered")
	compare(t, audio.MuLaw, recorded(t, audio.MuLaw, p.dir), sound(t, audio.MuLaw, telling(t, "en-gb", "Acme", "407193")))
	found := s.found(t, id).list(t, "events")
	if len(found) != 1 {
		t.Errorf("got events %v, want one", found)
	}
}

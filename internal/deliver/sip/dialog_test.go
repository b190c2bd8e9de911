package sip_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/sip/softphone"
	"countersign/internal/deliver/tts/audio"
	"countersign/internal/verify"
)

// certificate returns a certificate for 127.0.0.1 and a pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// speech returns a tone that is loud enough to be counted as speech.
func speech(d time.Duration) audio.Samples {
	s := make(audio.Samples, int(d.Seconds()*audio.Rate))
	for i := range s {
		s[i] = int16(8000 - 16000*(i/10%2))
	}
	return s
}

// kind is a kind of phone with the trunk settings that it requires.
type kind struct {
	phone  softphone.Config
	change func(*sip.Config)
	check  func(*testing.T, *phone, softphone.Call)
}

func kinds(t *testing.T) map[string]kind {
	t.Helper()
	cert, pool := certificate(t)
	return map[string]kind{
		"over TCP, with UPDATE": {
			phone:  softphone.Config{Transport: "tcp", Script: []softphone.Step{softphone.Update(90)}},
			change: func(c *sip.Config) { c.Transport = "tcp" },
		},
		"over TLS, with SRTP": {
			phone: softphone.Config{
				Transport: "tls", TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, Secure: true,
			},
			change: func(c *sip.Config) {
				c.Transport, c.TLS, c.SRTP = "tls", &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, true
			},
		},
		"after early media": {
			phone: softphone.Config{AnswerAfter: 50 * time.Millisecond, Early: speech(300 * time.Millisecond)},
		},
		"with PCMA only, that echo": {phone: softphone.Config{Codecs: []uint8{8}, Script: []softphone.Step{softphone.Echo()}}},
		"that send garbage, too":    {phone: softphone.Config{Script: []softphone.Step{softphone.Hear(20 * time.Millisecond), softphone.Garbage(2000)}}},
		"that flood": {
			phone: softphone.Config{Script: []softphone.Step{softphone.Hear(20 * time.Millisecond), softphone.Flood(5000), softphone.Update(90)}},
		},
		"that ask, with a stale nonce, and at the BYE": {
			phone:  softphone.Config{User: "acme", Password: "secret", Stale: true, AskOnBye: true},
			change: func(c *sip.Config) { c.User, c.Password = "acme", "secret" },
			check: func(t *testing.T, p *phone, _ softphone.Call) {
				t.Helper()
				if n := p.Challenges(); n < 3 {
					t.Errorf("%d challenges, want two for INVITE and some for BYE", n)
				}
			},
		},
		"that ask in every way": {
			phone:  softphone.Config{User: "acme", Password: "secret", Challenges: true, Proxy: true, AskOnBye: true},
			change: account,
		},
		"that want a longer session timer": {
			phone:  softphone.Config{User: "acme", Password: "secret", MinSE: 1800},
			change: account,
		},
		"with odd headers": {
			phone: softphone.Config{OddHeaders: true, Ring: true, User: "acme", Password: "secret", Script: []softphone.Step{softphone.Update(90)}}, change: account,
		},
		"with odd headers, over TCP": {
			phone:  softphone.Config{OddHeaders: true, Transport: "tcp", Script: []softphone.Step{softphone.Update(90)}},
			change: func(c *sip.Config) { c.Transport = "tcp" },
		},
		"that answer twice": {
			phone: softphone.Config{Fork: true, Ring: true},
			check: func(t *testing.T, _ *phone, c softphone.Call) {
				t.Helper()
				if !c.SecondAcked || c.Second != softphone.Bye {
					t.Errorf("second answer: acknowledged %t, ended by %q", c.SecondAcked, c.Second)
				}
			},
		},
		"with a session timer": {
			phone: softphone.Config{SessionExpires: 2},
			check: func(t *testing.T, _ *phone, c softphone.Call) {
				t.Helper()
				if c.Refreshes == 0 {
					t.Error("the session was not refreshed")
				}
			},
		},
	}
}

// TestPhones: each kind of phone receives the announcement, sample by sample, and a BYE.
func TestPhones(t *testing.T) {
	t.Parallel()
	for name, tt := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.change == nil {
				tt.change = func(*sip.Config) {}
			}
			p := start(t, tt.phone)
			if r := open(t, p.Addr(), tt.change).outcome(); r.State != verify.EventDelivered {
				t.Errorf("receipt: %+v", r)
			}
			c := p.ended(softphone.Bye)
			if !c.Acked || !whole(t, c) {
				t.Errorf("acknowledged: %t, audio equal to the announcement: %t", c.Acked, whole(t, c))
			}
			if tt.check != nil {
				tt.check(t, p, c)
			}
		})
	}
}

// TestMove: the audio follows a phone that moves it to another port.
func TestMove(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{Script: []softphone.Step{softphone.Hear(100 * time.Millisecond), softphone.Move()}})
	if r := open(t, p.Addr(), patient).outcome(); r.State != verify.EventDelivered {
		t.Errorf("receipt: %+v", r)
	}
	// The new session receives at least the silence after the announcement.
	if c := p.ended(softphone.Bye); c.Stats.Received.Packets < 50 || c.Stats.Received.Garbage != 0 {
		t.Errorf("received at the new port: %+v", c.Stats.Received)
	}
}

// TestCrossing: an answer that crosses the CANCEL is ended with a BYE.
func TestCrossing(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{Late: true})
	tr := open(t, p.Addr(), func(c *sip.Config) { c.RingTimeout = 2 * time.Second }) // ringing must start within this time on a busy machine
	if r := tr.outcome(); r.State != verify.EventExpired {
		t.Errorf("receipt: %+v", r)
	}
	if c := p.ended(softphone.Bye); !c.Acked || c.Answered.IsZero() {
		t.Errorf("acknowledged: %t, answered: %v", c.Acked, c.Answered)
	}
}

// TestTrying: a trunk that sends only 100 is given time to ring, then cancelled.
func TestTrying(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{TryingOnly: true})
	tr := open(t, p.Addr(), func(c *sip.Config) {
		c.FirstResponse, c.RingTimeout = 50*time.Millisecond, 300*time.Millisecond
	})
	if _, err := tr.Send(t.Context(), call()); err == nil {
		t.Error("Send: no error, although no phone rang")
	}
	p.ended(softphone.Cancelled)
}

// TestDrop: the call to a phone that disappears ends.
func TestDrop(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{Script: []softphone.Step{softphone.Hear(100 * time.Millisecond), softphone.Drop()}})
	tr := open(t, p.Addr())
	tr.outcome()
	p.ended(softphone.Dropped)
	if n := p.Ignored(); n == 0 {
		t.Error("no message was sent to the phone that disappeared, not even a BYE")
	}
}

// TestVoicemail: long speech is noted as voicemail, and the code is still played.
func TestVoicemail(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{Script: []softphone.Step{
		softphone.Say(speech(2 * time.Second)), softphone.Press("1"), softphone.Say(speech(3 * time.Second)),
	}})
	if r := open(t, p.Addr(), patient).outcome(); r.State != verify.EventDelivered || r.Error != "voicemail suspected" {
		t.Errorf("receipt: %+v", r)
	}
}

// TestRegister: the carrier registers with the trunk, and unregisters when it is closed.
func TestRegister(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{Registrar: true, User: "acme", Password: "secret"})
	tr := open(t, p.Addr(), func(c *sip.Config) { c.User, c.Password, c.Register = "acme", "secret", true })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if contacts, err := p.Registered(ctx, 1); err != nil {
		t.Errorf("%v: %v", err, contacts)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	if contacts := p.Contacts(); len(contacts) != 0 {
		t.Errorf("still registered after Close: %v", contacts)
	}
}

package sip_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/sip/softphone"
	"countersign/internal/verify"
)

// short ends a call shortly after its announcement.
func short(c *sip.Config) { c.MaxDuration, c.KeyWait = 1500*time.Millisecond, 0 }

// TestDelayedOffer: a re-INVITE without SDP gets an offer, and the answer in its ACK
// determines the destination and the codec, or stops the audio.
func TestDelayedOffer(t *testing.T) {
	t.Parallel()
	soon := softphone.Hear(60 * time.Millisecond)
	for name, tt := range map[string]struct {
		script []softphone.Step
		state  verify.EventState
		note   string
		end    softphone.End
		moved  bool // the audio moves to another port
		whole  bool
	}{
		"to another port":              {[]softphone.Step{soon, softphone.MoveByAck()}, verify.EventDelivered, "", softphone.Bye, true, false},
		"in another codec":             {[]softphone.Step{soon, softphone.MoveByAck(8)}, verify.EventDelivered, "", softphone.Bye, true, false},
		"twice":                        {[]softphone.Step{soon, softphone.MoveByAck(), softphone.MoveByAck()}, verify.EventDelivered, "", softphone.Bye, true, false},
		"without an answer":            {[]softphone.Step{soon, softphone.AnswerByAck(softphone.NoAnswer)}, verify.EventDelivered, "", softphone.Bye, false, true},
		"with an answer refused":       {[]softphone.Step{softphone.AnswerByAck(softphone.RefuseAudio)}, verify.EventUndeliverable, "no sound in common", softphone.Bye, false, false},
		"on hold, and off again":       {[]softphone.Step{softphone.AnswerByAck(softphone.OnHold), softphone.Resume()}, verify.EventDelivered, "", softphone.Bye, false, true},
		"that another crosses":         {[]softphone.Step{soon, softphone.Cross()}, verify.EventDelivered, "", softphone.Bye, false, true},
		"after an offer without audio": {[]softphone.Step{soon, softphone.Reoffer(softphone.NoAudio, 488)}, verify.EventDelivered, "", softphone.Bye, false, true},
		"after an offer with video":    {[]softphone.Step{soon, softphone.Reoffer(softphone.WithVideo, 200)}, verify.EventDelivered, "", softphone.Bye, false, true},
		"after a re-INVITE":            {[]softphone.Step{soon, softphone.Move(), softphone.MoveByAck()}, verify.EventDelivered, "", softphone.Bye, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, softphone.Config{Script: tt.script})
			pace := func(*sip.Config) {}
			if tt.state == verify.EventUndeliverable {
				pace = slow
			}
			if r := open(t, p.Addr(), short, pace).outcome(); r.State != tt.state || r.Error != tt.note {
				t.Errorf("receipt: %+v, want %s with %q", r, tt.state, tt.note)
			}
			c := p.ended(tt.end)
			if tt.moved && (c.Stats.Received.Packets < 30 || c.Stats.Received.Garbage != 0) {
				t.Errorf("received at the new port: %+v", c.Stats.Received)
			}
			if tt.whole && !whole(t, c) {
				t.Error("the received audio differs from the announcement")
			}
			if name == "in another codec" && c.Codec != 8 {
				t.Errorf("received codec %d, want 8", c.Codec)
			}
		})
	}
}

// resolver resolves one host name.
type resolver struct{ name, addr string }

func (r resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	switch {
	case r.addr == "" && host == r.name: // never answers
		<-ctx.Done()
		return nil, ctx.Err()
	case network == "ip4" && host == r.name:
		return []netip.Addr{netip.MustParseAddr(r.addr)}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// TestAnswers: the SDP that applies to an answer is found, in any place and form.
func TestAnswers(t *testing.T) {
	t.Parallel()
	named := func(c *sip.Config) { c.Names = resolver{"rtp.example", "127.0.0.1"} }
	for name, tt := range map[string]struct {
		phone  softphone.Config
		change func(*sip.Config)
		state  verify.EventState
		note   string
	}{
		"host name":                      {softphone.Config{SDPHost: "rtp.example"}, named, verify.EventDelivered, ""},
		"host name not found":            {softphone.Config{SDPHost: "nowhere.example"}, named, verify.EventUndeliverable, "no address for nowhere.example"},
		"SDP in the 183 only":            {softphone.Config{EarlySDP: true}, nil, verify.EventDelivered, ""},
		"early media, SDP in the 183":    {softphone.Config{EarlySDP: true, Early: speech(100 * time.Millisecond)}, nil, verify.EventDelivered, ""},
		"host name in the 183 only":      {softphone.Config{EarlySDP: true, SDPHost: "rtp.example"}, named, verify.EventDelivered, ""},
		"sound in another codec":         {softphone.Config{OtherCodec: true}, nil, verify.EventDelivered, ""},
		"another codec, private address": {softphone.Config{OtherCodec: true, SDPHost: "10.255.255.1"}, nil, verify.EventDelivered, ""},
		"another SSRC":                   {softphone.Config{Script: []softphone.Step{softphone.ChangeSource()}}, nil, verify.EventDelivered, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.change == nil {
				tt.change = func(*sip.Config) {}
			}
			p := start(t, tt.phone)
			if r := open(t, p.Addr(), tt.change, short).outcome(); r.State != tt.state || r.Error != tt.note {
				t.Errorf("receipt: %+v, want %s with %q", r, tt.state, tt.note)
			}
			if c := p.ended(softphone.Bye); !c.Acked || tt.note == "" && c.Stats.Received.Packets < 30 {
				t.Errorf("acknowledged: %t, received %+v", c.Acked, c.Stats.Received)
			}
		})
	}
}

// TestKeysTogether: keys 2 and 1 with the same timestamp are two key presses.
func TestKeysTogether(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{KeysTogether: true, Script: []softphone.Step{softphone.Press("21")}})
	if r := open(t, p.Addr(), patient).outcome(); r.State != verify.EventDelivered {
		t.Errorf("receipt: %+v", r)
	}
	if n := beginnings(t, p.ended(softphone.Bye)); n != 2 {
		t.Errorf("the announcement started %d times, want 2", n)
	}
}

// TestHeld: a call answered on hold ends after the hold timeout unless it is resumed.
func TestHeld(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"inactive", "sendonly", "zeros"} {
		for name, tt := range map[string]struct {
			timeout time.Duration
			script  []softphone.Step
			state   verify.EventState
			note    string
			end     softphone.End
		}{
			"for good":             {50 * time.Millisecond, nil, verify.EventHeld, "on hold", softphone.Bye},
			"taken off":            {patience, []softphone.Step{softphone.Resume()}, verify.EventDelivered, "", softphone.Bye},
			"taken off by the ACK": {patience, []softphone.Step{softphone.MoveByAck()}, verify.EventDelivered, "", softphone.Bye},
			"hung up":              {patience, []softphone.Step{softphone.HangUp()}, verify.EventUndeliverable, "hung up after 0s", softphone.HungUp},
		} {
			t.Run(form+" "+name, func(t *testing.T) {
				t.Parallel()
				p := start(t, softphone.Config{Held: form, Script: tt.script})
				tr := open(t, p.Addr(), short, func(c *sip.Config) { c.HoldTimeout = tt.timeout })
				if r := tr.outcome(); r.State != tt.state || r.Error != tt.note {
					t.Errorf("receipt: %+v, want %s with %q", r, tt.state, tt.note)
				}
				c := p.ended(tt.end)
				if tt.state == verify.EventHeld && c.Stats.Received.Packets > 0 {
					t.Errorf("audio received on hold: %+v", c.Stats.Received)
				}
			})
		}
	}
}

// TestUnheard: a call without evidence that our audio arrived is answered, not delivered.
func TestUnheard(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		phone softphone.Config
		note  string
		end   softphone.End
	}{
		"nothing comes back": {softphone.Config{NoRTP: true}, "no media received", softphone.Bye},
		"only garbage": {
			softphone.Config{NoRTP: true, Script: []softphone.Step{softphone.Garbage(200)}}, "no media received", softphone.Bye,
		},
		"over at once": {
			softphone.Config{Script: []softphone.Step{softphone.Hear(300 * time.Millisecond), softphone.HangUp()}}, "ended after ", softphone.HungUp,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, tt.phone)
			if r := open(t, p.Addr(), short).outcome(); r.State != verify.EventAnswered || !strings.HasPrefix(r.Error, tt.note) {
				t.Errorf("receipt: %+v, want answered with %q", r, tt.note)
			}
			p.ended(tt.end)
		})
	}
}

// TestFaults: the reaction to each fault of the phone is as documented.
func TestFaults(t *testing.T) {
	t.Parallel()
	want := map[string]verify.EventState{
		"delayed-offer-refused": verify.EventUndeliverable, "answer-on-hold": verify.EventHeld,
		"one-way": verify.EventAnswered, "hang-up": verify.EventAnswered, "late-answer": verify.EventExpired,
	}
	for _, name := range softphone.FaultNames() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := softphone.Config{User: "acme", Password: "secret", Registrar: strings.HasPrefix(name, "registration-")}
			if err := cfg.AddFaults(name); err != nil {
				t.Fatal(err)
			}
			switch {
			case name == "keys-together":
				cfg.Script = append(cfg.Script, softphone.Press("21"))
			case len(cfg.Script) > 0 && name != "hang-up":
				cfg.Script = cfg.Script[1:] // the announcement of the test is shorter than the pause of the script
			}
			p := start(t, cfg)
			tr := open(t, p.Addr(), func(c *sip.Config) {
				c.User, c.Password, c.Register = cfg.User, cfg.Password, cfg.Registrar
				c.HoldTimeout, c.Names = 50*time.Millisecond, resolver{"localhost", "127.0.0.1"}
				switch name {
				case "off-hold":
					c.HoldTimeout = patience
				case "delayed-offer-refused":
					slow(c)
				case "late-answer":
					c.RingTimeout = 2 * time.Second // ringing must start within this time on a busy machine
				}
				if name != "hold" { // hold lasts 2 s
					short(c)
				}
			})
			state := want[name]
			if state == "" {
				state = verify.EventDelivered
			}
			if r := tr.outcome(); r.State != state {
				t.Errorf("receipt: %+v, want %s", r, state)
			}
		})
	}
	for _, text := range []string{"", "loud", "one-way=2", "hang-up=soon", "answer-on-hold=long", "host-name="} {
		if err := new(softphone.Config).AddFaults(text); err == nil {
			t.Errorf("%q is a fault", text)
		}
	}
}

package sip_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/sip/siptest"
	"countersign/internal/verify"
)

// short ends a call some time after its announcement.
func short(c *sip.Config) { c.MaxDuration, c.KeyWait = 1500*time.Millisecond, 0 }

// TestDelayedOffer: a re-INVITE without SDP gets an offer, and the answer in its ACK
// decides: where the sound goes, in which codec, and whether there is any.
func TestDelayedOffer(t *testing.T) {
	t.Parallel()
	soon := siptest.Hear(60 * time.Millisecond)
	for name, tt := range map[string]struct {
		script []siptest.Step
		state  verify.EventState
		note   string
		end    siptest.End
		moved  bool // the sound comes to another port
		whole  bool
	}{
		"to another port":              {[]siptest.Step{soon, siptest.MoveByAck()}, verify.EventDelivered, "", siptest.Bye, true, false},
		"in another codec":             {[]siptest.Step{soon, siptest.MoveByAck(8)}, verify.EventDelivered, "", siptest.Bye, true, false},
		"twice":                        {[]siptest.Step{soon, siptest.MoveByAck(), siptest.MoveByAck()}, verify.EventDelivered, "", siptest.Bye, true, false},
		"without an answer":            {[]siptest.Step{soon, siptest.AnswerByAck(siptest.NoAnswer)}, verify.EventDelivered, "", siptest.Bye, false, true},
		"with an answer refused":       {[]siptest.Step{siptest.AnswerByAck(siptest.RefuseAudio)}, verify.EventUndeliverable, "no sound in common", siptest.Bye, false, false},
		"on hold, and off again":       {[]siptest.Step{siptest.AnswerByAck(siptest.OnHold), siptest.Resume()}, verify.EventDelivered, "", siptest.Bye, false, true},
		"that another crosses":         {[]siptest.Step{soon, siptest.Cross()}, verify.EventDelivered, "", siptest.Bye, false, true},
		"after an offer without audio": {[]siptest.Step{soon, siptest.Reoffer(siptest.NoAudio, 488)}, verify.EventDelivered, "", siptest.Bye, false, true},
		"after an offer with video":    {[]siptest.Step{soon, siptest.Reoffer(siptest.WithVideo, 200)}, verify.EventDelivered, "", siptest.Bye, false, true},
		"after a re-INVITE":            {[]siptest.Step{soon, siptest.Move(), siptest.MoveByAck()}, verify.EventDelivered, "", siptest.Bye, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, siptest.Config{Script: tt.script})
			pace := func(*sip.Config) {}
			if tt.state == verify.EventUndeliverable {
				pace = slow
			}
			if r := open(t, p.Addr(), short, pace).outcome(); r.State != tt.state || r.Error != tt.note {
				t.Errorf("the receipt is %+v, want %s with %q", r, tt.state, tt.note)
			}
			c := p.ended(tt.end)
			if tt.moved && (c.Stats.Received.Packets < 30 || c.Stats.Received.Garbage != 0) {
				t.Errorf("received at the new port: %+v", c.Stats.Received)
			}
			if tt.whole && !whole(t, c) {
				t.Error("the announcement was not heard as it was said")
			}
			if name == "in another codec" && c.Codec != 8 {
				t.Errorf("heard in codec %d, want 8", c.Codec)
			}
		})
	}
}

// resolver knows one host name.
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

// TestAnswers: sound goes to where the description is that the trunk means, however it
// writes it.
func TestAnswers(t *testing.T) {
	t.Parallel()
	named := func(c *sip.Config) { c.Names = resolver{"rtp.example", "127.0.0.1"} }
	for name, tt := range map[string]struct {
		phone  siptest.Config
		change func(*sip.Config)
		state  verify.EventState
		note   string
	}{
		"host name":                      {siptest.Config{SDPHost: "rtp.example"}, named, verify.EventDelivered, ""},
		"host name not found":            {siptest.Config{SDPHost: "nowhere.example"}, named, verify.EventUndeliverable, "no address for nowhere.example"},
		"SDP in the 183 only":            {siptest.Config{EarlySDP: true}, nil, verify.EventDelivered, ""},
		"early media, SDP in the 183":    {siptest.Config{EarlySDP: true, Early: speech(100 * time.Millisecond)}, nil, verify.EventDelivered, ""},
		"host name in the 183 only":      {siptest.Config{EarlySDP: true, SDPHost: "rtp.example"}, named, verify.EventDelivered, ""},
		"sound in another codec":         {siptest.Config{OtherCodec: true}, nil, verify.EventDelivered, ""},
		"another codec, private address": {siptest.Config{OtherCodec: true, SDPHost: "10.255.255.1"}, nil, verify.EventDelivered, ""},
		"another SSRC":                   {siptest.Config{Script: []siptest.Step{siptest.ChangeSource()}}, nil, verify.EventDelivered, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.change == nil {
				tt.change = func(*sip.Config) {}
			}
			p := start(t, tt.phone)
			if r := open(t, p.Addr(), tt.change, short).outcome(); r.State != tt.state || r.Error != tt.note {
				t.Errorf("the receipt is %+v, want %s with %q", r, tt.state, tt.note)
			}
			if c := p.ended(siptest.Bye); !c.Acked || tt.note == "" && c.Stats.Received.Packets < 30 {
				t.Errorf("acknowledged: %t, received %+v", c.Acked, c.Stats.Received)
			}
		})
	}
}

// TestKeysTogether: a 2 and a 1 under one timestamp are two keys, and the 1 counts.
func TestKeysTogether(t *testing.T) {
	t.Parallel()
	p := start(t, siptest.Config{KeysTogether: true, Script: []siptest.Step{siptest.Press("21")}})
	if r := open(t, p.Addr(), patient).outcome(); r.State != verify.EventDelivered {
		t.Errorf("the receipt is %+v", r)
	}
	if n := beginnings(t, p.ended(siptest.Bye)); n != 2 {
		t.Errorf("the announcement began %d times, want 2", n)
	}
}

// TestHeld: a call that is answered on hold ends in time, unless it is taken off hold.
func TestHeld(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"inactive", "sendonly", "zeros"} {
		for name, tt := range map[string]struct {
			timeout time.Duration
			script  []siptest.Step
			state   verify.EventState
			note    string
			end     siptest.End
		}{
			"for good":             {50 * time.Millisecond, nil, verify.EventHeld, "on hold", siptest.Bye},
			"taken off":            {patience, []siptest.Step{siptest.Resume()}, verify.EventDelivered, "", siptest.Bye},
			"taken off by the ACK": {patience, []siptest.Step{siptest.MoveByAck()}, verify.EventDelivered, "", siptest.Bye},
			"hung up":              {patience, []siptest.Step{siptest.HangUp()}, verify.EventUndeliverable, "hung up after 0s", siptest.HungUp},
		} {
			t.Run(form+" "+name, func(t *testing.T) {
				t.Parallel()
				p := start(t, siptest.Config{Held: form, Script: tt.script})
				tr := open(t, p.Addr(), short, func(c *sip.Config) { c.HoldTimeout = tt.timeout })
				if r := tr.outcome(); r.State != tt.state || r.Error != tt.note {
					t.Errorf("the receipt is %+v, want %s with %q", r, tt.state, tt.note)
				}
				c := p.ended(tt.end)
				if tt.state == verify.EventHeld && c.Stats.Received.Packets > 0 {
					t.Errorf("sound came on hold: %+v", c.Stats.Received)
				}
			})
		}
	}
}

// TestUnheard: a call without a sign that our sound arrives is answered, and no more.
func TestUnheard(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		phone siptest.Config
		note  string
		end   siptest.End
	}{
		"nothing comes back": {siptest.Config{NoRTP: true}, "no media received", siptest.Bye},
		"only garbage": {
			siptest.Config{NoRTP: true, Script: []siptest.Step{siptest.Garbage(200)}}, "no media received", siptest.Bye,
		},
		"over at once": {
			siptest.Config{Script: []siptest.Step{siptest.Hear(300 * time.Millisecond), siptest.HangUp()}}, "ended after ", siptest.HungUp,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, tt.phone)
			if r := open(t, p.Addr(), short).outcome(); r.State != verify.EventAnswered || !strings.HasPrefix(r.Error, tt.note) {
				t.Errorf("the receipt is %+v, want answered with %q", r, tt.note)
			}
			p.ended(tt.end)
		})
	}
}

// TestFaults: each fault of a phone has the reaction that the documentation promises.
func TestFaults(t *testing.T) {
	t.Parallel()
	want := map[string]verify.EventState{
		"delayed-offer-refused": verify.EventUndeliverable, "answer-on-hold": verify.EventHeld,
		"one-way": verify.EventAnswered, "hang-up": verify.EventAnswered, "late-answer": verify.EventExpired,
	}
	for _, name := range siptest.FaultNames() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := siptest.Config{User: "acme", Password: "secret", Registrar: strings.HasPrefix(name, "registration-")}
			if err := cfg.AddFaults(name); err != nil {
				t.Fatal(err)
			}
			switch {
			case name == "keys-together":
				cfg.Script = append(cfg.Script, siptest.Press("21"))
			case len(cfg.Script) > 0 && name != "hang-up":
				cfg.Script = cfg.Script[1:] // the announcement of the test is shorter than its pause
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
					c.RingTimeout = 2 * time.Second // a busy machine must see it ring first
				}
				if name != "hold" { // which lasts 2 s
					short(c)
				}
			})
			state := want[name]
			if state == "" {
				state = verify.EventDelivered
			}
			if r := tr.outcome(); r.State != state {
				t.Errorf("the receipt is %+v, want %s", r, state)
			}
		})
	}
	for _, text := range []string{"", "loud", "one-way=2", "hang-up=soon", "answer-on-hold=long", "host-name="} {
		if err := new(siptest.Config).AddFaults(text); err == nil {
			t.Errorf("%q is a fault", text)
		}
	}
}

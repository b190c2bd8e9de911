package sip_test

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"testing"
	"time"

	"go.uber.org/goleak"

	"countersign/internal/deliver"
	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/sip/softphone"
	"countersign/internal/deliver/tts/audio"
	"countersign/internal/message"
	"countersign/internal/verify"
)

// TestMain fails if calls or carriers leave goroutines or sockets. A sipgo user agent that
// is closed during a response may leave one socket. The tests run at the pace of audio
// and need little CPU time, so four run in parallel.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "4")
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/emiago/sipgo/sip.(*TransportUDP).readUDPConnection"))
}

const number = "447700900001"

// patience bounds the wait for asynchronous events.
const patience = 20 * time.Second

// speaker returns a ramp for each part, so that all announcements differ.
type speaker struct {
	part time.Duration // duration of a part; default 100 ms, to keep tests short
}

func (s speaker) Speak(_ context.Context, script message.Script) (audio.Samples, error) {
	var sound audio.Samples
	for i := range script.Parts {
		for j := range int(cmp.Or(s.part, 100*time.Millisecond).Seconds() * audio.Rate) {
			sound = append(sound, int16(500*i+17*j%9000))
		}
	}
	return sound, nil
}

func script() message.Script {
	return message.Script{Locale: "en-gb", Parts: []message.Part{{Text: "Code"}, {Spell: "1234"}, {Text: "again"}, {Spell: "1234"}}}
}

func announcement(t *testing.T) audio.Samples {
	t.Helper()
	sound, err := speaker{}.Speak(t.Context(), script())
	if err != nil {
		t.Fatal(err)
	}
	return sound
}

// trunk is a carrier with its reports.
type trunk struct {
	*sip.Carrier
	t        *testing.T
	receipts chan deliver.Receipt
}

func open(t *testing.T, host string, change ...func(*sip.Config)) *trunk {
	t.Helper()
	tr := &trunk{t: t, receipts: make(chan deliver.Receipt, 100)}
	cfg := sip.Config{
		Name: "trunk", Host: host, Listen: "127.0.0.1:0", FirstPort: 20000, LastPort: 29999, Speaker: speaker{},
		FirstResponse: patience,               // for busy machines
		KeyWait:       700 * time.Millisecond, // a code can only be heard in a call of at least a second
		CallerIDs:     []sip.CallerID{{Country: "US", Number: "12015550123"}, {Number: "442071838750"}},
		Reports: deliver.Reports{Receipt: func(_ context.Context, r deliver.Receipt) error {
			tr.receipts <- r
			return nil
		}},
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if tr.Carrier, err = sip.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// slow makes announcements so long that the other side ends the call before the code.
func slow(c *sip.Config) { c.Speaker = speaker{part: 4 * time.Second} }

// patient restores the default key wait.
func patient(c *sip.Config) { c.KeyWait = 0 }

// call returns a message with a code that ends after 200 ms.
func call() deliver.Message {
	return deliver.Message{
		EventID: verify.ID{1}, Attempt: 1, Channel: verify.TTS, To: verify.PhoneAddress(number, "GB"), Script: script(), ValidFor: time.Minute,
	}
}

// outcome sends a call, which must be accepted, and waits for its receipt.
func (tr *trunk) outcome() deliver.Receipt {
	tr.t.Helper()
	sub, err := tr.Send(tr.t.Context(), call())
	if err != nil {
		tr.t.Fatal(err)
	}
	select {
	case r := <-tr.receipts:
		if len(sub.Refs) != 1 || r.Ref != sub.Refs[0] || r.Carrier != "trunk" {
			tr.t.Errorf("receipt %+v does not match the submission %+v", r, sub)
		}
		return r
	case <-time.After(patience):
		tr.t.Fatal("no receipt arrived")
		return deliver.Receipt{}
	}
}

// begin runs outcome in the background. It delivers a zero receipt if the call fails.
func (tr *trunk) begin() <-chan deliver.Receipt {
	over := make(chan deliver.Receipt, 1)
	go func() {
		defer close(over)
		over <- tr.outcome()
	}()
	return over
}

// phone is a softphone in a test.
type phone struct {
	*softphone.Phone
	t *testing.T
}

func start(t *testing.T, cfg softphone.Config) *phone {
	t.Helper()
	p, err := softphone.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return &phone{p, t}
}

// ended waits for the end of a call and checks it.
func (p *phone) ended(want softphone.End) softphone.Call {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	c, err := p.Next(ctx)
	if err != nil {
		p.t.Fatalf("%v; want %s", err, want)
	}
	if c.Ended != want || c.Err != nil {
		p.t.Errorf("the call ended with %s (%v), want %s", c.Ended, c.Err, want)
	}
	return c
}

// beginnings returns how often the announcement started in a call.
func beginnings(t *testing.T, c softphone.Call) int {
	t.Helper()
	return bytes.Count(c.Heard, audio.MuLaw.AppendEncode(nil, announcement(t)[:160]))
}

// whole reports whether the received audio equals the announcement.
func whole(t *testing.T, c softphone.Call) bool {
	t.Helper()
	law := audio.MuLaw
	if c.Codec != 0 {
		law = audio.ALaw
	}
	return bytes.Contains(c.Heard, law.AppendEncode(nil, announcement(t)))
}

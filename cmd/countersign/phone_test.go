package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver"
	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/tts/audio"
	"countersign/internal/message"
	"countersign/internal/verify"
)

// handset is a running "countersign phone".
type handset struct {
	t    *testing.T
	out  writer
	addr string
}

func startPhone(t *testing.T, args ...string) *handset {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	h := &handset{t: t, out: make(writer, 100)}
	code := make(chan int, 1)
	var errs strings.Builder
	go func() {
		code <- run(ctx, append([]string{"phone", "--listen=127.0.0.1:0"}, args...), nil, h.out, &errs)
	}()
	t.Cleanup(func() {
		stop()
		if code := <-code; code != 0 || errs.Len() > 0 {
			t.Errorf("code %d, stderr %q", code, errs.String())
		}
	})
	first := h.line()
	if h.addr, _ = first["listening"].(string); h.addr == "" || first["transport"] != "udp" {
		t.Fatalf("first line %v", first)
	}
	return h
}

// line returns the next line of the output.
func (h *handset) line() map[string]any {
	h.t.Helper()
	select {
	case text := <-h.out:
		var v map[string]any
		if err := json.Unmarshal([]byte(text), &v); err != nil || !strings.HasSuffix(text, "}\n") {
			h.t.Fatalf("line %q: %v", text, err)
		}
		return v
	case <-time.After(await.Limit):
		h.t.Fatal("no line")
		return nil
	}
}

// ramp speaks the same ramp for every text.
type ramp struct{}

func (ramp) Speak(context.Context, message.Script) (audio.Samples, error) {
	sound := make(audio.Samples, audio.Rate/2)
	for i := range sound {
		sound[i] = int16(3 * i)
	}
	return sound, nil
}

// dial calls the phone and returns the Call-ID and the error of Send. The call ends on
// its own or when the cleanup closes the carrier.
func (h *handset) dial(change func(*sip.Config)) (id string, err error) {
	h.t.Helper()
	cfg := sip.Config{
		Name: "trunk", Host: h.addr, Listen: "127.0.0.1:0", FirstPort: 30000, LastPort: 39999, Speaker: ramp{},
		CallerIDs: []sip.CallerID{{Number: "442071838750"}}, User: "acme", Password: "secret",
	}
	change(&cfg)
	c, err := sip.New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			h.t.Error(err)
		}
	})
	sub, err := c.Send(h.t.Context(), deliver.Message{
		EventID: verify.ID{1}, Attempt: 1, Channel: verify.TTS, To: verify.PhoneAddress("447700900001", "GB"), ValidFor: time.Minute,
	})
	if err != nil {
		return "", err
	}
	return sub.Refs[0], nil
}

// TestPhone checks the line and the recording of an answered call with a key pressed.
func TestPhone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "calls")
	h := startPhone(t, "--record="+dir, "--answer-after=50ms", "--press=1", "--user=acme", "--password=secret")
	id, err := h.dial(func(*sip.Config) {})
	if err != nil {
		t.Fatal(err)
	}
	got := h.line()
	if _, err := time.Parse(time.RFC3339Nano, got["time"].(string)); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]any{
		"call_id": id, "from": "+442071838750", "to": "+447700900001", "asserted": "+442071838750",
		"ended": "bye", "status": 200., "answered": true, "acked": true, "codec": "PCMU", "encrypted": false,
		"garbage": 0., "wav": filepath.Join(dir, id+".wav"), "error": nil,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	for _, name := range []string{"rang_s", "talked_s", "heard_s", "speech_s", "packets"} {
		if n, _ := got[name].(float64); n <= 0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	wav, err := os.ReadFile(filepath.Join(dir, id+".wav"))
	if err != nil {
		t.Fatal(err)
	}
	heard, err := audio.ParseWAV(wav)
	if err != nil {
		t.Fatal(err)
	}
	said, _ := ramp{}.Speak(t.Context(), message.Script{})
	// The announcement repeats after key 1.
	if n := bytes.Count(audio.MuLaw.AppendEncode(nil, heard), audio.MuLaw.AppendEncode(nil, said)); n != 2 {
		t.Errorf("the recording contains the announcement %d times", n)
	}
}

// TestPhoneFault checks that a fault takes effect and the callee still hears the call.
func TestPhoneFault(t *testing.T) {
	t.Parallel()
	h := startPhone(t, "--fault=early-sdp,other-codec", "--fault=host-name=127.0.0.1")
	if _, err := h.dial(func(*sip.Config) {}); err != nil {
		t.Fatal(err)
	}
	if got := h.line(); got["ended"] != "bye" || got["acked"] != true || got["heard_s"].(float64) < 0.5 || got["error"] != nil {
		t.Errorf("the line is %v", got)
	}
}

// TestPhoneDoesNotAnswer checks that unanswered calls are printed and not recorded.
func TestPhoneDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]map[string]any{
		"--busy":         {"ended": "refused", "status": 486.},
		"--reject":       {"ended": "refused", "status": 603.},
		"--ring-forever": {"ended": "cancelled", "status": nil},
	} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			h := startPhone(t, flag, "--record="+dir)
			if _, err := h.dial(func(c *sip.Config) { c.RingTimeout = 200 * time.Millisecond }); err != nil {
				t.Fatal(err)
			}
			got := h.line()
			for name, want := range want {
				if got[name] != want {
					t.Errorf("%s is %v, want %v", name, got[name], want)
				}
			}
			if got["answered"] != false || got["wav"] != nil {
				t.Errorf("line %v", got)
			}
			if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
				t.Errorf("files %v (%v)", files, err)
			}
		})
	}
}

// TestPhoneFaults checks the line of a call with each fault.
func TestPhoneFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		want map[string]any
	}{
		"fork":             {[]string{"--fault=fork"}, map[string]any{"ended": "bye", "second": "bye", "acked": true}},
		"late-answer":      {[]string{"--fault=late-answer"}, map[string]any{"ended": "bye", "acked": true}},
		"odd-headers":      {[]string{"--fault", "odd-headers, session-interval=90"}, map[string]any{"ended": "bye", "acked": true}},
		"challenges":       {[]string{"--fault=challenges", "--user=acme", "--password=secret"}, map[string]any{"ended": "bye", "acked": true}},
		"session-interval": {[]string{"--fault=session-interval"}, map[string]any{"ended": "bye", "acked": true, "second": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startPhone(t, tt.args...)
			if _, err := h.dial(func(c *sip.Config) {
				if name == "late-answer" {
					c.RingTimeout = 200 * time.Millisecond
				}
			}); err != nil {
				t.Fatal(err)
			}
			got := h.line()
			for field, want := range tt.want {
				if got[field] != want {
					t.Errorf("%s is %v, want %v", field, got[field], want)
				}
			}
		})
	}
}

// TestRecordName checks that a Call-ID cannot select a path.
func TestRecordName(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, id := range []string{
		"a84b4c76e66710@pc33.atlanta.com", "1-2_3", "", ".", "..", ".hidden", "-rf", "../../etc/passwd", "/etc/passwd",
		`a\b`, "c:x", "a\x00b", "a\nb", "a\n", "ü", strings.Repeat("x", 5000), "x/y",
	} {
		name := recordName(id)
		if !filepath.IsLocal(name) || filepath.Base(name) != name || len(name) > 110 || strings.ContainsAny(name, "\\:\x00\n") || strings.IndexAny(name, ".-") == 0 {
			t.Errorf("%.40q has the name %q", id, name)
		}
		if before, twice := seen[name]; twice {
			t.Errorf("%.40q and %.40q are one file", id, before)
		}
		seen[name] = id
	}
	if got := recordName("a84b4c76e66710@pc33.atlanta.com"); got != "a84b4c76e66710@pc33.atlanta.com.wav" {
		t.Errorf("a plain Call-ID has the name %q", got)
	}
}

func TestPhoneRefuses(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.fails(2, "--transport", "phone", "--transport=sctp")
	in.fails(2, "can't be used together", "phone", "--busy", "--reject")
	in.fails(2, "--press: a key is", "phone", "--press=1x")
	in.fails(2, "--fault: \"loud\" is not a fault; use one of fork, ", "phone", "--fault=loud")
	in.fails(2, "--fault: answer-on-hold: ", "phone", "--fault=one-way,answer-on-hold=x")
	in.fails(2, "--answer-after: ", "phone", "--answer-after=-1s")
	in.fails(2, "--password requires --user", "phone", "--password=x")
	in.fails(2, "--transport tls requires --tls-cert and --tls-key", "phone", "--transport=tls", "--tls-cert=x")
	in.fails(2, "are for --transport tls", "phone", "--tls-cert=x", "--tls-key=x")
	in.fails(1, "tls: open ", "phone", "--transport=tls", "--tls-cert=no/such", "--tls-key=no/such")
	in.fails(1, "listen: ", "phone", "--listen=nowhere")
	in.fails(1, "specific address", "phone", "--listen=0.0.0.0:5070")
	in.fails(2, "--fault: \"x\" is not a fault", "phone", "--fault=x")
	in.fails(1, "challenges: a user is required", "phone", "--fault=challenges")
	in.fails(1, "--record: ", "phone", "--listen=127.0.0.1:0", "--record="+in.file("taken", ""))
}

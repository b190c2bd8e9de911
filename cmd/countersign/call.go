package main

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/config"
	"countersign/internal/deliver"
	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/tts"
	"countersign/internal/message"
	"countersign/internal/phone"
	"countersign/internal/server"
	"countersign/internal/suggest"
	"countersign/internal/verify"
)

type callCmd struct {
	configFlag
	outputFlags
	Carrier     string        `help:"Carrier of the configuration, of type sip." placeholder:"NAME"`
	Trunk       string        `help:"SIP trunk, instead of --carrier." placeholder:"sip:HOST[:PORT]"`
	Transport   string        `help:"Transport for --trunk: udp, tcp or tls. Default: ${default}." enum:"udp,tcp,tls" default:"udp"`
	TLSCA       string        `name:"tls-ca" placeholder:"FILE" help:"CA certificates (PEM) for --trunk. Default: system CAs."`
	TLSInsecure bool          `name:"tls-insecure" help:"Accept any certificate of --trunk."`
	User        string        `help:"User for --trunk." placeholder:"U"`
	Password    string        `help:"Password for --trunk. Other users can see it on the command line." placeholder:"PW"`
	SRTP        bool          `name:"srtp" help:"Encrypt the audio with SRTP, for --trunk."`
	Advertise   string        `help:"Local IP address as seen by --trunk. Default: the local address." placeholder:"ADDRESS"`
	From        string        `help:"Caller number, digits." placeholder:"NUMBER"`
	To          string        `help:"Number to call, in international form." required:"" placeholder:"NUMBER"`
	Say         string        `help:"Text to speak." placeholder:"TEXT" xor:"what" required:""`
	PIN         string        `name:"pin" help:"PIN to speak, in a message of the language." placeholder:"PIN" xor:"what" required:""`
	Lg          string        `help:"Language. Default: ${default}." default:"en-us" placeholder:"LOCALE"`
	Brand       string        `help:"Brand in the message of --pin. Default: ${default}." default:"Countersign" placeholder:"BRAND"`
	Timeout     time.Duration `help:"Maximum ringing time. Default: ${default}." default:"45s"`
}

// Run places the call. It returns an error unless the call was answered and all audio was
// played.
func (c *callCmd) Run(p *process) error {
	cfg, speech, err := c.carrier(p)
	if err != nil {
		return err
	}
	to, err := phone.Parse(c.To, "")
	if err != nil {
		return usagef("--to: %w", err)
	}
	script, err := c.script()
	if err != nil {
		return err
	}
	log := newLogger(p.stderr, logLevel("warn"), "text")
	speaker, err := tts.New(server.SpeechConfig(speech, log))
	if err != nil {
		return err
	}
	if c.Say != "" && speaker.Program() == "" {
		return errors.New("--say requires espeak-ng, which is not installed; install it, or use --pin")
	}
	cfg.Speaker = speaker
	// The number on the command line is allowed, including a prefix with high prices.
	cfg.Countries, cfg.AllowPrefixes = nil, []string{to.Digits}
	cfg.Log, cfg.RingTimeout = log, c.Timeout
	ended := make(chan sip.Result, 1)
	cfg.Ended = func(_ deliver.Message, r sip.Result) { ended <- r }
	carrier, err := sip.New(cfg)
	if err != nil {
		return err
	}
	err = c.call(p, carrier, deliver.Message{
		EventID: verify.NewID(rand.Reader), Attempt: 1, Channel: verify.TTS,
		To: verify.PhoneAddress(to.Digits, to.Country), Script: script, ValidFor: time.Minute,
	}, ended)
	return errors.Join(err, carrier.Close())
}

func (c *callCmd) call(p *process, carrier *sip.Carrier, m deliver.Message, ended <-chan sip.Result) error {
	began := time.Now()
	sub, err := carrier.Send(p.ctx, m)
	if err == nil {
		c.progressf(p, "in progress after %s: call_id=%s\n", time.Since(began).Round(time.Millisecond), strings.Join(sub.Refs, ","))
	}
	var r sip.Result
	select {
	case r = <-ended:
	default:
		if err != nil {
			return err
		}
		select {
		case r = <-ended:
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
	}
	took := time.Since(began)
	made := record[madeCall]{document: madeCallOf(r, took), text: callText(r, took), ids: []string{r.Ref}}
	switch failed := made.print(p, c.outputFlags); {
	case err != nil || failed != nil:
		return errors.Join(err, failed)
	case !r.Complete:
		return fmt.Errorf("the callee did not hear the whole message: %s", r.Outcome)
	}
	return nil
}

// madeCall is the JSON form of a call.
type madeCall struct {
	CallID   string      `json:"call_id"`
	Outcome  sip.Outcome `json:"outcome"`
	Note     string      `json:"note"`
	Seconds  float64     `json:"seconds"`
	Talked   float64     `json:"talked_s"`
	Said     float64     `json:"said_s"`
	Complete bool        `json:"complete"`
	Sent     int         `json:"packets_sent"`
	Received int         `json:"packets_received"`
	Lost     int         `json:"packets_lost"`
	Jitter   float64     `json:"jitter_ms"`
}

func madeCallOf(r sip.Result, took time.Duration) madeCall {
	sent, received := r.Stats.Sent, r.Stats.Received
	return madeCall{
		CallID: r.Ref, Outcome: r.Outcome, Note: r.Note, Seconds: seconds(took),
		Talked: seconds(r.Talked), Said: seconds(r.Said), Complete: r.Complete,
		Sent: sent.Packets, Received: received.Packets, Lost: received.Lost, Jitter: seconds(1000 * received.Jitter),
	}
}

// callText returns the end of a call and the figures of its sound, for the table form.
func callText(r sip.Result, took time.Duration) string {
	var b strings.Builder
	note := ""
	if r.Note != "" {
		note = " (" + r.Note + ")"
	}
	fmt.Fprintf(&b, "%s after %s%s: talked=%s said=%s complete=%t\n", r.Outcome, took.Round(time.Millisecond), note,
		r.Talked.Round(time.Millisecond), r.Said.Round(time.Millisecond), r.Complete)
	if r.Talked == 0 {
		return b.String()
	}
	sent, received := r.Stats.Sent, r.Stats.Received
	fmt.Fprintf(&b, "RTP sent: packets=%d octets=%d late=%d latest=%s failed=%d\n",
		sent.Packets, sent.Octets, sent.Late, sent.Lateness.Round(10*time.Microsecond), sent.Failed)
	fmt.Fprintf(&b, "RTP received: packets=%d lost=%d jitter=%s garbage=%d\n",
		received.Packets, received.Lost, received.Jitter.Round(10*time.Microsecond), received.Garbage)
	if remote := r.Stats.Remote; remote.Reports > 0 {
		fmt.Fprintf(&b, "RTP reported by the peer: reports=%d lost=%.1f%% jitter=%s round_trip=%s mos=%.2f\n", remote.Reports,
			100*remote.Lost, remote.Jitter.Round(10*time.Microsecond), remote.RoundTrip.Round(10*time.Microsecond), r.Stats.MOS())
	}
	return b.String()
}

// script returns the words to speak.
func (c *callCmd) script() (message.Script, error) {
	messages, err := message.New()
	if err != nil {
		return message.Script{}, err
	}
	locale, err := localeOf(messages, message.Verification, c.Lg)
	if err != nil {
		return message.Script{}, err
	}
	if c.Say != "" {
		return message.Script{Locale: locale, Parts: []message.Part{{Text: c.Say}}}, nil
	}
	pin, ok := verify.ParsePIN(c.PIN)
	if !ok {
		return message.Script{}, usagef("--pin: must be 4 to 10 letters and digits")
	}
	return messages.Call(message.Input{Locale: locale, Brand: c.Brand, PIN: pin, ValidFor: 5 * time.Minute}), nil
}

// carrier returns the settings of the carrier that the flags name or describe.
func (c *callCmd) carrier(p *process) (sip.Config, config.TTS, error) {
	switch {
	case c.Trunk != "" && c.Carrier != "":
		return sip.Config{}, config.TTS{}, usagef("--trunk and --carrier exclude each other")
	case c.Trunk == "" && c.Carrier == "":
		return sip.Config{}, config.TTS{}, usagef("--trunk or --carrier is missing")
	case c.Carrier != "":
		return c.configured(p)
	}
	host, ok := strings.CutPrefix(c.Trunk, "sip:")
	if !ok {
		return sip.Config{}, config.TTS{}, usagef("--trunk: %q must be sip:HOST or sip:HOST:PORT", c.Trunk)
	}
	one := config.SIP{
		Host: host, Transport: c.Transport, User: c.User, Password: c.Password, SRTP: c.SRTP, Advertise: c.Advertise, TLSCA: c.TLSCA,
	}
	cfg, err := server.SIPConfig(config.Carrier{Name: "trunk", SIP: one})
	if c.TLSInsecure && cfg.TLS != nil {
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} //nolint:gosec // the operator asked for it
	}
	c.caller(&cfg)
	return cfg, config.TTS{}, err
}

// configured returns a carrier of the configuration, without its listening port and
// registration, which a running server uses.
func (c *callCmd) configured(p *process) (sip.Config, config.TTS, error) {
	cfg, err := c.load(p)
	if err != nil {
		return sip.Config{}, config.TTS{}, err
	}
	if err := p.valid(cfg); err != nil {
		return sip.Config{}, config.TTS{}, err
	}
	i := slices.IndexFunc(cfg.Carriers, func(carrier config.Carrier) bool { return carrier.Name == c.Carrier })
	switch {
	case i < 0:
		return sip.Config{}, config.TTS{}, notFoundf("--carrier: the configuration has no %q%s", c.Carrier, suggest.Hint(c.Carrier, cfg.CarrierNames()))
	case cfg.Carriers[i].Type != config.CarrierSIP:
		return sip.Config{}, config.TTS{}, usagef("--carrier: %q is of type %s, not %s", c.Carrier, cfg.Carriers[i].Type, config.CarrierSIP)
	}
	one, err := server.SIPConfig(cfg.Carriers[i])
	one.Listen, one.Register = "", false
	c.caller(&one)
	return one, cfg.TTS, err
}

func (c *callCmd) caller(cfg *sip.Config) {
	if c.From != "" {
		cfg.CallerIDs = []sip.CallerID{{Number: strings.TrimPrefix(c.From, "+")}}
	}
}

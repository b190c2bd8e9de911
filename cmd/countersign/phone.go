package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"countersign/internal/atomicfile"
	"countersign/internal/deliver/sip/media"
	"countersign/internal/deliver/sip/softphone"
)

type phoneCmd struct {
	Listen      string        `help:"Address to listen on. Default: ${default}." default:"127.0.0.1:5070" placeholder:"IP:PORT"`
	Transport   string        `help:"Transport: udp, tcp or tls. Default: ${default}." enum:"udp,tcp,tls" default:"udp"`
	TLSCert     string        `help:"Certificate file (PEM) for tls." type:"path" placeholder:"FILE"`
	TLSKey      string        `help:"Key file (PEM) for tls." type:"path" placeholder:"FILE"`
	Record      string        `help:"Directory for recordings, one WAV file per call." type:"path" placeholder:"DIR"`
	AnswerAfter time.Duration `help:"Ringing time before the answer. Default: ${default}." default:"0s"`
	Press       string        `help:"Keys to press, one second after the answer." placeholder:"KEYS"`
	Busy        bool          `help:"Reject calls as busy (486)." xor:"what"`
	Reject      bool          `help:"Decline calls (603)." xor:"what"`
	RingForever bool          `help:"Ring until the caller hangs up." xor:"what"`
	User        string        `help:"Require this user (digest authentication). Default: no authentication." placeholder:"USER"`
	Password    string        `help:"Password for --user." placeholder:"PASSWORD"`
	Registrar   bool          `help:"Accept registrations (REGISTER)."`
	Fault       []string      `help:"Carrier fault to simulate, listed above. Repeatable." sep:"none" placeholder:"NAME[=VALUE]"`
}

// Help is shown above the flags.
func (*phoneCmd) Help() string {
	return "Prints one line of JSON for each ended call, with its numbers and keys. Recordings contain the codes.\n\nFaults; faults during a call begin one second after the answer:\n\n" + softphone.FaultHelp()
}

// Run accepts calls until a signal ends the process.
func (c *phoneCmd) Run(p *process) error {
	defer p.endOnHangup()()
	config, err := c.config()
	if err != nil {
		return err
	}
	out := &phoneLines{lines: lines{enc: json.NewEncoder(p.stdout)}}
	out.enc.SetEscapeHTML(false)
	if c.Record != "" {
		if err := os.MkdirAll(c.Record, 0o700); err != nil {
			return fmt.Errorf("--record: %w", err)
		}
		out.dir = c.Record
	}
	config.OnCall = out.call
	phone, err := softphone.Start(config)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "listen" {
		return fmt.Errorf("--listen: %w", op)
	}
	if err != nil {
		return err
	}
	out.print(struct {
		Listening string `json:"listening"`
		Transport string `json:"transport"`
	}{phone.Addr(), c.Transport})
	<-p.ctx.Done()
	return phone.Close()
}

func (c *phoneCmd) config() (softphone.Config, error) {
	config := softphone.Config{
		Listen: c.Listen, Transport: c.Transport, Ring: true, AnswerAfter: c.AnswerAfter, RingForever: c.RingForever,
		User: c.User, Password: c.Password, Registrar: c.Registrar,
	}
	switch {
	case c.Busy:
		config.Status = 486
	case c.Reject:
		config.Status = 603
	}
	if c.Press != "" {
		config.Script = []softphone.Step{softphone.Wait(time.Second), softphone.Press(c.Press)}
	}
	if err := config.AddFaults(c.Fault...); err != nil {
		return config, usagef("--fault: %w", err)
	}
	switch {
	case c.AnswerAfter < 0:
		return config, usagef("--answer-after: must not be negative")
	case !keysForm.MatchString(c.Press):
		return config, usagef("--press: a key is 0 to 9, *, # or A to D")
	case c.Password != "" && c.User == "":
		return config, usagef("--password requires --user")
	case c.Transport != "tls" && (c.TLSCert != "" || c.TLSKey != ""):
		return config, usagef("--tls-cert and --tls-key are for --transport tls")
	case c.Transport == "tls":
		if c.TLSCert == "" || c.TLSKey == "" {
			return config, usagef("--transport tls requires --tls-cert and --tls-key")
		}
		pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return config, fmt.Errorf("tls: %w", err)
		}
		config.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	return config, nil
}

var (
	keysForm = regexp.MustCompile(`^[0-9*#A-Da-d]*$`)
	// fileForm matches a Call-ID that is a valid file name on every system.
	fileForm = regexp.MustCompile(`^[0-9A-Za-z_][0-9A-Za-z_.@-]{0,99}$`)
)

// phoneLine is an output line, documented in docs/how-to/rehearse-with-the-phone.md.
type phoneLine struct {
	Time      time.Time `json:"time"`
	CallID    string    `json:"call_id"`
	From      string    `json:"from"`
	To        string    `json:"to"`
	Asserted  string    `json:"asserted,omitempty"`
	Ended     string    `json:"ended"`
	Status    int       `json:"status,omitempty"`
	Answered  bool      `json:"answered"`
	Acked     bool      `json:"acked"`
	Rang      float64   `json:"rang_s"`
	Talked    float64   `json:"talked_s"`
	Codec     string    `json:"codec,omitempty"`
	Encrypted bool      `json:"encrypted"`
	Heard     float64   `json:"heard_s"`
	Speech    float64   `json:"speech_s"`
	Keys      string    `json:"keys,omitempty"`
	Second    string    `json:"second,omitempty"`
	Packets   int       `json:"packets"`
	Lost      int       `json:"lost"`
	Jitter    float64   `json:"jitter_ms"`
	Garbage   int       `json:"garbage"`
	WAV       string    `json:"wav,omitempty"`
	Error     string    `json:"error,omitempty"`
}

// phoneLines prints calls and writes recordings.
type phoneLines struct {
	lines
	dir string // directory of recordings; "" disables them
}

func (l *phoneLines) call(c softphone.Call) {
	in := c.Stats.Received
	line := phoneLine{
		Time: c.Began.UTC().Truncate(time.Millisecond), CallID: c.ID, From: c.From, To: c.To, Asserted: c.Asserted,
		Ended: string(c.Ended), Status: c.Status, Answered: !c.Answered.IsZero(), Acked: c.Acked, Encrypted: c.Encrypted,
		Heard: seconds(c.Sound().Duration()), Speech: seconds(in.Speech), Keys: c.Keys,
		Second:  string(c.Second),
		Packets: in.Packets, Lost: in.Lost, Jitter: seconds(in.Jitter * 1000), Garbage: in.Garbage + in.Flood,
	}
	line.Rang = seconds(c.Over.Sub(c.Began))
	if line.Answered {
		line.Rang, line.Talked = seconds(c.Answered.Sub(c.Began)), seconds(c.Over.Sub(c.Answered))
		line.Codec = map[uint8]string{media.PCMU: "PCMU", media.PCMA: "PCMA"}[c.Codec]
	}
	err := c.Err
	if l.dir != "" && len(c.Heard) > 0 {
		name := recordName(c.ID)
		path := filepath.Join(l.dir, name)
		if failed := atomicfile.WriteFile(path, c.Sound().WAV(), 0o600); failed != nil {
			err = errors.Join(err, failed)
		} else {
			line.WAV = path
		}
	}
	if err != nil {
		line.Error = err.Error()
	}
	l.print(line)
}

// recordName returns the file name for a call. The caller chooses the Call-ID, so an ID
// that is not a plain file name is replaced with its digest.
func recordName(id string) string {
	if !fileForm.MatchString(id) {
		sum := sha256.Sum256([]byte(id))
		id = hex.EncodeToString(sum[:16])
	}
	return id + ".wav"
}

// seconds returns d in seconds with three decimals.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }

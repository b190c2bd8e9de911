package softphone

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"countersign/internal/deliver/sip/media"
)

// fault is a misbehaviour of carriers that a phone can inject.
type fault struct {
	name  string
	value string // name of its value in the help; "" for a fault without value
	help  string
	apply func(c *Config, value string)
}

// number returns the checked value of a fault, or fallback if it was omitted.
func number(value string, fallback int) int {
	if n, err := strconv.Atoi(value); err == nil {
		return n
	}
	return fallback
}

// faultDelay is the time from the answer to a fault within the call.
const faultDelay = time.Second

// afterAnswer returns a fault that appends steps to the script, faultDelay after the
// answer or the previous step.
func afterAnswer(steps ...Step) func(*Config, string) {
	return func(c *Config, _ string) {
		c.Script = append(append(c.Script, Wait(faultDelay)), steps...)
	}
}

//nolint:gochecknoglobals // a table
var faultTable = []fault{
	{"fork", "", "a second phone also rings and answers, with another To tag", func(c *Config, _ string) { c.Fork = true }},
	{"late-answer", "", "answer only cancelled calls: CANCEL and 200 cross", func(c *Config, _ string) { c.Late = true }},
	{"odd-headers", "", "write headers with compact names, folded lines, white space and capitals", func(c *Config, _ string) { c.OddHeaders = true }},
	{"challenges", "", "with --user: challenge with Bearer, AKAv1-MD5, MD5, SHA-256 and SHA-512-256, accept only SHA-512-256", func(c *Config, _ string) {
		c.Challenges = true
	}},
	{"session-interval", "SECONDS", "refuse with 422 unless Min-SE is at least this, default 1800", func(c *Config, value string) { c.MinSE = number(value, 1800) }},
	{"registration-interval", "SECONDS", "with --registrar: refuse with 423 unless Expires is at least this, default 3600", func(c *Config, value string) {
		c.ShortestRegistration = time.Duration(number(value, 3600)) * time.Second
	}},
	{"registration-refused", "STATUS", "with --registrar: refuse REGISTER, default 503 with Retry-After", func(c *Config, value string) {
		c.RegisterStatus = number(value, 503)
	}},
	{"delayed-offer", "", "re-INVITE without SDP; the answer in the ACK moves the audio to another port", afterAnswer(MoveByAck())},
	{"delayed-offer-unanswered", "", "re-INVITE without SDP; the ACK has no SDP either", afterAnswer(AnswerByAck(NoAnswer))},
	{"delayed-offer-refused", "", "re-INVITE without SDP; the answer in the ACK refuses the audio", afterAnswer(AnswerByAck(RefuseAudio))},
	{"hold", "", "hold the call for 2s by re-INVITE", afterAnswer(Hold(), Wait(2*time.Second), Resume())},
	{"move", "", "move the audio to another port by re-INVITE", afterAnswer(Move())},
	{"other-codec", "", "answer with PCMU and PCMA, and send PCMA while receiving PCMU", func(c *Config, _ string) { c.OtherCodec = true }},
	{"host-name", "NAME", "host name in c= of the SDP, default localhost", func(c *Config, value string) {
		if c.SDPHost = value; value == "" {
			c.SDPHost = "localhost"
		}
	}},
	{"early-sdp", "", "183 with SDP, then 200 without", func(c *Config, _ string) { c.EarlySDP = true }},
	{"answer-on-hold", "FORM", "answer on hold: inactive (default), sendonly or zeros (c=0.0.0.0)", func(c *Config, value string) {
		if c.Held = value; value == "" {
			c.Held = string(media.Inactive)
		}
	}},
	{"off-hold", "", "with answer-on-hold: take the call off hold by re-INVITE after 1s", afterAnswer(Resume())},
	{"keys-together", "", "with --press: all keys have one RTP timestamp", func(c *Config, _ string) { c.KeysTogether = true }},
	{"new-ssrc", "", "change SSRC and sequence numbers", afterAnswer(ChangeSource())},
	{"one-way", "", "send neither RTP nor RTCP", func(c *Config, _ string) { c.NoRTP = true }},
	{"hang-up", "TIME", "hang up this long after the answer, default 500ms", func(c *Config, value string) {
		after, err := time.ParseDuration(value)
		if err != nil { // omitted; checkFault rejects malformed values
			after = 500 * time.Millisecond
		}
		c.Script = append(c.Script, Wait(after), HangUp())
	}},
}

// FaultHelp returns the list of faults, one per line.
func FaultHelp() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range faultTable {
		form := f.name
		if f.value != "" {
			form += "[=" + f.value + "]"
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", form, f.help) // a Builder never fails
	}
	_ = w.Flush()
	return b.String()
}

// FaultNames returns the names of the faults, in the order of [FaultHelp].
func FaultNames() []string {
	var names []string
	for _, f := range faultTable {
		names = append(names, f.name)
	}
	return names
}

// AddFaults adds faults, each as NAME or NAME=VALUE, or several separated by commas.
// Faults within a call are appended to the script in the given order.
func (c *Config) AddFaults(texts ...string) error {
	for _, text := range texts {
		for one := range strings.SplitSeq(text, ",") {
			if err := c.addFault(strings.TrimSpace(one)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Config) addFault(text string) error {
	name, value, given := strings.Cut(text, "=")
	for _, f := range faultTable {
		if f.name != name {
			continue
		}
		if given && f.value == "" {
			return fmt.Errorf("%s takes no value, not %q", name, value)
		}
		if given {
			if err := checkFault(name, value); err != nil {
				return err
			}
		}
		f.apply(c, value)
		return nil
	}
	return fmt.Errorf("%q is not a fault; use one of %s", name, strings.Join(FaultNames(), ", "))
}

// checkFault checks the value of a fault.
func checkFault(name, value string) error {
	n, err := strconv.Atoi(value)
	switch name {
	case "session-interval", "registration-interval":
		if err != nil || n < 1 || n > 1_000_000 {
			return fmt.Errorf("%s: %q must be a number of seconds, 1 to 1000000", name, value)
		}
	case "registration-refused":
		if err != nil || n < 400 || n > 699 {
			return fmt.Errorf("%s: %q must be a status, 400 to 699", name, value)
		}
	case "answer-on-hold":
		if value != string(media.Inactive) && value != string(media.SendOnly) && value != zeros {
			return fmt.Errorf("%s: %q must be inactive, sendonly or zeros", name, value)
		}
	case "hang-up":
		if d, err := time.ParseDuration(value); err != nil || d < 0 {
			return fmt.Errorf("%s: %q must be a time such as 500ms", name, value)
		}
	case "host-name":
		if value == "" || strings.ContainsAny(value, " \t\r\n") {
			return fmt.Errorf("%s: %q must be a host name", name, value)
		}
	}
	return nil
}

// zeros is the form of hold in RFC 2543: c=0.0.0.0.
const zeros = "zeros"

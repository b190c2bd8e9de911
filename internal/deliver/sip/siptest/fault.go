package siptest

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// fault is a misbehaviour of carriers that a phone can show.
type fault struct {
	name  string
	value string // name of its value; "" for a fault without one
	help  string
	apply func(c *Config, value string)
}

// number is the value of a fault, or a default. It was checked.
func number(value string, fallback int) int {
	if n, err := strconv.Atoi(value); err == nil {
		return n
	}
	return fallback
}

//nolint:gochecknoglobals // a table
var faultTable = []fault{
	{"fork", "", "a second phone rings and answers, too, with another To tag", func(c *Config, _ string) { c.Fork = true }},
	{"late-answer", "", "answer no call but a cancelled one: CANCEL and 200 cross", func(c *Config, _ string) { c.Late = true }},
	{"odd-headers", "", "write headers with compact names, folded lines, white space and capitals", func(c *Config, _ string) { c.OddHeaders = true }},
	{"challenges", "", "with --user: challenge with Bearer, AKAv1-MD5, MD5, SHA-256 and SHA-512-256, take SHA-512-256 only", func(c *Config, _ string) {
		c.Challenges = true
	}},
	{"session-interval", "SECONDS", "422 unless Min-SE is at least this, default 1800", func(c *Config, value string) { c.MinSE = number(value, 1800) }},
	{"registration-interval", "SECONDS", "with --registrar: 423 unless Expires is at least this, default 3600", func(c *Config, value string) {
		c.ShortestRegistration = time.Duration(number(value, 3600)) * time.Second
	}},
	{"registration-refused", "STATUS", "with --registrar: refuse REGISTER, default 503 with Retry-After", func(c *Config, value string) {
		c.RegisterStatus = number(value, 503)
	}},
}

// FaultHelp lists the faults, a line each.
func FaultHelp() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range faultTable {
		form := f.name
		if f.value != "" {
			form += "[=" + f.value + "]"
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", form, f.help) // a Builder takes everything
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

// AddFaults makes the phone show faults, each as NAME or NAME=VALUE, or several with
// commas between them.
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
	}
	return nil
}

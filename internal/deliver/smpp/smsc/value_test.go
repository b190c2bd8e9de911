package smsc_test

import (
	"strings"
	"testing"

	"countersign/internal/deliver/smpp/smsc"
)

func TestParseFaultsErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                      `unknown fault ""`,
		"frobnicate":            `unknown fault "frobnicate"; use one of delay, rate, throttle`,
		"throttle,,":            `unknown fault ""`,
		"throttle=":             "missing value after =",
		"throttle=30":           `invalid share "30"; use a percentage such as 30% or a count such as 2x`,
		"throttle=101%":         "invalid share",
		"throttle=-1%":          "invalid share",
		"throttle=NaN%":         "invalid share",
		"throttle=0x":           "invalid share",
		"throttle=30%:0x58":     "invalid share",
		"refuse=5%:":            `invalid command_status ""`,
		"refuse=5%:0":           `invalid command_status "0"`,
		"refuse=5%:0x100000000": "invalid command_status",
		"refuse=0x0B":           "invalid share",
		"delay":                 `invalid time ""`,
		"delay=fast":            `invalid time "fast"; use a duration or range such as 200ms or 0-2s`,
		"delay=2s-1s":           "invalid time",
		"delay=-1s":             "invalid time",
		"delay=25h":             "invalid time",
		"delay=1s-2s-3s":        "invalid time",
		"rate=0":                `invalid rate "0"; use a number from 1 to 100000`,
		"rate=x":                "invalid rate",
		"rate=100001":           "invalid rate",
		"half-open=5%":          `"half-open=5%": takes no value`,
		"undeliverable=+":       "invalid share",
		"undeliverable=44x7":    "invalid share",
	} {
		f, err := smsc.ParseFaults("queue-full", text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
		if text != "" && err != nil && !strings.Contains(err.Error(), "fault") {
			t.Errorf("%q: error %v does not contain fault", text, err)
		}
		_ = f
	}
	defer func() {
		if recover() == nil {
			t.Error("MustFaults accepts an unknown fault")
		}
	}()
	smsc.MustFaults("frobnicate")
}

// TestFaultHelp: the help has every fault with its syntax.
func TestFaultHelp(t *testing.T) {
	t.Parallel()
	value := strings.NewReplacer("[", "", "]", "", "SHARE|DIGITS", "4477", "SHARE", "30%", "STATUS", "0x45", "TIME", "1s-2s", "=N", "=30", "TAG", "0x1400")
	seen := 0
	for line := range strings.Lines(smsc.FaultHelp()) {
		if strings.TrimSpace(line) == "" {
			break
		}
		form := strings.Fields(line)[0]
		name := form[:strings.IndexAny(form+"=", "=[")]
		for _, text := range []string{value.Replace(form), " " + value.Replace(form) + " , throttle"} {
			if _, err := smsc.ParseFaults(text); err != nil {
				t.Errorf("syntax %q in the help: %v", form, err)
			}
		}
		if strings.Contains(form, "[=") || form == name {
			if _, err := smsc.ParseFaults(name); err != nil {
				t.Errorf("syntax %q in the help: %v", form, err)
			}
		}
		if _, err := smsc.ParseFaults("frobnicate"); !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %q: %v", name, err)
		}
		seen++
	}
	if seen < 20 {
		t.Errorf("the help has %d faults", seen)
	}
}

func FuzzParseFaults(f *testing.F) {
	for _, text := range []string{
		"delay=0-2s", "throttle=30%,rate=30", "refuse=5%:0x45", "undeliverable=4477", "half-open",
		"disconnect=2x", "receipt-shuffle", "delay=1s-", "refuse=:", "rate=-1", "expired=1e-3%",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := smsc.ParseFaults(text)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a text")
			}
			return
		}
		// A valid fault is also valid in a list, as arguments or separated by commas.
		if _, err := smsc.ParseFaults("throttle", text); err != nil {
			t.Errorf("%q after another: %v", text, err)
		}
		if _, err := smsc.ParseFaults(strings.Split(text, ",")...); err != nil {
			t.Errorf("%q as separate arguments: %v", text, err)
		}
	})
}

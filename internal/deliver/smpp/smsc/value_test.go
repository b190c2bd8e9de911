package smsc_test

import (
	"strings"
	"testing"

	"countersign/internal/deliver/smpp/smsc"
)

func TestParseFaultsErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                      `there is no fault ""`,
		"frobnicate":            `there is no fault "frobnicate"; there are delay, rate, throttle`,
		"throttle,,":            `there is no fault ""`,
		"throttle=":             "the value is missing",
		"throttle=30":           `"30" is no share, such as 30% or 2x`,
		"throttle=101%":         "is no share",
		"throttle=-1%":          "is no share",
		"throttle=NaN%":         "is no share",
		"throttle=0x":           "is no share",
		"throttle=30%:0x58":     "is no share",
		"refuse=5%:":            `"" is no command_status`,
		"refuse=5%:0":           `"0" is no command_status`,
		"refuse=5%:0x100000000": "is no command_status",
		"refuse=0x0B":           "is no share",
		"delay":                 `"" is no time`,
		"delay=fast":            `"fast" is no time, such as 200ms or 0-2s`,
		"delay=2s-1s":           "is no time",
		"delay=-1s":             "is no time",
		"delay=25h":             "is no time",
		"delay=1s-2s-3s":        "is no time",
		"rate=0":                "is not a number from 1 to 100000",
		"rate=x":                "is not a number",
		"rate=100001":           "is not a number",
		"half-open=5%":          "it takes no value",
		"undeliverable=+":       "is no share",
		"undeliverable=44x7":    "is no share",
	} {
		f, err := smsc.ParseFaults("queue-full", text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
		if text != "" && err != nil && !strings.Contains(err.Error(), "fault") {
			t.Errorf("%q: error %v does not say fault", text, err)
		}
		_ = f
	}
	defer func() {
		if recover() == nil {
			t.Error("MustFaults takes anything")
		}
	}()
	smsc.MustFaults("frobnicate")
}

// TestFaultHelp: the help names every fault, and each can be given as it says.
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
				t.Errorf("the help says %q: %v", form, err)
			}
		}
		if strings.Contains(form, "[=") || form == name {
			if _, err := smsc.ParseFaults(name); err != nil {
				t.Errorf("the help says %q: %v", form, err)
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
				t.Error("an error without a word")
			}
			return
		}
		// What is right alone is right among others, and in the other form of a list.
		if _, err := smsc.ParseFaults("throttle", text); err != nil {
			t.Errorf("%q after another: %v", text, err)
		}
		if _, err := smsc.ParseFaults(strings.Split(text, ",")...); err != nil {
			t.Errorf("%q taken apart: %v", text, err)
		}
	})
}

package softphone_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"countersign/internal/deliver/sip/softphone"
)

// TestAddFaults: a fault changes the configuration, and an invalid one is an error that
// names it.
func TestAddFaults(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]softphone.Config{
		"":                         {},
		"fork":                     {Fork: true},
		"late-answer":              {Late: true},
		"odd-headers":              {OddHeaders: true},
		"challenges":               {Challenges: true},
		"session-interval":         {MinSE: 1800},
		"session-interval=90":      {MinSE: 90},
		"registration-interval":    {ShortestRegistration: time.Hour},
		"registration-interval=60": {ShortestRegistration: time.Minute},
		"registration-refused":     {RegisterStatus: 503},
		"registration-refused=403": {RegisterStatus: 403},
		"fork, odd-headers":        {Fork: true, OddHeaders: true},
	} {
		var got softphone.Config
		if text != "" {
			if err := got.AddFaults(text); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
		if name, _, _ := strings.Cut(text, "="); !strings.Contains(softphone.FaultHelp(), strings.Split(name, ",")[0]) {
			t.Errorf("the help does not list %q", name)
		}
	}
	for text, part := range map[string]string{
		"forks": "use one of fork", "fork=2": "takes no value", "session-interval=soon": "number of seconds",
		"registration-interval=0": "number of seconds", "registration-refused=200": "400 to 699", ",": "not a fault",
	} {
		var c softphone.Config
		if err := c.AddFaults(text); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v, want %q", text, err, part)
		}
	}
	for _, name := range softphone.FaultNames() {
		var c softphone.Config
		if err := c.AddFaults(name); err != nil || reflect.DeepEqual(c, softphone.Config{}) {
			t.Errorf("%s has no effect (%v)", name, err)
		}
	}
}

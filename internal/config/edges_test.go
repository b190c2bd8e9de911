package config_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/config"
	"countersign/internal/verify"
)

// fraudRule is a rule with blocks, with accessors for its settings.
type fraudRule struct {
	key    string
	modes  map[string]func(*config.Fraud) *config.Mode
	window func(*config.Fraud) *time.Duration // nil if the rule has no window
	blocks func(*config.Fraud) *[]time.Duration
}

func fraudRules() []fraudRule {
	type modes = map[string]func(*config.Fraud) *config.Mode
	return []fraudRule{
		{
			"fraud.rules.conversion",
			modes{
				"mode":         func(f *config.Fraud) *config.Mode { return &f.Rules.Conversion.Mode },
				"all_accounts": func(f *config.Fraud) *config.Mode { return &f.Rules.Conversion.AllAccounts },
			},
			func(f *config.Fraud) *time.Duration { return &f.Rules.Conversion.Window },
			func(f *config.Fraud) *[]time.Duration { return &f.Rules.Conversion.Blocks },
		},
		{
			"fraud.rules.sequence",
			modes{"mode": func(f *config.Fraud) *config.Mode { return &f.Rules.Sequence.Mode }},
			func(f *config.Fraud) *time.Duration { return &f.Rules.Sequence.Window },
			func(f *config.Fraud) *[]time.Duration { return &f.Rules.Sequence.Blocks },
		},
		{
			"fraud.rules.unverified",
			modes{"mode": func(f *config.Fraud) *config.Mode { return &f.Rules.Unverified.Mode }},
			func(f *config.Fraud) *time.Duration { return &f.Rules.Unverified.Window },
			func(f *config.Fraud) *[]time.Duration { return &f.Rules.Unverified.Blocks },
		},
		{
			"fraud.rules.prefix",
			modes{"mode": func(f *config.Fraud) *config.Mode { return &f.Rules.Prefix.Mode }},
			func(f *config.Fraud) *time.Duration { return &f.Rules.Prefix.Window },
			func(f *config.Fraud) *[]time.Duration { return &f.Rules.Prefix.Blocks },
		},
		{
			"fraud.rules.network",
			modes{"mode": func(f *config.Fraud) *config.Mode { return &f.Rules.Network.Mode }},
			func(f *config.Fraud) *time.Duration { return &f.Rules.Network.Window },
			func(f *config.Fraud) *[]time.Duration { return &f.Rules.Network.Blocks },
		},
		{
			"fraud.rules.source",
			modes{"mode": func(f *config.Fraud) *config.Mode { return &f.Rules.Source.Mode }},
			func(f *config.Fraud) *time.Duration { return &f.Rules.Source.Window },
			func(f *config.Fraud) *[]time.Duration { return &f.Rules.Source.Blocks },
		},
		{
			"fraud.rules.country",
			modes{"mode": func(f *config.Fraud) *config.Mode { return &f.Rules.Country.Mode }},
			nil,
			func(f *config.Fraud) *[]time.Duration { return &f.Rules.Country.Blocks },
		},
		{
			"fraud.voice",
			modes{"mode": func(f *config.Fraud) *config.Mode { return &f.Voice.Mode }},
			nil,
			func(f *config.Fraud) *[]time.Duration { return &f.Voice.Blocks },
		},
	}
}

// TestEveryBlockListHasARow fails if the table above lacks a rule with blocks.
func TestEveryBlockListHasARow(t *testing.T) {
	t.Parallel()
	var rows, keys []string
	for _, rule := range fraudRules() {
		rows = append(rows, rule.key+".blocks[]")
	}
	for _, r := range config.Ranges() {
		if strings.HasSuffix(r.Key, ".blocks[]") {
			keys = append(keys, r.Key)
		}
	}
	slices.Sort(rows)
	slices.Sort(keys)
	if !slices.Equal(rows, keys) {
		t.Errorf("the table has %s, the configuration %s", rows, keys)
	}
}

// validate expects one problem with the key want after change, or no problem if want is "".
func validate(t *testing.T, change func(*config.Config), want string) {
	t.Helper()
	c := config.Default()
	change(&c)
	err := c.Validate()
	switch {
	case want == "" && err != nil:
		t.Errorf("Validate = %v, want no problem", err)
	case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want+": ") || strings.Contains(err.Error(), "\n")):
		t.Errorf("Validate = %v, want one problem with the key %s", err, want)
	}
}

// TestFraudRules: blocks have 1 to 10 durations, and only the last may be 0; windows are
// whole minutes; modes are checked.
func TestFraudRules(t *testing.T) {
	t.Parallel()
	hours := func(n int) []time.Duration { return slices.Repeat([]time.Duration{time.Hour}, n) }
	for _, rule := range fraudRules() {
		t.Run(rule.key, func(t *testing.T) {
			t.Parallel()
			for _, tt := range []struct {
				blocks []time.Duration
				key    string // key below the rule; "" if the list is valid
			}{
				{nil, "blocks"},
				{[]time.Duration{}, "blocks"},
				{hours(1), ""},
				{hours(10), ""},
				{hours(11), "blocks"},
				{[]time.Duration{0}, ""},
				{[]time.Duration{time.Hour, 0}, ""},
				{[]time.Duration{0, time.Hour}, "blocks[0]"},
				{[]time.Duration{time.Hour, 0, 0}, "blocks[1]"},
				{[]time.Duration{time.Minute - 1}, "blocks[0]"},
			} {
				want := ""
				if tt.key != "" {
					want = rule.key + "." + tt.key
				}
				validate(t, func(c *config.Config) { *rule.blocks(&c.Fraud) = tt.blocks }, want)
			}
			for name, mode := range rule.modes {
				for _, m := range []config.Mode{"off", "shadow", "enforce"} {
					validate(t, func(c *config.Config) { *mode(&c.Fraud) = m }, "")
				}
				validate(t, func(c *config.Config) { *mode(&c.Fraud) = "" }, rule.key+"."+name)
				validate(t, func(c *config.Config) { *mode(&c.Fraud) = "Enforce" }, rule.key+"."+name)
			}
			if rule.window == nil {
				return
			}
			validate(t, func(c *config.Config) { *rule.window(&c.Fraud) = time.Minute }, "")
			validate(t, func(c *config.Config) { *rule.window(&c.Fraud) = 90 * time.Second }, rule.key+".window")
		})
	}
	for m, want := range map[config.Mode]string{"off": "", "shadow": "", "enforce": "fraud.rules.spend.mode", "": "fraud.rules.spend.mode"} {
		validate(t, func(c *config.Config) { c.Fraud.Rules.Spend.Mode = m }, want)
	}
}

// TestShadow: Shadow sets enforced rules to shadow; a rule that is off remains off.
func TestShadow(t *testing.T) {
	t.Parallel()
	for _, rule := range fraudRules() {
		for name, mode := range rule.modes {
			for before, want := range map[config.Mode]config.Mode{"enforce": "shadow", "shadow": "shadow", "off": "off"} {
				f := config.Default().Fraud
				*mode(&f) = before
				shadow := f.Shadow()
				if got := *mode(&shadow); got != want || *mode(&f) != before {
					t.Errorf("%s.%s: %s becomes %s, want %s", rule.key, name, before, got, want)
				}
			}
		}
	}
}

// TestBlocksFromAFile: an empty list is a problem and does not select the default.
func TestBlocksFromAFile(t *testing.T) {
	t.Parallel()
	path := write(t, "fraud:\n  rules:\n    prefix:\n      blocks: []\n  voice: {blocks: [0]}\n")
	c, from, err := config.Read(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = from.Locate(c.Validate())
	if want := path + ":4: fraud.rules.prefix.blocks: must have 1 to 10 durations"; fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestCharacters: exactly the characters of each alphabet are accepted.
func TestCharacters(t *testing.T) {
	t.Parallel()
	const (
		digits  = "0123456789"
		lower   = "abcdefghijklmnopqrstuvwxyz"
		capital = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	)
	for _, tt := range []struct {
		key, allowed string
		set          func(c *config.Config, char string)
	}{
		{"server.names[0]", digits + lower + capital + "_.-", func(c *config.Config, s string) { c.Server.Names = []string{"a" + s + "b.example"} }},
		{"server.names[0]", digits + lower + capital + "_", func(c *config.Config, s string) { c.Server.Names = []string{s + "b.example"} }},
		{"server.names[0]", digits + lower + capital + "_", func(c *config.Config, s string) { c.Server.Names = []string{"b.exampl" + s} }},
		{"tts.voices[0].locale", lower, func(c *config.Config, s string) {
			c.TTS.Command, c.TTS.Voices = []string{"piper"}, []config.Voice{{Locale: "e" + s + "-gb", Name: "a"}}
		}},
		{"tts.voices[0].locale", lower, func(c *config.Config, s string) {
			c.TTS.Command, c.TTS.Voices = []string{"piper"}, []config.Voice{{Locale: "en-g" + s, Name: "a"}}
		}},
		{"carriers[1].name", digits + lower + capital + "-_", func(c *config.Config, s string) {
			c.Carriers = append(c.Carriers, config.Carrier{Name: "x" + s, Type: config.CarrierVirtual})
		}},
		{"routes[1].country", capital, func(c *config.Config, s string) {
			c.Routes = append(c.Routes, config.Route{Country: "G" + s})
		}},
		{"routes[1].prefix", digits, func(c *config.Config, s string) { c.Routes = append(c.Routes, config.Route{Prefix: "4" + s}) }},
		{"networks.unsupported[0]", "123456789", func(c *config.Config, s string) { c.Networks.Unsupported = []string{s} }},
	} {
		for r := range rune(0x84) {
			if r >= 0x80 {
				r = []rune("éſ٣Ａ")[r-0x80] // letters and digits outside ASCII
			}
			c := config.Default()
			tt.set(&c, string(r))
			err := c.Validate()
			if want := strings.ContainsRune(tt.allowed, r); (err == nil) != want || err != nil && !strings.HasPrefix(err.Error(), tt.key+": ") {
				t.Errorf("%s with %q: %v, allowed: %v", tt.key, r, err, want)
			}
		}
	}
}

// TestLogLevels: the level of each word.
func TestLogLevels(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		if got, err := (config.Log{Level: word}).MinLevel(); err != nil || got != want {
			t.Errorf("%s is %v, %v", word, got, err)
		}
	}
	if _, err := (config.Log{Level: "warning"}).MinLevel(); err == nil || !strings.HasSuffix(err.Error(), "did you mean warn?") {
		t.Errorf("warning: %v", err)
	}
}

// TestRelations: settings that bound each other may be equal.
func TestRelations(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for _, tt := range []struct {
		key    string
		change func(*config.Config)
	}{
		{"", func(c *config.Config) { c.Limits.HeaderTimeout, c.Limits.ReadTimeout = 9*second, 9*second }},
		{"limits.read_timeout", func(c *config.Config) { c.Limits.HeaderTimeout, c.Limits.ReadTimeout = 9*second, 9*second-1 }},
		{"", func(c *config.Config) {
			c.Limits.ReadTimeout, c.Limits.FailedLoginDelay, c.Limits.WriteTimeout = 9*second, second, 10*second
		}},
		{"limits.write_timeout", func(c *config.Config) {
			c.Limits.ReadTimeout, c.Limits.FailedLoginDelay, c.Limits.WriteTimeout = 9*second, second, 10*second-1
		}},
		{"", func(c *config.Config) { c.Fraud.Remember = 24 * time.Hour }},
		{"fraud.remember", func(c *config.Config) { c.Fraud.Caps.Lock, c.Fraud.Remember = 48*time.Hour, 48*time.Hour-1 }},
		{"", func(c *config.Config) { c.Fraud.Caps.Sends[0].Within, c.Fraud.Remember = 48*time.Hour, 48*time.Hour }},
		{"fraud.remember", func(c *config.Config) { c.Fraud.Caps.Sends[0].Within, c.Fraud.Remember = 48*time.Hour, 48*time.Hour-1 }},
		{"fraud.remember", func(c *config.Config) {
			c.Fraud.Caps.AccountSends[2].Within, c.Fraud.Remember = 48*time.Hour, 48*time.Hour-1
		}},
		{"fraud.remember", func(c *config.Config) {
			c.Fraud.Caps.AccountFailedChecks[0].Within, c.Fraud.Remember = 48*time.Hour, 48*time.Hour-1
		}},
		{"", func(c *config.Config) { c.Limits.DeniedBrands = []string{"a", "7", "é", "b-"} }},
		{"limits.denied_brands[0]", func(c *config.Config) { c.Limits.DeniedBrands = []string{""} }},
		{"", func(c *config.Config) {
			c.Routes = append(c.Routes, config.Route{Country: "GB"}, config.Route{Country: "FR"})
		}},
		{"routes[2]", func(c *config.Config) {
			c.Routes = append(c.Routes, config.Route{Country: "GB"}, config.Route{Country: "GB", Carriers: []string{"phone"}, Weights: []int{1}})
		}},
		{"", func(c *config.Config) {
			c.Fraud.Voice.Countries, c.Fraud.Voice.AllowPrefixes = []string{"AA", "ZZ"}, []string{"1", "979"}
		}},
		{"fraud.voice.countries[1]", func(c *config.Config) { c.Fraud.Voice.Countries = []string{"GB", "gb"} }},
		{"fraud.voice.allow_prefixes[1]", func(c *config.Config) { c.Fraud.Voice.AllowPrefixes = []string{"1", ""} }},
		{"fraud.voice.allow_prefixes[0]", func(c *config.Config) { c.Fraud.Voice.AllowPrefixes = []string{"+979"} }},
		{"", func(c *config.Config) { c.Outbound.Networks = []string{"10.0.0.0/8", "::1"} }},
		{"outbound.networks[1]", func(c *config.Config) { c.Outbound.Networks = []string{"10.0.0.0/8", "intranet"} }},
		{"carriers[1].virtual.public", smppPublic},
		{"", func(c *config.Config) { c.Carriers[0].Virtual.Public = true }},
		{"", func(c *config.Config) { c.Carriers[0].Refuse = []verify.Channel{verify.SMS, verify.TTS} }},
		{"", func(c *config.Config) {
			c.Carriers = append(c.Carriers, config.Carrier{Name: "sink", Type: config.CarrierSink, Record: "/tmp/sent"})
		}},
	} {
		validate(t, tt.change, tt.key)
	}
}

func smppPublic(c *config.Config) {
	smppCarrier(func(*config.SMPP) {})(c)
	c.Carriers[1].Virtual.Public = true
}

// TestBooleans: only the words true and false are accepted, in a file and in a variable.
func TestBooleans(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"true": "true", "false": "false", "~": "false",
		"yes": `must be true or false, not "yes"`, "True": `must be true or false, not "True"`, "1": `must be true or false, not "1"`, "": "false",
	} {
		c, err := load(write(t, "voice: {require_media: "+text+"}\n"), nil)
		got := fmt.Sprint(c.Voice.RequireMedia)
		if err != nil {
			_, got, _ = strings.Cut(err.Error(), "voice.require_media: ")
		}
		if got != want {
			t.Errorf("%q is read as %s, want %s", text, got, want)
		}
		if text == "" || text == "~" {
			continue // "" is not valid in a variable, and null is not text
		}
		c, err = load("", []string{"COUNTERSIGN_VOICE_REQUIRE_MEDIA=" + text})
		if ok := err == nil; ok != (want == text) || ok && fmt.Sprint(c.Voice.RequireMedia) != want {
			t.Errorf("variable %q: %v, %v", text, c.Voice.RequireMedia, err)
		}
	}
}

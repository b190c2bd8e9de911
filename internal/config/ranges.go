package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Range is the allowed range of a numeric setting.
type Range struct {
	Key      string // key in the file; [] stands for any element of a list
	Min, Max int64  // inclusive; nanoseconds if Duration is set
	Duration bool
	Zero     bool // also allow 0: unlimited, or the default
}

// String returns the range in the format of errors and the documentation.
func (r Range) String() string {
	text := fmt.Sprintf("%d to %d", r.Min, r.Max)
	if r.Duration {
		text = Duration(r.Min) + " to " + Duration(r.Max)
	}
	if r.Zero {
		text += ", or 0"
	}
	return text
}

// Duration formats nanoseconds without trailing zero parts: 10m, not 10m0s.
func Duration(nanoseconds int64) string {
	text := time.Duration(nanoseconds).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func (r Range) has(n int64) bool { return r.Zero && n == 0 || n >= r.Min && n <= r.Max }

func (r Range) orZero() Range {
	r.Zero = true
	return r
}

func count(key string, least, most int64) Range { return Range{Key: key, Min: least, Max: most} }

func times(key string, least, most time.Duration) Range {
	return Range{Key: key, Min: int64(least), Max: int64(most), Duration: true}
}

// Ranges returns the range of every numeric setting, in the order of the documentation.
// [Config.Validate] also checks the relations between settings.
func Ranges() []Range {
	return []Range{
		count("limits.requests_per_second", 1, 65_535),
		count("limits.body_bytes", 1_024, 16_777_216),
		count("limits.header_bytes", 1_024, 1_048_576),
		times("limits.header_timeout", 100*time.Millisecond, time.Minute),
		times("limits.read_timeout", 100*time.Millisecond, 10*time.Minute),
		times("limits.write_timeout", 100*time.Millisecond, 10*time.Minute),
		times("limits.idle_timeout", time.Millisecond, time.Hour),
		times("limits.unauthenticated_idle_timeout", time.Millisecond, time.Hour),
		count("limits.connections", 0, 1_000_000),
		count("limits.connections_per_address", 0, 1_000_000),
		count("limits.failed_logins_per_minute", 0, 1_000_000),
		times("limits.failed_login_delay", time.Millisecond, 10*time.Second),
		times("retention.codes", time.Hour, 876_000*time.Hour).orZero(),
		times("retention.numbers", time.Hour, 876_000*time.Hour).orZero(),
		times("retention.history", time.Hour, 876_000*time.Hour).orZero(),
		times("retention.ledger", 24*time.Hour, 876_000*time.Hour).orZero(),
		times("retention.refusals", time.Hour, 876_000*time.Hour).orZero(),
		times("clock.max_skew", time.Second, time.Hour),
		count("outbound.ports[]", 1, 65_535),
		count("fraud.caps.sends[].count", 1, maxCapCount),
		times("fraud.caps.sends[].within", time.Second, 720*time.Hour),
		count("fraud.caps.account_sends[].count", 1, maxCapCount),
		times("fraud.caps.account_sends[].within", time.Second, 720*time.Hour),
		count("fraud.caps.failed_checks[].count", 1, maxCapCount),
		times("fraud.caps.failed_checks[].within", time.Second, 720*time.Hour),
		count("fraud.caps.account_failed_checks[].count", 1, maxCapCount),
		times("fraud.caps.account_failed_checks[].within", time.Second, 720*time.Hour),
		count("fraud.caps.streak", 0, maxCapCount),
		times("fraud.caps.lock", time.Minute, 720*time.Hour),
		times("fraud.rules.repeat_within", time.Minute, 720*time.Hour),
		times("fraud.rules.conversion.window", time.Minute, 24*time.Hour),
		count("fraud.rules.conversion.finished", 1, maxRuleCount),
		count("fraud.rules.conversion.below", 1, 100),
		count("fraud.rules.conversion.alert", 0, 100),
		times("fraud.rules.conversion.blocks[]", time.Minute, 720*time.Hour).orZero(),
		times("fraud.rules.sequence.window", time.Minute, 24*time.Hour),
		count("fraud.rules.sequence.numbers", 2, 100),
		times("fraud.rules.sequence.blocks[]", time.Minute, 720*time.Hour).orZero(),
		times("fraud.rules.unverified.window", time.Minute, 24*time.Hour),
		count("fraud.rules.unverified.percent", 0, 10_000),
		count("fraud.rules.unverified.prefix", 1, maxRuleCount),
		count("fraud.rules.unverified.country", 1, maxRuleCount),
		times("fraud.rules.unverified.blocks[]", time.Minute, 720*time.Hour).orZero(),
		times("fraud.rules.prefix.window", time.Minute, 24*time.Hour),
		count("fraud.rules.prefix.starts", 0, maxRuleCount),
		times("fraud.rules.prefix.blocks[]", time.Minute, 720*time.Hour).orZero(),
		times("fraud.rules.network.window", time.Minute, 24*time.Hour),
		count("fraud.rules.network.starts", 0, maxRuleCount),
		times("fraud.rules.network.blocks[]", time.Minute, 720*time.Hour).orZero(),
		times("fraud.rules.source.window", time.Minute, 24*time.Hour),
		count("fraud.rules.source.starts", 0, maxRuleCount),
		count("fraud.rules.source.failed_checks", 0, maxRuleCount),
		times("fraud.rules.source.blocks[]", time.Minute, 720*time.Hour).orZero(),
		count("fraud.rules.country.starts", 1, maxRuleCount),
		count("fraud.rules.country.sigma", 1, 100),
		times("fraud.rules.country.blocks[]", time.Minute, 720*time.Hour).orZero(),
		count("fraud.rules.spend.times", 1, 1_000),
		count("fraud.rules.spend.least", 0, maxRuleCount),
		count("fraud.voice.calls_per_hour", 0, maxRuleCount),
		times("fraud.voice.blocks[]", time.Minute, 720*time.Hour).orZero(),
		count("fraud.voice.prefix_calls", 0, maxRuleCount),
		times("fraud.remember", time.Minute, 87_600*time.Hour),
		count("carriers[].smpp.binds", 0, 100),
		count("carriers[].smpp.window", 0, 1_000),
		count("carriers[].smpp.rate", 0, 1_000_000),
		times("carriers[].smpp.bind_timeout", time.Millisecond, 10*time.Minute).orZero(),
		times("carriers[].smpp.response_timeout", time.Millisecond, 10*time.Minute).orZero(),
		times("carriers[].smpp.enquire_interval", time.Millisecond, 10*time.Minute).orZero(),
		times("carriers[].http.timeout", time.Millisecond, 10*time.Minute).orZero(),
		count("carriers[].http.concurrency", 0, 10_000),
		count("carriers[].http.rate", 0, 100_000),
		times("carriers[].sip.register_every", time.Millisecond, 24*time.Hour).orZero(),
		count("carriers[].sip.max_calls", 0, 10_000),
		count("carriers[].sip.calls_per_second", 0, 10_000),
		times("carriers[].sip.first_response", time.Millisecond, 10*time.Minute).orZero(),
		times("carriers[].sip.ring_timeout", time.Millisecond, 10*time.Minute).orZero(),
		times("carriers[].sip.max_duration", time.Millisecond, time.Minute).orZero(),
		count("routes[].weights[]", 0, 1_000_000),
		times("tts.timeout", time.Millisecond, 10*time.Second).orZero(),
		count("tts.processes", 0, 256),
		count("tts.memory_mb", 0, 1_048_576),
	}
}

// validateRanges checks each numeric setting.
func (c Config) validateRanges(p *problems) {
	ranges := make(map[string]Range)
	for _, r := range Ranges() {
		ranges[r.Key] = r
	}
	eachNumber(reflect.ValueOf(c), "", "", func(key, pattern string, v reflect.Value) {
		r, known := ranges[pattern]
		switch {
		case !known:
			p.addf(key, "has no range in this program")
		case r.has(v.Int()):
		case r.Duration:
			p.addf(key, "must be %s, not %s", r, Duration(v.Int()))
		default:
			p.addf(key, "must be %s, not %d", r, v.Int())
		}
	})
}

// eachNumber calls do for every number in v. key is the key of the number, such as
// outbound.ports[0], and pattern the key of its range, such as outbound.ports[].
func eachNumber(v reflect.Value, key, pattern string, do func(key, pattern string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Tag.Get("yaml")
			eachNumber(v.Field(i), strings.TrimPrefix(key+"."+name, "."), strings.TrimPrefix(pattern+"."+name, "."), do)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachNumber(v.Index(i), index(key, i), pattern+"[]", do)
		}
	case reflect.Int, reflect.Int64:
		do(key, pattern, v)
	}
}

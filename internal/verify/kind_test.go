package verify_test

import (
	"regexp"
	"testing"

	"countersign/internal/verify"
)

// TestKindString: each kind has its own name, a stable word for logs. A number
// outside the table is printed as such.
func TestKindString(t *testing.T) {
	t.Parallel()
	word := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	seen := map[string]verify.Kind{}
	for _, k := range verify.Kinds() {
		name := k.String()
		if !word.MatchString(name) {
			t.Errorf("kind %d has the name %q", int(k), name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("kinds %d and %d are both named %q", int(other), int(k), name)
		}
		seen[name] = k
	}
	for k, want := range map[verify.Kind]string{
		verify.KindInternal: "internal_error", verify.KindThrottled: "throttled", verify.KindMissingParameter: "missing_parameter",
		verify.KindCustomPINNotAllowed: "custom_pin_not_allowed", verify.KindUnavailable: "unavailable",
		verify.Kind(len(verify.Kinds())): "kind 21", -1: "kind -1",
	} {
		if got := k.String(); got != want {
			t.Errorf("kind %d is named %q, want %q", int(k), got, want)
		}
	}
}

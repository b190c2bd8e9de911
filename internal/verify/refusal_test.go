package verify_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"countersign/internal/verify"
)

// TestRefusalRules: each rule has one row, a sentence with known placeholders and a remedy;
// and each kind that refuses a start has a rule.
func TestRefusalRules(t *testing.T) {
	t.Parallel()
	var names []verify.Rule
	placeholder := regexp.MustCompile(`\{[^}]*\}`)
	for _, info := range verify.Rules() {
		if got, ok := info.Rule.Info(); !ok || got != info {
			t.Errorf("the row of %s is %+v, %v", info.Rule, got, ok)
		}
		names = append(names, info.Rule)
		for _, p := range placeholder.FindAllString(info.Text, -1) {
			if !slices.Contains([]string{"{detail}", "{count}", "{limit}"}, p) {
				t.Errorf("%s: placeholder %s", info.Rule, p)
			}
		}
		figures := strings.Contains(info.Text, "{count}") || strings.Contains(info.Text, "{limit}")
		if figures != (info.Unit != verify.NoFigures) || info.Text == "" || info.Remedy == "" {
			t.Errorf("%+v", info)
		}
		c := verify.Cause{Rule: info.Rule, Detail: "d", Count: 5, Limit: 4}
		if text := c.String(); strings.ContainsAny(text, "{}") {
			t.Errorf("%s: %s", info.Rule, text)
		}
	}
	if got, ok := verify.Rule("later").Info(); ok || got.Rule != "later" || got.Text == "" {
		t.Errorf("a rule without a row has %+v, %v", got, ok)
	}
	if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("a rule has two rows: %v", names)
	}
	never := []verify.Kind{ // kinds used only by check, search and control
		verify.KindNotFound, verify.KindWrongCode, verify.KindTooManyCodes, verify.KindTooManyIDs,
		verify.KindCancelTooEarly, verify.KindCancelTooLate, verify.KindNoMoreEvents,
	}
	for _, kind := range verify.Kinds() {
		if c := (&verify.Error{Kind: kind}).Cause(); (c.Rule == "") != slices.Contains(never, kind) {
			t.Errorf("kind %s has rule %q", kind, c.Rule)
		}
	}
}

func TestCause(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  verify.Error
		want string
	}{
		{verify.Error{Kind: verify.KindInvalidParameter, Param: "lg", Reason: "no such locale"}, "a parameter cannot be used: lg: no such locale"},
		{verify.Error{Kind: verify.KindMissingParameter, Param: "brand"}, "parameter brand is missing"},
		{verify.Error{Kind: verify.KindConcurrent, Request: verify.ID{0xab}}, "verification ab000000000000000000000000000000 of this number is in progress"},
		{
			verify.Error{Kind: verify.KindNoCredit, By: verify.Cause{Rule: verify.RuleBalance, Count: int64(verify.Unit), Limit: 5}},
			"the balance of 0.00000005 does not cover the price of 1.00000000",
		},
		{
			verify.Error{Kind: verify.KindBlocked, By: verify.Cause{Rule: verify.RuleCap, Detail: "sends_10m", Count: 5, Limit: 5}},
			"the number is at its cap sends_10m (5 of 5)",
		},
		{verify.Error{Kind: verify.KindInvalidParameter, Param: "lg", Request: verify.ID{0xab}}, "a parameter cannot be used: lg"},
		{verify.Error{Kind: verify.KindMissingParameter}, "parameter unknown is missing"},
		{verify.Error{By: verify.Cause{Rule: "later"}}, "refused by a rule that this version does not have"},
	} {
		if got := tt.err.Cause().String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	long := verify.Error{Kind: verify.KindInvalidParameter, Param: strings.Repeat("é", 100)}
	if c := long.Cause(); len(c.Detail) > 120 || !strings.HasPrefix(c.Detail, "é") {
		t.Errorf("detail of %d octets", len(c.Detail))
	}
}

package apiv1

import (
	"strings"
	"testing"

	"countersign/internal/verify"
)

// kinds returns every kind of refusal with a name.
func kinds() (list []verify.Kind) {
	for k := verify.Kind(0); !strings.HasPrefix(k.String(), "kind "); k++ {
		list = append(list, k)
	}
	return list
}

// TestKinds checks that every kind of refusal has a status and a text.
func TestKinds(t *testing.T) {
	t.Parallel()
	const internal = "Internal Error"
	a := &API{cfg: Config{PlatformName: "Nexmo", WrongCodeText: "wrong", TooManyCodesText: "too many"}}
	seen := map[string]verify.Kind{}
	for _, k := range kinds() {
		status, text := a.refusal(&verify.Error{Kind: k, Param: "number"})
		if status == "" || text == "" || status == "0" {
			t.Errorf("kind %d: status %q and text %q", k, status, text)
		}
		if ours := k == verify.KindInternal || k == verify.KindUnavailable; (text == internal) != ours {
			t.Errorf("kind %d: %s", k, text)
		} else if other, ok := seen[text]; ok && !ours {
			t.Errorf("kinds %d and %d are both %q", k, other, text)
		}
		seen[text] = k
	}
	for status, want := range map[string]int{
		"1": 1, "2": 1, "3": 1, "4": 1, "5": 2, "6": 1, "7": 1, "8": 1, "9": 1, "10": 1, "15": 1, "16": 1, "17": 1,
		"18": 1, "19": 3, "20": 1, "29": 1, "101": 1,
	} {
		n := 0
		for _, k := range kinds() {
			if s, _ := a.refusal(&verify.Error{Kind: k}); s == status {
				n++
			}
		}
		if n != want {
			t.Errorf("%d kinds have status %s, want %d", n, status, want)
		}
	}
}

// TestNames checks the settings for the platform's name and the texts of status 16 and 17.
func TestNames(t *testing.T) {
	t.Parallel()
	a := &API{cfg: Config{PlatformName: "Vonage", WrongCodeText: "The code provided does not match the expected value", TooManyCodesText: "Terminated"}}
	for kind, want := range map[verify.Kind]string{
		verify.KindUnroutable:  "The Vonage platform was unable to process this message for the following reason: The request could not be routed.",
		verify.KindNotApproved: "Your Vonage account is still in demo mode.",
		verify.KindWrongCode:   "The code provided does not match the expected value",

		verify.KindTooManyCodes: "Terminated",
	} {
		if _, text := a.refusal(&verify.Error{Kind: kind}); !strings.HasPrefix(text, want) {
			t.Errorf("got %q, want %q", text, want)
		}
	}
}

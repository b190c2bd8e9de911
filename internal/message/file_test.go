package message_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/message"
	"countersign/internal/verify"
)

const basque = `{
  "minutes": {"one": "minutu ${pin_expiry}", "other": "${pin_expiry} minutu"},
  "verification": {
    "sms": "${brand} kodea: ${pin}. Iraungitzea: ${minutes}.",
    "call": "<break time='1s' /> Kaixo. Zure ${brand} kodea ${pin} da, errepikatzen dut: ${pin}. Iraungitzea: ${minutes}."
  }
}
`

func TestFileAddsALocale(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	other, err := c.WithFile("/etc/countersign/eu-es.json", []byte(basque))
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := other.Locale(message.Verification, "eu_ES", message.Destination{}); got != "eu-es" || !ok {
		t.Errorf("locale %q, %v; want eu-es, accepted", got, ok)
	}
	if _, ok := other.Locale(message.Payment, "eu-es", message.Destination{}); ok {
		t.Error("accepted for payments, without texts for them")
	}
	in := message.Input{Locale: "eu-es", Brand: "Acme", PIN: pin(t, "1234"), ValidFor: 5 * time.Minute}
	if got, want := other.SMS(in), "Acme kodea: 1234. Iraungitzea: 5 minutu."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	in.Payment = &verify.Payment{Payee: "Acme", Amount: "1.00"}
	if got := other.Call(in); got.Locale != "en-gb" {
		t.Errorf("payment is called in %s, want en-gb", got.Locale)
	}
	if c.Has("eu-es") {
		t.Error("the catalog itself has the new locale")
	}
}

func TestFileReplacesALocale(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	other, err := c.WithFile("de-de.json", []byte(strings.Replace(basque, "kodea", "Code", 1)))
	if err != nil {
		t.Fatal(err)
	}
	in := message.Input{Locale: "de-de", Brand: "Acme", PIN: pin(t, "1234"), ValidFor: time.Minute}
	if got, want := other.SMS(in), "Acme Code: 1234. Iraungitzea: minutu 1."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFileKeepsPayments: a file without payment texts keeps the built-in ones, also those
// of a locale that others refer to.
func TestFileKeepsPayments(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	for locale, heard := range map[string]string{"de-de": "de-de", "en-gb": "bg-bg", "bg-bg": "bg-bg", "en-us": "xx-xx"} {
		other, err := c.WithFile(locale+".json", []byte(basque))
		if err == nil {
			other, err = other.WithFile(locale+".json", []byte(basque))
		}
		if err != nil {
			t.Fatal(err)
		}
		in := message.Input{Locale: heard, Brand: "Acme", PIN: pin(t, "1234"), ValidFor: time.Minute}
		in.Payment = &verify.Payment{Payee: "Acme", Amount: "1.00"}
		if got, want := other.SMS(in), c.SMS(in); got != want {
			t.Errorf("%s replaced: the SMS of a payment is %q, want %q", locale, got, want)
		}
		if got, want := other.Call(in), c.Call(in); got.Words() != want.Words() || got.Locale != want.Locale {
			t.Errorf("%s replaced: the call of a payment is %q, want %q", locale, got.Words(), want.Words())
		}
		if got, want := other.Locales(message.Payment), c.Locales(message.Payment); !slices.Equal(got, want) {
			t.Errorf("%s replaced: psd2 accepts %v, want %v", locale, got, want)
		}
	}
}

func TestFileMayHaveAByteOrderMark(t *testing.T) {
	t.Parallel()
	if _, err := newCatalog(t).WithFile("eu-es.json", []byte("\ufeff"+basque)); err != nil {
		t.Error(err)
	}
}

func TestFileIsTheSameAsAnother(t *testing.T) {
	t.Parallel()
	other, err := newCatalog(t).WithFile("de-at.json", []byte(`{"same_as": "de-de"}`))
	if err != nil {
		t.Fatal(err)
	}
	in := message.Input{Locale: "de-at", Brand: "Acme", PIN: pin(t, "1234"), ValidFor: time.Minute}
	if got, want := other.SMS(in), "Ihr Code für Acme: 1234. Gültig für 1 Minute."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFileErrors: file, line and reason of each defect.
func TestFileErrors(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	change := func(old, changed string) string { return strings.Replace(basque, old, changed, 1) }
	paid := func(sms, call string) string {
		return change("\n  }\n", fmt.Sprintf("\n  },\n  \"euros\": {\"other\": \"euro\"},\n  \"payment\": {\"sms\": %q, \"call\": %q}\n", sms, call))
	}
	for _, tt := range []struct{ name, text, want string }{
		{"eu-es.txt", basque, "eu-es.txt: the file name must be a locale and .json"},
		{"basque.json", basque, "basque.json: the file name must be a locale and .json"},
		{"eu-es.json", "", "eu-es.json:1: the file is empty"},
		{"eu-es.json", change(`"sms"`, `"smss"`), `eu-es.json:4: json: unknown field "smss"`},
		{"eu-es.json", change(`Iraungitzea: ${minutes}.",`, `Iraungitzea: ${minutes.",`), "eu-es.json:4: verification SMS: broken markup"},
		{"eu-es.json", change(`${minutes}.",`, `${minutes}."`), "eu-es.json:5: invalid character"},
		{"eu-es.json", change(`kodea: ${pin}`, "kodea"), "eu-es.json:4: verification SMS: the PIN is missing"},
		{"eu-es.json", change(`Zure ${brand}`, "Zure ${code}"), `eu-es.json:5: verification call: variable "code" is not known`},
		{"eu-es.json", change(`da, errepikatzen dut: ${pin}`, "${pin}"), "eu-es.json:5: verification call: a PIN needs a word before and after it"},
		{"eu-es.json", change(`"other"`, `"several"`), `eu-es.json:2: minutes: unknown plural form "several"`},
		{"eu-es.json", change(`, "other": "${pin_expiry} minutu"`, ""), "eu-es.json:2: minutes: no word for 2"},
		{"eu-es.json", change(`{"one"`, `{"one": 5, "one"`), "eu-es.json:2: json: cannot unmarshal number"},
		{"eu-es.json", basque + "{}", "eu-es.json:8: text after the end of the object"},
		{"eu-es.json", basque + "}", "eu-es.json:8: text after the end of the object"},
		{"eu-es.json", strings.TrimRight(basque, "}\n"), "eu-es.json:6: the JSON object has no end"},
		{"eu-es.json", paid("Kodea ${pin}: ${payee}", "${amount} ${euros}, ${payee}: kodea ${pin} da"), "payment SMS: ${amount} is missing"},
		{"eu-es.json", paid("Kodea ${pin}: ${amount}", "${amount} ${euros}, ${payee}: kodea ${pin} da"), "payment SMS: ${payee} is missing"},
		{"eu-es.json", paid("Kodea ${pin}: ${amount} ${payee}", "${amount} ${euros}: kodea ${pin} da ${payee}"), "payment call: ${payee} is missing"},
		{"eu-es.json", paid("Kodea ${pin}: ${amount} ${payee}", "${payee} kodea ${pin} da ${amount} ${euros}"), "payment call: ${amount} is missing"},
		{"eu-es.json", `{"same_as": "de-de", "minutes": {}}`, "eu-es.json:1: same_as: remove it, or everything else"},
		{"eu-es.json", `{"same_as": "de-au"}`, `same_as: "de-au" is not a locale; did you mean de-de?`},
		{"eu-es.json", change("\n  }\n", "\n  },\n  \"payment\": {\n    \"sms\": \"${pin}\"}\n"), "eu-es.json:1: euros: no word for the form"},
		{"eu-es.json", `{"same_as": "eu-eu"}`, `eu-es.json:1: same_as: "eu-eu" is not a locale`},
	} {
		_, err := c.WithFile(tt.name, []byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s\n%s\nerror %v, want %q in it", tt.name, tt.text, err, tt.want)
		}
	}
}

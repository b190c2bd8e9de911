package message_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"countersign/internal/message"
	"countersign/internal/verify"
)

func input(t *testing.T) message.Input {
	t.Helper()
	pin, ok := verify.ParsePIN("123456")
	if !ok {
		t.Fatal("not a PIN")
	}
	return message.Input{Locale: "en-us", Brand: "${pin} <Acme>", PIN: pin, ValidFor: 290 * time.Second}
}

// TestCustomSMS: variables of a custom template are replaced once.
func TestCustomSMS(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Ваш код подтверждения ${pin}": "Ваш код подтверждения 123456",
		"${brand}: ${pin}":                                "${pin} <Acme>: 123456",
		"${pin}\nis valid for ${pin_expiry} minutes":      "123456\nis valid for 4 minutes",
		"${pin}, valid for ${pin_expiry} seconds":         "123456, valid for 290 seconds",
		"${pin} gilt ${pin_expiry} Sekunden":              "123456 gilt 290 Sekunden",
		"${pin} は${pin_expiry}秒間有効です":                     "123456 は290秒間有効です",
		"${pin} ${pin_expiry}":                            "123456 4",
		"${pin}, expire dans ${pin_expiry}s":              "123456, expire dans 290s",
		"${pin}, for ${pin_expiry}. Security first":       "123456, for 4. Security first",
		"${pin} ${pin_expiry} security":                   "123456 4 security",
		"کد تأیید شما می\u200cباشد ${pin}":                "کد تأیید شما می\u200cباشد 123456",
		"<#> ${pin} is your ${brand} code\n\nFA+9qCX9VSu": "<#> 123456 is your ${pin} <Acme> code\n\nFA+9qCX9VSu",
		"Your code is ${pin} (<5 min)":                    "Your code is 123456 (<5 min)",
		"I <3 you: ${pin}":                                "I <3 you: 123456",
		"$5 off: ${pin} & $$ $ {x} } { {{y}} $z ":         "$5 off: 123456 & $$ $ {x} } { {{y}} $z ",
		"$${pin}$":                                           "$123456$",
		"<b>${pin}</b> &lt; &amp; <break/>":                  "<b>123456</b> &lt; &amp; <break/>",
		"<break time='1s' />${pin}":                          "<break time='1s' />123456",
		"$ {brand} {pin} ${pin}":                             "$ {brand} {pin} 123456",
		"Again: ${pin} and ${pin}, for ${pin_expiry} minute": "Again: 123456 and 123456, for 4 minute",
	} {
		c, err := message.ParseCustom(verify.SMS, "en-us", text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := c.Text(input(t)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// TestCustomCall: in a call, PIN and pauses are separate parts.
func TestCustomCall(t *testing.T) {
	t.Parallel()
	c, err := message.ParseCustom(verify.TTS, "ja-jp", `<break time="2s"/>あなたの ${brand}コードは ${pin} です。`)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Call(input(t))
	if want := "あなたの ${pin} <Acme>コードは 1, 2, 3, 4, 5, 6 です。"; s.Locale != "ja-jp" || s.Words() != want || s.Parts[0].Pause != 2*time.Second {
		t.Errorf("locale %q: %+v", s.Locale, s)
	}
	r := message.Recordings{Welcome: "w", Bye: "b"}
	s = message.Recorded("en-ie", r).Call(input(t))
	if len(s.Parts) != 3 || s.Parts[0].Recording != "w" || s.Parts[1].Spell != "123456" || s.Parts[1].Digits == nil || s.Parts[2].Recording != "b" {
		t.Errorf("recorded: %+v", s)
	}
}

// TestCustomRefused: the author of a template gets the reason of a refusal.
func TestCustomRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		channel verify.Channel
		text    string
		want    string
	}{
		{verify.SMS, "", "the PIN is missing"},
		{verify.SMS, "Hello ${brand}", "the PIN is missing"},
		{verify.TTS, "Hello ${brand}", "the PIN is missing"},
		{verify.SMS, "${pin} ${code}", `variable "code" is not known here`},
		{verify.SMS, "${pin} ${payee}", `variable "payee" is not known here`},
		{verify.SMS, "${pin} ${minutes}", `variable "minutes" is not known here`},
		{verify.TTS, "<break time='1h' />${pin}", "broken markup"},
		{verify.TTS, "<break time='6s' />${pin}", "a pause of 6s is longer than 5s"},
		{verify.TTS, "<say-as>${pin}</say-as>", "broken markup"},
		{verify.SMS, "${pin", `broken markup in "${pin": "}" is missing`},
		{verify.SMS, "${pin} ${brand", `broken markup in "${brand"`},
		{verify.SMS, "${pin ${pin}", "broken markup"},
		{verify.SMS, "${pin} ${", "broken markup"},
		{verify.SMS, "${pin} ${}", `variable "" is not known here`},
		{verify.SMS, "${pin} ${PIN}", `variable "PIN" is not known here`},
		{verify.SMS, "${pin} ${ brand }", `variable " brand " is not known here`},
		{verify.SMS, "{pin} $pin", "the PIN is missing"},
		{verify.TTS, "${pin} <#>", "broken markup"},
		{verify.TTS, "${pin} $5", "broken markup"},
		{verify.TTS, "${pin} (<5 min)", "broken markup"},
		{verify.SMS, "${pin} \x07", message.ErrInvisible.Error()},
		{verify.SMS, "${pin} \u202e", message.ErrInvisible.Error()},
		{verify.SMS, "${pin} \xff", message.ErrInvisible.Error()},
		{verify.SMS, "${pin} https://x", message.ErrLink.Error()},
		{verify.SMS, "${pin} acme.${brand}", message.ErrLink.Error()},
		{verify.SMS, "${pin} not 12345", message.ErrDigits.Error()},
		{verify.SMS, "1234${pin}", message.ErrDigits.Error()},
		{verify.SMS, "${pin}${pin_expiry}", "the PIN must not be adjacent to a digit or another variable"},
		{verify.SMS, "${pin} ${brand}${pin}", "the PIN must not be adjacent to a digit or another variable"},
		{verify.SMS, "12${pin}", "the PIN must not be adjacent to a digit or another variable"},
		{verify.TTS, "the ${pin}7", "the PIN must not be adjacent to a digit or another variable"},
		{verify.TTS, strings.Repeat(`<break time="5s"/>`, 6) + "${pin}", "too long: the call would take about 35s, at most 30s"},
		{verify.TTS, strings.Repeat("Many words. ", 30) + "${pin}", "too long: the call would take about 31s, at most 30s"},
		{verify.SMS, "${pin}" + strings.Repeat("x", message.MaxTemplate), "too long: 1006 characters, at most 1000"},
	} {
		if _, err := message.ParseCustom(tt.channel, "en-us", tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %q: %v, want %q", tt.channel, tt.text, err, tt.want)
		}
	}
}

// TestCustomNames: a brand must not complete a link or number begun by the template.
func TestCustomNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text, brand string
		want        error
	}{
		{"${pin} at ${brand}com", "Acme", nil},
		{"${pin} at ${brand}com", "evil.", message.ErrLink},
		{"evil${brand} ${pin}", ".ru", message.ErrLink},
		{"http:/${brand} ${pin}", "/evil", message.ErrLink},
		{"93.184${brand}34 is ${pin}", ".216.", message.ErrLink},
		{"${brand}99 is ${pin}", "123", message.ErrDigits},
		{"${brand}: ${pin}", "123", nil},
	} {
		c, err := message.ParseCustom(verify.SMS, "en-us", tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if err := c.Names(tt.brand); !errors.Is(err, tt.want) {
			t.Errorf("%q of %q: %v, want %v", tt.text, tt.brand, err, tt.want)
		}
	}
}

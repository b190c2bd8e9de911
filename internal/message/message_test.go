package message_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/message"
	"countersign/internal/verify"
)

func newCatalog(t testing.TB) *message.Catalog {
	t.Helper()
	c, err := message.New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pin(t testing.TB, code string) verify.PIN {
	t.Helper()
	p, ok := verify.ParsePIN(code)
	if !ok {
		t.Fatalf("%q is not a PIN", code)
	}
	return p
}

func TestVerificationTexts(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	for _, tt := range []struct{ locale, sms, call string }{
		{"en-us", "Acme code: 1234. Valid for 5 minutes.", "Please enter your Acme activation code 1, 2, 3, 4, I repeat 1, 2, 3, 4, valid for the next 5 minutes."},
		{"en-gb", "Acme code: 1234. Valid for 5 minutes.", "Please enter your Acme activation code 1, 2, 3, 4, I repeat 1, 2, 3, 4, valid the next 5 minutes."},
		{"fr-fr", "Votre code Acme : 1234. Valable 5 minutes.", "Bonjour. Votre code de vérification pour Acme est le 1, 2, 3, 4, je répète : 1, 2, 3, 4. Il est valable 5 minutes."},
		{"fr-ca", "Votre code Acme : 1234. Valable 5 minutes.", "Bonjour. Votre code de vérification pour Acme est le 1, 2, 3, 4, je répète : 1, 2, 3, 4. Il est valable 5 minutes."},
		{"de-de", "Ihr Code für Acme: 1234. Gültig für 5 Minuten.", "Guten Tag. Ihr Bestätigungscode für Acme lautet 1, 2, 3, 4, ich wiederhole: 1, 2, 3, 4. Er gilt für 5 Minuten."},
		{"es-es", "Acme: 1234 es su clave de un solo uso. Caduca en 5 minutos.", "Hola. Su código de verificación de Acme es 1, 2, 3, 4, repito: 1, 2, 3, 4. Caduca en 5 minutos."},
		{"es-mx", "Acme: 1234 es su clave de un solo uso. Vence en 5 minutos.", "Hola. Su código de verificación de Acme es 1, 2, 3, 4, repito: 1, 2, 3, 4. Vence en 5 minutos."},
		{"th-th", "รหัส Acme ของคุณคือ 1234 ใช้ได้ภายใน 5 นาที", "สวัสดีค่ะ รหัสยืนยัน Acme ของคุณคือ 1, 2, 3, 4 ขอย้ำอีกครั้ง 1, 2, 3, 4 รหัสนี้ใช้ได้ภายใน 5 นาที ค่ะ"},
		{"pl-pl", "Kod Acme: 1234. Wygasa po 5 minutach.", "Dzień dobry. Kod weryfikacyjny Acme to 1, 2, 3, 4, powtarzam: 1, 2, 3, 4. Kod jest ważny przez 5 minut."},
		{"tr-tr", "Acme kodunuz: 1234. Kalan süre: 5 dakika.", "Merhaba. Acme için doğrulama kodunuz 1, 2, 3, 4, tekrar ediyorum: 1, 2, 3, 4. Kodunuz 5 dakika boyunca geçerlidir."},
		{"ko-kr", "[Acme] 인증번호는 1234입니다. 5분 안에 입력해 주세요.", "안녕하세요. Acme 인증번호는 1, 2, 3, 4 입니다. 다시 말씀드립니다. 1, 2, 3, 4 입니다. 이 번호는 5분 동안 유효합니다."},
	} {
		in := message.Input{Locale: tt.locale, Brand: "Acme", PIN: pin(t, "1234"), ValidFor: 5 * time.Minute}
		if got := c.SMS(in); got != tt.sms {
			t.Errorf("%s SMS:\n got %q\nwant %q", tt.locale, got, tt.sms)
		}
		script := c.Call(in)
		if got := script.Words(); got != tt.call {
			t.Errorf("%s call:\n got %q\nwant %q", tt.locale, got, tt.call)
		}
		if script.Locale != tt.locale {
			t.Errorf("script locale: got %q, want %q", script.Locale, tt.locale)
		}
	}
}

func TestPaymentTexts(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	for _, tt := range []struct{ locale, sms, call string }{
		{"en-gb", "Code 1234 confirms your payment of €48.50 to Acme Inc. Valid for 2 minutes.", "To confirm your payment of 48 euros and 50 cents to Acme Inc, please enter the code 1, 2, 3, 4, I repeat 1, 2, 3, 4, valid for the next 2 minutes."},
		{"fr-fr", "Le code 1234 confirme votre paiement de 48,50 € à Acme Inc. Valable 2 minutes.", "Bonjour. Pour confirmer votre paiement de 48 euros et 50 centimes à Acme Inc, saisissez le code 1, 2, 3, 4, je répète : 1, 2, 3, 4. Il est valable 2 minutes."},
		{"de-de", "Code 1234 bestätigt Ihre Zahlung von 48,50 € an Acme Inc. Gültig für 2 Minuten.", "Guten Tag. Um Ihre Zahlung von 48 Euro und 50 Cent an Acme Inc zu bestätigen, geben Sie bitte diesen Code ein: 1, 2, 3, 4, ich wiederhole: 1, 2, 3, 4. Er gilt für 2 Minuten."},
		{"fi-fi", "Koodi 1234 vahvistaa maksun 48,50 € saajalle Acme Inc. Voimassa 2 minuuttia.", "Hei. Maksu saajalle Acme Inc, 48 euroa ja 50 senttiä. Koodi on 1, 2, 3, 4, toistan: 1, 2, 3, 4. Voimassa 2 minuuttia."},
		{"lt-lt", "Kodas 1234: 48,50 € Acme Inc naudai. Galioja 2 min.", "To confirm your payment of 48 euros and 50 cents to Acme Inc, please enter the code 1, 2, 3, 4, I repeat 1, 2, 3, 4, valid for the next 2 minutes."},
		{"es-es", "La clave 1234 confirma su pago de 48,50 € a Acme Inc. Caduca en 2 minutos.", "Hola. Para confirmar su pago de 48 euros con 50 céntimos a Acme Inc, introduzca el código 1, 2, 3, 4, repito: 1, 2, 3, 4. Caduca en 2 minutos."},
	} {
		in := message.Input{
			Locale: tt.locale, PIN: pin(t, "1234"), ValidFor: 2 * time.Minute,
			Payment: &verify.Payment{Payee: "Acme Inc", Amount: "48.50"},
		}
		if got := c.SMS(in); got != tt.sms {
			t.Errorf("%s SMS:\n got %q\nwant %q", tt.locale, got, tt.sms)
		}
		if got := c.Call(in).Words(); got != tt.call {
			t.Errorf("%s call:\n got %q\nwant %q", tt.locale, got, tt.call)
		}
	}
}

func TestCallStartsWithPause(t *testing.T) {
	t.Parallel()
	parts := newCatalog(t).Call(message.Input{Locale: "en-gb", Brand: "Acme", PIN: pin(t, "12345")}).Parts
	if got, want := parts[0], (message.Part{Pause: time.Second}); got != want {
		t.Errorf("first part: got %+v, want %+v: a person needs a moment to lift the phone to the ear", got, want)
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		parts []message.Part
		want  string
	}{
		{"empty", nil, ""},
		{"parts without spaces", []message.Part{{Text: "code"}, {Spell: "12ab"}, {Text: "again"}}, "code 1, 2, a, b again"},
		{"comma goes to the word before", []message.Part{{Spell: "12"}, {Text: ", I repeat "}, {Spell: "12"}}, "1, 2, I repeat 1, 2"},
		{"pause is not a word", []message.Part{{Pause: time.Second}, {Text: " a "}, {Pause: time.Second}, {Text: "b"}}, "a b"},
		{"French colon keeps its space", []message.Part{{Spell: "12"}, {Text: " : fin"}}, "1, 2 : fin"},
	} {
		if got := (message.Script{Parts: tt.parts}).Words(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// hostile are names that must appear unchanged.
var hostile = []string{
	"${pin}", "${brand}", "<break time='9s'/>", "%s%d", "{{.PIN}}", "$1 ${", "1, 2, 3", "Route 66", "a\nb", "\xff\x00", "",
}

func TestNamesAreLiteral(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	for _, name := range hostile {
		for _, locale := range c.Locales(message.Verification) {
			checkLiteral(t, c, locale, name)
		}
	}
}

func FuzzNamesAreLiteral(f *testing.F) {
	for _, name := range hostile {
		f.Add("en-gb", name)
	}
	f.Add("ko-kr", "멋진 가게")
	c := newCatalog(f)
	f.Fuzz(func(t *testing.T, locale, name string) { checkLiteral(t, c, locale, name) })
}

// checkLiteral asserts that a name as brand, payee or amount is inserted literally and has
// no other effect on a message.
func checkLiteral(t *testing.T, c *message.Catalog, locale, name string) {
	t.Helper()
	const mark = "\uE000" // placeholder for the name; private use, so in no text
	if strings.Contains(name, mark) {
		t.Skip("the name has the mark in it")
	}
	for _, payment := range []bool{false, true} {
		input := func(name string) message.Input {
			in := message.Input{Locale: locale, Brand: name, PIN: pin(t, "90817"), ValidFor: time.Minute}
			if payment {
				in.Payment = &verify.Payment{Payee: name, Amount: "9"}
			}
			return in
		}
		if got, want := c.SMS(input(name)), strings.ReplaceAll(c.SMS(input(mark)), mark, name); got != want {
			t.Errorf("%s SMS: got %q, want %q", locale, got, want)
		}
		got, want := c.Call(input(name)), c.Call(input(mark))
		for i, p := range want.Parts {
			want.Parts[i].Text = strings.ReplaceAll(p.Text, mark, name)
			want.Parts[i].Brief = strings.ReplaceAll(p.Brief, mark, name)
			if p.Spell != "" && p.Spell != "90817" {
				t.Errorf("%s: got PIN %q, want 90817", locale, p.Spell)
			}
		}
		if !slices.Equal(got.Parts, want.Parts) {
			t.Errorf("%s call:\n got %+v\nwant %+v", locale, got.Parts, want.Parts)
		}
	}
}

package message_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/message"
	"countersign/internal/verify"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	for want, names := range map[error][]string{
		nil: {
			"A", "Acme", "Müller & Söhne", "L'Oréal", "확인", "日本語", "Почта", "مصرف", "ไทย", "Ελλάδα", "🙂", "☕️ Kaffee", "™", "A+", "50%",
			"St. Mary", "St.Mary", "Dr.Oetker", "A.B.Smith", "E.ON", "S.p.A.", "U.S. Bank", "J. P.", "Node.js", ".NET", "Yahoo!", "Co...", "a.b",
			"www", "Wwwhat", "https:", "1984", "Area 51", "24/7", "12-34-56", "4711 4711", "v1.2.3", "你好。中国", "R2-D2",
			"你好。com", "com。你好", "はい、OK。次へ", "ご利用はOK。Apple", "OK。", "A。B。C", "終了。Acmeです",
			"کافه\u200cبازار", "क्\u200dष", "മലയാളം", "de\u0301ja\u0300 vu lorem ipsu", "<b>", "${pin}", "a@b",
			strings.Repeat("확", 18),
		},
		message.ErrEmpty:   {"", " ", "\t", "\u00a0\u3000"},
		message.ErrTooLong: {strings.Repeat("x", 19), strings.Repeat("확", 19), strings.Repeat("x\u0308", 19)},
		message.ErrInvisible: {
			"A\nB", "A\x00", "A\x7f", "A\u0085", "\u202eemcA", "A\u202a", "A\u202d", "A\u2066", "A\u2069", "A\u200e", "A\u200f", "A\u061c",
			"A\u200bB", "A\u2060B", "\ufeffA", "A\u00adB", "A\u034fB", "A\u115fB", "A\u3164", "A\uffa0", "A\u2800", "A\u180e", "A\U000e0041",
			"A\u2028", "A\ue000", "A\U0010ffff", "A\u0378", "A\xff", "\xc3\x28", "A\ufffd",
			"A\u200cB", "A\u200dB", "\u200cب", "ب\u200c", "ب\u200c\u200cب", "ب\u200cA", "ب \u200cب", "A\ufe0f", "A\ufe00", "☕\ufe0f\ufe0f", "1\ufe0f\u20e3",
			"\U0001f468\u200d\U0001f469", // a family, which is several people
		},
		message.ErrLink: {
			"http://a", "x://y", "www.acme", "WWW.Acme", "acme.com", "Acme.COM", "get acme.com now", "(acme.com)", "acme.com/x", "acme.com:80",
			"a.acme.co.uk", "t.me/x", "bit.ly", "me@acme.io", "acme.com.", "acme.com.Acme", "пример.рф", "пример.xn--p1ai", "acme．com", "ａｃｍｅ.ｃｏｍ",
			"acme.\u0441om.ru", "Mr.Green", "192.0.2.1", "x 10.0.0.1/a", "acme.net-", "中.中国",
			"evil。com", "evil｡com", "a。evil。com", "get EVIL。Com now", "ｅｖｉｌ。ｃｏｍ", "evil.co。uk", "www。evil", "acme.com。はい", "はい。evil。com",
		},
		message.ErrDigits: {
			"12345", "A123456", "Acme 00000", "١٢٣٤٥", "१२३४५", "１２３４５", "①②③④⑤", "⁵⁵⁵⁵⁵", "1٢३４⑤", "1\u03012345", "𝟏𝟐𝟑𝟒𝟓",
		},
	} {
		for _, name := range names {
			if got := message.CheckName(name); !errors.Is(got, want) {
				t.Errorf("CheckName(%+q) = %v, want %v", name, got, want)
			}
		}
	}
	if err := message.CheckText(strings.Repeat("Words of a template. ", 20)); err != nil {
		t.Errorf("a long text: %v", err)
	}
}

// TestCheckLinkName: all other checks apply to a name that may look like a link.
func TestCheckLinkName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]error{
		"Booking.com": nil, "E.Leclerc": nil, "Acme": nil, "www.acme.com": nil, "": message.ErrEmpty, "Book\u200bing.com": message.ErrInvisible,
		"booking.com 123456": message.ErrDigits, "a-long-name-of.example.com": message.ErrTooLong,
	} {
		if got := message.CheckLinkName(name); !errors.Is(got, want) {
			t.Errorf("CheckLinkName(%+q) = %v, want %v", name, got, want)
		}
	}
	for _, tt := range []struct {
		text string
		want error
	}{
		{"${brand}: ${pin}", nil},
		{"Code of ${brand}. ${pin}", nil},
		{"(${brand}) ${pin}", nil},
		{"evil-${brand}: ${pin}", message.ErrLink},
		{"${brand}/x ${pin}", nil},
		{"http:/${brand} ${pin}", nil},
		{"x@${brand} ${pin}", nil},
	} {
		c, err := message.ParseCustom(verify.SMS, "en-us", tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if err := c.NamesLink("Booking.com"); !errors.Is(err, tt.want) {
			t.Errorf("%q: %v, want %v", tt.text, err, tt.want)
		}
		if err := c.Names("Booking.com"); !errors.Is(err, message.ErrLink) {
			t.Errorf("%q: %v, want a link", tt.text, err)
		}
	}
}

func TestDenied(t *testing.T) {
	t.Parallel()
	d := message.NewDenied([]string{"PayPal", "Deutsche  Bank", " apple ", "支付宝", "", "!"})
	for _, name := range []string{"PayPal", "paypal", "PAYPAL support", "My-PayPal", "ＰａｙＰａｌ", "deutsche-bank AG", "Apple", "apple\u00e9 apple", "我的支付宝吗"} {
		if d.Find(name) == "" {
			t.Errorf("%q passes", name)
		}
	}
	for _, name := range []string{"Pay Pal", "PayPals", "Pineapple", "Bank Deutsche", "Acme", "支付", "!"} {
		if d.Find(name) != "" {
			t.Errorf("%q is refused", name)
		}
	}
	var none message.Denied
	if none.Find("PayPal") != "" || message.NewDenied(nil).Find("") != "" {
		t.Error("an empty list refuses")
	}
}

// FuzzCheckName: for any valid name, the SMS contains the PIN once, no link, and no
// invisible character.
func FuzzCheckName(f *testing.F) {
	for _, name := range []string{"Acme", "acme.com", "St. Mary", "کافه\u200cبازار", "1234", "${pin}", "a\u0301.\u200ccom", "☕️", "ﷺ", "㏂.com", "．com", "1.2.3.", "0A.0WWW.0000"} {
		f.Add(name)
	}
	c := newCatalog(f)
	locales := c.Locales(message.Verification)
	code := pin(f, "907164")
	link := regexp.MustCompile(`(?i)://|(^|[^\pL\pM\pN])www\.\S|[\pL\pN]\.(com|net|org|de|me|ru|рф|xyz|link)([^\pL\pM\pN\x{200c}\x{200d}]|$)|\d+\.\d+\.\d+\.\d+`)
	f.Fuzz(func(t *testing.T, name string) {
		if message.CheckName(name) != nil {
			return
		}
		for _, locale := range locales {
			text := c.SMS(message.Input{Locale: locale, Brand: name, PIN: code, ValidFor: 5 * time.Minute})
			if n := strings.Count(text, code.Reveal()); n != 1 {
				t.Errorf("%s: %+q has the PIN %d times", locale, text, n)
			}
			if err := message.CheckText(strings.Replace(text, code.Reveal(), "", 1)); err != nil {
				t.Errorf("%s: %+q: %v", locale, text, err)
			}
			if found := link.FindString(text); found != "" {
				t.Errorf("%s: %+q has %q", locale, text, found)
			}
		}
	})
}

package message_test

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/text/unicode/bidi"

	"countersign/internal/deliver/gsm"
	"countersign/internal/message"
	"countersign/internal/verify"
)

// inputs returns a verification and a payment in a locale, with names of maximum length.
func inputs(t testing.TB, c *message.Catalog, locale string, minutes int) map[string]message.Input {
	t.Helper()
	life := time.Duration(minutes) * time.Minute
	both := map[string]message.Input{
		"verification": {Locale: locale, PIN: pin(t, "123456"), ValidFor: life, Brand: strings.Repeat("W", 18)},
		"payment": {
			Locale: locale, PIN: pin(t, "123456"), ValidFor: life,
			Payment: &verify.Payment{Payee: strings.Repeat("W", 18), Amount: "9999.99"},
		},
	}
	if !hasPayment(c, both["payment"]) {
		delete(both, "payment")
	}
	return both
}

// hasPayment reports whether the locale of a payment has texts for it; other payments are
// in English.
func hasPayment(c *message.Catalog, in message.Input) bool {
	english := in
	english.Locale = "en-gb"
	return strings.HasPrefix(in.Locale, "en-") || c.SMS(in) != c.SMS(english)
}

// TestEverySMS checks each SMS with names of maximum length, a code of 6 digits, an amount
// below 10,000 and any life of a PIN. It must fit one segment, contain each value once, and
// have the code early enough for a notification.
func TestEverySMS(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	var table strings.Builder
	for _, locale := range c.All() {
		for _, minutes := range []int{60, 1, 2, 3, 5, 10, 11, 15, 20, 21, 22, 59} { // each form of each language
			for kind, in := range inputs(t, c, locale, minutes) {
				checkSMS(t, locale+" "+kind, c.SMS(in), in)
			}
		}
		for kind, in := range inputs(t, c, locale, 5) {
			m, err := gsm.Encode(c.SMS(in), gsm.Options{}, 0)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&table, "\n%-8s%-13s %-5s %d", locale, kind, m.Coding.Alphabet, m.Segments)
		}
	}
	t.Log(table.String())
}

func checkSMS(t *testing.T, name, sms string, in message.Input) {
	t.Helper()
	const notification = 30 // characters before the code, without the name, that every lock screen shows
	if n := gsm.Segments(sms, gsm.Options{}); n != 1 {
		t.Errorf("%s: %d segments, want 1: %q", name, n, sms)
	}
	for _, value := range []string{"123456", strings.Repeat("W", 18)} {
		if strings.Count(sms, value) != 1 {
			t.Errorf("%s: got %q, want %s once", name, sms, value)
		}
	}
	amounts := len(regexp.MustCompile(`9[., ]?999[.,]99`).FindAllString(sms, -1))
	if want := in.Payment != nil; want != (amounts == 1) {
		t.Errorf("%s: %d amounts in %q", name, amounts, sms)
	}
	before, _, _ := strings.Cut(sms, "123456")
	if n := len([]rune(strings.ReplaceAll(before, "W", ""))); n > notification {
		t.Errorf("%s: %d characters before the code in %q", name, n, sms)
	}
	checkText(t, name, sms)
}

// TestEverySMSWithAppHash: with the line of an Android app, each verification fits one
// segment, with its short text if it has one.
func TestEverySMSWithAppHash(t *testing.T) {
	t.Parallel()
	const hash = "\nFA+9qCX9VSu"
	c := newCatalog(t)
	for _, locale := range c.All() {
		for _, minutes := range []int{1, 2, 5, 11, 21, 60} {
			in := inputs(t, c, locale, minutes)["verification"]
			short := c.ShortSMS(in)
			if short != "" {
				checkSMS(t, locale+" short", short, in)
			}
			if text := cmp.Or(short, c.SMS(in)); gsm.Segments(text+hash, gsm.Options{}) != 1 {
				t.Errorf("%s, %d minutes: more than one segment: %q", locale, minutes, text)
			}
			if short != "" && minutes == 60 && gsm.Segments(c.SMS(in)+hash, gsm.Options{}) == 1 {
				t.Errorf("%s needs no short text: %q fits with the hash", locale, c.SMS(in))
			}
		}
	}
}

// TestEveryCall: each call contains the PIN twice, between words, so that a reader of the
// script finds it, and states payee and amount of a payment.
func TestEveryCall(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	spelt := regexp.MustCompile(`\p{L}\P{N}* (1, 2, 3, 4, 5, 6)[^\p{L}\p{N}]+\p{L}`)
	for _, locale := range c.All() {
		for kind, in := range inputs(t, c, locale, 60) {
			words := c.Call(in).Words()
			if got := len(spelt.FindAllString(words, -1)); got != 2 {
				t.Errorf("%s %s: %d PINs between words, want 2: %q", locale, kind, got, words)
			}
			if strings.Count(words, strings.Repeat("W", 18)) != 1 {
				t.Errorf("%s %s: got %q, want the name once", locale, kind, words)
			}
			if got := len(regexp.MustCompile(`9999\D*99`).FindAllString(words, -1)); (kind == "payment") != (got == 1) {
				t.Errorf("%s %s: %d amounts in %q", locale, kind, got, words)
			}
			checkText(t, locale+" "+kind+" call", words)
		}
	}
}

// checkText reports leftover markup, superfluous spaces, and anything that a phone turns
// into a link.
func checkText(t *testing.T, name, text string) {
	t.Helper()
	if found := regexp.MustCompile(`\s[,.]|\s\s|^\s|\s$|[<>${}]|://|www\.|\pL\.\pL`).FindString(text); found != "" {
		t.Errorf("%s: %q in %q", name, found, text)
	}
	if found := regexp.MustCompile(`[\p{Cf}\p{Cc}\x{a0}\x{202f}]`).FindString(text); found != "" {
		t.Errorf("%s: invisible %q in %q", name, found, text)
	}
	// They are outside the GSM alphabet, and none of the languages needs them.
	if found := regexp.MustCompile(`[‘’“”„«»–—…·]`).FindString(text); found != "" {
		t.Errorf("%s: typographic %q in %q", name, found, text)
	}
}

// TestMinutes: the forms of the languages, for 1, 2, 5, 21 and 22 minutes, in the
// case that the sentence needs.
func TestMinutes(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	want := map[string]string{
		"af-za":  "1 minuut|2 minute|5 minute|21 minute|22 minute",
		"az-az":  "1 dəqiqə|2 dəqiqə|5 dəqiqə|21 dəqiqə|22 dəqiqə",
		"bn-bd":  "1 মিনিট|2 মিনিট|5 মিনিট|21 মিনিট|22 মিনিট",
		"ca-es":  "1 minut|2 minuts|5 minuts|21 minuts|22 minuts",
		"cmn-cn": "1分钟|2分钟|5分钟|21分钟|22分钟",
		"et-ee":  "1 minuti|2 minutit|5 minutit|21 minutit|22 minutit",
		"fa-ir":  "1 دقیقه|2 دقیقه|5 دقیقه|21 دقیقه|22 دقیقه",
		"he-il":  "דקה|2 דקות|5 דקות|21 דקות|22 דקות",
		"hr-hr":  "1 minutu|2 minute|5 minuta|21 minutu|22 minute",
		"hy-am":  "1 րոպե|2 րոպե|5 րոպե|21 րոպե|22 րոպե",
		"ka-ge":  "1 წუთი|2 წუთი|5 წუთი|21 წუთი|22 წუთი",
		"kk-kz":  "1 минут|2 минут|5 минут|21 минут|22 минут",
		"mk-mk":  "1 минута|2 минути|5 минути|21 минута|22 минути",
		"ms-my":  "1 minit|2 minit|5 minit|21 minit|22 minit",
		"sq-al":  "1 minute|2 minutash|5 minutash|21 minutash|22 minutash",
		"sr-rs":  "1 minut|2 minuta|5 minuta|21 minut|22 minuta",
		"sw-ke":  "dakika 1|dakika 2|dakika 5|dakika 21|dakika 22",
		"ta-in":  "1 நிமிடம்|2 நிமிடங்கள்|5 நிமிடங்கள்|21 நிமிடங்கள்|22 நிமிடங்கள்",
		"te-in":  "1 నిమిషం|2 నిమిషాలు|5 నిమిషాలు|21 నిమిషాలు|22 నిమిషాలు",
		"uk-ua":  "1 хвилину|2 хвилини|5 хвилин|21 хвилину|22 хвилини",
		"ur-pk":  "1 منٹ|2 منٹ|5 منٹ|21 منٹ|22 منٹ",
		"zh-hk":  "1分鐘|2分鐘|5分鐘|21分鐘|22分鐘",
		"ar-xa":  "دقيقة|دقيقتين|5 دقائق|21 دقيقة|22 دقيقة",
		"bg-bg":  "1 минута|2 минути|5 минути|21 минути|22 минути",
		"cs-cz":  "1 minutu|2 minuty|5 minut|21 minut|22 minut",
		"cy-cy":  "1 munud|2 funud|5 munud|21 munud|22 munud",
		"cy-gb":  "1 munud|2 funud|5 munud|21 munud|22 munud",
		"da-dk":  "1 minut|2 minutter|5 minutter|21 minutter|22 minutter",
		"de-de":  "1 Minute|2 Minuten|5 Minuten|21 Minuten|22 Minuten",
		"ee-et":  "1 minuti|2 minutit|5 minutit|21 minutit|22 minutit",
		"el-gr":  "1 λεπτό|2 λεπτά|5 λεπτά|21 λεπτά|22 λεπτά",
		"en-au":  "1 minute|2 minutes|5 minutes|21 minutes|22 minutes",
		"en-gb":  "1 minute|2 minutes|5 minutes|21 minutes|22 minutes",
		"en-in":  "1 minute|2 minutes|5 minutes|21 minutes|22 minutes",
		"en-us":  "1 minute|2 minutes|5 minutes|21 minutes|22 minutes",
		"es-es":  "1 minuto|2 minutos|5 minutos|21 minutos|22 minutos",
		"es-mx":  "1 minuto|2 minutos|5 minutos|21 minutos|22 minutos",
		"es-us":  "1 minuto|2 minutos|5 minutos|21 minutos|22 minutos",
		"fi-fi":  "1 minuutin|2 minuuttia|5 minuuttia|21 minuuttia|22 minuuttia",
		"fil-ph": "1 minuto|2 minuto|5 minuto|21 minuto|22 minuto",
		"fr-ca":  "1 minute|2 minutes|5 minutes|21 minutes|22 minutes",
		"fr-fr":  "1 minute|2 minutes|5 minutes|21 minutes|22 minutes",
		"ga-ie":  "1 nóiméad|2 nóiméad|5 nóiméad|21 nóiméad|22 nóiméad",
		"hi-in":  "1 मिनट|2 मिनट|5 मिनट|21 मिनट|22 मिनट",
		"hu-hu":  "1 percig|2 percig|5 percig|21 percig|22 percig",
		"id-id":  "1 menit|2 menit|5 menit|21 menit|22 menit",
		"is-is":  "1 mínútu|2 mínútur|5 mínútur|21 mínútu|22 mínútur",
		"it-it":  "1 minuto|2 minuti|5 minuti|21 minuti|22 minuti",
		"ja-jp":  "1分|2分|5分|21分|22分",
		"ko-kr":  "1분|2분|5분|21분|22분",
		"lt-lt":  "1 min|2 min|5 min|21 min|22 min",
		"lv-lv":  "1 minūti|2 minūtes|5 minūtes|21 minūti|22 minūtes",
		"mt-mt":  "1 minuta|2 minuti|5 minuti|21 minuta|22 minuta",
		"nb-no":  "1 minutt|2 minutter|5 minutter|21 minutter|22 minutter",
		"nl-nl":  "1 minuut|2 minuten|5 minuten|21 minuten|22 minuten",
		"pl-pl":  "1 minucie|2 minutach|5 minutach|21 minutach|22 minutach",
		"pt-br":  "1 minuto|2 minutos|5 minutos|21 minutos|22 minutos",
		"pt-pt":  "1 minuto|2 minutos|5 minutos|21 minutos|22 minutos",
		"ro-ro":  "1 minut|2 minute|5 minute|21 de minute|22 de minute",
		"ru-ru":  "1 минуту|2 минуты|5 минут|21 минуту|22 минуты",
		"sk-sk":  "1 minútu|2 minúty|5 minút|21 minút|22 minút",
		"sl-si":  "1 minuto|2 minuti|5 minut|21 minut|22 minut",
		"sv-se":  "1 minut|2 minuter|5 minuter|21 minuter|22 minuter",
		"th-th":  "1 นาที|2 นาที|5 นาที|21 นาที|22 นาที",
		"tr-tr":  "1 dakika|2 dakika|5 dakika|21 dakika|22 dakika",
		"vi-vn":  "1 phút|2 phút|5 phút|21 phút|22 phút",
		"yue-cn": "1分鐘|2分鐘|5分鐘|21分鐘|22分鐘",
		"zh-cn":  "1分钟|2分钟|5分钟|21分钟|22分钟",
		"zh-tw":  "1分鐘|2分鐘|5分鐘|21分鐘|22分鐘",
	}
	spoken := map[string]string{ // words that differ from the written ones
		"bg-bg":  "една минута|2 минути|5 минути|двадесет и една минути|22 минути",
		"ca-es":  "un minut|2 minuts|5 minuts|vint-i-un minuts|22 minuts",
		"cmn-cn": "1分钟|两分钟|5分钟|21分钟|22分钟",
		"ee-et":  "ühe minuti|2 minutit|5 minutit|21 minutit|22 minutit",
		"et-ee":  "ühe minuti|2 minutit|5 minutit|21 minutit|22 minutit",
		"he-il":  "דקה אחת|שתי דקות|חמש דקות|עשרים ואחת דקות|עשרים ושתיים דקות",
		"hr-hr":  "jednu minutu|dvije minute|5 minuta|dvadeset jednu minutu|dvadeset dvije minute",
		"hu-hu":  "1 percig|két percig|5 percig|21 percig|huszonkét percig",
		"lt-lt":  "vieną minutę|dvi minutes|penkias minutes|dvidešimt vieną minutę|dvidešimt dvi minutes",
		"lv-lv":  "vienu minūti|divas minūtes|piecas minūtes|divdesmit vienu minūti|divdesmit divas minūtes",
		"mk-mk":  "една минута|две минути|5 минути|дваесет и една минута|дваесет и две минути",
		"sk-sk":  "jednu minútu|dve minúty|5 minút|21 minút|22 minút",
		"sl-si":  "eno minuto|dve minuti|5 minut|21 minut|22 minut",
		"sq-al":  "një minutë|2 minuta|5 minuta|21 minuta|22 minuta",
		"ta-in":  "ஒரு நிமிடத்திற்கு|2 நிமிடங்களுக்கு|5 நிமிடங்களுக்கு|21 நிமிடங்களுக்கு|22 நிமிடங்களுக்கு",
		"te-in":  "ఒక నిమిషం పాటు|2 నిమిషాల పాటు|5 నిమిషాల పాటు|21 నిమిషాల పాటు|22 నిమిషాల పాటు",
		"uk-ua":  "одну хвилину|дві хвилини|5 хвилин|двадцять одну хвилину|двадцять дві хвилини",
		"zh-hk":  "1分鐘|兩分鐘|5分鐘|21分鐘|22分鐘",
		"ar-xa":  "دَقِيقَةٍ وَاحِدَةٍ|دَقِيقَتَيْنِ|خَمْسِ دَقَائِقَ|إِحْدَى وَعِشْرِينَ دَقِيقَةً|اثْنَتَيْنِ وَعِشْرِينَ دَقِيقَةً",
		"cs-cz":  "jednu minutu|dvě minuty|5 minut|jedenadvacet minut|dvaadvacet minut",
		"cy-cy":  "1 munud|2 funud|pum munud|21 munud|22 munud",
		"cy-gb":  "1 munud|2 funud|pum munud|21 munud|22 munud",
		"da-dk":  "et minut|2 minutter|5 minutter|21 minutter|22 minutter",
		"de-de":  "eine Minute|2 Minuten|5 Minuten|21 Minuten|22 Minuten",
		"es-es":  "un minuto|2 minutos|5 minutos|veintiún minutos|22 minutos",
		"es-mx":  "un minuto|2 minutos|5 minutos|veintiún minutos|22 minutos",
		"es-us":  "un minuto|2 minutos|5 minutos|veintiún minutos|22 minutos",
		"fi-fi":  "yhden minuutin|2 minuuttia|5 minuuttia|21 minuuttia|22 minuuttia",
		"fil-ph": "isang minuto|2 minuto|5 minuto|21 minuto|22 minuto",
		"fr-ca":  "une minute|2 minutes|5 minutes|vingt et une minutes|22 minutes",
		"fr-fr":  "une minute|2 minutes|5 minutes|vingt et une minutes|22 minutes",
		"is-is":  "eina mínútu|tvær mínútur|5 mínútur|tuttugu og eina mínútu|tuttugu og tvær mínútur",
		"it-it":  "un minuto|2 minuti|5 minuti|21 minuti|22 minuti",
		"ja-jp":  "いっぷんかん|にふんかん|ごふんかん|にじゅういっぷんかん|にじゅうにふんかん",
		"nb-no":  "ett minutt|2 minutter|5 minutter|tjueett minutter|22 minutter",
		"nl-nl":  "één minuut|2 minuten|5 minuten|21 minuten|22 minuten",
		"pl-pl":  "jedną minutę|dwie minuty|5 minut|21 minut|dwadzieścia dwie minuty",
		"ro-ro":  "un minut|două minute|5 minute|21 de minute|douăzeci și două de minute",
		"ru-ru":  "одну минуту|две минуты|5 минут|двадцать одну минуту|двадцать две минуты",
		"sv-se":  "en minut|2 minuter|5 minuter|21 minuter|22 minuter",
		"yue-cn": "1分鐘|兩分鐘|5分鐘|21分鐘|22分鐘",
		"zh-cn":  "1分钟|两分钟|5分钟|21分钟|22分钟",
		"zh-tw":  "1分鐘|兩分鐘|5分鐘|21分鐘|22分鐘",
	}
	for _, locale := range c.All() {
		said := strings.Split(cmp.Or(spoken[locale], want[locale]), "|")
		for i, minutes := range []int{1, 2, 5, 21, 22} {
			for kind, in := range inputs(t, c, locale, minutes) {
				written := strings.Split(want[locale], "|")
				texts := map[string]string{written[i]: c.SMS(in)}
				if script := c.Call(in); script.Locale == locale {
					texts[said[i]] += script.Words()
				}
				for want, text := range texts {
					if !regexp.MustCompile(`(^|\P{N})` + regexp.QuoteMeta(want) + `(\P{L}|$|[内內입안동で])`).MatchString(text) {
						t.Errorf("%s %s: got %q, want %q in it", locale, kind, text, want)
					}
				}
			}
		}
	}
}

// TestSpokenMinutes: numbers that a voice would read wrong are spelled out, also for
// minutes that TestMinutes omits.
func TestSpokenMinutes(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	for _, tt := range []struct {
		locale  string
		minutes int
		want    string
	}{
		{"ar-xa", 3, "ثَلَاثِ دَقَائِقَ"},
		{"ar-xa", 10, "عَشْرِ دَقَائِقَ"},
		{"ar-xa", 15, "خَمْسَ عَشْرَةَ دَقِيقَةً"},
		{"ar-xa", 30, "ثَلَاثِينَ دَقِيقَةً"},
		{"cs-cz", 3, "3 minuty"},
		{"cs-cz", 52, "dvaapadesát minut"},
		{"cy-gb", 15, "pymtheng munud"},
		{"cy-gb", 20, "ugain munud"},
		{"hu-hu", 12, "tizenkét percig"},
		{"lt-lt", 10, "10 minučių"},
		{"lt-lt", 59, "penkiasdešimt devynias minutes"},
		{"lv-lv", 34, "trīsdesmit četras minūtes"},
		{"he-il", 20, "עשרים דקות"},
		{"mk-mk", 11, "11 минути"},
		{"sq-al", 53, "pesëdhjetë e tri minuta"},
		{"uk-ua", 51, "п'ятдесят одну хвилину"},
		{"es-es", 51, "cincuenta y un minutos"},
		{"fr-fr", 31, "trente et une minutes"},
		{"is-is", 3, "þrjár mínútur"},
		{"is-is", 4, "fjórar mínútur"},
		{"is-is", 12, "12 mínútur"},
		{"is-is", 54, "fimmtíu og fjórar mínútur"},
		{"ja-jp", 3, "さんぷんかん"},
		{"ja-jp", 4, "よんぷんかん"},
		{"ja-jp", 6, "ろっぷんかん"},
		{"ja-jp", 8, "はっぷんかん"},
		{"ja-jp", 10, "じゅっぷんかん"},
		{"ja-jp", 20, "にじゅっぷんかん"},
		{"ja-jp", 60, "ろくじゅっぷんかん"},
		{"pl-pl", 3, "3 minuty"},
		{"pl-pl", 12, "12 minut"},
		{"ro-ro", 12, "douăsprezece minute"},
		{"ro-ro", 42, "patruzeci și două de minute"},
		{"ru-ru", 11, "11 минут"},
		{"ru-ru", 51, "пятьдесят одну минуту"},
	} {
		in := message.Input{Locale: tt.locale, Brand: "Acme", PIN: pin(t, "1234"), ValidFor: time.Duration(tt.minutes) * time.Minute}
		if call := c.Call(in).Words(); !regexp.MustCompile(`\s` + tt.want + `([.\s])`).MatchString(call) {
			t.Errorf("%s: got %q, want %q in it", tt.locale, call, tt.want)
		}
	}
}

// TestNoTwoMinutesAreAlike: two numbers with equal words would be a mistake in a locale
// file.
func TestNoTwoMinutesAreAlike(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	for _, locale := range c.All() {
		seen := map[string]int{}
		for minutes := 1; minutes <= 60; minutes++ {
			words := c.Call(inputs(t, c, locale, minutes)["verification"]).Words()
			if other, ok := seen[words]; ok {
				t.Errorf("%s: %d and %d minutes are both %q", locale, other, minutes, words)
			}
			seen[words] = minutes
		}
	}
}

// TestMinutesAreRoundedDown: minutes are rounded down to at least 1, so that a message does
// not promise more time than the PIN has.
func TestMinutesAreRoundedDown(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	for _, tt := range []struct {
		locale string
		life   time.Duration
		want   string
	}{
		{"en-us", 0, " 1 minute."},
		{"en-us", time.Second, " 1 minute."},
		{"en-us", time.Minute, " 1 minute."},
		{"en-us", 2*time.Minute - time.Millisecond, " 1 minute."},
		{"en-us", 175 * time.Second, " 2 minutes."},
		{"en-us", 300*time.Second - time.Millisecond, " 4 minutes."},
		{"en-us", 300 * time.Second, " 5 minutes."},
		{"en-us", time.Hour, " 60 minutes."},
		{"mt-mt", 15 * time.Minute, " 15-il minuta."},
		{"mt-mt", 10 * time.Minute, " 10 minuti."},
		{"ru-ru", 11 * time.Minute, " 11 минут."},
		{"lv-lv", 11 * time.Minute, " 11 minūtes."},
		{"lt-lt", 11 * time.Minute, " 11 min."},
		{"mk-mk", 11 * time.Minute, " 11 минути."},
		{"sl-si", 3 * time.Minute, " 3 minute."},
		{"pl-pl", 12 * time.Minute, " 12 minutach."},
	} {
		in := message.Input{Locale: tt.locale, Brand: "Acme", PIN: pin(t, "1234"), ValidFor: tt.life}
		if sms := c.SMS(in); !strings.HasSuffix(sms, tt.want) {
			t.Errorf("%s, %v: got %q, want %q at its end", tt.locale, tt.life, sms, tt.want)
		}
	}
}

// TestAmounts: groups, decimal mark and currency sign follow the CLDR; calls have no
// groups, and no cents for a whole amount.
func TestAmounts(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	for _, tt := range []struct{ locale, amount, sms, call string }{
		{"en-gb", "48.50", "€48.50 ", " 48 euros and 50 cents "},
		{"en-gb", "0.01", "€0.01 ", " 1 cent "},
		{"en-gb", "0.50", "€0.50 ", " 50 cents "},
		{"en-gb", "48.05", "€48.05 ", " 48 euros and 5 cents "},
		{"en-gb", "1.00", "€1.00 ", " 1 euro "},
		{"en-gb", "1.50", "€1.50 ", " 1 euro and 50 cents "},
		{"en-gb", "1234567.89", "€1,234,567.89 ", " 1234567 euros and 89 cents "},
		{"en-gb", "999999999999.99", "€999,999,999,999.99 ", " 999999999999 euros and 99 cents "},
		{"de-de", "1234.50", " 1.234,50 € ", " 1234 Euro und 50 Cent "},
		{"fr-fr", "0.50", " 0,50 € ", " 50 centimes "},
		{"fr-fr", "12345.00", " 12 345,00 € ", " 12345 euros "},
		{"es-es", "1234.50", " 1234,50 € ", " 1234 euros con 50 céntimos "},
		{"es-es", "12345.50", " 12.345,50 € ", " 12345 euros con 50 céntimos "},
		{"it-it", "48.00", " 48,00 € ", " 48 euro "},
		{"nl-nl", "48.50", " € 48,50 ", " 48 euro en 50 cent "},
		{"cs-cz", "1.00", " 1,00 € ", " 1 euro "},
		{"cs-cz", "3.00", " 3,00 € ", " 3 eura "},
		{"cs-cz", "48.00", " 48,00 € ", " 48 eur "},
		{"cs-cz", "48.50", " 48,50 € ", " 48 eur 50 centů "},
		{"cs-cz", "3.01", " 3,01 € ", " 3 eura 1 cent "},
		{"cs-cz", "3.02", " 3,02 € ", " 3 eura 2 centy "},
		{"fi-fi", "1234.50", " 1 234,50 € ", " 1234 euroa ja 50 senttiä."},
		{"pl-pl", "1234.50", " 1234,50 € ", " 1234 euro i 50 centów "},
		{"el-gr", "1234.50", " 1.234,50 € ", " 1234 ευρώ και 50 λεπτά του ευρώ "},
		{"ga-ie", "1234.50", " €1,234.50 ", " 1234 euros and 50 cents "}, // called in English
		{"ar-xa", "1234.50", " 1,234.50 € ", " 1234.50 يُورُو "},
		{"hi-in", "1234567.50", " €12,34,567.50 ", " 1234567.50 यूरो "},
		{"th-th", "48.50", " €48.50 ", " 48.50 ยูโร "},
		{"ja-jp", "48.50", " €48.50。", " 48.50 ユーロの "},
		{"it-it", "1.01", " 1,01 € ", " 1 euro e 1 centesimo "},
		{"sv-se", "48.50", " 48,50 € ", " 48 euro och 50 cent "},
		{"da-dk", "48.50", " 48,50 € ", " 48 euro og 50 cent "},
		{"hu-hu", "48.50", " 48,50 € ", " 48 euró 50 cent "},
		{"ro-ro", "20.00", " 20,00 € ", " 20 de euro "},
	} {
		in := message.Input{Locale: tt.locale, PIN: pin(t, "1234"), Payment: &verify.Payment{Payee: "Acme", Amount: tt.amount}}
		if sms := c.SMS(in); !strings.Contains(sms, tt.sms) {
			t.Errorf("%s: got SMS %q, want %q in it", tt.locale, sms, tt.sms)
		}
		if call := c.Call(in).Words(); !strings.Contains(call, tt.call) {
			t.Errorf("%s: got call %q, want %q in it", tt.locale, call, tt.call)
		}
	}
}

// TestDigits: codes, minutes and amounts have the digits of the keypad everywhere.
func TestDigits(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	other := regexp.MustCompile(`[^\P{N}0-9]`)
	for _, locale := range c.All() {
		for kind, in := range inputs(t, c, locale, 45) {
			if found := other.FindString(c.SMS(in) + c.Call(in).Words()); found != "" {
				t.Errorf("%s %s: digit %q", locale, kind, found)
			}
		}
	}
}

// TestRightToLeft lays the Arabic text out by the Unicode bidirectional algorithm, as a
// phone does. Names and numbers are separated by Arabic words, in reading order, without
// invisible characters.
func TestRightToLeft(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	for kind, in := range inputs(t, c, "ar-xa", 5) {
		in.Brand = "Acme"
		if in.Payment != nil {
			in.Payment.Payee = "Acme Inc"
		}
		sms := c.SMS(in)
		var p bidi.Paragraph
		if _, err := p.SetString(sms); err != nil {
			t.Fatal(err)
		}
		order, err := p.Order()
		if err != nil {
			t.Fatal(err)
		}
		if order.Direction() != bidi.RightToLeft && order.Direction() != bidi.Mixed || p.IsLeftToRight() {
			t.Errorf("%s: %q does not begin from the right", kind, sms)
		}
		var runs []string
		for i := range order.NumRuns() {
			if run := order.Run(i); run.Direction() == bidi.LeftToRight {
				runs = append(runs, run.String())
			}
		}
		want := map[string][]string{"verification": {"Acme", "123456", "5"}, "payment": {"123456", "9,999.99", "Acme Inc", "5"}}[kind]
		if !slices.Equal(runs, want) {
			t.Errorf("%s: %q has the runs %q, want %q", kind, sms, runs, want)
		}
	}
}

// TestCatalogIsShared uses a catalog concurrently, for the race detector.
func TestCatalogIsShared(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, locale := range c.All() {
				for _, in := range inputs(t, c, locale, 5) {
					if c.SMS(in) == "" || len(c.Call(in).Parts) == 0 {
						t.Errorf("%s: empty message", locale)
					}
				}
			}
		})
	}
	wg.Wait()
}

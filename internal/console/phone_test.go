package console_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"countersign/internal/console"
)

func TestPage(t *testing.T) {
	t.Parallel()
	h := handler(console.Config{Inbox: filled(
		sms(1, number, "Acme code: 4821. Valid for 5 minutes."),
		call(2, number, "4821"),
		sms(3, "12025550100", "<script>alert(1)</script>"),
	)})
	tests := []struct {
		name, target string
		has, hasNot  []string
	}{
		{
			name: "All", target: "/phone",
			has: []string{
				"Acme code: 4821.", "/phone/audio/" + id(2).String() + ".wav",
				`href="/phone?number=12025550100"`, `data-events="/phone/api/events"`, `<label class="sr-only" for="number">`,
				"&lt;script&gt;alert(1)&lt;/script&gt;",
			},
			hasNot: []string{"<script>alert"},
		},
		{
			name: "OneNumber", target: "/phone?number=%2B44+7700+900001",
			has: []string{
				"+447700900001", "Acme code: 4821.", "Answer", "Transcript",
				`data-events="/phone/api/events?number=447700900001"`, `href="/phone"`,
			},
			hasNot: []string{"alert(1)", `id="number"`},
		},
		{
			name: "Empty", target: "/phone?number=447700900002",
			has:    []string{"Nothing received yet", "+447700900002"},
			hasNot: []string{"4821"},
		},
		{
			name: "Malformed", target: `/phone?number="><b>`,
			has:    []string{"not a phone number", `aria-invalid="true"`, `data-events=""`, "&#34;&gt;&lt;b&gt;"},
			hasNot: []string{"4821", "<b>"},
		},
		// The page refuses the same numbers as the API.
		{
			name: "TooShort", target: "/phone?number=%2B123",
			has:    []string{"This is not a phone number: ", `aria-invalid="true"`, `data-events=""`, `value="+123"`},
			hasNot: []string{"Nothing received yet"},
		},
		{
			name: "TooShortForCountry", target: "/phone?number=%2B4477009",
			has: []string{"This is not a phone number: too short for GB.", `data-events=""`},
		},
		{
			name: "UnknownCallingCode", target: "/phone?number=%2B999123456789",
			has: []string{"This is not a phone number: ", `data-events=""`},
		},
		{
			name: "TrunkZero", target: "/phone?number=%2B44+(0)7700+900001",
			has: []string{"Acme code: 4821.", `data-events="/phone/api/events?number=447700900001"`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := request(t, h, "GET", strings.NewReplacer(`"`, "%22", "<", "%3C", ">", "%3E").Replace(tt.target))
			if w.Code != http.StatusOK {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			if got := w.Header().Get("Content-Type"); got != "text/html; charset=utf-8" {
				t.Errorf("Content-Type %q", got)
			}
			body := w.Body.String()
			for _, s := range tt.has {
				if !strings.Contains(body, s) {
					t.Errorf("%q is not on the page", s)
				}
			}
			for _, s := range tt.hasNot {
				if strings.Contains(body, s) {
					t.Errorf("%q is on the page", s)
				}
			}
		})
	}
}

func TestPageOffersTheCode(t *testing.T) {
	t.Parallel()
	shown := regexp.MustCompile(`data-field="code">([^<]*)</span>`)
	tests := []struct{ name, text, want string }{
		{"AfterBrand", "Acme code: 4821. Valid for 5 minutes.", "4821"},
		{"BrandWithNumber", "Shop 2000 code: 482193. Valid for 5 minutes.", "482193"},
		{"First", "4821 ist Ihr Code.", "4821"},
		{"Korean", "인증번호 4821입니다", "4821"},
		{"Amount", "4821 confirms 1,000.00 EUR or 1000.50 to Acme.", "4821"},
		{"Letters", "Acme code: aB3dE9.", "aB3dE9"},
		{"DigitsBeforeLetters", "4821 from Club24", "4821"},
		{"TooLong", "Call 447700900001", ""},
		{"TooShort", "Valid for 300 s", ""},
		{"None", "Hello", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := handler(console.Config{Inbox: filled(sms(1, number, tt.text))})
			body := request(t, h, "GET", "/phone?number="+number).Body.String()
			if got := shown.FindStringSubmatch(body)[1]; got != tt.want {
				t.Errorf("code %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("Call", func(t *testing.T) {
		t.Parallel()
		h := handler(console.Config{Inbox: filled(call(1, number, "4821"))})
		body := request(t, h, "GET", "/phone?number="+number).Body.String()
		if got := shown.FindStringSubmatch(body)[1]; got != "4821" {
			t.Errorf("code %q, want 4821", got)
		}
	})
}

// Copies of one event are separate entries, even if sent in the same millisecond.
func TestPageTellsCopiesApart(t *testing.T) {
	t.Parallel()
	h := handler(console.Config{Inbox: filled(sms(1, number, "one"), sms(1, number, "one"), call(2, number, "4821"))})
	body := request(t, h, "GET", "/phone").Body.String()
	var keys []string
	for _, m := range regexp.MustCompile(`<li [^>]*data-key="([^"]+)"`).FindAllStringSubmatch(body, -1) {
		keys = append(keys, m[1])
	}
	slices.Sort(keys)
	if len(slices.Compact(keys)) != 3 {
		t.Errorf("keys %q, want 3 different ones", keys)
	}
}

func TestPageIsSelfContained(t *testing.T) {
	t.Parallel()
	h := handler(console.Config{Inbox: filled(sms(1, number, "one"), call(2, number, "4821"))})
	w := request(t, h, "GET", "/phone")
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "no-referrer",
		"Cache-Control":          "no-store",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("Content-Security-Policy %q", policy)
	}
	body := w.Body.String()
	for _, inline := range []string{" style=", " onclick=", "<style", "http://", "https://", "//cdn"} {
		if strings.Contains(body, inline) {
			t.Errorf("%q on the page, which its policy forbids", inline)
		}
	}
	assets := regexp.MustCompile(`"(/phone/assets/[^"]+)"`).FindAllStringSubmatch(body, -1)
	if len(assets) < 3 {
		t.Fatalf("assets %q, want a style sheet, a script and an icon", assets)
	}
	for _, m := range assets {
		w := request(t, h, "GET", strings.ReplaceAll(m[1], "&amp;", "&"))
		if w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("%s: status %d, %d bytes", m[1], w.Code, w.Body.Len())
		}
		if got := w.Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
			t.Errorf("%s: Cache-Control %q", m[1], got)
		}
	}
	stale := request(t, h, "GET", "/phone/assets/phone.js?v=old")
	if got := stale.Header().Get("Cache-Control"); stale.Code != http.StatusOK || got != "no-cache" {
		t.Errorf("asset of another version: status %d, Cache-Control %q", stale.Code, got)
	}
}

func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	h := handler(console.Config{Inbox: filled()})
	tests := []struct {
		method, target string
		want           int
	}{
		{"GET", "/phone", http.StatusOK},
		{"HEAD", "/phone", http.StatusOK},
		{"HEAD", "/phone/api/messages", http.StatusOK},
		{"HEAD", "/phone/api/events", http.StatusOK}, // and returns without a stream
		{"POST", "/phone", http.StatusMethodNotAllowed},
		{"DELETE", "/phone/api/messages", http.StatusMethodNotAllowed},
		{"POST", "/phone/api/events", http.StatusMethodNotAllowed},
		{"PUT", "/phone/audio/" + id(1).String() + ".wav", http.StatusMethodNotAllowed},
		{"POST", "/phone/assets/phone.js", http.StatusMethodNotAllowed},
		{"GET", "/phone/", http.StatusNotFound},
		{"GET", "/phone/api", http.StatusNotFound},
		{"GET", "/phone/assets/", http.StatusNotFound},
		{"GET", "/phone/assets/phone.exe", http.StatusNotFound},
		{"GET", "/phone/assets/..%2fphone.go", http.StatusNotFound},
		{"POST", "/phone/nothing", http.StatusNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.method+tt.target, func(t *testing.T) {
			t.Parallel()
			w := request(t, h, tt.method, tt.target)
			if w.Code != tt.want {
				t.Errorf("status %d, want %d", w.Code, tt.want)
			}
			if got := w.Header().Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("X-Content-Type-Options %q", got)
			}
		})
	}
}

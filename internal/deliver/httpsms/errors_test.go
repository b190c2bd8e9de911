package httpsms_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"countersign/internal/deliver"
)

// TestErrorsKeepSecrets sends to peers that fail in many ways and repeat the request.
func TestErrorsKeepSecrets(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	echo := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Location", "/"+r.URL.RawQuery)
			w.WriteHeader(status)
			w.Write(body)
		}
	}
	tests := map[string]string{
		"Closed":   closed.URL,
		"Refused":  serve(t, echo(400)),
		"Redirect": serve(t, echo(302)),
		"Broken":   serve(t, echo(500)),
		"Success":  serve(t, echo(200)),
		"NotHTTP":  serve(t, hangUp("HTTP/1.1 "+number+" api-key\r\n\r\n")),
		"Timeout":  serve(t, silent(func() {})),
	}
	for name, url := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := jsonConfig(url + "/?key=api-key&to={{.To}}")
			c.BasicUser, c.BasicPassword = "user", "basic-password"
			c.Timeout = 300 * time.Millisecond
			c.Success = []string{"json to == 0", "json text == 0"}
			_, err := open(t, c).Send(t.Context(), sms())
			if err == nil {
				t.Fatal("no error")
			}
			for _, word := range []string{number, "4711", "api-key", "basic-password"} {
				if strings.Contains(err.Error(), word) {
					t.Errorf("error contains %q: %v", word, err)
				}
			}
		})
	}
}

func TestErrorNamesTheCode(t *testing.T) {
	t.Parallel()
	c := jsonConfig(serve(t, reply(200, `{"status":"4"}`)))
	c.Success = []string{"json status == 0"}
	_, err := open(t, c).Send(t.Context(), sms())
	if err == nil || !strings.Contains(err.Error(), "status is 4") {
		t.Errorf("error %v", err)
	}
}

// TestReason: a refusal has the HTTP status and the gateway's reason, without the number,
// the code or a secret.
func TestReason(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, answer, want string }{
		{"Code", `{"error":{"code":21211,"message":"The 'To' number +447700900123 is not valid"}}`,
			"HTTP 400 Bad Request (error.code is 21211, error.message is The 'To' number +… is not valid)"},
		{"Deep", `{"messages":[{"to":"447700900123","status":"15","error-text":"Invalid sender"}]}`,
			"HTTP 400 Bad Request (messages.status is 15, messages.error-text is Invalid sender)"},
		{"Problem", `{"type":"about:blank","title":"Forbidden","status":403,"detail":"balance 0"}`,
			"HTTP 400 Bad Request (status is 403, detail is balance 0, title is Forbidden)"},
		{"Word", `{"error":"no_credit"}`, "HTTP 400 Bad Request (error is no_credit)"},
		{"Text", "ERR: 105 no route\r\nmore", "HTTP 400 Bad Request (ERR: … no route)"},
		{"NumberInText", "unknown subscriber 447700900123", "HTTP 400 Bad Request (unknown subscriber …)"},
		{"PIN", `{"message":"Acme code: 4711","code":"4711"}`, "HTTP 400 Bad Request (message is Acme code: …)"},
		{"Arabic digits", `{"message":"\u0664\u0667\u0661\u0661"}`, "HTTP 400 Bad Request (message is …)"},
		{"KeyOfDigits", `{"447700900123":{"code":"5"}}`, "HTTP 400 Bad Request"},
		{"Markup", "<html><title>Bad</title>", "HTTP 400 Bad Request"},
		{"Nothing", "", "HTTP 400 Bad Request"},
		{"Secret", `{"error":"basic-password"}`, "HTTP 400 Bad Request"},
		{"Long", `{"message":"` + strings.Repeat("é", 100) + `"}`, "HTTP 400 Bad Request (message is " + strings.Repeat("é", 40) + ")"},
		{"Control", `{"message":"a\u0000\nb"}`, "HTTP 400 Bad Request (message is a  b)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := jsonConfig(serve(t, reply(400, tt.answer)))
			c.BasicUser, c.BasicPassword = "user", "basic-password"
			c.Success = []string{"http 200"}
			_, err := open(t, c).Send(t.Context(), sms())
			if got := deliver.Code(err); got != tt.want || !strings.HasPrefix(err.Error(), "refused by carrier: answered HTTP 400") {
				t.Errorf("code %q\nwant %q\n%v", got, tt.want, err)
			}
		})
	}
}

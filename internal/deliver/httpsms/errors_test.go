package httpsms_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestErrorsKeepSecrets sends to peers that fail in many ways, and repeat what they
// were told.
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
					t.Errorf("error has %q: %v", word, err)
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

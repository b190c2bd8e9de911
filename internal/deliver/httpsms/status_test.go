package httpsms_test

import (
	"strings"
	"testing"
)

// TestStatus: the status has the last errors, without the number and the text.
func TestStatus(t *testing.T) {
	t.Parallel()
	c := jsonConfig(serve(t, reply(400, `{"code":21211}`)))
	c.Concurrency, c.Rate = 7, 50
	g := open(t, c)
	if s := g.Status(); s.Window != 7 || s.RateLimit != 50 || s.InFlight != 0 || len(s.Errors) != 0 {
		t.Errorf("at first %+v", s)
	}
	for range 3 {
		if _, err := g.Send(t.Context(), sms()); kindOf(err) != refused {
			t.Fatalf("Send: %v, want refused", err)
		}
	}
	s := g.Status()
	if len(s.Errors) != 1 || s.Errors[0].Times != 3 || !strings.Contains(s.Errors[0].Error, "400") {
		t.Fatalf("errors %+v, want one, three times", s.Errors)
	}
	if e := s.Errors[0].Error; strings.Contains(e, number) || strings.Contains(e, "4711") {
		t.Errorf("the error contains data of the message: %s", e)
	}
}

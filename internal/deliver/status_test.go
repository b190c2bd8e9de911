package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// TestErrorLog: the last ten errors are listed, newest first; a repetition increments the
// count of its error.
func TestErrorLog(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 4, 4, 5, 1_999_999, time.FixedZone("CET", 3600))
	second := func(s int) time.Time { return at.Add(time.Duration(s) * time.Second).UTC().Truncate(time.Millisecond) }
	log := &deliver.ErrorLog{}
	if got := log.List(); len(got) != 0 {
		t.Errorf("a new log has %+v", got)
	}
	for s, text := range []string{"a", "a", "b", "a", "a", "a"} {
		log.Add(at.Add(time.Duration(s)*time.Second), errors.New(text))
	}
	want := []deliver.LoggedError{{At: second(5), Error: "a", Times: 3}, {At: second(2), Error: "b", Times: 1}, {At: second(1), Error: "a", Times: 2}}
	if got := log.List(); !slices.Equal(got, want) {
		t.Errorf("listed %+v, want %+v", got, want)
	}
	log.List()[0].Error = "changed" // a copy
	for n := range 9 {
		log.Add(at, fmt.Errorf("error %d", n))
		if got := log.List(); len(got) != min(4+n, 10) || got[0].Error != fmt.Sprintf("error %d", n) || got[n+1].Error != "a" {
			t.Errorf("after %d more: %+v", n+1, got)
		}
	}
}

// TestStatus: the list is sorted by the names of the carriers and includes their binds.
func TestStatus(t *testing.T) {
	t.Parallel()
	var asked []string
	binds := []deliver.BindStatus{{Up: true}, {}, {Up: true}}
	router, err := deliver.NewRouter(deliver.RouterConfig{Carriers: map[string]deliver.Carrier{
		"b": &session{carrier{"b", nil, &asked}, binds}, "c": carrier{"c", nil, &asked}, "a": carrier{"a", nil, &asked},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, s := range router.Status() {
		got += fmt.Sprintf("%s %d of %d, ", s.Name, s.Up(), len(s.Binds))
	}
	if want := "a 0 of 0, b 2 of 3, c 0 of 0, "; got != want {
		t.Errorf("status %q, want %q", got, want)
	}
}

// coded is an error with a carrier's code.
type coded struct{ code string }

func (c coded) Error() string { return "text of " + c.code }
func (c coded) Code() string  { return c.code }

// TestFailures: an error of Send, or a submission, has the failed attempts of all
// carriers, in order, each with its text.
func TestFailures(t *testing.T) {
	t.Parallel()
	lost := errors.New("answer lost")
	say := func(class error, err error) error { return fmt.Errorf("%w: %w", class, err) }
	answers := map[string]error{
		"code":    say(deliver.ErrRefused, coded{"HTTP 400"}),
		"number":  say(deliver.ErrNumber, errors.New("too short")),
		"busy":    say(deliver.ErrTooManyThere, errors.New("10 there")),
		"offline": deliver.Tried(say(deliver.ErrNotSent, errors.New("no bind")), []error{coded{"ESME_RTHROTTLED"}, lost}),
		"lost":    deliver.Tried(lost, []error{say(deliver.ErrNotSent, errors.New("bind closed"))}),
		"plain":   deliver.ErrRefused,
		"takes":   nil,
	}
	failure := map[string][]verify.Failure{
		"code":    {{Carrier: "code", Error: "HTTP 400", Text: "text of HTTP 400"}},
		"number":  {{Carrier: "number", Error: "too short"}},
		"busy":    {{Carrier: "busy", Error: "10 there"}},
		"offline": {{Carrier: "offline", Error: "ESME_RTHROTTLED", Text: "text of ESME_RTHROTTLED"}, {Carrier: "offline", Error: "answer lost"}, {Carrier: "offline", Error: "no bind"}},
		"lost":    {{Carrier: "lost", Error: "bind closed"}, {Carrier: "lost", Error: "answer lost"}},
		"plain":   {{Carrier: "plain", Error: deliver.ErrRefused.Error()}},
		"takes":   {{Carrier: "takes", Error: "first bind lost"}},
	}
	for _, tt := range []struct {
		carriers, asked []string
		err             error
	}{
		{[]string{"takes"}, []string{"takes"}, nil},
		{[]string{"code", "offline", "takes", "plain"}, []string{"code", "offline", "takes"}, nil},
		{[]string{"plain", "number", "busy"}, []string{"plain", "number", "busy"}, deliver.ErrNotSent},
		{[]string{"lost", "takes"}, []string{"lost"}, lost},
		{[]string{"code", "offline", "lost", "takes"}, []string{"code", "offline", "lost"}, lost},
		{nil, nil, deliver.ErrNoRoute},
	} {
		cfg := deliver.RouterConfig{Routes: []deliver.Route{{Carriers: tt.carriers}}, Carriers: map[string]deliver.Carrier{}}
		for name, err := range answers {
			cfg.Carriers[name] = answering{deliver.Submission{Failed: []error{errors.New("first bind lost")}}, err}
		}
		router, err := deliver.NewRouter(cfg)
		if err != nil {
			t.Fatal(err)
		}
		sub, err := router.Send(t.Context(), deliver.Message{Channel: verify.SMS, To: verify.PhoneAddress("1", "")})
		var want []verify.Failure
		for _, name := range tt.asked {
			want = append(want, failure[name]...)
		}
		got := sub.Failures
		if err != nil {
			got = deliver.Failures(err)
		}
		if !errors.Is(err, tt.err) || !slices.Equal(got, want) {
			t.Errorf("%v: %v, failures %+v; want %v, %+v", tt.carriers, err, got, tt.err, want)
		}
	}
	if deliver.Tried(nil, []error{lost}) != nil || deliver.Tried(lost, nil) != lost { //nolint:errorlint // the same error
		t.Error("Tried changes a success, or a failure without earlier attempts")
	}
	if got := deliver.Failures(nil); got != nil {
		t.Errorf("failures of nil: %+v", got)
	}
}

// answering returns the same answer for every message.
type answering struct {
	sub deliver.Submission
	err error
}

func (a answering) Send(context.Context, deliver.Message) (deliver.Submission, error) {
	return a.sub, a.err
}

// TestCheckRoutes: each route has the first condition that a destination does not meet;
// the first matching route is used.
func TestCheckRoutes(t *testing.T) {
	t.Parallel()
	router, err := deliver.NewRouter(deliver.RouterConfig{
		Networks: []deliver.Network{{Name: "23410", Prefixes: []string{"4477"}}, {Name: "23415", Prefixes: []string{"4478"}}},
		Routes: []deliver.Route{
			{}, {Channel: verify.SMS}, {Channel: verify.TTS}, {Country: "GB"}, {Country: "US"}, {Prefix: "44"}, {Prefix: "49"},
			{Network: "23410"}, {Network: "23415"}, {Sender: "ACME"}, {Sender: "Other"}, {Account: "demo0002"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, c := range router.Check(deliver.Destination{Channel: verify.SMS, To: verify.PhoneAddress("447700900000", "GB"), Account: "demo0001", Sender: "ACME"}) {
		got += fmt.Sprintf("%s,%t\n", c.Against, c.Used)
	}
	const want = "account demo0002,false\n,true\nsender Other,false\n,false\nnetwork 23415,false\n,false\nprefix 49,false\n" +
		",false\ncountry US,false\n,false\nchannel tts,false\n,false\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

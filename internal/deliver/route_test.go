package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// carrier answers every message with err, and notes who was asked in what order.
type carrier struct {
	name  string
	err   error
	asked *[]string
}

func (c carrier) Send(_ context.Context, m deliver.Message) (deliver.Submission, error) {
	*c.asked = append(*c.asked, c.name)
	if c.err != nil {
		return deliver.Submission{Carrier: "liar", Ref: "none"}, c.err
	}
	return deliver.Submission{Carrier: "liar", Ref: "ref of " + m.To}, nil
}

var errLost = errors.New("connection lost")

// carriers are some that differ in what they answer.
func carriers(asked *[]string) map[string]deliver.Carrier {
	all := map[string]deliver.Carrier{}
	for name, err := range map[string]error{
		"good": nil, "also good": nil, "lost": errLost,
		"down":     fmt.Errorf("no connection: %w", deliver.ErrNotSent),
		"refusing": deliver.ErrRefused, "refusing too": fmt.Errorf("no capacity: %w", deliver.ErrRefused),
	} {
		all[name] = carrier{name, err, asked}
	}
	return all
}

func TestChoice(t *testing.T) {
	t.Parallel()
	// The order in the configuration must not matter: each test runs with all.
	routes := []deliver.Route{
		{Carriers: []string{"world"}},
		{Prefix: "44", Carriers: []string{"gb"}},
		{Prefix: "447700900", Carriers: []string{"fiction"}},
		{Prefix: "447", Channel: verify.TTS, Carriers: []string{"gb calls"}},
		{Prefix: "44", Channel: verify.SMS, Carriers: []string{"gb sms"}},
		{Prefix: "4477009000066"},
		{Prefix: "447700900006"},
		{Prefix: "447700900040", Channel: verify.SMS, Carriers: []string{"special"}},
		{Channel: verify.TTS, Carriers: []string{"world calls"}},
		{Prefix: "49", Channel: verify.TTS},
	}
	tests := []struct {
		name    string
		channel verify.Channel
		number  string
		want    string // "" where nobody takes it
	}{
		{"no prefix fits", verify.SMS, "12015550100", "world"},
		{"no prefix fits, but a channel", verify.TTS, "12015550100", "world calls"},
		{"equal prefixes, the channel decides", verify.SMS, "442071838750", "gb sms"},
		{"equal prefixes, another channel", verify.TTS, "442071838750", "gb"},
		{"longest prefix", verify.SMS, "447700900123", "fiction"},
		{"longest prefix beats a channel", verify.TTS, "447700900123", "fiction"},
		{"longest prefix of the channel", verify.TTS, "447911123456", "gb calls"},
		{"the longest is for another channel", verify.SMS, "447911123456", "gb sms"},
		{"a whole number", verify.SMS, "447700900040", "special"},
		{"a whole number, another channel", verify.TTS, "447700900040", "fiction"},
		{"no carriers", verify.SMS, "447700900006", ""},
		{"no carriers for a channel", verify.TTS, "4930123456", ""},
		{"its other channel", verify.SMS, "4930123456", "world"},
		{"a number that is only the prefix", verify.SMS, "44", "gb sms"},
		{"a number shorter than the prefix", verify.SMS, "4", "world"},
	}
	var asked []string
	all := map[string]deliver.Carrier{}
	for _, r := range routes {
		for _, name := range r.Carriers {
			all[name] = carrier{name, nil, &asked}
		}
	}
	for i := range routes {
		turned := slices.Concat(routes[i:], routes[:i])
		if i%2 == 1 {
			slices.Reverse(turned)
		}
		router, err := deliver.NewRouter(turned, all)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range tests {
			if got := router.Routable(tt.channel, tt.number); got != (tt.want != "") {
				t.Errorf("%s: routable %v", tt.name, got)
			}
			asked = nil
			sub, err := router.Send(t.Context(), deliver.Message{Channel: tt.channel, To: tt.number})
			switch {
			case tt.want == "" && (!errors.Is(err, deliver.ErrNoRoute) || len(asked) > 0):
				t.Errorf("%s: %+v, %v, and %v were asked; want ErrNoRoute", tt.name, sub, err, asked)
			case tt.want != "" && (err != nil || sub.Carrier != tt.want || sub.Ref != "ref of "+tt.number || !slices.Equal(asked, []string{tt.want})):
				t.Errorf("%s: %+v, %v, and %v were asked; want %s", tt.name, sub, err, asked, tt.want)
			}
		}
	}
}

func TestNoRoutes(t *testing.T) {
	t.Parallel()
	router, err := deliver.NewRouter(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if router.Routable(verify.SMS, "447700900000") {
		t.Error("routable without routes")
	}
	if _, err := router.Send(t.Context(), deliver.Message{Channel: verify.SMS, To: "447700900000"}); !errors.Is(err, deliver.ErrNoRoute) {
		t.Errorf("got %v, want ErrNoRoute", err)
	}
}

func TestUnknownCarrier(t *testing.T) {
	t.Parallel()
	var asked []string
	for _, names := range [][]string{{"nobody"}, {"good", "nobody"}, {""}} {
		if _, err := deliver.NewRouter([]deliver.Route{{Prefix: "44", Carriers: names}}, carriers(&asked)); err == nil {
			t.Errorf("a route to %q was accepted", names)
		}
	}
}

// TestFailover: only what certainly did not go out is handed to the next carrier,
// and the error says nothing else than the outcome.
func TestFailover(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		carriers  []string
		wantAsked []string
		wantBy    string
		wantErr   error
	}{
		{"the first takes it", []string{"good", "also good"}, []string{"good"}, "good", nil},
		{"refused, then taken", []string{"refusing", "good", "also good"}, []string{"refusing", "good"}, "good", nil},
		{"refused twice, then taken", []string{"refusing", "refusing too", "good"}, []string{"refusing", "refusing too", "good"}, "good", nil},
		{"lost", []string{"lost", "good"}, []string{"lost"}, "", errLost},
		{"refused, then lost", []string{"refusing", "lost", "good"}, []string{"refusing", "lost"}, "", errLost},
		{"down, then taken", []string{"down", "good"}, []string{"down", "good"}, "good", nil},
		{"down, then lost", []string{"down", "lost"}, []string{"down", "lost"}, "", errLost},
		{"down, then refused", []string{"down", "refusing"}, []string{"down", "refusing"}, "", deliver.ErrNotSent},
		{"all refuse", []string{"refusing", "refusing too"}, []string{"refusing", "refusing too"}, "", deliver.ErrRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			router, err := deliver.NewRouter([]deliver.Route{{Carriers: tt.carriers}}, carriers(&asked))
			if err != nil {
				t.Fatal(err)
			}
			sub, err := router.Send(t.Context(), deliver.Message{Channel: verify.SMS, To: "1"})
			if !slices.Equal(asked, tt.wantAsked) {
				t.Errorf("%v were asked, want %v", asked, tt.wantAsked)
			}
			if !errors.Is(err, tt.wantErr) || (err == nil) != (tt.wantErr == nil) {
				t.Errorf("got %v, want %v", err, tt.wantErr)
			}
			if errors.Is(tt.wantErr, errLost) && (errors.Is(err, deliver.ErrRefused) || errors.Is(err, deliver.ErrNotSent)) {
				t.Errorf("%v passes for a definite no", err)
			}
			if sub.Carrier != tt.wantBy || (err != nil && sub != deliver.Submission{}) {
				t.Errorf("submission %+v, want it by %q", sub, tt.wantBy)
			}
		})
	}
}

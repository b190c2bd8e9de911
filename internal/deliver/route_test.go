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

// carrier answers every message with err, and records the order of the carriers used.
type carrier struct {
	name  string
	err   error
	asked *[]string
}

func (c carrier) Send(_ context.Context, m deliver.Message) (deliver.Submission, error) {
	*c.asked = append(*c.asked, c.name)
	if c.err != nil {
		return deliver.Submission{Carrier: "liar", Refs: []string{"none"}}, c.err
	}
	return deliver.Submission{Carrier: "liar", Refs: []string{"ref of " + m.To.Given}}, nil
}

var errLost = errors.New("connection lost")

// carriers returns carriers with different answers.
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
	// The order in the configuration must not matter: each test has all routes.
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
		want    string // "" if no carrier accepts it
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
		router, err := deliver.NewRouter(deliver.RouterConfig{Routes: turned, Carriers: all})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range tests {
			if got := router.Routable(deliver.Destination{Channel: tt.channel, To: verify.PhoneAddress(tt.number, "")}); got != (tt.want != "") {
				t.Errorf("%s: routable %v", tt.name, got)
			}
			asked = nil
			sub, err := router.Send(t.Context(), deliver.Message{Channel: tt.channel, To: verify.PhoneAddress(tt.number, "")})
			switch {
			case tt.want == "" && (!errors.Is(err, deliver.ErrNoRoute) || len(asked) > 0):
				t.Errorf("%s: %+v, %v, tried %v; want ErrNoRoute", tt.name, sub, err, asked)
			case tt.want != "" && (err != nil || sub.Carrier != tt.want || !slices.Equal(sub.Refs, []string{"ref of " + tt.number}) || !slices.Equal(asked, []string{tt.want})):
				t.Errorf("%s: %+v, %v, tried %v; want %s", tt.name, sub, err, asked, tt.want)
			}
		}
	}
}

func TestNoRoutes(t *testing.T) {
	t.Parallel()
	router, err := deliver.NewRouter(deliver.RouterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if router.Routable(deliver.Destination{Channel: verify.SMS, To: verify.PhoneAddress("447700900000", "")}) {
		t.Error("routable without routes")
	}
	if _, err := router.Send(t.Context(), deliver.Message{Channel: verify.SMS, To: verify.PhoneAddress("447700900000", "")}); !errors.Is(err, deliver.ErrNoRoute) {
		t.Errorf("got %v, want ErrNoRoute", err)
	}
}

func TestUnknownCarrier(t *testing.T) {
	t.Parallel()
	var asked []string
	for _, names := range [][]string{{"nobody"}, {"good", "nobody"}, {""}} {
		if _, err := deliver.NewRouter(deliver.RouterConfig{
			Routes: []deliver.Route{{Prefix: "44", Carriers: names}}, Carriers: carriers(&asked),
		}); err == nil {
			t.Errorf("a route to %q was accepted", names)
		}
	}
}

// TestFailover: Send fails over only if the message was certainly not sent, and the error
// wraps only the outcome.
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
			router, err := deliver.NewRouter(deliver.RouterConfig{
				Routes: []deliver.Route{{Carriers: tt.carriers}}, Carriers: carriers(&asked),
			})
			if err != nil {
				t.Fatal(err)
			}
			sub, err := router.Send(t.Context(), deliver.Message{Channel: verify.SMS, To: verify.PhoneAddress("1", "")})
			if !slices.Equal(asked, tt.wantAsked) {
				t.Errorf("tried %v, want %v", asked, tt.wantAsked)
			}
			if !errors.Is(err, tt.wantErr) || (err == nil) != (tt.wantErr == nil) {
				t.Errorf("got %v, want %v", err, tt.wantErr)
			}
			if errors.Is(tt.wantErr, errLost) && (errors.Is(err, deliver.ErrRefused) || errors.Is(err, deliver.ErrNotSent)) {
				t.Errorf("%v counts as refused or not sent", err)
			}
			if sub.Carrier != tt.wantBy || (err != nil && len(sub.Refs) > 0) {
				t.Errorf("submission %+v, want carrier %q", sub, tt.wantBy)
			}
		})
	}
}

// TestSpecificity: the most specific matching route applies, independent of the order.
func TestSpecificity(t *testing.T) {
	t.Parallel()
	// Sorted by precedence.
	routes := []deliver.Route{
		{Account: "acct0001", Sender: "ACME"},
		{Account: "acct0001", Country: "GB"},
		{Account: "acct0001"},
		{Sender: "ACME", Network: "23410"},
		{Sender: "ACME"},
		{Network: "23410", Prefix: "44770"},
		{Network: "23410"},
		{Prefix: "447", Country: "GB"},
		{Prefix: "447", Channel: verify.SMS},
		{Prefix: "447"},
		{Prefix: "44"},
		{Country: "GB", Channel: verify.SMS},
		{Country: "GB"},
		{Channel: verify.SMS},
		{},
	}
	to := deliver.Message{Channel: verify.SMS, To: verify.PhoneAddress("447700900001", "GB"), Account: "acct0001", From: "ACME"}
	var asked []string
	all := map[string]deliver.Carrier{}
	for i := range routes {
		name := fmt.Sprint(i)
		routes[i].Carriers = []string{name}
		all[name] = carrier{name, nil, &asked}
	}
	for first := range routes {
		left := slices.Clone(routes[first:])
		slices.Reverse(left)
		router, err := deliver.NewRouter(deliver.RouterConfig{
			Routes: left, Carriers: all,
			Networks: []deliver.Network{{Name: "23415", Prefixes: []string{"447"}}, {Name: "23410", Prefixes: []string{"4478", "44770"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if sub, err := router.Send(t.Context(), to); err != nil || sub.Carrier != fmt.Sprint(first) {
			t.Errorf("%+v: the message was sent by %s (%v)", routes[first], sub.Carrier, err)
		}
	}
}

// TestConditions: a route with an unmet condition does not apply.
func TestConditions(t *testing.T) {
	t.Parallel()
	to := deliver.Destination{Channel: verify.SMS, To: verify.PhoneAddress("447700900001", "GB"), Account: "acct0001", Sender: "ACME"}
	for _, r := range []deliver.Route{
		{Account: "acct0002"}, {Sender: "Acme"}, {Network: "23415"}, {Prefix: "4478"}, {Country: "US"}, {Channel: verify.TTS},
		{Account: "acct0001", Country: "US"},
	} {
		var asked []string
		r.Carriers = []string{"good"}
		router, err := deliver.NewRouter(deliver.RouterConfig{
			Routes: []deliver.Route{r}, Carriers: carriers(&asked),
			// The longest prefix assigns the number to network 23410.
			Networks: []deliver.Network{{Name: "23415", Prefixes: []string{"447"}}, {Name: "23410", Prefixes: []string{"44770"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if router.Routable(to) {
			t.Errorf("%+v applies to %+v", r, to)
		}
	}
	if _, err := deliver.NewRouter(deliver.RouterConfig{Routes: []deliver.Route{{Network: "23415"}}}); err == nil {
		t.Error("a route for an unknown network was accepted")
	}
}

// TestWeights: the shares are exact over each sum of the weights. A carrier with weight 0
// is never used.
func TestWeights(t *testing.T) {
	t.Parallel()
	var asked []string
	all := carriers(&asked)
	for _, name := range []string{"a", "b", "never"} {
		all[name] = carrier{name, deliver.ErrRefused, &asked}
	}
	route := deliver.Route{Carriers: []string{"a", "b", "never"}, Weights: []int{7, 3, 0}}
	router, err := deliver.NewRouter(deliver.RouterConfig{Routes: []deliver.Route{route}, Carriers: all})
	if err != nil {
		t.Fatal(err)
	}
	first := map[string]int{}
	for range 9 { // fewer than leastMessages
		asked = nil
		_, err := router.Send(t.Context(), deliver.Message{Channel: verify.SMS, To: verify.PhoneAddress("1", "")})
		if !errors.Is(err, deliver.ErrRefused) || len(asked) != 2 || asked[0] == asked[1] {
			t.Fatalf("tried %v (%v), want both once", asked, err)
		}
		first[asked[0]]++
	}
	if first["a"] < 6 || first["b"] < 2 || first["never"] > 0 {
		t.Errorf("tried first: %v of 9, want 7:3", first)
	}
	route.Weights = []int{1}
	if _, err := deliver.NewRouter(deliver.RouterConfig{Routes: []deliver.Route{route}, Carriers: all}); err == nil {
		t.Error("fewer weights than carriers were accepted")
	}
}

// TestTriedLast: a carrier that may have accepted the message is used again only if no
// other accepts it.
func TestTriedLast(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ carriers, want []string }{
		{[]string{"good", "also good"}, []string{"also good"}},
		{[]string{"good", "refusing"}, []string{"refusing", "good"}},
		{[]string{"good"}, []string{"good"}},
	} {
		var asked []string
		router, err := deliver.NewRouter(deliver.RouterConfig{
			Routes: []deliver.Route{{Carriers: tt.carriers}}, Carriers: carriers(&asked),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := router.Send(t.Context(), deliver.Message{Tried: []string{"good"}}); err != nil || !slices.Equal(asked, tt.want) {
			t.Errorf("tried %v (%v), want %v", asked, err, tt.want)
		}
	}
}

// TestRefusers: Refusers returns the refusing carriers, which are not used again.
func TestRefusers(t *testing.T) {
	t.Parallel()
	var asked []string
	router, err := deliver.NewRouter(deliver.RouterConfig{
		Routes: []deliver.Route{{Carriers: []string{"refusing", "down", "refusing too"}}}, Carriers: carriers(&asked),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = router.Send(t.Context(), deliver.Message{})
	refused := deliver.Refusers(err)
	if !slices.Equal(refused, []string{"refusing", "refusing too"}) || !errors.Is(err, deliver.ErrNotSent) {
		t.Fatalf("%v have refused (%v)", refused, err)
	}
	asked = nil
	if _, err = router.Send(t.Context(), deliver.Message{Refused: refused}); !slices.Equal(asked, []string{"down"}) {
		t.Errorf("tried %v again (%v)", asked, err)
	}
	_, err = router.Send(t.Context(), deliver.Message{Refused: append(refused, "down")})
	if !errors.Is(err, deliver.ErrRefused) || errors.Is(err, deliver.ErrNotSent) {
		t.Errorf("without another carrier: %v, want refused", err)
	}
	if got := deliver.Refusers(errLost); got != nil {
		t.Errorf("%v have refused in %v", got, errLost)
	}
}

// TestAddressWithoutNumber: conditions on a number do not match an e-mail address, even if
// it begins with the digits of a prefix; other conditions can match.
func TestAddressWithoutNumber(t *testing.T) {
	t.Parallel()
	const email verify.Channel = "email"
	networks := []deliver.Network{{Name: "23410", Prefixes: []string{"44"}}}
	for _, given := range []string{"jane@example.com", "447700900001@example.com", "447700900001"} {
		to := deliver.Destination{Channel: email, To: verify.Address{Kind: verify.Email, Given: given, Canonical: given}, Account: "acct0001"}
		for _, tt := range []struct {
			route deliver.Route
			want  bool
		}{
			{deliver.Route{}, true},
			{deliver.Route{Channel: email}, true},
			{deliver.Route{Account: "acct0001"}, true},
			{deliver.Route{Channel: verify.SMS}, false},
			{deliver.Route{Prefix: "44"}, false},
			{deliver.Route{Prefix: "44", Channel: email}, false},
			{deliver.Route{Network: "23410"}, false},
			{deliver.Route{Country: "GB"}, false},
		} {
			var asked []string
			tt.route.Carriers = []string{"good"}
			router, err := deliver.NewRouter(deliver.RouterConfig{Routes: []deliver.Route{tt.route}, Carriers: carriers(&asked), Networks: networks})
			if err != nil {
				t.Fatal(err)
			}
			if got := router.Routable(to); got != tt.want {
				t.Errorf("%s by %+v: routable is %t, want %t", given, tt.route, got, tt.want)
			}
			sub, err := router.Send(t.Context(), deliver.Message{Channel: email, To: to.To, Account: to.Account})
			if got := err == nil && sub.Carrier == "good"; got != tt.want {
				t.Errorf("%s by %+v: sent is %t (%v), want %t", given, tt.route, got, err, tt.want)
			}
		}
	}
}

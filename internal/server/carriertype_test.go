package server_test

import (
	"slices"
	"testing"

	"countersign/internal/config"
	"countersign/internal/server"
	"countersign/internal/verify"
)

// TestCarrierTypes checks that the table has a row for each type of the configuration,
// and that every channel except e-mail, which no API offers, has a carrier.
func TestCarrierTypes(t *testing.T) {
	t.Parallel()
	takes := map[string][]verify.Channel{
		config.CarrierVirtual: {verify.SMS, verify.TTS},
		config.CarrierSMPP:    {verify.SMS},
		config.CarrierHTTPSMS: {verify.SMS},
		config.CarrierSIP:     {verify.TTS},
		config.CarrierSink:    {verify.SMS, verify.TTS, verify.Mail},
	}
	var names []string
	delivered := map[verify.Channel]bool{}
	for _, row := range server.CarrierTypes() {
		names = append(names, row.Name)
		if row.Protocol == "" {
			t.Errorf("%s: no protocol", row.Name)
		}
		for _, c := range verify.Channels() {
			takes := slices.Contains(takes[row.Name], c.Channel)
			if got := row.Takes(c.Channel); got != takes {
				t.Errorf("%s takes %s: %t, want %t", row.Name, c.Channel, got, takes)
			}
			delivered[c.Channel] = delivered[c.Channel] || !row.Internal && row.Takes(c.Channel)
		}
		if got := server.CarrierTypeOf(config.Carrier{Type: row.Name}); got.Name != row.Name {
			t.Errorf("%s: found %q", row.Name, got.Name)
		}
	}
	if !slices.Equal(names, config.CarrierTypes()) {
		t.Errorf("rows for %v, want the types of the configuration, %v", names, config.CarrierTypes())
	}
	for _, c := range verify.Channels() {
		if want := c.Channel != verify.Mail; delivered[c.Channel] != want {
			t.Errorf("a carrier delivers %s: %t, want %t", c.Channel, delivered[c.Channel], want)
		}
	}
}

package verify_test

import (
	"slices"
	"testing"
	"time"

	"countersign/internal/verify"
)

// TestChannels checks each row of the table, and every channel in full: its names are
// stored and on the wire.
func TestChannels(t *testing.T) {
	t.Parallel()
	table := verify.Channels()
	columns := map[string]func(verify.ChannelInfo) string{
		"Channel":  func(c verify.ChannelInfo) string { return string(c.Channel) },
		"V1Action": func(c verify.ChannelInfo) string { return c.V1Action },
		"V2":       func(c verify.ChannelInfo) string { return c.V2 },
		"Noun":     func(c verify.ChannelInfo) string { return c.Noun },
	}
	for name, column := range columns {
		seen := map[string]bool{}
		for _, c := range table {
			value := column(c)
			if value == "" && name != "V1Action" {
				t.Errorf("%s: no %s", c.Channel, name)
			}
			if value != "" && seen[value] {
				t.Errorf("%s: %s %q has two rows", c.Channel, name, value)
			}
			seen[value] = true
		}
	}
	for _, c := range table {
		switch {
		case c.Plural == "":
			t.Errorf("%s: no plural", c.Channel)
		case !slices.Contains([]verify.AddressKind{verify.Phone, verify.Email}, c.Address):
			t.Errorf("%s: kind of address %q", c.Channel, c.Address)
		case c.Spoken && c.Segmented:
			t.Errorf("%s: a script has no segments", c.Channel)
		case c.Wait < 15*time.Second || c.Wait > 900*time.Second: // the range of channel_timeout
			t.Errorf("%s: waits %s", c.Channel, c.Wait)
		}
	}
	const wait = 180 * time.Second
	for _, want := range []verify.ChannelInfo{
		{Channel: "sms", V1Action: "sms", V2: "sms", Noun: "SMS", Plural: "SMS", Address: verify.Phone, Segmented: true, Capped: true, Priced: true, Wait: wait},
		{Channel: "tts", V1Action: "voice", V2: "voice", Noun: "call", Plural: "calls", Address: verify.Phone, Spoken: true, Capped: true, Priced: true, Wait: wait},
		{Channel: "email", V2: "email", Noun: "e-mail", Plural: "e-mails", Address: verify.Email, Capped: true, Priced: true, Wait: wait},
	} {
		if got := want.Channel.Info(); got != want {
			t.Errorf("row %+v, want %+v", got, want)
		}
	}
}

// TestUnknownChannel checks that a channel without a row has no property.
func TestUnknownChannel(t *testing.T) {
	t.Parallel()
	for _, c := range []verify.Channel{"", "fax", "SMS", "voice"} {
		if info := c.Info(); info != (verify.ChannelInfo{}) || c.Spoken() {
			t.Errorf("channel %q has the row %+v", c, info)
		}
	}
}

func TestFindChannel(t *testing.T) {
	t.Parallel()
	action := func(name string) func(verify.ChannelInfo) bool {
		return func(c verify.ChannelInfo) bool { return c.V1Action == name }
	}
	if got, ok := verify.FindChannel(action("voice")); !ok || got.Channel != verify.TTS {
		t.Errorf("voice is %+v, %t", got, ok)
	}
	if got, ok := verify.FindChannel(action("tts")); ok || got != (verify.ChannelInfo{}) {
		t.Errorf("tts is %+v, %t", got, ok)
	}
	spoken := verify.ChannelsWith(func(c verify.ChannelInfo) bool { return c.Spoken })
	if !slices.Equal(spoken, []verify.Channel{verify.TTS}) {
		t.Errorf("spoken: %v", spoken)
	}
}

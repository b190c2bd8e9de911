package verify

import "time"

// Channel is a medium of delivery. Its properties are a row of [Channels]; code depends on
// properties, so a new channel only needs a new row.
type Channel string

// The channels that code names: workflows of an API, and the carriers of a channel. They
// are stored, so a name never changes.
const (
	SMS  Channel = "sms"
	TTS  Channel = "tts"   // a call that speaks the PIN (text-to-speech)
	Mail Channel = "email" // not offered by any API yet
)

// ChannelInfo describes a channel. The zero value describes an unknown one.
type ChannelInfo struct {
	Channel  Channel // name in the store, the configuration, metrics, and the v1 and admin APIs
	V1Action string  // action_type of its templates in the v1 API; "" if v1 has no templates for it
	V2       string  // name in the v2 API

	Noun   string // one message, for people: "SMS"
	Plural string // several messages, for people: "calls"

	Address   AddressKind   // kind of the addresses that it reaches
	Spoken    bool          // the message is a script for a voice; otherwise a text
	Segmented bool          // the text is sent, and billed, in segments of 140 octets (3GPP TS 23.040)
	Capped    bool          // its events count toward the caps of the address
	Priced    bool          // a price list may have lines for it
	Wait      time.Duration // wait before the next step of a v2 workflow without channel_timeout
}

// Channels returns the table of channels, one row for each.
func Channels() []ChannelInfo {
	table := channels()
	return table[:]
}

// channels is Channels as an array, so that a lookup does not allocate.
func channels() [3]ChannelInfo {
	return [...]ChannelInfo{
		{
			Channel: SMS, V1Action: "sms", V2: "sms", Noun: "SMS", Plural: "SMS",
			Address: Phone, Segmented: true, Capped: true, Priced: true, Wait: 180 * time.Second,
		},
		{
			Channel: TTS, V1Action: "voice", V2: "voice", Noun: "call", Plural: "calls",
			Address: Phone, Spoken: true, Capped: true, Priced: true, Wait: 180 * time.Second,
		},
		{
			Channel: Mail, V2: "email", Noun: "e-mail", Plural: "e-mails",
			// Priced: the channel of the first event decides the price of a verification.
			Address: Email, Capped: true, Priced: true, Wait: 180 * time.Second,
		},
	}
}

// Info returns the row of c, or the zero value if c is unknown.
func (c Channel) Info() ChannelInfo {
	info, _ := FindChannel(func(info ChannelInfo) bool { return info.Channel == c })
	return info
}

// Spoken reports whether the messages of c are scripts for a voice.
func (c Channel) Spoken() bool { return c.Info().Spoken }

// FindChannel returns the first row of the table that has a property, such as a name in
// an API; ok is false if no row has it.
func FindChannel(property func(ChannelInfo) bool) (info ChannelInfo, ok bool) {
	for _, info := range channels() {
		if property(info) {
			return info, true
		}
	}
	return ChannelInfo{}, false
}

// ChannelsWith returns the channels that have a property, in the order of the table.
func ChannelsWith(property func(ChannelInfo) bool) []Channel {
	var list []Channel
	for _, info := range Channels() {
		if property(info) {
			list = append(list, info.Channel)
		}
	}
	return list
}

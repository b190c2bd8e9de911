package media

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Payload types of RTP that have one meaning everywhere (RFC 3551 §6).
const (
	PCMU uint8 = 0
	PCMA uint8 = 8
	// comfortNoise is CN (RFC 3389).
	comfortNoise uint8 = 13
)

// DefaultEvents is the payload type of telephone-event (RFC 4733) in our offers.
// In a call it is what the answer says.
const DefaultEvents uint8 = 101

// Direction says who sends, seen from whom the description is of.
type Direction string

// The directions.
const (
	SendRecv Direction = "sendrecv"
	SendOnly Direction = "sendonly"
	RecvOnly Direction = "recvonly"
	Inactive Direction = "inactive"
)

// Description is what one side says of its audio: an SDP (RFC 8866) with all that
// is of no use here left out.
type Description struct {
	Addr      netip.AddrPort // where it wants RTP; RTCP is one port higher
	Codecs    []uint8        // payload types of PCMU and PCMA, the preferred one first
	Events    uint8          // payload type of telephone-event; 0 for none
	Direction Direction      // "" is SendRecv
	Key       *Key           // of SRTP; nil for plain RTP
	Version   uint64         // grows with each description of a session

	// Mapped holds the codec, PCMU or PCMA, of each dynamic payload type in Codecs;
	// nil where all numbers are static.
	Mapped map[uint8]uint8
	// Source is the source address of the SIP message that carried the description, for
	// [LatchSignaling]. The SDP does not contain it; the zero value disables latching.
	Source netip.Addr
	// Noise is the payload type of comfort noise (RFC 3389); 0 for none. It is
	// received as silence and never sent.
	Noise uint8
}

// Codec returns the codec, PCMU or PCMA, of a payload type in Codecs.
func (d Description) Codec(payloadType uint8) uint8 {
	if codec, ok := d.Mapped[payloadType]; ok {
		return codec
	}
	return payloadType
}

// encoding returns the name and clock rate of a payload type in Codecs.
func (d Description) encoding(payloadType uint8) string {
	return strings.ToLower(codecName(d.Codec(payloadType))) + "/8000"
}

// Key is a master key and salt of SRTP, profile AES_CM_128_HMAC_SHA1_80, for what
// the side that gives it sends (SDES, RFC 4568).
type Key [30]byte

const suite = "AES_CM_128_HMAC_SHA1_80"

// ErrDescription is wrapped by whatever is wrong with an SDP.
var ErrDescription = errors.New("unusable SDP")

// Marshal writes d. All of it is numbers and what was checked, so that nothing
// that comes from outside can add a line.
func (d Description) Marshal() []byte { return d.marshal([]string{""}) }

// MarshalAnswer writes d as the answer to an offer that [Parse] has read: with as many
// streams, of which all but the audio stream in use are refused (RFC 3264 §6).
func (d Description) MarshalAnswer(offer []byte) []byte {
	p, err := scan(offer)
	if err != nil || !p.audio {
		return d.Marshal()
	}
	return d.marshal(p.streams)
}

// marshal writes d with an entry of streams for each m= line: "" for the audio stream
// in use, and media type, transport and first format of each refused stream.
func (d Description) marshal(streams []string) []byte {
	family := "IP4"
	if d.Addr.Addr().Is6() {
		family = "IP6"
	}
	profile := "RTP/AVP"
	if d.Key != nil {
		profile = "RTP/SAVP"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=- %d %d IN %s %s\r\ns=-\r\nc=IN %s %s\r\nt=0 0\r\n",
		sessionID, d.Version, family, d.Addr.Addr(), family, d.Addr.Addr())
	for _, other := range streams {
		if other == "" {
			d.marshalAudio(&b, profile)
			continue
		}
		kind, rest, _ := strings.Cut(other, " ")
		fmt.Fprintf(&b, "m=%s 0 %s\r\n", kind, rest)
	}
	return []byte(b.String())
}

// marshalAudio writes the stream in use with its attributes.
func (d Description) marshalAudio(b *strings.Builder, profile string) {
	formats := slices.Clone(d.Codecs)
	for _, more := range []uint8{d.Noise, d.Events} {
		if more != 0 {
			formats = append(formats, more)
		}
	}
	fmt.Fprintf(b, "m=audio %d %s", d.Addr.Port(), profile)
	for _, format := range formats {
		fmt.Fprintf(b, " %d", format)
	}
	b.WriteString("\r\n")
	for _, payloadType := range d.Codecs {
		fmt.Fprintf(b, "a=rtpmap:%d %s/8000\r\n", payloadType, codecName(d.Codec(payloadType)))
	}
	if d.Noise != 0 {
		fmt.Fprintf(b, "a=rtpmap:%d CN/8000\r\n", d.Noise)
	}
	if d.Events != 0 {
		fmt.Fprintf(b, "a=rtpmap:%d telephone-event/8000\r\na=fmtp:%d 0-15\r\n", d.Events, d.Events)
	}
	if d.Key != nil {
		fmt.Fprintf(b, "a=crypto:1 %s inline:%s\r\n", suite, base64.StdEncoding.EncodeToString(d.Key[:]))
	}
	direction := d.Direction
	if direction == "" {
		direction = SendRecv
	}
	fmt.Fprintf(b, "a=ptime:20\r\na=%s\r\n", direction)
}

// sessionID is that of all our descriptions: one is told from another by its call.
const sessionID = 1

func codecName(c uint8) string {
	if c == PCMA {
		return "PCMA"
	}
	return "PCMU"
}

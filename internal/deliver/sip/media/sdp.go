package media

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Static RTP payload types (RFC 3551 §6).
const (
	PCMU uint8 = 0
	PCMA uint8 = 8
	// comfortNoise is CN (RFC 3389).
	comfortNoise uint8 = 13
)

// DefaultEvents is the payload type of telephone-event (RFC 4733) in our offers. The
// answer may select another one.
const DefaultEvents uint8 = 101

// Direction is the direction of the media as seen by the author of the description.
type Direction string

// The directions.
const (
	SendRecv Direction = "sendrecv"
	SendOnly Direction = "sendonly"
	RecvOnly Direction = "recvonly"
	Inactive Direction = "inactive"
)

// Description is one side's audio stream: the used part of an SDP (RFC 8866).
type Description struct {
	Addr      netip.AddrPort // destination of RTP; RTCP uses the next port
	Codecs    []uint8        // payload types of PCMU and PCMA, preferred first
	Events    uint8          // payload type of telephone-event; 0 if unsupported
	Direction Direction      // "" is SendRecv
	Key       *Key           // SRTP key; nil for plain RTP
	Version   uint64         // increases with each changed description of a session

	// Mapped holds the codec, PCMU or PCMA, of each dynamic payload type in Codecs;
	// nil if all are static.
	Mapped map[uint8]uint8
	// Source is the source address of the SIP message with the description, for
	// [LatchSignaling]. The SDP does not contain it; the zero value disables latching.
	Source netip.Addr
	// Noise is the payload type of comfort noise (RFC 3389); 0 if unsupported. Comfort
	// noise is ignored when received and never sent.
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

// Key is an SRTP master key and salt for the profile AES_CM_128_HMAC_SHA1_80. It
// encrypts the packets of the side that announces it (SDES, RFC 4568).
type Key [30]byte

const suite = "AES_CM_128_HMAC_SHA1_80"

// ErrDescription is wrapped by all errors about an SDP.
var ErrDescription = errors.New("unusable SDP")

// Marshal returns d as SDP. It contains only numbers, addresses and constants, so
// external input cannot add a line.
func (d Description) Marshal() []byte { return d.marshal([]string{""}) }

// MarshalAnswer returns d as the answer to an offer accepted by [Parse]. The answer has
// the streams of the offer and refuses all but the audio stream in use (RFC 3264 §6).
func (d Description) MarshalAnswer(offer []byte) []byte {
	p, err := scan(offer)
	if err != nil || !p.audio {
		return d.Marshal()
	}
	return d.marshal(p.streams)
}

// marshal returns d with an m= line for each entry of streams: "" for the audio stream
// in use; media type, transport and first format for a refused stream.
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

// sessionID is the SDP session ID of all our descriptions; the call distinguishes them.
const sessionID = 1

func codecName(c uint8) string {
	if c == PCMA {
		return "PCMA"
	}
	return "PCMU"
}

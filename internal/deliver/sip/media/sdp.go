package media

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Payload types of RTP that have one meaning everywhere (RFC 3551 §6).
const (
	PCMU uint8 = 0
	PCMA uint8 = 8
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
	Codecs    []uint8        // PCMU and PCMA, the preferred one first
	Events    uint8          // payload type of telephone-event; 0 for none
	Direction Direction      // "" is SendRecv
	Key       *Key           // of SRTP; nil for plain RTP
	Version   uint64         // grows with each description of a session
}

// Key is a master key and salt of SRTP, profile AES_CM_128_HMAC_SHA1_80, for what
// the side that gives it sends (SDES, RFC 4568).
type Key [30]byte

const suite = "AES_CM_128_HMAC_SHA1_80"

// ErrDescription is wrapped by whatever is wrong with an SDP.
var ErrDescription = errors.New("unusable SDP")

// Marshal writes d. All of it is numbers and what was checked, so that nothing
// that comes from outside can add a line.
func (d Description) Marshal() []byte {
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
	fmt.Fprintf(&b, "m=audio %d %s", d.Addr.Port(), profile)
	for _, codec := range d.Codecs {
		fmt.Fprintf(&b, " %d", codec)
	}
	if d.Events != 0 {
		fmt.Fprintf(&b, " %d", d.Events)
	}
	b.WriteString("\r\n")
	for _, codec := range d.Codecs {
		fmt.Fprintf(&b, "a=rtpmap:%d %s/8000\r\n", codec, codecName(codec))
	}
	if d.Events != 0 {
		fmt.Fprintf(&b, "a=rtpmap:%d telephone-event/8000\r\na=fmtp:%d 0-15\r\n", d.Events, d.Events)
	}
	if d.Key != nil {
		fmt.Fprintf(&b, "a=crypto:1 %s inline:%s\r\n", suite, base64.StdEncoding.EncodeToString(d.Key[:]))
	}
	direction := d.Direction
	if direction == "" {
		direction = SendRecv
	}
	fmt.Fprintf(&b, "a=ptime:20\r\na=%s\r\n", direction)
	return []byte(b.String())
}

// sessionID is that of all our descriptions: one is told from another by its call.
const sessionID = 1

func codecName(c uint8) string {
	if c == PCMA {
		return "PCMA"
	}
	return "PCMU"
}

const (
	maxSDP   = 16 << 10
	maxLines = 500
)

// Parse reads the first audio stream of an SDP. What is unknown is passed over; an
// error wraps [ErrDescription].
func Parse(sdp []byte) (Description, error) {
	if len(sdp) > maxSDP {
		return Description{}, fmt.Errorf("%w: longer than %d octets", ErrDescription, maxSDP)
	}
	p := parser{names: map[string]string{}}
	n := 0
	for line := range strings.Lines(string(sdp)) {
		if n++; n > maxLines {
			return Description{}, fmt.Errorf("%w: more than %d lines", ErrDescription, maxLines)
		}
		line = strings.TrimRight(line, "\r\n")
		if len(line) < 2 || line[1] != '=' {
			continue
		}
		if err := p.line(line[0], line[2:]); err != nil {
			return Description{}, fmt.Errorf("%w: %w", ErrDescription, err)
		}
	}
	return p.description()
}

// parser collects what the lines say, of the session and then of its first audio
// stream.
type parser struct {
	media   int // m= lines seen
	audio   bool
	skip    bool // a stream that is not ours
	port    uint16
	secure  bool
	formats []string
	names   map[string]string // of payload types, by rtpmap
	session netip.Addr
	own     netip.Addr
	dir     Direction
	key     *Key
}

func (p *parser) line(kind byte, value string) error {
	switch kind {
	case 'm':
		return p.stream(value)
	case 'c':
		return p.connection(value)
	case 'a':
		if !p.skip {
			p.attribute(value)
		}
	}
	return nil
}

func (p *parser) stream(value string) error {
	p.media++
	f := strings.Fields(value)
	p.skip = p.audio || len(f) < 4 || f[0] != "audio"
	if p.skip {
		return nil
	}
	port, _, _ := strings.Cut(f[1], "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return errors.New("port of the audio stream")
	}
	switch f[2] {
	case "RTP/AVP", "RTP/AVPF":
	case "RTP/SAVP", "RTP/SAVPF":
		p.secure = true
	default:
		return errors.New("transport of the audio stream")
	}
	p.audio, p.port, p.formats = true, uint16(n), f[3:]
	return nil
}

func (p *parser) connection(value string) error {
	f := strings.Fields(value)
	if p.skip {
		return nil
	}
	if len(f) != 3 || f[0] != "IN" {
		return errors.New("connection line")
	}
	host, _, _ := strings.Cut(f[2], "/") // a multicast TTL
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return errors.New("address of the connection line")
	}
	if p.audio {
		p.own = addr.Unmap()
	} else {
		p.session = addr.Unmap()
	}
	return nil
}

func (p *parser) attribute(value string) {
	name, rest, _ := strings.Cut(value, ":")
	switch name {
	case "rtpmap":
		format, encoding, _ := strings.Cut(rest, " ")
		p.names[format] = strings.ToLower(strings.TrimSpace(encoding))
	case "crypto":
		if p.key == nil {
			p.key = parseKey(rest)
		}
	case string(SendRecv), string(SendOnly), string(RecvOnly), string(Inactive):
		p.dir = Direction(name)
	}
}

// parseKey reads "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|…"; nil for another suite.
func parseKey(s string) *Key {
	f := strings.Fields(s)
	if len(f) < 3 || f[1] != suite {
		return nil
	}
	text, ok := strings.CutPrefix(f[2], "inline:")
	if !ok {
		return nil
	}
	text, _, _ = strings.Cut(text, "|")
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != len(Key{}) {
		return nil
	}
	k := Key(raw)
	return &k
}

func (p *parser) description() (Description, error) {
	addr := p.session
	if p.own.IsValid() {
		addr = p.own
	}
	d := Description{Addr: netip.AddrPortFrom(addr, p.port), Direction: p.dir, Key: p.key}
	if d.Direction == "" {
		d.Direction = SendRecv
	}
	if addr.IsUnspecified() { // hold, as it was before RFC 3264
		d.Direction = Inactive
	}
	for _, format := range p.formats {
		n, err := strconv.ParseUint(format, 10, 7)
		if err != nil {
			continue
		}
		pt := uint8(n)
		switch name := p.names[format]; {
		case (pt == PCMU || pt == PCMA) && !slices.Contains(d.Codecs, pt):
			d.Codecs = append(d.Codecs, pt)
		case strings.HasPrefix(name, "telephone-event/8000") && d.Events == 0:
			d.Events = pt
		}
	}
	switch {
	case !p.audio:
		return d, fmt.Errorf("%w: no audio stream", ErrDescription)
	case !addr.IsValid():
		return d, fmt.Errorf("%w: no address", ErrDescription)
	case p.port == 0:
		return d, fmt.Errorf("%w: audio is refused", ErrDescription)
	case len(d.Codecs) == 0:
		return d, fmt.Errorf("%w: neither PCMU nor PCMA", ErrDescription)
	case p.secure && d.Key == nil:
		return d, fmt.Errorf("%w: no key for SRTP", ErrDescription)
	}
	if !p.secure {
		d.Key = nil
	}
	return d, nil
}

package media

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	maxSDP   = 16 << 10
	maxLines = 500
)

// Parse returns the first audio stream of an SDP. It skips unknown lines and formats.
// Errors wrap [ErrDescription]. A host name in place of an address is an error; see
// [Resolve].
func Parse(sdp []byte) (Description, error) {
	p, err := scan(sdp)
	if err != nil {
		return Description{}, err
	}
	if p.connectionOf().name != "" {
		return Description{}, fmt.Errorf("%w: address of the connection line", ErrDescription)
	}
	return p.description()
}

// Resolver looks up the addresses of a host name; [net.Resolver] implements it. The
// network is "ip", "ip4" or "ip6".
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Resolve is Parse for an SDP that may have a host name in its c= line (RFC 8866
// §5.7). It returns an [UnresolvedError] if the name has no address of the family of
// the line before ctx ends.
func Resolve(ctx context.Context, sdp []byte, names Resolver) (Description, error) {
	p, err := scan(sdp)
	if err != nil {
		return Description{}, err
	}
	c := p.connectionOf()
	if c.name == "" {
		return p.description()
	}
	c.addr = netip.IPv4Unspecified() // placeholder: query the name only if the rest of the SDP is usable
	p.session, p.own = c, connection{}
	if _, err := p.description(); err != nil {
		return Description{}, err
	}
	addrs, err := names.LookupNetIP(ctx, c.network, c.name)
	if err == nil && len(addrs) == 0 {
		err = errors.New("the name has no address")
	}
	if err != nil {
		return Description{}, &UnresolvedError{Host: c.name, Err: err}
	}
	p.session.addr = addrs[0].Unmap().WithZone("")
	return p.description()
}

// UnresolvedError reports the host name of an SDP that could not be resolved.
type UnresolvedError struct {
	Host string // letters, digits, "-" and "."
	Err  error
}

func (e *UnresolvedError) Error() string {
	return fmt.Sprintf("resolve host name %s of the SDP: %v", e.Host, e.Err)
}

// Unwrap returns the resolver's error.
func (e *UnresolvedError) Unwrap() error { return e.Err }

// scan parses the lines of an SDP in any order and skips unknown ones, unlike the
// parser of pion (docs/decisions/0016-own-sdp.md).
func scan(sdp []byte) (parser, error) {
	p := parser{names: map[string]string{}}
	if len(sdp) > maxSDP {
		return p, fmt.Errorf("%w: longer than %d octets", ErrDescription, maxSDP)
	}
	n := 0
	for line := range strings.Lines(string(sdp)) {
		if n++; n > maxLines {
			return p, fmt.Errorf("%w: more than %d lines", ErrDescription, maxLines)
		}
		line = strings.TrimRight(line, "\r\n")
		if len(line) < 2 || line[1] != '=' {
			continue
		}
		if err := p.line(line[0], line[2:]); err != nil {
			return p, fmt.Errorf("%w: %w", ErrDescription, err)
		}
	}
	return p, nil
}

// parser holds the parsed lines of the session and its first audio stream.
type parser struct {
	streams []string // as in Description.marshal
	audio   bool     // the first audio stream was found
	skip    bool     // the current stream is another one
	port    uint16
	secure  bool
	formats []string
	names   map[string]string // encoding names (rtpmap), by payload type
	session connection
	own     connection // connection of the audio stream; takes precedence
	dir     Direction
	key     *Key
}

// connection is a c= line with an address or a host name.
type connection struct {
	addr    netip.Addr
	name    string // host name; "" for an address
	network string // network to look up the name, ip4 or ip6
}

// connectionOf returns the connection of the audio stream; zero if the SDP has no c=
// line for it.
func (p *parser) connectionOf() connection {
	if p.own != (connection{}) {
		return p.own
	}
	return p.session
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
	f := strings.Fields(value)
	p.skip = p.audio || len(f) < 4 || f[0] != "audio"
	if p.skip {
		if len(f) >= 4 {
			p.streams = append(p.streams, f[0]+" "+f[2]+" "+f[3])
		}
		return nil
	}
	p.streams = append(p.streams, "")
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

// hostName matches a host name (RFC 1123 §2.1), with underscores.
var hostName = regexp.MustCompile(`^([0-9A-Za-z_]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?\.?)+$`)

func (p *parser) connection(value string) error {
	f := strings.Fields(value)
	if p.skip {
		return nil
	}
	if len(f) != 3 || !strings.EqualFold(f[0], "IN") {
		return errors.New("connection line")
	}
	host, _, _ := strings.Cut(f[2], "/") // without a multicast TTL
	addr, err := netip.ParseAddr(host)
	c := connection{addr: addr.Unmap()}
	switch {
	case err == nil && addr.Zone() == "":
	case err == nil, len(host) > 253, !hostName.MatchString(host), strings.Trim(host, "0123456789.") == "":
		return errors.New("address of the connection line")
	case strings.EqualFold(f[1], "IP4"):
		c = connection{name: host, network: "ip4"}
	case strings.EqualFold(f[1], "IP6"):
		c = connection{name: host, network: "ip6"}
	default:
		return errors.New("connection line")
	}
	if p.audio {
		p.own = c
	} else {
		p.session = c
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

// parseKey parses "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|…". It returns nil for another
// suite or a malformed key.
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
	addr := p.connectionOf().addr
	d := Description{Addr: netip.AddrPortFrom(addr, p.port), Direction: p.dir, Key: p.key}
	if d.Direction == "" {
		d.Direction = SendRecv
	}
	if addr.IsUnspecified() { // form of hold before RFC 3264
		d.Direction = Inactive
	}
	for _, format := range p.formats {
		if n, err := strconv.ParseUint(format, 10, 7); err == nil {
			d.add(uint8(n), p.names[format])
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

// add adds a format of the audio stream if it is supported. name is its encoding name
// in lower case, or "" without rtpmap.
func (d *Description) add(payloadType uint8, name string) {
	dynamic := payloadType >= 96
	named := func(encoding string) bool { return dynamic && (name == encoding || name == encoding+"/1") }
	switch {
	case slices.Contains(d.Codecs, payloadType):
	case payloadType == PCMU || payloadType == PCMA:
		d.Codecs = append(d.Codecs, payloadType)
	case named("pcmu/8000"):
		d.mapCodec(payloadType, PCMU)
	case named("pcma/8000"):
		d.mapCodec(payloadType, PCMA)
	case d.Noise == 0 && (payloadType == comfortNoise || named("cn/8000")):
		d.Noise = payloadType
	case strings.HasPrefix(name, "telephone-event/8000") && d.Events == 0:
		d.Events = payloadType
	}
}

func (d *Description) mapCodec(payloadType, codec uint8) {
	if d.Mapped == nil {
		d.Mapped = map[uint8]uint8{}
	}
	d.Mapped[payloadType] = codec
	d.Codecs = append(d.Codecs, payloadType)
}

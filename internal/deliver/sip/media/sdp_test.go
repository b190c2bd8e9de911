package media_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"countersign/internal/deliver/sip/media"
)

func lines(l ...string) []byte { return []byte(strings.Join(l, "\r\n") + "\r\n") }

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

var key = media.Key(bytes.Repeat([]byte{7, 8, 9}, 10))

func TestMarshal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		d    media.Description
		want []byte
	}{
		{"plain", media.Description{
			Addr: addr("192.0.2.1:10000"), Codecs: []uint8{media.PCMU, media.PCMA}, Events: 101, Version: 1,
		}, lines("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0",
			"m=audio 10000 RTP/AVP 0 8 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000",
			"a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:20", "a=sendrecv")},
		{"encrypted, IPv6, no keys", media.Description{
			Addr: addr("[2001:db8::1]:20000"), Codecs: []uint8{media.PCMA}, Direction: media.RecvOnly, Key: &key, Version: 2,
		}, lines("v=0", "o=- 1 2 IN IP6 2001:db8::1", "s=-", "c=IN IP6 2001:db8::1", "t=0 0",
			"m=audio 20000 RTP/SAVP 8", "a=rtpmap:8 PCMA/8000",
			"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+base64.StdEncoding.EncodeToString(key[:]), "a=ptime:20", "a=recvonly")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := tt.d.Marshal()
			if !bytes.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			back, err := media.Parse(got)
			tt.d.Version = 0
			if tt.d.Direction == "" {
				tt.d.Direction = media.SendRecv
			}
			if err != nil || !reflect.DeepEqual(back, tt.d) {
				t.Errorf("parsed as %+v (%v), want %+v", back, err, tt.d)
			}
		})
	}
}

// TestParse parses SDP as other phones and proxies write it.
func TestParse(t *testing.T) {
	t.Parallel()
	inline := "inline:" + base64.StdEncoding.EncodeToString(key[:])
	tests := []struct {
		name string
		sdp  []byte
		want media.Description
	}{
		{"sipp", lines("v=0", "o=user1 53655765 2353687637 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
			"m=audio 6000 RTP/AVP 0", "a=rtpmap:0 PCMU/8000"),
			media.Description{Addr: addr("127.0.0.1:6000"), Codecs: []uint8{0}, Direction: media.SendRecv}},
		{"baresip", lines("v=0", "o=- 1 2 IN IP4 192.0.2.9", "s=-", "c=IN IP4 192.0.2.9", "t=0 0", "a=tool:baresip 1.0.0",
			"m=audio 16000 RTP/AVP 8 0 96", "b=AS:125", "a=rtpmap:8 PCMA/8000", "a=rtpmap:0 PCMU/8000",
			"a=rtpmap:96 telephone-event/8000", "a=fmtp:96 0-15", "a=rtcp:16001", "a=sendrecv", "a=label:1", "a=rtcp-rsize",
			"a=ssrc:1 cname:x", "a=ptime:20"),
			media.Description{Addr: addr("192.0.2.9:16000"), Codecs: []uint8{8, 0}, Events: 96, Direction: media.SendRecv}},
		{"address of the stream, unknown codecs, upper case", lines("v=0", "c=IN IP4 192.0.2.1", "m=audio 4000/2 RTP/AVP 18 9 0 0 97 98 x",
			"c=IN IP4 192.0.2.2", "a=rtpmap:98 TELEPHONE-EVENT/8000/1", "a=rtpmap:97 telephone-event/16000", "a=sendonly"),
			media.Description{Addr: addr("192.0.2.2:4000"), Codecs: []uint8{0}, Events: 98, Direction: media.SendOnly}},
		{"video first, second audio", lines("v=0", "c=IN IP4 192.0.2.1", "m=video 1 RTP/AVP 31", "c=IN IP4 192.0.2.7", "a=inactive",
			"m=audio 4000 RTP/AVP 8", "m=audio 5000 RTP/AVP 0", "a=recvonly"),
			media.Description{Addr: addr("192.0.2.1:4000"), Codecs: []uint8{8}, Direction: media.SendRecv}},
		{"hold of old", lines("v=0", "c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 0"),
			media.Description{Addr: addr("0.0.0.0:4000"), Codecs: []uint8{0}, Direction: media.Inactive}},
		{"encrypted", lines("v=0", "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_32 "+inline,
			"a=crypto:2 AES_CM_128_HMAC_SHA1_80 "+inline+"|2^20|1:4"),
			media.Description{Addr: addr("192.0.2.1:4000"), Codecs: []uint8{0}, Key: &key, Direction: media.SendRecv}},
		{"line feeds only", []byte("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\n"),
			media.Description{Addr: addr("192.0.2.1:4000"), Codecs: []uint8{0}, Direction: media.SendRecv}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := media.Parse(tt.sdp)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v (%v), want %+v", got, err, tt.want)
			}
		})
	}
}

// TestParseTolerates parses bodies that violate RFC 8866 or have unknown parts, like those
// of some carrier equipment. All describe the same audio stream.
func TestParseTolerates(t *testing.T) {
	t.Parallel()
	const version, origin, name, conn, timing, stream = "v=0", "o=- 1 1 IN IP4 192.0.2.4", "s=-", "c=IN IP4 192.0.2.4", "t=0 0", "m=audio 31330 RTP/AVP 0"
	want := media.Description{Addr: addr("192.0.2.4:31330"), Codecs: []uint8{0}, Direction: media.SendRecv}
	for test, sdp := range map[string][]byte{
		"T.38 beside the audio":            lines(version, origin, name, conn, timing, stream, "m=image 4002 udptl t38", "a=T38FaxVersion:0"),
		"transport of an unused stream":    lines(version, origin, name, conn, timing, stream, "m=application 0 X-VENDOR 1"),
		"no session name":                  lines(version, origin, conn, timing, stream),
		"no timing":                        lines(version, origin, name, conn, stream),
		"bandwidth before the connection":  lines(version, origin, name, "b=AS:84", conn, timing, stream),
		"attribute before the timing":      lines(version, origin, name, conn, "a=sendrecv", timing, stream),
		"connection after an attribute":    lines(version, origin, name, timing, stream, "a=ptime:20", conn),
		"lower case":                       lines(version, origin, name, "c=in ip4 192.0.2.4", timing, stream),
		"space in the user name":           lines(version, "o=Acme SBC 1 1 IN IP4 192.0.2.4", name, conn, timing, stream),
		"negative version":                 lines(version, "o=- 1 -1 IN IP4 192.0.2.4", name, conn, timing, stream),
		"session id of more than 64 bits":  lines(version, "o=- 98765432109876543210 1 IN IP4 192.0.2.4", name, conn, timing, stream),
		"unknown lines":                    lines(version, origin, name, conn, timing, stream, "x=vendor", "y=0200000017", "f="),
		"spaces":                           lines(version, origin, name, conn+" ", timing, "m=audio 31330  RTP/AVP 0 "),
		"empty line at the end":            lines(version, origin, name, conn, timing, stream, ""),
		"last line without its line break": bytes.TrimRight(lines(version, origin, name, conn, timing, stream), "\r\n"),
	} {
		if got, err := media.Parse(sdp); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v (%v), want %+v", test, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, sdp := range map[string][]byte{
		"empty":            nil,
		"no audio":         lines("v=0", "c=IN IP4 192.0.2.1", "m=video 1 RTP/AVP 31"),
		"no address":       lines("v=0", "m=audio 4000 RTP/AVP 0"),
		"a name":           lines("v=0", "c=IN IP4 example.com", "m=audio 4000 RTP/AVP 0"),
		"a zone":           lines("v=0", "c=IN IP6 fe80::1%eth0", "m=audio 4000 RTP/AVP 0"),
		"refused":          lines("v=0", "c=IN IP4 192.0.2.1", "m=audio 0 RTP/AVP 0"),
		"no port":          lines("v=0", "c=IN IP4 192.0.2.1", "m=audio 70000 RTP/AVP 0"),
		"other codecs":     lines("v=0", "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 9 18"),
		"other transport":  lines("v=0", "c=IN IP4 192.0.2.1", "m=audio 4000 UDP/TLS/RTP/SAVPF 0"),
		"no key":           lines("v=0", "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/SAVP 0"),
		"a short key":      lines("v=0", "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA"),
		"too long":         bytes.Repeat([]byte("a=x\r\n"), 5000),
		"too many lines":   bytes.Repeat([]byte("a=\n"), 600),
		"odd connection":   lines("v=0", "c=ATM NSAP x", "m=audio 4000 RTP/AVP 0"),
		"audio with a gap": lines("v=0", "c=IN IP4 192.0.2.1", "m=audio 4000"),
	} {
		if d, err := media.Parse(sdp); !errors.Is(err, media.ErrDescription) {
			t.Errorf("%s: %+v, %v; want ErrDescription", name, d, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(lines("v=0", "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/SAVP 0 8 101", "a=rtpmap:101 telephone-event/8000", "a=sendonly"))
	f.Add([]byte("m=audio"))
	f.Fuzz(func(t *testing.T, sdp []byte) {
		d, err := media.Parse(sdp)
		if err != nil {
			return
		}
		again, err := media.Parse(d.Marshal())
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%q is parsed as %+v, and after Marshal as %+v (%v)", sdp, d, again, err)
		}
	})
}

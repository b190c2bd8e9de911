package e2e

import (
	"strings"
	"testing"
	"time"
)

// TestVoiceSIPp runs "countersign call" to Debian's sipp, which plays a scenario and fails on
// unexpected messages.
func TestVoiceSIPp(t *testing.T) {
	t.Parallel()
	require(t, "sipp", "espeak-ng")
	challenge := func(status, header string) string {
		return reply(status, header+`: Digest realm="trunk", nonce="n0nce", algorithm=MD5, qop="auth"`)
	}
	const verified = `<recv request="INVITE" auth="true"><action>
			<verifyauth assign_to="ok" username="acme" password="secret"/>
		</action></recv>
		<nop condexec="ok" condexec_inverse="true"><action><error message="wrong password"/></action></nop>`
	// sipp verifies only WWW authentication, not proxy authentication; Kamailio verifies the latter.
	const shown = `<recv request="INVITE"><action>
			<ereg regexp="Digest .*response=" search_in="hdr" header="Proxy-Authorization:" check_it="true" assign_to="shown"/>
		</action></recv><Reference variables="shown"/>`
	for _, tt := range []struct {
		name  string
		steps []string
		sipp  []string // further arguments of sipp
		call  []string // further arguments of countersign call
		ok    bool     // the call is heard to its end
		want  string   // in the output
	}{
		{"Answered", []string{recvInvite(), reply("100 Trying"), reply("180 Ringing"), answers(), recvAck(), bye()}, nil, nil, true, "answered after"},
		{"AnsweredAtOnce", []string{recvInvite(), answers(), recvAck(), bye()}, nil, nil, true, "answered after"},
		{"OverTCP", []string{recvInvite(), answers(), recvAck(), bye()}, []string{"-t", "t1"}, []string{"--transport", "tcp"}, true, "answered after"},
		{"RingsOften", []string{recvInvite(), strings.Repeat(reply("180 Ringing"), 25), answers(), recvAck(), bye()}, nil, nil, true, "answered after"},
		{"EarlyMedia", []string{recvInvite(), replyAs("183 Session Progress", "[last_CSeq:]", sdp), pause(300 * time.Millisecond), answers(), recvAck(), bye()}, nil, nil, true, "answered after"},
		{"Echo", []string{recvInvite(), answers(), recvAck(), bye()}, []string{"-rtp_echo"}, nil, true, "RTP received: packets=1"},
		{"Unauthorized", []string{recvInvite(), challenge("401 Unauthorized", "WWW-Authenticate"), recv("ACK"), verified, answers(), recvAck(), bye()},
			nil, []string{"--user", "acme", "--password", "secret"}, true, "answered after"},
		{"ProxyAuthentication", []string{recvInvite(), challenge("407 Proxy Authentication Required", "Proxy-Authenticate"), recv("ACK"), shown, answers(), recvAck(), bye()},
			nil, []string{"--user", "acme", "--password", "secret"}, true, "answered after"},
		{"SeveralChallenges", []string{recvInvite(), reply("401 Unauthorized", `WWW-Authenticate: Bearer scope="calls"`,
			`WWW-Authenticate: Digest realm="trunk", nonce="aka", algorithm=AKAv1-MD5`, `WWW-Authenticate: Digest realm="trunk", nonce="n0nce", algorithm=MD5, qop="auth"`),
			recv("ACK"), verified, answers(), recvAck(), bye()},
			nil, []string{"--user", "acme", "--password", "secret"}, true, "answered after"},
		{"SessionInterval", []string{recvInvite(), reply("422 Session Interval Too Small", "Min-SE: 1800"), recv("ACK"),
			`<recv request="INVITE"><action><ereg regexp="1800" search_in="hdr" header="Min-SE:" check_it="true" assign_to="least"/></action></recv><Reference variables="least"/>`,
			answers(), recvAck(), bye()}, nil, nil, true, "answered after"},
		{"Busy", []string{recvInvite(), reply("486 Busy Here"), recv("ACK")}, nil, nil, false, "busy after"},
		{"Unavailable", []string{recvInvite(), reply("503 Service Unavailable"), recv("ACK")}, nil, nil, false, "not sent: 503 Service Unavailable"},
		{"Timeout", []string{recvInvite(), reply("408 Request Timeout"), recv("ACK")}, nil, nil, false, "not sent: 408 Request Timeout"},
		{"Decline", []string{recvInvite(), reply("603 Decline"), recv("ACK")}, nil, nil, false, "rejected after"},
		{"NoAnswer", []string{recvInvite(), reply("180 Ringing"), recv("CANCEL"), done(), replyAs("487 Request Terminated", "CSeq: [$seq] INVITE", ""), recv("ACK")},
			nil, []string{"--timeout", "1s"}, false, "no answer after"},
		{"AnswerCrossesCancel", []string{recvInvite(), reply("180 Ringing"), recv("CANCEL"), reply("481 Call/Transaction Does Not Exist"), again(replyAs("200 OK", "CSeq: [$seq] INVITE", sdp)), recv("ACK"), bye()},
			nil, []string{"--timeout", "1s"}, false, "no answer after"},
		{"HangsUp", []string{recvInvite(), answers(), recvAck(), pause(200 * time.Millisecond), ask("BYE", 1, ""), recvStatus("200")}, nil,
			[]string{"--pin", "1234"}, false, "hung up after"},
		{"NoDescription", []string{recvInvite(), reply("200 OK"), recvAck(), bye()}, nil, nil, false, "no sound in common"},
		{"Hold", []string{
			recvInvite(), answers(), recvAck(),
			ask("INVITE", 1, sdp+"\n\t\ta=sendonly", "Content-Type: application/sdp"), recvStatus("200"), ask("ACK", 1, ""), pause(time.Second),
			ask("INVITE", 2, sdp, "Content-Type: application/sdp"), recvStatus("200"), ask("ACK", 2, ""), bye(),
		}, nil, nil, true, "answered after"},
		{"DelayedOffer", []string{
			recvInvite(), answers(), recvAck(), ask("INVITE", 1, ""),
			`<recv response="200"><action><ereg regexp="m=audio" search_in="msg" check_it="true" assign_to="offer"/></action></recv><Reference variables="offer"/>`,
			ask("ACK", 1, sdp, "Content-Type: application/sdp"), bye(),
		}, nil, nil, true, "answered after"},
		{"DelayedOfferRefused", []string{
			recvInvite(), answers(), recvAck(), ask("INVITE", 1, ""), recvStatus("200"),
			ask("ACK", 1, strings.Replace(sdp, "m=audio [media_port]", "m=audio 0", 1), "Content-Type: application/sdp"), bye(),
		}, nil, []string{"--pin", "1234"}, false, "no sound in common"},
		{"EarlyDescription", []string{recvInvite(), replyAs("183 Session Progress", "[last_CSeq:]", sdp), reply("200 OK"), recvAck(), bye()},
			nil, nil, true, "answered after"},
		{"HostName", []string{recvInvite(), replyAs("200 OK", "[last_CSeq:]", strings.Replace(sdp, "c=IN IP4 [media_ip]", "c=IN IP4 localhost", 1)), recvAck(), bye()},
			nil, nil, true, "answered after"},
		{"AnsweredOnHold", []string{recvInvite(), replyAs("200 OK", "[last_CSeq:]", sdp+"\n\t\ta=inactive"), recvAck(), bye()},
			nil, nil, false, "held after 5"},
		{"Update", []string{
			recvInvite(), answers("Supported: timer"), recvAck(), ask("UPDATE", 1, "", "Session-Expires: 90;refresher=uac", "Supported: timer"),
			`<recv response="200"><action><ereg regexp="90;refresher=uac" search_in="hdr" header="Session-Expires:" check_it="true" assign_to="timer"/></action></recv><Reference variables="timer"/>`, bye(),
		}, nil, nil, true, "answered after"},
		{"SessionTimer", []string{
			recvInvite(), answers("Require: timer", "Session-Expires: 4;refresher=uac"), recvAck(), recv("UPDATE"), done(), bye(),
		}, nil, nil, true, "answered after"},
		{"OddHeaders", []string{
			recvInvite(), answers("X-Empty:", "X-Long: "+strings.Repeat("ä", 2000), "P-Asserted-Identity: <<<>>>", "Warning: 399"), recvAck(), bye(),
		}, nil, nil, true, "answered after"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := sipp(t, scenario(tt.steps...), tt.sipp...)
			out, err := callTo(t, p.addr, tt.call...)
			if (err == nil) != tt.ok || !strings.Contains(out, tt.want) {
				t.Errorf("the call ended with %v:\n%s", err, out)
			}
			p.well(t)
		})
	}
}

// TestVoiceKeys checks that the key 1 repeats the announcement, whether it arrives as RTP, from a
// capture, or as INFO.
func TestVoiceKeys(t *testing.T) {
	t.Parallel()
	require(t, "sipp", "espeak-ng")
	once, err := callTo(t, sipp(t, scenario(recvInvite(), answers(), recvAck(), bye())).addr)
	if err != nil {
		t.Fatalf("%v:\n%s", err, once)
	}
	for name, press := range map[string]string{
		"RTP":     `<nop><action><exec play_pcap_audio="/usr/share/sip-tester/dtmf_2833_1.pcap"/></action></nop>`,
		"relayed": ask("INFO", 1, "Signal=1\n\t\tDuration=160", "Content-Type: application/dtmf-relay") + recvStatus("200"),
		"plain":   ask("INFO", 1, "1", "Content-Type: application/dtmf") + recvStatus("200"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := sipp(t, scenario(recvInvite(), answers(), recvAck(), pause(1500*time.Millisecond), press, bye()))
			out, err := callTo(t, p.addr)
			if err != nil {
				t.Fatalf("%v:\n%s", err, out)
			}
			if got, want := talked(t, out), talked(t, once)+time.Second; got < want {
				t.Errorf("the call lasted %s, want at least %s:\n%s", got, want, out)
			}
			p.well(t)
		})
	}
}

// TestVoiceNobody checks that a missing trunk is reported in time.
func TestVoiceNobody(t *testing.T) {
	t.Parallel()
	require(t, "espeak-ng")
	for _, transport := range []string{"udp", "tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			out, err := callTo(t, "127.0.0.1:"+freeUDP(t), "--transport", transport)
			if err == nil || !strings.Contains(out, "not sent") {
				t.Errorf("the call ended with %v:\n%s", err, out)
			}
		})
	}
}

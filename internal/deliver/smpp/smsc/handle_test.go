package smsc_test

import (
	"encoding/binary"
	"testing"
	"testing/synctest"

	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

func TestBind(t *testing.T) {
	t.Parallel()
	own := smsc.Config{SystemID: "esme", Password: "secret"}
	tests := []struct {
		name         string
		config       smsc.Config
		id, password string
		want         pdu.Status
	}{
		{"right", own, "esme", "secret", pdu.StatusOK},
		{"wrong password", own, "esme", "secrets", pdu.StatusInvalidPassword},
		{"no password", own, "esme", "", pdu.StatusInvalidPassword},
		{"wrong system_id", own, "other", "secret", pdu.StatusInvalidSystemID},
		{"any", smsc.Config{}, "other", "", pdu.StatusOK},
		{"any password", smsc.Config{SystemID: "esme"}, "esme", "x", pdu.StatusOK},
	}
	kinds := []pdu.Command{pdu.CommandBindTransmitter, pdu.CommandBindReceiver, pdu.CommandBindTransceiver}
	for _, tt := range tests {
		for _, kind := range kinds {
			t.Run(tt.name+"/"+kind.String(), func(t *testing.T) {
				t.Parallel()
				in(t, func(t *testing.T) {
					l := newLab(t, tt.config)
					c := l.connect()
					p := c.request(&pdu.Bind{Kind: kind, SystemID: tt.id, Password: tt.password, InterfaceVersion: pdu.Version34})
					if p.Status != tt.want {
						t.Fatalf("status %v, want %v", p.Status, tt.want)
					}
					counts := l.Counters()
					if tt.want != pdu.StatusOK {
						if len(l.Sessions()) != 0 || counts.BindsRefused != 1 || counts.Binds != 0 {
							t.Errorf("refused, but has sessions %v, counts %+v", l.Sessions(), counts)
						}
						c.bind(kind, "esme", "secret") // the session may bind again
						return
					}
					sessions := l.Sessions()
					if len(sessions) != 1 || sessions[0].Kind() != kind || sessions[0].SystemID() != tt.id || counts.Binds != 1 {
						t.Errorf("sessions %v, counts %+v", sessions, counts)
					}
					resp, _ := p.Body.(*pdu.BindResp)
					if v, _ := resp.TLVs.Uint(pdu.TagSCInterfaceVersion); resp.SystemID == "" || v != pdu.Version34 {
						t.Errorf("response %+v", resp)
					}
					again := c.request(&pdu.Bind{Kind: kind, SystemID: tt.id, Password: tt.password})
					if again.Status != pdu.StatusAlreadyBound {
						t.Errorf("second bind: %v", again.Status)
					}
				})
			})
		}
	}
}

// TestStates: the allowed requests depend on the kind of the bind.
func TestStates(t *testing.T) {
	t.Parallel()
	requests := []pdu.Body{
		sms("hello", 0), &pdu.DataSM{Destination: pdu.Address{Addr: phone}},
		&pdu.QuerySM{MessageID: "1"}, &pdu.CancelSM{MessageID: "1"},
	}
	in(t, func(t *testing.T) {
		l := newLab(t, smsc.Config{})
		for _, kind := range []pdu.Command{0, pdu.CommandBindReceiver, pdu.CommandBindTransmitter, pdu.CommandBindTransceiver} {
			c := l.connect()
			if kind != 0 {
				c.bind(kind, "esme", "")
			}
			may := kind == pdu.CommandBindTransmitter || kind == pdu.CommandBindTransceiver
			for _, r := range requests {
				if got := c.request(r).Status; (got == pdu.StatusInvalidBindStatus) == may {
					t.Errorf("%v of a session bound with %v: %v", r.Command(), kind, got)
				}
			}
			for _, r := range []pdu.Body{&pdu.EnquireLink{}, &pdu.Unbind{}} {
				if got := c.request(r).Status; got != pdu.StatusOK {
					t.Errorf("%v of a session bound with %v: %v", r.Command(), kind, got)
				}
			}
			c.ended()
		}
		synctest.Wait()
		if got := l.Sessions(); len(got) != 0 {
			t.Errorf("%d sessions after unbind", len(got))
		}
	})
}

// TestNonsense: malformed PDUs are answered as in §4.3 and §5.1.3.
func TestNonsense(t *testing.T) {
	t.Parallel()
	unknown := make([]byte, 16)
	binary.BigEndian.PutUint32(unknown, 16)
	binary.BigEndian.PutUint32(unknown[4:], 0x77)
	binary.BigEndian.PutUint32(unknown[12:], 5)
	long, _ := pdu.Append(nil, pdu.PDU{Sequence: 5, Body: sms("hello", 0)})
	long[len(long)-len("hello")-1] = 200 // sm_length
	cut, _ := pdu.Append(nil, pdu.PDU{Sequence: 5, Body: &pdu.QuerySM{MessageID: "1"}})
	cut = cut[:len(cut)-3]
	binary.BigEndian.PutUint32(cut, uint32(len(cut)))
	toESME, _ := pdu.Append(nil, pdu.PDU{Sequence: 5, Body: &pdu.DeliverSM{}})
	answer := append([]byte(nil), unknown...)
	answer[4] = 0x80
	endless := append([]byte(nil), unknown...)
	endless[0] = 0x7F

	tests := []struct {
		name    string
		octets  []byte
		command pdu.Command
		status  pdu.Status
		ends    bool
	}{
		{"unknown command", unknown, pdu.CommandGenericNack, pdu.StatusInvalidCommandID, false},
		{"a request of an SMSC", toESME, pdu.CommandGenericNack, pdu.StatusInvalidCommandID, false},
		{"sm_length", long, pdu.CommandSubmitSM.Response(), pdu.StatusInvalidMessageLength, false},
		{"cut off", cut, pdu.CommandQuerySM.Response(), pdu.StatusInvalidCommandLength, false},
		{"no length", endless, pdu.CommandGenericNack, pdu.StatusInvalidCommandLength, true},
		{"unknown answer", answer, 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				c := newLab(t, smsc.Config{}).bind(pdu.CommandBindTransceiver)
				c.conn.Write(tt.octets)
				if tt.command != 0 {
					p := c.read()
					if p.Body.Command() != tt.command || p.Status != tt.status || p.Sequence != 5 {
						t.Errorf("%v %v %d, want %v %v 5", p.Body.Command(), p.Status, p.Sequence, tt.command, tt.status)
					}
				}
				if tt.ends {
					c.ended()
					return
				}
				c.request(&pdu.EnquireLink{})
			})
		})
	}
}

func TestRefusedMessages(t *testing.T) {
	t.Parallel()
	tests := map[pdu.Status]func(*pdu.SubmitSM){
		pdu.StatusInvalidDestination: func(m *pdu.SubmitSM) { m.Destination.Addr = "" },
		0x61:                         func(m *pdu.SubmitSM) { m.ScheduleDeliveryTime = "261301000000000+" },
		0x62:                         func(m *pdu.SubmitSM) { m.ValidityPeriod = "000000000500000X" },
		0x07:                         func(m *pdu.SubmitSM) { m.RegisteredDelivery = 3 },
	}
	in(t, func(t *testing.T) {
		l := newLab(t, smsc.Config{MaxMessages: 10})
		c := l.bind(pdu.CommandBindTransceiver)
		for want, spoil := range tests {
			m := sms("hello", 0)
			spoil(m)
			if got := c.request(m).Status; got != want {
				t.Errorf("%v, want %v", got, want)
			}
		}
		if got := l.Messages(); len(got) != 0 {
			t.Errorf("accepted %+v", got)
		}
	})
}

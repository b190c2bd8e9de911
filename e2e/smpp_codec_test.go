package e2e

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"reflect"
	"strconv"
	"testing"
	"time"

	"countersign/internal/deliver/smpp/pdu"
)

// TestSMPPServer exchanges every PDU, in both directions, with an SMSC of npm's smpp.
func TestSMPPServer(t *testing.T) {
	t.Parallel()
	smsc := run(t, "smpp-server.js")
	port, ok := smsc.call(t, "listen")["port"].(float64)
	if !ok {
		t.Fatal("the SMSC has no port")
	}
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		t.Fatal(err)
	}
	wire := newWire(t, conn)

	for _, x := range exchanges() {
		want := x.fields(x.node)
		t.Run("to "+x.name, func(t *testing.T) {
			wire.send(t, x.pdu)
			got := smsc.call(t, "receive")
			if got["command_length"] == nil || got["command_id"] != float64(x.pdu.Body.Command()) {
				t.Errorf("got command_length %v and command_id %v", got["command_length"], got["command_id"])
			}
			delete(got, "command_length")
			delete(got, "command_id")
			same(t, got, want)
		})
		t.Run("from "+x.name, func(t *testing.T) {
			sent := maps.Clone(want)
			delete(sent, "command")
			smsc.call(t, "send", x.command(), sent)
			p := x.pdu
			if p.Status != pdu.StatusOK { // npm smpp sends errors without a body
				p.Body = reflect.New(reflect.TypeOf(p.Body).Elem()).Interface().(pdu.Body)
				if resp, ok := p.Body.(*pdu.BindResp); ok {
					resp.Kind = x.pdu.Body.(*pdu.BindResp).Kind
				}
			}
			wire.receive(t, p)
		})
	}

	t.Run("unknown", func(t *testing.T) {
		smsc.call(t, "send", "replace_sm", fields{"sequence_number": 99, "short_message": "new"})
		_, err := wire.reader.Next()
		var wrong *pdu.Error
		if !errors.As(err, &wrong) || wrong.Fatal || wrong.Sequence != 99 || wrong.Status != pdu.StatusInvalidCommandID {
			t.Fatalf("got %v, want an unknown command", err)
		}
		wire.send(t, pdu.PDU{Status: wrong.Status, Sequence: wrong.Sequence, Body: &pdu.GenericNack{}})
		got := smsc.call(t, "receive")
		if got["command"] != "generic_nack" || got["command_status"] != 3.0 || got["sequence_number"] != 99.0 {
			t.Errorf("got %v, want the generic_nack", got)
		}
		smsc.call(t, "send", "enquire_link", fields{"sequence_number": 100})
		wire.receive(t, pdu.PDU{Sequence: 100, Body: &pdu.EnquireLink{}})
	})
}

// TestSMPPClient exchanges every PDU, in both directions, with an ESME of Perl's Net::SMPP.
func TestSMPPClient(t *testing.T) {
	t.Parallel()
	esme := run(t, "smpp-client.pl")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	esme.call(t, "connect", listener.Addr().(*net.TCPAddr).Port)
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	wire := newWire(t, conn)

	for _, x := range exchanges() {
		t.Run("to "+x.name, func(t *testing.T) {
			wire.send(t, x.pdu)
			same(t, esme.call(t, "receive"), x.fields(x.perl))
		})
		t.Run("from "+x.name, func(t *testing.T) {
			sent := x.fields(nil)
			delete(sent, "command")
			esme.call(t, "send", x.command(), sent)
			wire.receive(t, x.pdu)
		})
	}
}

// wire is a connection with only the codec.
type wire struct {
	conn   net.Conn
	reader *pdu.Reader
	buffer []byte
}

func newWire(t *testing.T, conn net.Conn) *wire {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &wire{conn: conn, reader: pdu.NewReader(conn)}
}

func (w *wire) send(t *testing.T, p pdu.PDU) {
	t.Helper()
	var err error
	if w.buffer, err = pdu.Append(w.buffer[:0], p); err != nil {
		t.Fatal(err)
	}
	if _, err := w.conn.Write(w.buffer); err != nil {
		t.Fatal(err)
	}
}

func (w *wire) receive(t *testing.T, want pdu.PDU) {
	t.Helper()
	got, err := w.reader.Next()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v %+v, want\n%+v %+v", got, got.Body, want, want.Body)
	}
}

// same compares all fields in their JSON form.
func same(t *testing.T, got, want fields) {
	t.Helper()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var plain fields
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	for name := range maps.Keys(got) {
		if _, ok := plain[name]; !ok {
			t.Errorf("got %s %v, want none", name, got[name])
		}
	}
	for name, value := range plain {
		if !reflect.DeepEqual(got[name], value) {
			t.Errorf("got %s %v, want %v", name, got[name], value)
		}
	}
}

// octets is the JSON form of binary data.
func octets(b string) fields { return fields{"hex": hex.EncodeToString([]byte(b))} }

package main

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp/pdu"
)

// smscProcess is a running "countersign smsc".
type smscProcess struct {
	t    *testing.T
	out  writer
	stop context.CancelFunc
	code chan int
	addr string
}

func startSMSC(t *testing.T, args ...string) *smscProcess {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &smscProcess{t: t, out: make(writer, 100), stop: stop, code: make(chan int, 1)}
	var errs strings.Builder
	go func() {
		s.code <- run(ctx, append([]string{"smsc", "--listen=127.0.0.1:0"}, args...), nil, s.out, &errs)
	}()
	t.Cleanup(func() {
		stop()
		if code := <-s.code; code != 0 || errs.Len() > 0 {
			t.Errorf("code %d, stderr %q", code, errs.String())
		}
	})
	first := s.line()
	s.addr, _ = first["listening"].(string)
	if seed, _ := first["seed"].(float64); s.addr == "" || seed == 0 {
		t.Fatalf("first line %v", first)
	}
	return s
}

// line returns the next line of the output.
func (s *smscProcess) line() map[string]any {
	s.t.Helper()
	select {
	case text := <-s.out:
		var v map[string]any
		if err := json.Unmarshal([]byte(text), &v); err != nil || !strings.HasSuffix(text, "}\n") {
			s.t.Fatalf("line %q: %v", text, err)
		}
		return v
	case <-time.After(await.Limit):
		s.t.Fatal("no line")
		return nil
	}
}

// esme binds to the SMSC.
func (s *smscProcess) esme(id, password string) (conn net.Conn, status pdu.Status) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	p := s.request(conn, &pdu.Bind{Kind: pdu.CommandBindTransceiver, SystemID: id, Password: password})
	return conn, p.Status
}

func (s *smscProcess) request(conn net.Conn, body pdu.Body) pdu.PDU {
	s.t.Helper()
	b, err := pdu.Append(nil, pdu.PDU{Sequence: 1, Body: body})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := conn.Write(b); err != nil {
		s.t.Fatal(err)
	}
	p, err := pdu.NewReader(conn).Next()
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func submitSM(text string) *pdu.SubmitSM {
	return &pdu.SubmitSM{Message: pdu.Message{
		Source:         pdu.Address{TON: pdu.TONAlphanumeric, Addr: "Acme"},
		Destination:    pdu.Address{TON: pdu.TONInternational, NPI: pdu.NPIISDN, Addr: "447700900000"},
		ValidityPeriod: "000000000500000R",
		ShortMessage:   []byte(text),
	}}
}

func TestSMSCPrints(t *testing.T) {
	t.Parallel()
	s := startSMSC(t, "--system-id=esme", "--password=secret", "--ids=hex", "--seed=5")
	if _, status := s.esme("esme", "wrong"); status != pdu.StatusInvalidPassword {
		t.Errorf("wrong password: %v", status)
	}
	conn, status := s.esme("esme", "secret")
	if status != pdu.StatusOK {
		t.Fatalf("bind: %v", status)
	}
	m := submitSM("Code <4821>")
	m.TLVs = pdu.TLVs{pdu.Uint16(pdu.TagUserMessageReference, 0x0102)}
	s.request(conn, m)
	got := s.line()
	if _, err := time.Parse(time.RFC3339Nano, got["time"].(string)); err != nil {
		t.Error(err)
	}
	delete(got, "time")
	want := `{"session":2,"system_id":"esme","message_id":"b2d05e05","from":{"ton":5,"npi":0,"addr":"Acme"},` +
		`"to":{"ton":1,"npi":1,"addr":"447700900000"},"esm_class":0,"data_coding":0,"alphabet":"gsm7","registered_delivery":0,` +
		`"validity_period":"000000000500000R","tlvs":{"0204":"0102"},"part":1,"parts":1,"text":"Code <4821>"}`
	var wanted map[string]any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(got)
	if b, _ := json.Marshal(wanted); string(a) != string(b) {
		t.Errorf("line\n%s want\n%s", a, b)
	}

	m = submitSM("\x01\xFF")
	m.DataCoding = pdu.CodingBinary
	s.request(conn, m)
	if got := s.line(); got["alphabet"] != "binary" || got["data"] != "01ff" || got["text"] != "" {
		t.Errorf("line %v", got)
	}
}

func TestSMSCPrintsLongMessages(t *testing.T) {
	t.Parallel()
	s := startSMSC(t)
	conn, _ := s.esme("anybody", "")
	for _, part := range []string{"\x05\x00\x03\x07\x02\x02world", "\x05\x00\x03\x07\x02\x01hello "} {
		m := submitSM(part)
		m.ESMClass = pdu.ESMUDHI
		s.request(conn, m)
	}
	second, first, whole := s.line(), s.line(), s.line()
	if second["udh"] != "050003070202" || second["part"] != 2. || second["parts"] != 2. || second["ref"] != 7. || second["text"] != "world" {
		t.Errorf("line %v", second)
	}
	if first["part"] != 1. || first["text"] != "hello " {
		t.Errorf("line %v", first)
	}
	if whole["whole"] != "hello world" || whole["message_id"] != first["message_id"] || whole["parts"] != 2. {
		t.Errorf("line %v", whole)
	}
}

func TestSMSCFaults(t *testing.T) {
	t.Parallel()
	s := startSMSC(t, "--fault=throttle=1x,queue-full=1x", "--fault=refuse=1x:0x0B")
	conn, _ := s.esme("anybody", "")
	var got []pdu.Status
	for range 4 {
		got = append(got, s.request(conn, submitSM("hello")).Status)
	}
	want := []pdu.Status{pdu.StatusThrottled, pdu.StatusQueueFull, pdu.StatusInvalidDestination, pdu.StatusOK}
	if !slices.Equal(got, want) {
		t.Errorf("statuses %v, want %v", got, want)
	}
	if got := s.line()["text"]; got != "hello" {
		t.Errorf("text %v", got)
	}
}

func TestSMSCRefuses(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.fails(2, `--fault: unknown fault "frobnicate"; use one of delay, `, "smsc", "--fault=frobnicate")
	in.fails(2, `--fault: fault "throttle=30": invalid share "30"`, "smsc", "--fault=throttle=30")
	in.fails(2, "--receipts", "smsc", "--receipts=loud")
	in.fails(2, "--ids", "smsc", "--ids=octal")
	in.fails(2, "--tls-cert and --tls-key must be given together", "smsc", "--tls-cert=x")
	in.fails(1, "tls: open ", "smsc", "--tls-cert=no/such", "--tls-key=no/such")
	in.fails(1, "listen tcp", "smsc", "--listen=nowhere")
	if got := in.ok("smsc", "--help"); !strings.Contains(got, "receipt-shuffle[=TIME]") {
		t.Errorf("the help does not list the faults:\n%s", got)
	}
}

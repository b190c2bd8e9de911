package pdu_test

import (
	"testing"

	"countersign/internal/deliver/smpp/pdu"
)

func BenchmarkAppendSubmitSM(b *testing.B) {
	p := golden()["submit_sm_gsm"]
	buffer, err := pdu.Append(nil, p)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if buffer, err = pdu.Append(buffer[:0], p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeSubmitSM(b *testing.B)     { benchmarkDecode(b, "submit_sm_gsm") }
func BenchmarkDecodeSubmitSMResp(b *testing.B) { benchmarkDecode(b, "submit_sm_resp") }

func benchmarkDecode(b *testing.B, name string) {
	b.Helper()
	wire := octets(b, name)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pdu.Decode(wire); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAllocations limits the allocations of a busy session.
func TestAllocations(t *testing.T) { //nolint:paralleltest // testing.AllocsPerRun counts all goroutines
	submit, wire := golden()["submit_sm_sar"], octets(t, "submit_sm_resp")
	buffer := make([]byte, 0, 500)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := pdu.Append(buffer, submit); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("Append of a submit_sm allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := pdu.Decode(wire); err != nil {
			t.Fatal(err)
		}
	}); n > 3 {
		t.Errorf("Decode of a submit_sm_resp allocates %v times, want 3: the reader, the body, the id", n)
	}
}

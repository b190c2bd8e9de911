package sip_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"countersign/internal/deliver/sip"
)

// TestNormalisedCost: four times the parameters, list elements or folded lines take
// about four times the memory.
//
//nolint:paralleltest // parallel tests would also allocate
func TestNormalisedCost(t *testing.T) {
	parameter := ";" + strings.Repeat("b", 190)
	for name, message := range map[string]func(n int) string{
		"parameters": func(n int) string { return "To: <sip:a@b>" + strings.Repeat(parameter, 15*n) },
		"elements":   func(n int) string { return "Via: a" + strings.Repeat(",a;b", 700*n) },
		"folds":      func(n int) string { return "Subject: a" + strings.Repeat("\r\n b", 900*n) },
	} {
		one, four := octets(message(1)), octets(message(4))
		if ratio := float64(four) / float64(one); ratio > 6 {
			t.Errorf("%s: %d octets for one part, %d for four: a ratio of %.1f", name, one, four, ratio)
		}
	}
}

// octets returns the memory allocated to normalise a message with a header.
func octets(header string) uint64 {
	message := []byte("X sip:a SIP/2.0\r\n" + header + "\r\n\r\n")
	const runs = 10
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		sip.Normalised(message)
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

// TestNormalisedBounds: a message with a head over 16 KB is dropped, and a value keeps
// its first 64 parameters.
func TestNormalisedBounds(t *testing.T) {
	t.Parallel()
	message := func(header string) []byte { return []byte("X sip:a SIP/2.0\r\n" + header + "\r\n\r\nbody") }
	want := message("To: a" + strings.Repeat(";b", 64))
	for _, n := range []int{64, 65, 3000} {
		if got := sip.Normalised(message("t:a" + strings.Repeat(" ; B", n))); string(got) != string(want) {
			t.Errorf("%d parameters: got\n%s", n, got)
		}
	}
	for _, header := range []string{"To: a" + strings.Repeat(";b", 16000), "Subject: " + strings.Repeat("a", 16<<10)} {
		if got := sip.Normalised(message(header)); len(got) != 0 {
			t.Errorf("a head of %d octets becomes one of %d, want none", len(header), len(got))
		}
	}
	const size = 16 << 10
	fits := fmt.Sprintf("Subject: %s", strings.Repeat("a", size-len("X sip:a SIP/2.0\r\nSubject: \r\n\r\n")))
	if got := sip.Normalised(message(fits)); len(got) != size+len("body") {
		t.Errorf("a head of 16 KB and a body become %d octets", len(got))
	}
}

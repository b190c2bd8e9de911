package message_test

import (
	"testing"
	"time"

	"countersign/internal/message"
)

// texts returns the calls of this package in a start.
func texts(t testing.TB) map[string]func() {
	c := newCatalog(t)
	in := message.Input{Locale: "en-gb", Brand: "Acme", PIN: pin(t, "1234"), ValidFor: 5 * time.Minute}
	return map[string]func(){
		"write an SMS": func() { c.SMS(in) },
		"look at a name": func() {
			if err := message.CheckName(in.Brand); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// The calls in a start must stay within a budget of allocations.
func TestAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	const budget = 2
	for name, run := range texts(t) {
		got := testing.AllocsPerRun(100, run)
		t.Logf("%-16s %.0f allocations, at most %d", name, got, budget)
		if got > budget {
			t.Errorf("%s: %.0f allocations, want at most %d", name, got, budget)
		}
	}
}

func BenchmarkTexts(b *testing.B) {
	for name, run := range texts(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}

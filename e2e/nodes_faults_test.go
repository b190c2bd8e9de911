package e2e

import (
	"testing"
	"time"
)

// TestNodesJudge checks the judge for several nodes on one database: it reports the same faults,
// but allows a node that was paused to send its messages in flight.
func TestNodesJudge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		rule  string // "" for a sound run
		plant func(*evidence)
	}{
		{"a sound run", "", func(*evidence) {}},
		{"a copy without a crash", "copy without a crash", func(e *evidence) { e.copy("right", 0, 10) }},
		{"a copy of an event that was not in flight", "copy without a crash", func(e *evidence) {
			e.outages[0].inFlight = map[string]bool{"unanswered-0": true}
		}},
		{"a third copy", "third copy", func(e *evidence) { e.copy("expired", 2, 1500) }},
		{"the copy of the paused node arrives second", "", func(e *evidence) {
			e.outages[0].inFlight["right-0"] = true
			e.outages[0].back = at(1460)
			e.copy("right", 0, 1450)
			e.of("right").finalized = at(1500)
			e.check("right", "1001", "6", 1600)
		}},
		{"a message after the end", "sent after the end", func(e *evidence) {
			e.copy("cancelled", 0, 4000)
			e.outages[0].inFlight["cancelled-0"] = true
		}},
		{"a message of a paused node after the end", "", func(e *evidence) {
			e.copy("cancelled", 0, 4000)
			e.outages = append(e.outages, outage{died: at(2), back: at(3990), inFlight: map[string]bool{"cancelled-0": true}})
		}},
		{"a message that was not in flight is lost", "lost message", func(e *evidence) { delete(e.phone, "right") }},
		{"a charge is doubled", "doubled charge", func(e *evidence) { e.charge("charge/right/again", -12050000) }},
		{"an accepted verification is missing", "lost verification", func(e *evidence) { delete(e.books.verifications, "right") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := soundRun()
			e.lease = 10 * time.Second
			tt.plant(&e)
			v := judge(e)
			switch {
			case tt.rule == "" && len(v.faults) > 0:
				t.Errorf("false faults: %v", v.faults)
			case tt.rule != "" && v.count(tt.rule) == 0:
				t.Errorf("faults %v, want %q", v.faults, tt.rule)
			}
		})
	}
}

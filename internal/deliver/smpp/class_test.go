package smpp_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// TestClasses: over TCP, every status in a submit_sm_resp causes the reaction of its
// class.
func TestClasses(t *testing.T) {
	t.Parallel()
	d := open(t, smsc.Config{})
	want := map[smpp.Class]string{
		smpp.ClassTemporary: "not sent", smpp.ClassThrottled: "not sent", smpp.ClassBind: "not sent",
		smpp.ClassFinal: "refused", smpp.ClassNumber: "bad number",
	}
	for status := range pdu.Status(0x500) {
		class := d.ClassOf(status)
		if status == pdu.StatusOK || class == smpp.ClassThrottled || class == smpp.ClassBind {
			continue // see TestThrottled and TestLostBind
		}
		d.smsc.SetFaults(smsc.MustFaults(fmt.Sprintf("refuse=1x:%d", status)))
		_, err := d.Send(t.Context(), sms("hello"))
		if outcome(err) != want[class] || !strings.Contains(err.Error(), status.String()) {
			t.Errorf("%s is %s: %v", status, class, err)
		}
		send(t, d, 1) // separates system errors
	}
	if n := d.smsc.Counters().Connections; n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestClassOverride: the configuration of a carrier takes precedence over the table.
func TestClassOverride(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status pdu.Status
		class  smpp.Class
		want   string
		binds  uint64 // connections at the end
	}{
		{0x0B, smpp.ClassTemporary, "not sent", 1},
		{0x0B, smpp.ClassFinal, "refused", 1},
		{0x0B, smpp.ClassThrottled, "not sent", 1},
		{0x08, smpp.ClassFinal, "refused", 1}, // the session is kept
		{0x400, smpp.ClassTemporary, "not sent", 1},
		{0x401, smpp.ClassNumber, "bad number", 1},
		{0x04, smpp.ClassFinal, "refused", 1},
		{0x45, smpp.ClassBind, "not sent", 2},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status, " ", tt.class), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				far := smsc.Config{Faults: smsc.MustFaults(fmt.Sprintf("refuse=100%%:%d", tt.status))}
				d := openIn(t, far, func(c *smpp.Config) { c.Statuses = map[pdu.Status]smpp.Class{tt.status: tt.class} })
				for range 6 {
					if _, err := d.Send(t.Context(), sms("hello")); outcome(err) != tt.want {
						t.Fatalf("%v, want %s", err, tt.want)
					}
					if tt.binds > 1 {
						break
					}
				}
				d.smsc.SetFaults(smsc.Faults{})
				if err := d.sendAsEngine(sms("hello"), patience); err != nil {
					t.Error(err)
				}
				if n := d.smsc.Counters().Connections; n != tt.binds {
					t.Errorf("%d connections, want %d", n, tt.binds)
				}
			})
		})
	}
}

// TestStatusesPage: docs/reference/smpp-carrier-behaviour.md has the class of every
// named status.
func TestStatusesPage(t *testing.T) {
	t.Parallel()
	d := open(t, smsc.Config{})
	var want []string
	for status := range pdu.Status(0x500) {
		class := d.ClassOf(status)
		if name := status.Name(); status != pdu.StatusOK && (name != "other" || class != smpp.ClassFinal) {
			if name == "other" {
				name = "–"
			}
			want = append(want, fmt.Sprintf("| `0x%02X` | %s | `%s` |", uint32(status), name, class))
		}
	}
	page, err := os.ReadFile("../../../docs/reference/smpp-carrier-behaviour.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Statuses\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var got []string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| `0x") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the page has\n%s\n\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

package gsm_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"countersign/internal/deliver/gsm"
)

// part is a received part.
type part struct {
	from      string
	ref       uint16
	total     int
	seq       int
	text      string
	want      string
	wantWhole bool
}

func TestJoiner(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		parts []part
	}{
		{"single", []part{{"a", 0, 0, 0, "hi", "hi", true}}},
		{"one of one", []part{{"a", 1, 1, 1, "hi", "hi", true}}},
		{"impossible places", []part{{"a", 1, 2, 3, "hi", "hi", true}, {"a", 1, 2, 0, "ho", "ho", true}}},
		{"in order", []part{{"a", 1, 2, 1, "x", "", false}, {"a", 1, 2, 2, "y", "xy", true}}},
		{"out of order", []part{{"a", 1, 3, 3, "z", "", false}, {"a", 1, 3, 1, "x", "", false}, {"a", 1, 3, 2, "y", "xyz", true}}},
		{"twice the same", []part{{"a", 1, 2, 1, "x", "", false}, {"a", 1, 2, 1, "x", "", false}, {"a", 1, 2, 2, "y", "xy", true}}},
		{"two senders", []part{{"a", 1, 2, 1, "x", "", false}, {"b", 1, 2, 2, "y", "", false}, {"a", 1, 2, 2, "z", "xz", true}}},
		{"two references", []part{{"a", 1, 2, 1, "x", "", false}, {"a", 2, 2, 2, "y", "", false}, {"a", 1, 2, 2, "z", "xz", true}}},
		{"the reference comes round", []part{
			{"a", 1, 3, 1, "old", "", false}, {"a", 1, 3, 2, "old", "", false},
			{"a", 1, 3, 2, "b", "", false}, {"a", 1, 3, 1, "a", "", false}, {"a", 1, 3, 3, "c", "abc", true},
		}},
		{"complete means gone", []part{
			{"a", 1, 2, 1, "x", "", false}, {"a", 1, 2, 2, "y", "xy", true}, {"a", 1, 2, 2, "y", "", false},
		}},
		{"an escape split by its sender", []part{{"a", 1, 2, 1, "5 \x1b", "", false}, {"a", 1, 2, 2, "e.", "5 €.", true}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			j := gsm.NewJoiner[string](1 << 16)
			for i, p := range test.parts {
				got, whole := j.Add(p.from, gsm.GSM7, gsm.Header{Ref: p.ref, Total: p.total, Seq: p.seq}, []byte(p.text))
				if got != p.want || whole != p.wantWhole {
					t.Errorf("part %d: %q, %v", i, got, whole)
				}
			}
		})
	}
}

// TestJoinerCodings: each part is decoded with its coding.
func TestJoinerCodings(t *testing.T) {
	t.Parallel()
	j := gsm.NewJoiner[int](1 << 16)
	j.Add(1, gsm.UCS2, gsm.Header{Ref: 1, Total: 3, Seq: 3}, []byte("\x04\x10"))
	j.Add(1, gsm.GSM7, gsm.Header{Ref: 1, Total: 3, Seq: 1}, []byte("\x00"))
	text, whole := j.Add(1, gsm.GSM7, gsm.Header{Ref: 1, Total: 3, Seq: 2, Single: gsm.Turkish}, []byte("\x1bs"))
	if text != "@şА" || !whole {
		t.Errorf("%q, %v", text, whole)
	}
	j.Add(1, gsm.UCS2, gsm.Header{Ref: 2, Total: 2, Seq: 1}, []byte("\xd8\x3d"))
	text, whole = j.Add(1, gsm.UCS2, gsm.Header{Ref: 2, Total: 2, Seq: 2}, []byte("\xde\x00"))
	if text != "😀" || !whole {
		t.Errorf("%q, %v", text, whole)
	}
}

// TestJoinerSeesAnotherCoding: equal octets in another coding are another part.
func TestJoinerSeesAnotherCoding(t *testing.T) {
	t.Parallel()
	j := gsm.NewJoiner[int](1 << 16)
	first := gsm.Header{Ref: 1, Total: 2, Seq: 1}
	j.Add(1, gsm.GSM7, first, []byte("\x00"))
	j.Add(1, gsm.Latin1, first, []byte("\x00"))
	text, whole := j.Add(1, gsm.Latin1, gsm.Header{Ref: 1, Total: 2, Seq: 2}, []byte("b"))
	if text != "\x00b" || !whole {
		t.Errorf("%q, %v", text, whole)
	}
}

// TestJoinerForgets: a full joiner drops the oldest message.
func TestJoinerForgets(t *testing.T) {
	t.Parallel()
	j := gsm.NewJoiner[int](10_000)
	payload := []byte(strings.Repeat("x", 150))
	first := func(key int) { j.Add(key, gsm.GSM7, gsm.Header{Ref: 1, Total: 2, Seq: 1}, payload) }
	second := func(key int) bool {
		_, whole := j.Add(key, gsm.GSM7, gsm.Header{Ref: 1, Total: 2, Seq: 2}, payload)
		return whole
	}
	for key := range 1000 {
		first(key)
	}
	held := 0
	for held < 1000 && second(999-held) {
		held++
	}
	if held < 10 || held > 10_000/150 {
		t.Errorf("the joiner holds %d messages of 150 octets", held)
	}
	j = gsm.NewJoiner[int](100)
	first(1)
	if second(1) {
		t.Error("the joiner holds a part above its limit")
	}
}

func TestJoinerIsSafeForManyGoroutines(t *testing.T) {
	t.Parallel()
	j := gsm.NewJoiner[string](1 << 20)
	var all sync.WaitGroup
	for key := range 8 {
		all.Go(func() {
			text := strings.Repeat(fmt.Sprint(key), 400)
			m, err := gsm.Encode(text, gsm.Options{}, 9)
			if err != nil {
				t.Error(err)
				return
			}
			var got string
			for _, p := range m.Parts {
				h, rest, err := gsm.ParseHeader(append(p.Header, p.Payload...))
				if err != nil {
					t.Error(err)
				}
				got, _ = j.Add(fmt.Sprint(key), gsm.GSM7, h, rest)
			}
			if got != text {
				t.Errorf("%q", got)
			}
		})
	}
	all.Wait()
}

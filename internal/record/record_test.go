package record_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"countersign/internal/record"
)

var origin = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

type sample struct {
	n      int
	flag   bool
	at     time.Time
	length time.Duration
	text   string
	octets []byte
	inner  *sample
	list   []sample
}

// form describes a sample.
func (s *sample) form(c *record.Codec) {
	record.Int(c, 1, &s.n)
	c.Bool(2, &s.flag)
	c.Time(3, &s.at)
	c.Duration(4, &s.length)
	record.Text(c, 5, &s.text)
	record.Text(c, 6, &s.octets)
	c.Record(7, s.inner != nil, func() {
		if s.inner == nil {
			s.inner = &sample{}
		}
		s.inner.form(c)
	})
	record.List(c, 16, &s.list, func(e *sample) { e.form(c) })
}

func write(t *testing.T, s sample) []byte {
	t.Helper()
	c := record.Writer(origin)
	s.form(&c)
	b, err := c.Written()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(b []byte) (s sample, err error) {
	c := record.Reader(b, origin)
	s.form(&c)
	return s, c.Done()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	full := sample{
		-5, true, origin.Add(-time.Millisecond), 2 * time.Second, "é\xff\x00", []byte{0, 0xff},
		&sample{list: []sample{{n: 1}, {}}}, []sample{{}, {text: strings.Repeat("x", 200)}},
	}
	for _, want := range []sample{{}, {at: origin}, {n: 1 << 62, inner: &sample{}}, {n: -1 << 63}, full, {inner: &full, list: []sample{full, full}}} {
		b := write(t, want)
		if got, err := read(b); !reflect.DeepEqual(got, want) || err != nil {
			t.Errorf("%x is read as %+v (%v), want %+v", b, got, err, want)
		}
		if len(b) > 0 {
			if got, err := read(b[:len(b)-1]); err == nil && len(got.list) == len(want.list) {
				t.Errorf("%x without its last octet is read as %+v", b, got)
			}
		}
	}
}

// TestOctets: the form is the wire format of Protocol Buffers.
func TestOctets(t *testing.T) {
	t.Parallel()
	s := sample{n: 3, flag: true, at: origin.Add(time.Second), text: "abc", inner: &sample{n: -1}, list: []sample{{}, {n: 64}}}
	const want = "0806" + "1002" + "18d00f" + "2a03616263" + "3a020801" + "820100" + "820103088001"
	if got := fmt.Sprintf("%x", write(t, s)); got != want {
		t.Errorf("%+v is written as %s, want %s", s, got, want)
	}
}

// TestUnknownFields: fields that the form does not name are skipped, wherever they are.
func TestUnknownFields(t *testing.T) {
	t.Parallel()
	b := []byte("\x08\x06" + "\x40\x01" + "\x4a\x01x" + "\x55abcd" + "\x59abcdefgh" + "\x82\x01\x05\x08\x80\x01\x40\x01" + "\xf8\x07\x01")
	want := sample{n: 3, list: []sample{{n: 64}}}
	if got, err := read(b); !reflect.DeepEqual(got, want) || err != nil {
		t.Errorf("it is read as %+v (%v), want %+v", got, err, want)
	}
}

func TestBroken(t *testing.T) {
	t.Parallel()
	for b, want := range map[string]string{
		"\x00":                         "no tag",
		"\xff":                         "octet 0",
		"\x80\x80\x80\x80\x10\x08\x06": "no tag", // field 2^29
		"\x08":                         "octet 1",
		"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff": "octet 1",
		"\x0a\x01x":             "field 1 has the type 2 instead of 0",
		"\x28\x01":              "field 5 has the type 0 instead of 2",
		"\x2a\x05abc":           "field 5 is longer than its record",
		"\x3a\x02\x2a\x05abcde": "field 5 is longer than its record",
		"\x82\x01\x05":          "field 16",
		"\x82\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f": "field 16",
		"\xc3\x01":                            "field 24",
		strings.Repeat("x", record.MaxSize+1): "longer than",
	} {
		if _, err := read([]byte(b)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20x: %v, want an error with %q", b, err, want)
		}
	}
	c := record.Writer(origin)
	long := bytes.Repeat([]byte{1}, record.MaxSize)
	record.Text(&c, 1, &long)
	if _, err := c.Written(); err == nil {
		t.Error("a record that is too long to be read was written")
	}
}

// TestManyElements: the elements of all lists of a record are bounded together. An empty
// element takes 2 octets or 3, and the memory of its Go value.
func TestManyElements(t *testing.T) {
	t.Parallel()
	empty := "\x82\x01\x00"
	nested := "\x82\x01\xfe\x03" + strings.Repeat(empty, 170)
	for name, b := range map[string]string{
		"one list":     strings.Repeat(empty, record.MaxSize/len(empty)),
		"one too many": strings.Repeat(empty, record.MaxElements+1),
		"nested lists": strings.Repeat(nested, 100),
	} {
		got, err := read([]byte(b))
		if err == nil || !strings.Contains(err.Error(), "elements") {
			t.Errorf("%s: read %d elements, error %v", name, len(got.list), err)
		}
	}
	most := sample{list: make([]sample, record.MaxElements)}
	if got, err := read(write(t, most)); err != nil || len(got.list) != record.MaxElements {
		t.Errorf("%d elements are read as %d, error %v", record.MaxElements, len(got.list), err)
	}
	c := record.Writer(origin)
	more := sample{list: make([]sample, record.MaxElements+1)}
	more.form(&c)
	if _, err := c.Written(); err == nil {
		t.Error("a record with too many elements to be read was written")
	}
}

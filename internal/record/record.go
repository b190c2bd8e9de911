// Package record writes values as records of numbered fields, and reads them back. The form
// is the wire format of Protocol Buffers, so that other tools can show it, such as
// protoc --decode_raw. One function describes a record in both directions.
package record

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field is the number of a field in its record. The tag of a field up to 15 takes one octet.
type Field = protowire.Number

// Limits of a record. Writers and readers enforce both, so a reader accepts the output of
// every writer.
const (
	MaxSize     = 1 << 20 // octets
	MaxElements = 1 << 14 // elements of all lists together: an empty element takes 2 octets, but its Go value may be large
)

var (
	errSize     = fmt.Errorf("longer than %d octets", MaxSize)
	errElements = fmt.Errorf("more than %d list elements", MaxElements)
)

// Codec writes or reads one record. The function that describes a record calls a method, or
// [Int], [Text] or [List], for each field in ascending order of numbers. Writing
// leaves out zero values. Reading skips unknown fields, and does not change the target of an
// absent field or any target after an error.
type Codec struct {
	writing  bool
	origin   int64 // base of times, in milliseconds since 1970
	b        []byte
	elements int // number of list elements so far

	// Reading only.
	text    string         // b as a string; texts are substrings
	at, end int            // bounds in b of the unread rest of the innermost record, after the tag of the next field
	next    Field          // the next field; none at the end of the record
	kind    protowire.Type // type of next
	err     error
}

// none exceeds the number of every field.
const none = protowire.MaxValidNumber + 1

// Writer returns a codec that writes a record. Times are in milliseconds since origin.
func Writer(origin time.Time) Codec {
	return Codec{origin: origin.UnixMilli(), writing: true, b: make([]byte, 0, 512)}
}

// Written returns the record that was written, or the first error.
func (c *Codec) Written() ([]byte, error) {
	if len(c.b) > MaxSize {
		c.Fail(errSize)
	}
	return c.b, c.err
}

// Reader returns a codec that reads a record that was written with the same origin.
func Reader(b []byte, origin time.Time) Codec {
	c := Codec{origin: origin.UnixMilli()}
	if len(b) > MaxSize {
		c.Fail(errSize)
		return c
	}
	c.b, c.text, c.end = b, string(b), len(b)
	c.advance()
	return c
}

// Done reads the rest of the record. It returns the first error; the targets are then
// incomplete.
func (c *Codec) Done() error {
	c.skipRest()
	return c.err
}

// Writing reports whether the codec writes.
func (c *Codec) Writing() bool { return c.writing }

// Fail makes the result of Done or Written an error, unless it is one already. Reading ends.
func (c *Codec) Fail(err error) {
	if c.err == nil {
		c.err, c.next = err, none
	}
}

// Int is a field with a number.
func Int[T ~int | ~int64](c *Codec, field Field, i *T) {
	if c.writing {
		if *i != 0 {
			c.writeInt(field, int64(*i))
		}
	} else if c.next <= field {
		*i = T(c.readInt(field, int64(*i)))
	}
}

// Bool is a field with a truth value.
func (c *Codec) Bool(field Field, flag *bool) {
	if c.writing {
		if *flag {
			c.writeInt(field, 1)
		}
	} else if c.seek(field, protowire.VarintType) {
		*flag = c.readInt(field, 0) != 0
	}
}

// Time is a field with a time, in milliseconds.
func (c *Codec) Time(field Field, t *time.Time) {
	if c.writing {
		if !t.IsZero() {
			c.writeInt(field, t.UnixMilli()-c.origin)
		}
	} else if c.seek(field, protowire.VarintType) {
		*t = time.UnixMilli(c.origin + c.readInt(field, 0)).UTC()
	}
}

// Duration is a field with a duration, in milliseconds.
func (c *Codec) Duration(field Field, d *time.Duration) {
	ms := d.Milliseconds()
	if Int(c, field, &ms); !c.writing {
		*d = time.Duration(ms) * time.Millisecond
	}
}

// Text is a field with a text, which need not be UTF-8, or octets.
func Text[T ~string | ~[]byte](c *Codec, field Field, text *T) {
	if c.writing {
		if len(*text) > 0 {
			c.writeText(field, string(*text))
		}
	} else if c.next <= field {
		*text = T(c.readText(field, string(*text)))
	}
}

// Record is a field with a record that form describes. Writing calls form if present is true,
// reading if the field is found.
func (c *Codec) Record(field Field, present bool, form func()) {
	if c.writing {
		if present {
			start := c.begin(field)
			form()
			c.finish(start)
		}
	} else if size, ok := c.size(field); ok {
		c.within(size, form)
	}
}

// List is a field that is repeated for each element of a list, with the record that form
// describes. Reading replaces a list.
func List[T any](c *Codec, field Field, list *[]T, form func(*T)) {
	if c.writing {
		c.add(len(*list))
		for i := range *list {
			start := c.begin(field)
			form(&(*list)[i])
			c.finish(start)
		}
		return
	}
	n := c.count(field)
	if c.add(n); n == 0 || c.err != nil {
		return
	}
	*list = make([]T, n)
	for i := range *list {
		c.Record(field, true, func() { form(&(*list)[i]) })
	}
}

// add counts the elements of a list. Too many are an error.
func (c *Codec) add(elements int) {
	if c.elements += elements; c.elements > MaxElements {
		c.Fail(errElements)
	}
}

func (c *Codec) writeInt(field Field, i int64) {
	c.writeVarint(protowire.EncodeTag(field, protowire.VarintType))
	c.writeVarint(protowire.EncodeZigZag(i))
}

// writeVarint is protowire.AppendVarint, but faster for one octet.
func (c *Codec) writeVarint(i uint64) {
	if i < 0x80 {
		c.b = append(c.b, byte(i))
	} else {
		c.b = protowire.AppendVarint(c.b, i)
	}
}

func (c *Codec) writeText(field Field, text string) {
	c.writeVarint(protowire.EncodeTag(field, protowire.BytesType))
	c.writeVarint(uint64(len(text)))
	c.b = append(c.b, text...)
}

// begin writes the start of a record within a record, and returns the place of its content.
func (c *Codec) begin(field Field) int {
	c.writeVarint(protowire.EncodeTag(field, protowire.BytesType))
	c.b = append(c.b, 0)
	return len(c.b)
}

// finish writes the length of a record before its content. Most are short, so one octet was
// left for it.
func (c *Codec) finish(start int) {
	size := len(c.b) - start
	if size < 0x80 {
		c.b[start-1] = byte(size)
		return
	}
	length := protowire.AppendVarint(nil, uint64(size))
	c.b = slices.Replace(c.b, start-1, start, length...)
}

// advance reads the tag of the next field.
func (c *Codec) advance() {
	if c.next = none; c.err != nil || c.at >= c.end {
		return
	}
	number, kind := protowire.DecodeTag(c.varint())
	if number < protowire.MinValidNumber || number > protowire.MaxValidNumber {
		c.Fail(fmt.Errorf("octet %d is no tag of a field", c.at))
	}
	if c.err == nil {
		c.next, c.kind = number, kind
	}
}

// seek skips the fields before a field, and reports whether the record has it. A field of
// another type is an error.
func (c *Codec) seek(field Field, kind protowire.Type) bool {
	for c.next < field {
		c.skip()
	}
	if c.next == field && c.kind != kind {
		c.Fail(fmt.Errorf("field %d has the type %d instead of %d", field, c.kind, kind))
	}
	return c.next == field
}

// skip moves past the next field.
func (c *Codec) skip() {
	size := protowire.ConsumeFieldValue(c.next, c.kind, c.b[c.at:c.end])
	if size < 0 {
		c.Fail(fmt.Errorf("field %d: %w", c.next, protowire.ParseError(size)))
		return
	}
	c.at += size
	c.advance()
}

// skipRest moves to the end of the innermost record.
func (c *Codec) skipRest() {
	for c.next < none {
		c.skip()
	}
}

// varint reads a number.
func (c *Codec) varint() uint64 {
	if c.at < c.end && c.b[c.at] < 0x80 { // most
		c.at++
		return uint64(c.b[c.at-1])
	}
	i, size := protowire.ConsumeVarint(c.b[c.at:c.end])
	if size < 0 {
		c.Fail(fmt.Errorf("octet %d: %w", c.at, protowire.ParseError(size)))
		return 0
	}
	c.at += size
	return i
}

// readInt returns the number in a field; missing without it.
func (c *Codec) readInt(field Field, missing int64) int64 {
	if !c.seek(field, protowire.VarintType) {
		return missing
	}
	i := c.varint()
	c.advance()
	return protowire.DecodeZigZag(i)
}

// size moves to the content of a field, and returns its size.
func (c *Codec) size(field Field) (size int, ok bool) {
	if !c.seek(field, protowire.BytesType) {
		return 0, false
	}
	n := c.varint()
	if n > uint64(c.end-c.at) {
		c.Fail(fmt.Errorf("field %d is longer than its record", field))
	}
	return int(n), c.err == nil
}

// readText returns the content of a field; missing without it.
func (c *Codec) readText(field Field, missing string) string {
	size, ok := c.size(field)
	if !ok {
		return missing
	}
	text := c.text[c.at : c.at+size]
	c.at += size
	c.advance()
	return text
}

// within reads a record of a size, and moves past it.
func (c *Codec) within(size int, form func()) {
	outer := c.end
	c.end = c.at + size
	c.advance()
	form()
	c.skipRest()
	c.end = outer
	c.advance()
}

// count returns how often a field is repeated, which bounds an allocation.
func (c *Codec) count(field Field) (n int) {
	if !c.seek(field, protowire.BytesType) {
		return 0
	}
	start := *c
	for c.next == field {
		c.skip()
		n++
	}
	if c.err == nil {
		*c = start
	}
	return n
}

package gsm

// userDataOctets is the capacity of one short message (23.040 §9.2.3.16): 140 octets or
// 160 septets.
const userDataOctets = 140

// plan is the coding of a text and its division into parts.
type plan struct {
	coding   Coding
	units    int // septets, octets or UTF-16 units of the whole text
	segments int
	room     int // capacity in units of a part of a long message
}

// plan selects the coding of text and prepares c for it.
func (o Options) plan(c *coder, text string) plan {
	switch o.Base {
	case UCS2:
	case Latin1:
		if p, ok := o.measure(c, Coding{Alphabet: Latin1}, text); ok {
			return p
		}
	default:
		if p, ok := o.measure(c, Coding{Alphabet: GSM7}, text); ok {
			return p
		}
		if p, ok := o.national(c, text); ok {
			return p
		}
	}
	p, _ := o.measure(c, Coding{Alphabet: UCS2}, text)
	return p
}

// national returns the plan with the pair of tables that needs the fewest segments. Next
// it prefers fewer tables, then a single shift to a locking shift, then the order of
// o.Languages. A phone without the single shift table shows "s" for "ş" (23.038
// §6.2.1.1); without the locking shift table it shows a different letter.
//
// National tables never need more segments than UCS2: with the largest header, 13 octets,
// a part has room for 72 escaped characters, but for at most 67 of UCS2.
func (o Options) national(c *coder, text string) (plan, bool) {
	var best plan
	found := false
	for l := -1; l < len(o.Languages); l++ {
		for s := -1; s < len(o.Languages); s++ {
			coding := Coding{Alphabet: GSM7}
			if l >= 0 {
				coding.Locking = o.Languages[l]
			}
			if s >= 0 {
				coding.Single = o.Languages[s]
			}
			if !coding.known() {
				continue
			}
			p, ok := o.measure(c, coding, text)
			if ok && (!found || p.less(best)) {
				best, found = p, true
			}
		}
	}
	if found {
		c.use(best.coding)
	}
	return best, found
}

func (p plan) less(q plan) bool {
	if p.segments != q.segments {
		return p.segments < q.segments
	}
	return headerOctets(p.coding, false, false) < headerOctets(q.coding, false, false)
}

// measure returns the plan for text in a coding. ok is false if a character is not
// encodable. The segments correspond to the parts that cut returns.
func (o Options) measure(c *coder, coding Coding, text string) (_ plan, ok bool) {
	c.use(coding)
	alone := room(coding.Alphabet, headerOctets(coding, o.Wide, false))
	p := plan{coding: coding, segments: 1, room: room(coding.Alphabet, headerOctets(coding, o.Wide, true))}
	used := 0 // units in the last part
	for _, r := range text {
		w := c.width(r)
		if w == 0 {
			return plan{}, false
		}
		if used+w > p.room {
			p.segments++
			used = 0
		}
		used += w
		p.units += w
	}
	if p.units <= alone {
		p.segments = 1
	}
	return p, true
}

// room returns the capacity in units after a header. Septets begin at the first septet
// boundary after it (23.040 §9.2.3.24).
func room(a Alphabet, header int) int {
	octets := userDataOctets - header
	if a == GSM7 {
		return octets * 8 / 7
	}
	return octets / unitOctets(a)
}

// unitOctets returns the size of a unit in a payload.
func unitOctets(a Alphabet) int {
	if a == UCS2 {
		return 2
	}
	return 1
}

// cut splits off a part of at most room units, but not within an escape sequence or a
// surrogate pair.
func cut(payload []byte, a Alphabet, room int) (part, rest []byte) {
	n := room * unitOctets(a)
	if n >= len(payload) {
		return payload, nil
	}
	switch {
	case a == GSM7 && payload[n-1] == escape: // starts a sequence: no table has a character at 0x1B
		n--
	case a == UCS2 && payload[n-2]&0xFC == 0xD8: // high surrogate
		n -= 2
	}
	return payload[:n:n], payload[n:]
}

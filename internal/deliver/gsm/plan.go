package gsm

// userDataOctets is the room of one short message (23.040 §9.2.3.16). Its 140
// octets hold 160 septets.
const userDataOctets = 140

// plan is how a text will be coded and cut.
type plan struct {
	coding   Coding
	units    int // septets, octets or UTF-16 units of the whole text
	segments int
	room     int // units of a part of a long message
}

// plan chooses the coding of text, and leaves c ready to write it.
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

// national finds the pair of tables that takes the fewest segments. Among equals
// fewer tables are better, then a single shift (a phone that lacks it shows "s"
// for "ş", 23.038 §6.2.1.1; without a locking shift it shows another letter), then
// the language that is preferred.
//
// National tables never take more segments than UCS2 would: beside the largest
// header, of 13 octets, a part has room for 72 escaped characters; of UCS2 it has
// room for 67 at most.
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

// measure tells what text takes in a coding, and whether all its characters can
// be written in it. It counts as [cut] cuts.
func (o Options) measure(c *coder, coding Coding, text string) (plan, bool) {
	c.use(coding)
	alone := room(coding.Alphabet, headerOctets(coding, o.Wide, false))
	p := plan{coding: coding, segments: 1, room: room(coding.Alphabet, headerOctets(coding, o.Wide, true))}
	used := 0 // of the last part
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

// room is how many units stand beside a header: the septets begin on the first
// septet boundary after it (23.040 §9.2.3.24).
func room(a Alphabet, header int) int {
	octets := userDataOctets - header
	if a == GSM7 {
		return octets * 8 / 7
	}
	return octets / unitOctets(a)
}

// unitOctets is how many octets a unit takes in a payload.
func unitOctets(a Alphabet) int {
	if a == UCS2 {
		return 2
	}
	return 1
}

// cut takes a part of at most room units off payload, but splits neither an
// escape sequence nor a surrogate pair.
func cut(payload []byte, a Alphabet, room int) (part, rest []byte) {
	n := room * unitOctets(a)
	if n >= len(payload) {
		return payload, nil
	}
	switch {
	case a == GSM7 && payload[n-1] == escape: // no table has a character there
		n--
	case a == UCS2 && payload[n-2]&0xFC == 0xD8: // high surrogate
		n -= 2
	}
	return payload[:n:n], payload[n:]
}

package main

import "strconv"

// shape describes the numbers of one country: their first digits, all of the same length, and the
// number of further digits.
type shape struct {
	leads []string
	rest  int
}

// shapes returns mobile numbers (in the North American plan, all numbers) of countries with
// different plans, so that parsing a number has a realistic cost.
func shapes() []shape {
	return []shape{
		{[]string{"1212", "1310", "1312", "1415", "1617", "1713", "1202", "1305", "1404", "1206"}, 7},
		{[]string{"447"}, 9}, {[]string{"919"}, 9}, {[]string{"4915"}, 9}, {[]string{"336"}, 8},
		{[]string{"55119", "55219", "55319", "55419", "55519", "55619", "55719", "55819"}, 8},
		{[]string{"628"}, 9}, {[]string{"346"}, 8}, {[]string{"905"}, 9}, {[]string{"393"}, 9},
		{[]string{"4850", "4851", "4853", "4857", "4860", "4866", "4869", "4872", "4878", "4879"}, 7},
	}
}

// The fraud rules refuse many unverified numbers of one hundred or of one prefix, which real traffic
// does not have. Therefore each prefix of 7 digits has at most perPrefix numbers, each of another
// hundred. inUse prefixes are in use at the same time. After all of their numbers, the next
// inUse prefixes follow.
const (
	prefixDigits = 7
	perPrefix    = 29
	inUse        = 6_000
	stride       = 137    // between two numbers of a prefix; above 100, and prime
	scatter      = 32_749 // between two prefixes, to mix countries; prime
)

// numbers are distinct phone numbers with indexes from 0.
type numbers struct {
	leads []lead
	all   int // prefixes
}

type lead struct {
	digits string
	rest   int // digits after the prefix
	until  int // end of its prefixes in the row of the prefixes of all leads
	begin  int // their beginning
}

func newNumbers() numbers {
	var n numbers
	for _, s := range shapes() {
		for _, digits := range s.leads {
			begin := n.all
			n.all += prefixes(digits)
			n.leads = append(n.leads, lead{digits, len(digits) + s.rest - prefixDigits, n.all, begin})
		}
	}
	return n
}

// prefixes returns the number of prefixes with this lead, without those with 0 or 1 as the next
// digit, which are special in some plans.
func prefixes(lead string) int {
	n := 8
	for range prefixDigits - len(lead) - 1 {
		n *= 10
	}
	return n
}

// count returns the number of distinct numbers.
func (n numbers) count() int { return n.all / inUse * inUse * perPrefix }

// append appends the digits of the number with an index to buf. Indexes from count on repeat
// numbers.
func (n numbers) append(buf []byte, index int) []byte {
	index %= n.count()
	group, within := index/(inUse*perPrefix), index%(inUse*perPrefix)
	prefix := (group*inUse + within%inUse) * scatter % n.all
	tail := within / inUse * stride
	for _, l := range n.leads {
		if prefix >= l.until {
			continue
		}
		own := l.until - l.begin
		buf = append(buf, l.digits...)
		buf = padded(buf, prefix-l.begin+own/4, prefixDigits-len(l.digits)) // own/4 is 2 and zeros
		return padded(buf, tail, l.rest)
	}
	return buf // not reached
}

// padded appends a number with leading zeros.
func padded(buf []byte, n, digits int) []byte {
	var text [20]byte
	b := strconv.AppendInt(text[:0], int64(n), 10)
	for range digits - len(b) {
		buf = append(buf, '0')
	}
	return append(buf, b...)
}

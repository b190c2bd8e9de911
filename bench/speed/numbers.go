package main

import "strconv"

// shape is the numbers of one country that are used: their first digits, all as
// long, and how many follow.
type shape struct {
	leads []string
	rest  int
}

// shapes are mobiles (in the plan of North America, all numbers) of countries that
// differ in their plan, so that reading a number costs what it costs in earnest.
func shapes() []shape {
	return []shape{
		{[]string{"1212", "1310", "1312", "1415", "1617", "1713", "1202", "1305", "1404", "1206"}, 7},
		{[]string{"447"}, 9}, {[]string{"919"}, 9}, {[]string{"4915"}, 9}, {[]string{"336"}, 8},
		{[]string{"55119", "55219", "55319", "55419", "55519", "55619", "55719", "55819"}, 8},
		{[]string{"628"}, 9}, {[]string{"346"}, 8}, {[]string{"905"}, 9}, {[]string{"393"}, 9},
		{[]string{"4850", "4851", "4853", "4857", "4860", "4866", "4869", "4872", "4878", "4879"}, 7},
	}
}

// The guard refuses what real traffic does not do: many numbers of one hundred, or
// of one prefix, that nobody verifies. So each prefix of 7 digits has no more than
// perPrefix numbers, each of another hundred. Some thousand prefixes are in use at a
// time: when all their numbers were used, as many others follow.
const (
	prefixDigits = 7
	perPrefix    = 29
	inUse        = 6_000
	stride       = 137    // between two numbers of a prefix; more than a hundred, and prime
	scatter      = 32_749 // between two prefixes, so that countries mix; prime
)

// numbers are distinct phone numbers, by an index from 0.
type numbers struct {
	leads []lead
	all   int // prefixes
}

type lead struct {
	digits string
	rest   int // digits of a number after its prefix
	until  int // of the prefixes of all leads in a row, where its own end
	begin  int // where they begin
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

// prefixes is how many there are that begin so, without those whose next digit is 0
// or 1, which are special in some plans.
func prefixes(lead string) int {
	n := 8
	for range prefixDigits - len(lead) - 1 {
		n *= 10
	}
	return n
}

// count is how many numbers there are.
func (n numbers) count() int { return n.all / inUse * inUse * perPrefix }

// append adds the digits of the number with an index to buf. From count on they
// repeat.
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

// padded adds a number with zeros before it.
func padded(buf []byte, n, digits int) []byte {
	var text [20]byte
	b := strconv.AppendInt(text[:0], int64(n), 10)
	for range digits - len(b) {
		buf = append(buf, '0')
	}
	return append(buf, b...)
}

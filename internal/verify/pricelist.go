package verify

import (
	"fmt"
	"slices"
	"time"
)

// Price is a line of a price list: what a verification of certain numbers costs the
// account, or what a carrier charges the operator for a message to them.
type Price struct {
	Carrier string  // its name in the configuration; "" for what accounts pay
	Country string  // ISO 3166-1 alpha-2; "" for all others, and with Prefix
	Prefix  string  // first digits of the E.164 number, without "+"; "" for none
	Channel Channel // "" for all
	Amount  Money
	From    time.Time // the first moment of its validity; zero for since ever
	Until   time.Time // the first moment after it; zero for never
}

// destination is what a price is found by: a prefix has digits, a country letters.
func (p Price) destination() string {
	if p.Prefix != "" {
		return p.Prefix
	}
	return p.Country
}

// holds reports whether the price is in force at a time.
func (p Price) holds(at time.Time) bool {
	return !at.Before(p.From) && (p.Until.IsZero() || at.Before(p.Until))
}

// SameAs reports whether p and q are about the same numbers, channel and carrier.
func (p Price) SameAs(q Price) bool {
	return p.Carrier == q.Carrier && p.destination() == q.destination() && p.Channel == q.Channel
}

func (p Price) overlaps(q Price) bool {
	return p.SameAs(q) && (p.Until.IsZero() || q.From.Before(p.Until)) && (q.Until.IsZero() || p.From.Before(q.Until))
}

// OverlapError names two prices, by their places in a list, of which nobody could say
// which one counts.
type OverlapError struct{ First, Second int }

func (e *OverlapError) Error() string {
	return fmt.Sprintf("prices %d and %d are for the same numbers at the same time", e.First, e.Second)
}

// PriceList finds prices. It does not change, so it may be used by many at once.
type PriceList struct {
	lines   map[priceKey][]Price // in the order of their validity
	longest int                  // prefix

	carriers map[string]bool // that have prices
}

type priceKey struct {
	carrier, destination string
	channel              Channel
}

// NewPriceList makes a list of prices. It returns an [*OverlapError] for two that are
// in force at one time for the same numbers.
func NewPriceList(prices []Price) (*PriceList, error) {
	l := &PriceList{lines: map[priceKey][]Price{}, carriers: map[string]bool{}}
	places := map[priceKey][]int{}
	for i, p := range prices {
		key := priceKey{p.Carrier, p.destination(), p.Channel}
		for _, other := range places[key] {
			if p.overlaps(prices[other]) {
				return nil, &OverlapError{other, i}
			}
		}
		places[key] = append(places[key], i)
		l.lines[key] = append(l.lines[key], p)
		l.carriers[p.Carrier] = true
		l.longest = max(l.longest, len(p.Prefix))
	}
	for _, lines := range l.lines {
		slices.SortFunc(lines, func(a, b Price) int { return a.From.Compare(b.From) })
	}
	return l, nil
}

// Has reports whether there are prices of a carrier.
func (l *PriceList) Has(carrier string) bool { return l.carriers[carrier] }

// Find gives the price for a number that is in force at a time: that of the longest
// prefix, or else of the country, or else of all others; of those for one destination
// that for the channel, or else for all channels. ok is false when there is none.
func (l *PriceList) Find(carrier, number, country string, channel Channel, at time.Time) (amount Money, ok bool) {
	for n := min(l.longest, len(number)); n > 0; n-- {
		if amount, ok := l.at(carrier, number[:n], channel, at); ok {
			return amount, true
		}
	}
	if country != "" {
		if amount, ok := l.at(carrier, country, channel, at); ok {
			return amount, true
		}
	}
	return l.at(carrier, "", channel, at)
}

func (l *PriceList) at(carrier, destination string, channel Channel, at time.Time) (Money, bool) {
	for _, c := range [...]Channel{channel, ""} {
		for _, p := range l.lines[priceKey{carrier, destination, c}] {
			if p.holds(at) {
				return p.Amount, true
			}
		}
	}
	return 0, false
}

// Gap is the first moment from a time on at which a carrier's list has no price for
// all other numbers, whatever the channel; ok is false when there is none.
func (l *PriceList) Gap(carrier string, from time.Time) (at time.Time, ok bool) {
	for _, p := range l.lines[priceKey{carrier, "", ""}] {
		switch {
		case p.holds(from) && p.Until.IsZero():
			return time.Time{}, false
		case p.holds(from):
			from = p.Until
		}
	}
	return from, true
}

// SetPrice gives prices with p in force from p.From on, for as long as it says, in
// place of what was there for the same numbers. What lies before it stays.
func SetPrice(prices []Price, p Price) []Price {
	var after []Price
	for _, q := range prices {
		if !q.SameAs(p) || !q.overlaps(p) {
			after = append(after, q)
			continue
		}
		if q.From.Before(p.From) { // the head of it
			head := q
			head.Until = p.From
			after = append(after, head)
		}
		if !p.Until.IsZero() && (q.Until.IsZero() || p.Until.Before(q.Until)) { // the tail
			tail := q
			tail.From = p.Until
			after = append(after, tail)
		}
	}
	return append(after, p)
}

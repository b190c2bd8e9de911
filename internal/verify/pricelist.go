package verify

import (
	"fmt"
	"slices"
	"time"
)

// Price is a line of a price list: the price of a verification for the account, or the cost
// of a message for the operator.
type Price struct {
	Carrier string  // name in the configuration; "" for the prices of accounts
	Country string  // ISO 3166-1 alpha-2; "" for all others, and with Prefix
	Prefix  string  // first digits of the E.164 number, without "+", or ""
	Channel Channel // "" for all channels
	Amount  Money
	From    time.Time // start of validity; zero means unbounded
	Until   time.Time // end of validity, exclusive; zero means unbounded
}

// destination is the lookup key of a price: a prefix has digits, a country letters.
func (p Price) destination() string {
	if p.Prefix != "" {
		return p.Prefix
	}
	return p.Country
}

// holds reports whether the price is valid at a time.
func (p Price) holds(at time.Time) bool {
	return !at.Before(p.From) && (p.Until.IsZero() || at.Before(p.Until))
}

// SameAs reports whether p and q apply to the same numbers, channel and carrier.
func (p Price) SameAs(q Price) bool {
	return p.Carrier == q.Carrier && p.destination() == q.destination() && p.Channel == q.Channel
}

func (p Price) overlaps(q Price) bool {
	return p.SameAs(q) && (p.Until.IsZero() || q.From.Before(p.Until)) && (q.Until.IsZero() || p.From.Before(q.Until))
}

// OverlapError identifies two conflicting prices by their indexes in a list.
type OverlapError struct{ First, Second int }

func (e *OverlapError) Error() string {
	return fmt.Sprintf("prices %d and %d overlap: same destination, channel and time", e.First, e.Second)
}

// PriceList finds prices. It is immutable and safe for concurrent use.
type PriceList struct {
	lines   map[priceKey][]Price // ordered by start of validity
	longest int                  // length of the longest prefix

	carriers map[string]bool // carriers with prices
}

type priceKey struct {
	carrier, destination string
	channel              Channel
}

// NewPriceList makes a list of prices. It returns an [*OverlapError] for two prices that
// are valid at the same time for the same numbers, channel and carrier.
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

// Has reports whether the list has prices of a carrier.
func (l *PriceList) Has(carrier string) bool { return l.carriers[carrier] }

// Find returns the price for a number that is valid at a time. The longest matching prefix
// precedes the country, and the country precedes all others. For one destination, a price
// for the channel precedes one for all channels. ok is false if no price matches.
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

// Gap returns the first time at or after from without a price of the carrier for all other
// numbers and all channels. ok is false if there is no gap.
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

// SetPrice returns prices with p added. Existing prices for the same numbers are shortened
// or split where p is valid.
func SetPrice(prices []Price, p Price) []Price {
	var after []Price
	for _, q := range prices {
		if !q.SameAs(p) || !q.overlaps(p) {
			after = append(after, q)
			continue
		}
		if q.From.Before(p.From) { // before p
			head := q
			head.Until = p.From
			after = append(after, head)
		}
		if !p.Until.IsZero() && (q.Until.IsZero() || p.Until.Before(q.Until)) { // after p
			tail := q
			tail.From = p.Until
			after = append(after, tail)
		}
	}
	return append(after, p)
}

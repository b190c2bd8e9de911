package billing

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"countersign/internal/phone"
	"countersign/internal/verify"
)

// allOthers stands in a price list for every country that is not named.
const allOthers = "*"

// The columns of a price list.
const (
	colCountry = "country"
	colPrefix  = "prefix"
	colChannel = "channel"
	colPrice   = "price"
	colFrom    = "valid_from"
	colUntil   = "valid_until"
)

func columns() []string {
	return []string{colCountry, colPrefix, colChannel, colPrice, colFrom, colUntil}
}

// maxPrice is a million; sums of prices stay far within 64 bits.
const maxPrice = 1_000_000 * verify.Unit

// ReadPrices reads a price list of a carrier, or of accounts for "". A first line with
// the names of columns says what follows: price, and country (ISO 3166-1, two letters,
// * for all others) or prefix (first digits of the number) or both, of which each line
// has one; channel, valid_from and valid_until may be left out. Without such a line
// there are country and price. Every problem names its line. The list of accounts must
// have a price for all others at any time from now on.
func ReadPrices(r io.Reader, carrier string, now time.Time) ([]verify.Price, error) {
	const byteOrderMark = "\ufeff" // as spreadsheets write it
	text := bufio.NewReader(r)
	if first, _ := text.Peek(len(byteOrderMark)); string(first) == byteOrderMark {
		_, _ = text.Discard(len(byteOrderMark)) // what was peeked can be discarded
	}
	in := csv.NewReader(text)
	in.TrimLeadingSpace = true
	var (
		prices []verify.Price
		lines  []int
		names  []string
	)
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		line, _ := in.FieldPos(0)
		if names == nil {
			var header bool
			if names, header, err = readHeader(record); err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
			in.FieldsPerRecord = len(names)
			if header {
				continue
			}
		}
		p, err := readPrice(names, record)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		p.Carrier = carrier
		prices, lines = append(prices, p), append(lines, line)
	}
	return prices, checkList(prices, lines, carrier, now)
}

func checkList(prices []verify.Price, lines []int, carrier string, now time.Time) error {
	list, err := verify.NewPriceList(prices)
	if overlap, ok := errors.AsType[*verify.OverlapError](err); ok {
		return fmt.Errorf("line %d: a second price for %s, for a time of that of line %d",
			lines[overlap.Second], describe(prices[overlap.Second]), lines[overlap.First])
	}
	if err != nil {
		return err
	}
	return checkDefault(list, carrier, now)
}

// Destination names the numbers that a price is for.
func Destination(p verify.Price) string {
	switch {
	case p.Prefix != "":
		return "prefix " + p.Prefix
	case p.Country == "":
		return allOthers
	}
	return p.Country
}

func describe(p verify.Price) string {
	what := Destination(p)
	if p.Channel != "" {
		what += " by " + string(p.Channel)
	}
	return what
}

// readHeader tells the columns by the first line; header is false when that is a price
// already.
func readHeader(record []string) (names []string, header bool, err error) {
	for _, field := range record {
		names = append(names, strings.ToLower(strings.TrimSpace(field)))
	}
	if !slices.ContainsFunc(names, func(n string) bool { return slices.Contains(columns(), n) }) {
		if len(record) != 2 {
			return nil, false, errors.New("without a line with the names of the columns, there must be two: country and price")
		}
		return []string{colCountry, colPrice}, false, nil
	}
	for i, name := range names {
		switch {
		case !slices.Contains(columns(), name):
			return nil, true, fmt.Errorf("there is no column %q, only %s", name, strings.Join(columns(), ", "))
		case slices.Contains(names[:i], name):
			return nil, true, fmt.Errorf("column %s is there twice", name)
		}
	}
	if !slices.Contains(names, colPrice) || !slices.Contains(names, colCountry) && !slices.Contains(names, colPrefix) {
		return nil, true, errors.New("columns price, and country or prefix, must be there")
	}
	return names, true, nil
}

func readPrice(names, record []string) (p verify.Price, err error) {
	var amount string
	for i, name := range names {
		field := strings.TrimSpace(record[i])
		switch name {
		case colCountry:
			p.Country = strings.ToUpper(field)
			if p.Country != "" && p.Country != allOthers && !isCountry(p.Country) {
				return p, fmt.Errorf("%q is not a country (ISO 3166-1, two letters)", field)
			}
		case colPrefix:
			p.Prefix = strings.TrimPrefix(field, "+")
		case colChannel:
			p.Channel = verify.Channel(strings.ToLower(field))
		case colPrice:
			amount = field
		case colFrom, colUntil:
			at, err := ParseTime(field)
			if err != nil {
				return p, fmt.Errorf("%s: %w", name, err)
			}
			if name == colFrom {
				p.From = at
			} else {
				p.Until = at
			}
		}
	}
	if p.Country == "" && p.Prefix == "" {
		return p, errors.New("neither a country (* for all others) nor a prefix")
	}
	if p.Country == allOthers {
		p.Country = ""
		if p.Prefix != "" {
			return p, errBoth
		}
	}
	if err := CheckPrice(p); err != nil {
		return p, err
	}
	if p.Amount, err = verify.ParseMoney(amount); err != nil || p.Amount < 0 {
		return p, fmt.Errorf("%q is not a price", amount)
	}
	return p, CheckPrice(p)
}

var (
	errBoth = errors.New("a price is for a country or for a prefix, not both")

	errTime = errors.New("not a date such as 2026-12-31, nor a time such as 2026-12-31T23:00:00Z")
)

// ParseTime reads a date, whose first moment (UTC) it gives, or a time (RFC 3339). It
// gives the zero time for "".
func ParseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil && at.Year() >= 1971 { // before that, a store says "since ever"
			return at.UTC().Truncate(time.Millisecond), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: %w", text, errTime)
}

// CheckPrice sees that a price can be found, and makes sense.
func CheckPrice(p verify.Price) error {
	switch {
	case p.Country != "" && p.Prefix != "":
		return errBoth
	case p.Country != "" && !isCountry(p.Country):
		return fmt.Errorf("%q is not a country (ISO 3166-1, two letters)", p.Country)
	case p.Prefix != "" && (len(p.Prefix) > 15 || p.Prefix[0] == '0' || strings.Trim(p.Prefix, "0123456789") != ""):
		return fmt.Errorf("%q is not the first digits of an international number", p.Prefix)
	case p.Channel != "" && !p.Channel.Info().Priced:
		return fmt.Errorf("channel %q is neither %s", p.Channel, pricedChannels())
	case p.Amount < 0 || p.Amount > maxPrice:
		return fmt.Errorf("a price of %s is out of range", p.Amount)
	case !p.Until.IsZero() && !p.From.Before(p.Until):
		return fmt.Errorf("%s must be after %s", colUntil, colFrom)
	}
	return nil
}

// pricedChannels lists the channels that a price can be for, in the form "a, b nor c".
func pricedChannels() string {
	var names []string
	for _, c := range verify.ChannelsWith(func(c verify.ChannelInfo) bool { return c.Priced }) {
		names = append(names, string(c))
	}
	end := len(names) - 1
	return strings.Join(names[:end], ", ") + " nor " + names[end]
}

// isCountry reports whether a number can be of the country: a price for another would
// never be found.
func isCountry(c string) bool {
	_, err := phone.Country(c)
	return err == nil
}

// WritePrices writes prices in the form that ReadPrices reads, with the columns that
// they need.
func WritePrices(w io.Writer, prices []verify.Price) error {
	needs := map[string]bool{colCountry: true, colPrice: true}
	for _, p := range prices {
		for name, has := range map[string]bool{
			colPrefix: p.Prefix != "", colChannel: p.Channel != "", colFrom: !p.From.IsZero(), colUntil: !p.Until.IsZero(),
		} {
			needs[name] = needs[name] || has
		}
	}
	names := slices.DeleteFunc(columns(), func(name string) bool { return !needs[name] })
	out := csv.NewWriter(w)
	_ = out.Write(names) // Error tells
	for _, p := range prices {
		fields := map[string]string{
			colCountry: p.Country, colPrefix: p.Prefix, colChannel: string(p.Channel), colPrice: p.Amount.String(),
			colFrom: FormatTime(p.From), colUntil: FormatTime(p.Until),
		}
		if p.Country == "" && p.Prefix == "" {
			fields[colCountry] = allOthers
		}
		record := make([]string, len(names))
		for i, name := range names {
			record[i] = fields[name]
		}
		_ = out.Write(record)
	}
	out.Flush()
	return out.Error()
}

// FormatTime writes what ParseTime reads: a date where that says all.
func FormatTime(at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case at.Equal(at.Truncate(24 * time.Hour)):
		return at.UTC().Format(time.DateOnly)
	}
	return at.UTC().Format(time.RFC3339Nano)
}

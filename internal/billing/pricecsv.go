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

// allOthers is the country of prices for all countries without their own.
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

// maxPrice is one million, so that sums of prices cannot overflow 64 bits.
const maxPrice = 1_000_000 * verify.Unit

// ReadPrices reads a price list of a carrier, or of accounts for "". A first line may name
// the columns: price; country (ISO 3166-1, two letters, * for all others) or prefix (first
// digits of the number) or both, of which each line has one; and optionally channel,
// valid_from and valid_until. Without it the columns are country and price. Every error
// names its line. The list of accounts must have a price for all others at any time from
// now.
func ReadPrices(r io.Reader, carrier string, now time.Time) ([]verify.Price, error) {
	const byteOrderMark = "\ufeff" // written by spreadsheets
	text := bufio.NewReader(r)
	if first, _ := text.Peek(len(byteOrderMark)); string(first) == byteOrderMark {
		_, _ = text.Discard(len(byteOrderMark)) // cannot fail after Peek
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
		return fmt.Errorf("line %d: price for %s overlaps with line %d",
			lines[overlap.Second], describe(prices[overlap.Second]), lines[overlap.First])
	}
	if err != nil {
		return err
	}
	return checkDefault(list, carrier, now)
}

// Destination returns the numbers of a price as text: a prefix, a country or *.
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

// readHeader returns the columns of a list. header is false if the first line is already a
// price.
func readHeader(record []string) (names []string, header bool, err error) {
	for _, field := range record {
		names = append(names, strings.ToLower(strings.TrimSpace(field)))
	}
	if !slices.ContainsFunc(names, func(n string) bool { return slices.Contains(columns(), n) }) {
		if len(record) != 2 {
			return nil, false, errors.New("without a header line, the columns must be country and price")
		}
		return []string{colCountry, colPrice}, false, nil
	}
	for i, name := range names {
		switch {
		case !slices.Contains(columns(), name):
			return nil, true, fmt.Errorf("unknown column %q, must be one of %s", name, strings.Join(columns(), ", "))
		case slices.Contains(names[:i], name):
			return nil, true, fmt.Errorf("duplicate column %s", name)
		}
	}
	if !slices.Contains(names, colPrice) || !slices.Contains(names, colCountry) && !slices.Contains(names, colPrefix) {
		return nil, true, errors.New("required columns: price, and country or prefix")
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
		return p, errors.New("country (* for all others) or prefix is required")
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
	errBoth = errors.New("set country or prefix, not both")

	errTime = errors.New("not a date such as 2026-12-31, nor a time such as 2026-12-31T23:00:00Z")
)

// ParseTime parses a date (its start in UTC) or a time (RFC 3339). It returns the zero time
// for "". Years before 1971 are errors.
func ParseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil && at.Year() >= 1971 { // a store uses earlier times for unbounded validity
			return at.UTC().Truncate(time.Millisecond), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: %w", text, errTime)
}

// CheckPrice returns the first defect of a price, or nil.
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

// pricedChannels lists the channels that a price list accepts, in the form "a, b nor c".
func pricedChannels() string {
	var names []string
	for _, c := range verify.ChannelsWith(func(c verify.ChannelInfo) bool { return c.Priced }) {
		names = append(names, string(c))
	}
	end := len(names) - 1
	return strings.Join(names[:end], ", ") + " nor " + names[end]
}

// isCountry reports whether numbers of the country exist; any other country would never
// match.
func isCountry(c string) bool {
	_, err := phone.Country(c)
	return err == nil
}

// WritePrices writes prices as CSV for ReadPrices, with only the columns in use.
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
	_ = out.Write(names) // reported by out.Error
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

// FormatTime formats a time for ParseTime: as a date if it is the start of a day in UTC.
func FormatTime(at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case at.Equal(at.Truncate(24 * time.Hour)):
		return at.UTC().Format(time.DateOnly)
	}
	return at.UTC().Format(time.RFC3339Nano)
}

package account

import (
	"cmp"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"countersign/internal/phone"
	"countersign/internal/verify"
)

// Maximum numbers of entries of lists, which are loaded with every request of the account.
const (
	MostSenders     = 100
	MostLinkBrands  = 100
	MostSources     = 100
	MostTestNumbers = 100
	MostValues      = 32

	MostSpokenBrands = 100

	mostFinished = 1_000_000 // finished verifications, as for fraud.rules.conversion.finished

	longestBrand  = 18 // characters of a brand or payee
	longestSpoken = 40 // characters of its spoken form
)

// Check validates the settings and returns them in canonical form.
func Check(s verify.Settings) (verify.Settings, error) {
	for _, check := range []func(*verify.Settings) error{
		countries, workflows, senders, linkBrands, sources, codeLength, lowBalance, testNumbers, velocity, autofill, carrierValues, spokenBrands,
	} {
		if err := check(&s); err != nil {
			return s, err
		}
	}
	return s, nil
}

func countries(s *verify.Settings) error {
	return each(&s.Countries, func(country string) (string, error) {
		code, err := phone.Country(country)
		if err != nil {
			return "", invalid("countries", "%q is not a country (ISO 3166-1, two letters)", country)
		}
		return code, nil
	})
}

func workflows(s *verify.Settings) error {
	return each(&s.Workflows, func(id int) (int, error) {
		if id < 1 || id > 7 {
			return 0, invalid("workflows", "%d is not 1 to 7", id)
		}
		return id, nil
	})
}

func senders(s *verify.Settings) error {
	if len(s.Senders) > MostSenders {
		return invalid("senders", "must have at most %d entries", MostSenders)
	}
	return each(&s.Senders, func(sender string) (string, error) {
		if sender == "" || !verify.ValidSender(sender) {
			return "", invalid("senders", "%q must be 1 to %d letters, digits, spaces or .-_+&", sender, verify.MaxSenderLength)
		}
		return sender, nil
	})
}

// linkBrands validates names that may look like links. Other checks of a name apply when a
// request uses it; LinkBrands only disables the check for links.
func linkBrands(s *verify.Settings) error {
	if len(s.LinkBrands) > MostLinkBrands {
		return invalid("link_brands", "must have at most %d entries", MostLinkBrands)
	}
	return each(&s.LinkBrands, func(brand string) (string, error) {
		name := norm.NFC.String(verify.SingleSpaced(brand))
		unusable := func(r rune) bool { return !unicode.IsGraphic(r) || r == utf8.RuneError }
		if n := utf8.RuneCountInString(name); n == 0 || n > longestBrand || strings.ContainsFunc(name, unusable) {
			return "", invalid("link_brands", "%q must have 1 to %d visible characters", brand, longestBrand)
		}
		return name, nil
	})
}

func sources(s *verify.Settings) error {
	if len(s.Sources) > MostSources {
		return invalid("sources", "must have at most %d entries", MostSources)
	}
	return each(&s.Sources, func(source string) (string, error) {
		network, err := netip.ParsePrefix(source)
		if err != nil {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(source); err != nil || addr.Zone() != "" {
				return "", invalid("sources", "%q is neither an address nor a network such as 192.0.2.0/24", source)
			}
			addr = addr.Unmap()
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		if network.Addr().Is4In6() {
			return "", invalid("sources", "write %q as an IPv4 network", source)
		}
		return network.Masked().String(), nil
	})
}

func codeLength(s *verify.Settings) error {
	if n := s.MinCodeLength; n != 0 && (n < verify.MinPINLength || n > verify.MaxPINLength) {
		return invalid("min_code_length", "must be %d to %d, or 0 for the default", verify.MinPINLength, verify.MaxPINLength)
	}
	return nil
}

func lowBalance(s *verify.Settings) error {
	if amount, err := verify.ParseMoney(s.LowBalance); s.LowBalance != "" && (err != nil || amount < 0) {
		return invalid("low_balance", "%q is not an amount with at most 8 decimals", s.LowBalance)
	}
	return nil
}

func testNumbers(s *verify.Settings) error {
	if len(s.TestNumbers) > MostTestNumbers {
		return invalid("test_numbers", "must have at most %d entries", MostTestNumbers)
	}
	checked := make([]verify.TestNumber, 0, len(s.TestNumbers))
	for _, test := range s.TestNumbers {
		number, err := phone.Parse(test.Number, "")
		if err != nil {
			return invalid("test_numbers", "%q is not an international phone number", test.Number)
		}
		if _, ok := verify.ParsePIN(test.Code); !ok {
			return invalid("test_numbers", "the code of %s is not %d to %d letters and digits",
				number.Digits, verify.MinPINLength, verify.MaxPINLength)
		}
		checked = append(checked, verify.TestNumber{Number: number.Digits, Code: test.Code})
	}
	slices.SortFunc(checked, func(a, b verify.TestNumber) int { return cmp.Compare(a.Number, b.Number) })
	for i := 1; i < len(checked); i++ {
		if checked[i].Number == checked[i-1].Number {
			return invalid("test_numbers", "duplicate number %s", checked[i].Number)
		}
	}
	s.TestNumbers = nilIfEmpty(checked)
	return nil
}

func velocity(s *verify.Settings) error {
	f := s.Fraud
	switch {
	case f.Mode != "" && f.Mode != "off" && f.Mode != "shadow":
		return invalid("fraud", "mode must be off or shadow, or empty for the mode of each rule")
	case f.ConversionBelow < 0 || f.ConversionBelow > 100:
		return invalid("fraud", "conversion_below must be 0 to 100")
	case f.ConversionFinished < 0 || f.ConversionFinished > mostFinished:
		return invalid("fraud", "conversion_finished must be 0 to %d", mostFinished)
	}
	return nil
}

// each validates every element, sorts the list and removes duplicates. An empty list is
// nil.
func each[T cmp.Ordered](list *[]T, check func(T) (T, error)) error {
	checked := make([]T, len(*list))
	for i, v := range *list {
		var err error
		if checked[i], err = check(v); err != nil {
			return err
		}
	}
	slices.Sort(checked)
	*list = nilIfEmpty(slices.Compact(checked))
	return nil
}

func nilIfEmpty[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func autofill(s *verify.Settings) error {
	if err := s.Autofill.Check(); err != nil {
		return invalid("autofill", "%s", err)
	}
	return nil
}

// manyDigits matches digits that names must not contain, see message.CheckName.
var manyDigits = regexp.MustCompile(`\p{Nd}{5}`)

func spokenBrands(s *verify.Settings) error {
	if len(s.SpokenBrands) > MostSpokenBrands {
		return invalid("spoken_brands", "must have at most %d entries", MostSpokenBrands)
	}
	seen := make(map[string]string, len(s.SpokenBrands))
	for _, brand := range slices.Sorted(maps.Keys(s.SpokenBrands)) {
		name := strings.ToLower(verify.SingleSpaced(brand))
		if name == "" || utf8.RuneCountInString(name) > longestBrand {
			return invalid("spoken_brands", "brand %.20q must have 1 to %d characters", brand, longestBrand)
		}
		if other, ok := seen[name]; ok {
			return invalid("spoken_brands", "%q and %q are the same brand, since letter case and spaces are ignored", other, brand)
		}
		seen[name] = brand
		spoken := s.SpokenBrands[brand]
		if verify.SingleSpaced(spoken) == "" || utf8.RuneCountInString(spoken) > longestSpoken || strings.ContainsFunc(spoken, unicode.IsControl) || !utf8.ValidString(spoken) {
			return invalid("spoken_brands", "the spoken form of %q must be one line of 1 to %d characters", brand, longestSpoken)
		}
		if manyDigits.MatchString(spoken) {
			return invalid("spoken_brands", "the spoken form of %q has five or more digits in a row, which sound like a code", brand)
		}
	}
	if len(s.SpokenBrands) == 0 {
		s.SpokenBrands = nil
	}
	return nil
}

func carrierValues(s *verify.Settings) error {
	if len(s.CarrierValues) > MostValues {
		return invalid("carrier_values", "must have at most %d entries", MostValues)
	}
	for _, name := range slices.Sorted(maps.Keys(s.CarrierValues)) {
		if !verify.ValidValueName(name) {
			return invalid("carrier_values", "name %q must be 1 to 32 of a-z, 0-9 and _", name)
		}
		if value := s.CarrierValues[name]; value == "" || !verify.ValidValue(value) {
			return invalid("carrier_values", "the value of %s must be one line of text of at most 255 bytes", name)
		}
	}
	if len(s.CarrierValues) == 0 {
		s.CarrierValues = nil
	}
	return nil
}

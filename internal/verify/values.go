package verify

import (
	"cmp"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CarrierValues are named values that an operator's carriers insert into messages: ids that
// a country requires, such as entity_id, or a key of the account.
type CarrierValues map[string]string

// UnmarshalJSON replaces all values with data.
func (v *CarrierValues) UnmarshalJSON(data []byte) error {
	var values map[string]string
	if err := json.Unmarshal(data, &values); err != nil {
		return err
	}
	*v = values
	return nil
}

// SpokenBrands maps brands to spoken forms, such as "AcmeInc" to "Acme Inc": voices spell
// or misread names of another script.
type SpokenBrands map[string]string

// UnmarshalJSON replaces all spoken forms with data.
func (b *SpokenBrands) UnmarshalJSON(data []byte) error {
	var brands map[string]string
	if err := json.Unmarshal(data, &brands); err != nil {
		return err
	}
	*b = brands
	return nil
}

// Of returns the spoken form of a brand; without one, the brand. It ignores letter case and
// surrounding or repeated white space.
func (b SpokenBrands) Of(brand string) string {
	if spoken, ok := b[brand]; ok || len(b) == 0 {
		return cmp.Or(spoken, brand)
	}
	for name, spoken := range b {
		if strings.EqualFold(SingleSpaced(name), SingleSpaced(brand)) {
			return spoken
		}
	}
	return brand
}

// Bounds of a carrier value.
const (
	longestValueName = 32  // characters
	longestValue     = 255 // octets
)

// ValidValueName reports whether name is a valid name of a carrier value: 1 to 32 lower
// case letters, digits and "_".
func ValidValueName(name string) bool {
	return name != "" && len(name) <= longestValueName && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// ValidValue reports whether value can be a carrier value: one line of text, at most
// 255 octets.
func ValidValue(value string) bool {
	return len(value) <= longestValue && utf8.ValidString(value) && !strings.ContainsFunc(value, unicode.IsControl)
}

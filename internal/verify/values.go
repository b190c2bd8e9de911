package verify

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CarrierValues are values by name that an operator's carriers put into their
// messages: ids that a country demands, such as entity_id, or a key of the account.
type CarrierValues map[string]string

// UnmarshalJSON replaces all values by those of data.
func (v *CarrierValues) UnmarshalJSON(data []byte) error {
	var values map[string]string
	if err := json.Unmarshal(data, &values); err != nil {
		return err
	}
	*v = values
	return nil
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

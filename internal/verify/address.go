package verify

// AddressKind is the kind of an [Address]: it decides the canonical form and the channels
// that reach it.
type AddressKind string

// The kinds of addresses. They are stored, so a name never changes.
const (
	Phone AddressKind = "phone"
	Email AddressKind = "email"
)

// Address is a destination of messages. Messages go to the given form. Caps, the block
// list, fraud rules and the uniqueness of a verification use the canonical form, which is
// the same for all spellings of one destination. The zero value is no address.
type Address struct {
	Kind      AddressKind
	Given     string // E.164 digits without "+" for a phone
	Canonical string // see CanonicalNumber for a phone
	Country   string // ISO 3166-1 alpha-2 in capitals; "" if unknown
}

// PhoneAddress returns the address of a number in E.164 digits without "+". country is ""
// if unknown.
func PhoneAddress(number, country string) Address {
	return Address{Kind: Phone, Given: number, Canonical: CanonicalNumber(number), Country: country}
}

// Number returns the given E.164 digits of a phone; "" for any other address, so that no
// number prefix matches it.
func (a Address) Number() string {
	if a.Kind != Phone {
		return ""
	}
	return a.Given
}

// IsZero reports whether a is the zero value.
func (a Address) IsZero() bool { return a == Address{} }

package phone

import (
	"strings"
	"sync/atomic"

	"github.com/nyaruka/phonenumbers"
)

// Reader is [Parse] for many numbers. It parses the international form, with or without the
// "+", about a hundred times as fast, with tables. It compiles the tables of a calling code
// from the plans of Parse on first use. docs/decisions/0015-own-number-tables.md has the
// measurements.
//
// It is safe for concurrent use. The zero value is ready to use.
type Reader struct {
	plans [1000]atomic.Pointer[plan] // indexed by calling code
}

// Parse returns the same results as [Parse].
func (r *Reader) Parse(number, country string) (Number, error) {
	if country == "" {
		if w, err := strip(number); err == nil && w.zero < 0 {
			if n, ok := r.international(w.digits); ok {
				return n, nil
			}
		}
	}
	return Parse(number, country)
}

// international parses a number in international form that needs no change. ok is false for
// all others; Parse may refuse or rewrite them.
func (r *Reader) international(digits string) (n Number, ok bool) {
	if len(digits) < MinDigits || len(digits) > MaxDigits || digits[0] == '0' {
		return Number{}, false
	}
	p, national := r.plan(digits)
	if p == nil || !p.possible(national) || p.trunkPrefix.begins(national) {
		return Number{}, false
	}
	if n, ok := fictional(digits); ok {
		return n, true
	}
	country, kind := p.find(national)
	if kind == phonenumbers.UNKNOWN {
		return Number{}, false // may be in a form that the plan has dropped
	}
	return Number{Digits: digits, Country: country, Type: typeOf(kind), Premium: p.noCountry || costly(kind)}, true
}

// plan returns the plan of a number's calling code, and the national number. No calling
// code is a prefix of another.
func (r *Reader) plan(digits string) (p *plan, national string) {
	const longest = 3
	code := 0
	for i := range longest {
		code = 10*code + int(digits[i]-'0')
		if p = r.plans[code].Load(); p == nil && len(phonenumbers.GetRegionCodesForCountryCode(code)) > 0 {
			p = newPlan(code)
			r.plans[code].Store(p)
		}
		if p != nil {
			return p, digits[i+1:]
		}
	}
	return nil, ""
}

// plan has the tables of one calling code. The zero value matches no number.
type plan struct {
	lengths     uint32   // bit n is set if a number may have n digits
	trunkPrefix *pattern // matches the prefix of national dialling
	regions     []region
	noCountry   bool // no country: numbers are expensive
}

// region is a country of a plan, or a part of its numbers.
type region struct {
	country string
	leading *pattern // matches the first digits of the region; nil for any
	general *desc
	special []special // precede the two below, in the order of libphonenumber
	fixed   *desc
	mobile  *desc
	// oneRange is set if mobiles and landlines share their ranges.
	oneRange bool
}

// special is a type of line other than mobile and landline.
type special struct {
	kind phonenumbers.PhoneNumberType
	desc *desc
}

// desc describes the numbers of one type.
type desc struct {
	lengths uint32 // bit n is set if a number may have n digits; 0 for any length
	pattern *pattern
}

func (d *desc) has(national string) bool {
	return d != nil && (d.lengths == 0 || d.lengths>>len(national)&1 != 0) && d.pattern.all(national)
}

func (p *plan) possible(national string) bool { return p.lengths>>len(national)&1 != 0 }

// find returns the country and type of a number: phonenumbers.GetRegionCodeForNumber and
// GetNumberType in one.
func (p *plan) find(national string) (country string, kind phonenumbers.PhoneNumberType) {
	if len(p.regions) == 1 {
		return p.regions[0].country, p.regions[0].kind(national)
	}
	for i := range p.regions {
		r := &p.regions[i]
		switch {
		case r.leading == nil:
			if kind := r.kind(national); kind != phonenumbers.UNKNOWN {
				return r.country, kind
			}
		case r.leading.begins(national):
			return r.country, r.kind(national)
		}
	}
	return p.regions[0].country, phonenumbers.UNKNOWN
}

func (r *region) kind(national string) phonenumbers.PhoneNumberType {
	if !r.general.has(national) {
		return phonenumbers.UNKNOWN
	}
	for _, s := range r.special {
		if s.desc.has(national) {
			return s.kind
		}
	}
	switch fixed := r.fixed.has(national); {
	case fixed && (r.oneRange || r.mobile.has(national)):
		return phonenumbers.FIXED_LINE_OR_MOBILE
	case fixed:
		return phonenumbers.FIXED_LINE
	case !r.oneRange && r.mobile.has(national):
		return phonenumbers.MOBILE
	}
	return phonenumbers.UNKNOWN
}

// newPlan compiles the data of libphonenumber. If it cannot, it returns the zero plan, so
// that Parse handles all numbers of the calling code.
func newPlan(code int) *plan {
	codes := phonenumbers.GetRegionCodesForCountryCode(code)
	p := &plan{noCountry: codes[0] == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY && code != 800}
	for _, id := range codes {
		data := metadata(code, id)
		r, err := newRegion(data)
		if err != nil || r.general == nil {
			return &plan{}
		}
		p.regions = append(p.regions, r)
	}
	// The main region determines possible lengths and the prefix of national dialling.
	main := metadata(code, codes[0])
	p.lengths = lengths(main.GetGeneralDesc().GetPossibleLength()) &^ lengths(main.GetGeneralDesc().GetPossibleLengthLocalOnly())
	var err error
	if p.trunkPrefix, err = compile("^(?:" + orNothing(main.GetNationalPrefixForParsing()) + ")"); err != nil {
		return &plan{}
	}
	return p
}

// orNothing replaces an empty expression by one without matches.
func orNothing(expr string) string {
	if expr == "" {
		return "[^0-9]"
	}
	return expr
}

// metadata returns the data of a region, or of a calling code without a country. It returns
// nil, which has no data, if not found.
func metadata(code int, id string) *phonenumbers.PhoneMetadata {
	all, err := phonenumbers.MetadataCollection()
	if err != nil {
		return nil
	}
	for _, m := range all.GetMetadata() {
		if m.GetId() == id && int(m.GetCountryCode()) == code {
			return m
		}
	}
	return nil
}

func newRegion(data *phonenumbers.PhoneMetadata) (region, error) {
	r := region{country: strings.TrimPrefix(data.GetId(), phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY)}
	r.oneRange = data.GetSameMobileAndFixedLinePattern()
	var err error
	if leading := data.GetLeadingDigits(); leading != "" {
		if r.leading, err = compile("^(?:" + leading + ")"); err != nil {
			return r, err
		}
	}
	if r.general, err = newDesc(data.GetGeneralDesc()); err != nil {
		return r, err
	}
	if r.fixed, err = newDesc(data.GetFixedLine()); err != nil {
		return r, err
	}
	if r.mobile, err = newDesc(data.GetMobile()); err != nil {
		return r, err
	}
	for _, k := range []struct {
		kind phonenumbers.PhoneNumberType
		data *phonenumbers.PhoneNumberDesc
	}{
		{phonenumbers.PREMIUM_RATE, data.GetPremiumRate()},
		{phonenumbers.TOLL_FREE, data.GetTollFree()},
		{phonenumbers.SHARED_COST, data.GetSharedCost()},
		{phonenumbers.VOIP, data.GetVoip()},
		{phonenumbers.PERSONAL_NUMBER, data.GetPersonalNumber()},
		{phonenumbers.PAGER, data.GetPager()},
		{phonenumbers.UAN, data.GetUan()},
		{phonenumbers.VOICEMAIL, data.GetVoicemail()},
	} {
		d, err := newDesc(k.data)
		if err != nil {
			return r, err
		}
		if d != nil {
			r.special = append(r.special, special{k.kind, d})
		}
	}
	return r, nil
}

// newDesc compiles a description of numbers; nil for an empty one.
func newDesc(data *phonenumbers.PhoneNumberDesc) (*desc, error) {
	if data.GetNationalNumberPattern() == "" {
		return nil, nil
	}
	p, err := compile("^(?:" + data.GetNationalNumberPattern() + ")$")
	if err != nil {
		return nil, err
	}
	d := &desc{pattern: p, lengths: lengths(data.GetPossibleLength())}
	if len(data.GetPossibleLength()) > 0 && d.lengths == 0 {
		return nil, nil // the only length is -1: no numbers
	}
	return d, nil
}

func lengths(list []int32) uint32 {
	var bits uint32
	for _, n := range list {
		if n > 0 && n < 32 {
			bits |= 1 << n
		}
	}
	return bits
}

package gsm

import "fmt"

// Language is a national language identifier (23.038 §6.2.1.2.4), which selects
// national tables.
type Language byte

// Languages with tables. Spanish has only a single shift table; the others also have a
// locking shift table.
const (
	NoLanguage Language = iota
	Turkish
	Spanish
	Portuguese
	Bengali
	Gujarati
	Hindi
	Kannada
	Malayalam
	Oriya
	Punjabi
	Tamil
	Telugu
	Urdu
)

// String returns the ISO 639-1 code; "" for [NoLanguage].
func (l Language) String() string {
	if t := l.tables(); t.code != "" || l == NoLanguage {
		return t.code
	}
	return fmt.Sprintf("Language(%d)", byte(l))
}

// ParseLanguage returns the language with an ISO 639-1 code.
func ParseLanguage(code string) (Language, error) {
	for l := Turkish; l <= Urdu; l++ {
		if l.tables().code == code {
			return l, nil
		}
	}
	return NoLanguage, fmt.Errorf("language %q has no table in the GSM alphabet", code)
}

// national contains the tables of a language.
type national struct {
	code            string
	locking, single string // "" if missing
}

func (l Language) tables() national {
	switch l {
	case Turkish:
		return national{"tr", lockingTurkish, singleTurkish}
	case Spanish:
		return national{"es", "", singleSpanish}
	case Portuguese:
		return national{"pt", lockingPortuguese, singlePortuguese}
	case Bengali:
		return national{"bn", lockingBengali, singleBengali}
	case Gujarati:
		return national{"gu", lockingGujarati, singleGujarati}
	case Hindi:
		return national{"hi", lockingHindi, singleHindi}
	case Kannada:
		return national{"kn", lockingKannada, singleKannada}
	case Malayalam:
		return national{"ml", lockingMalayalam, singleMalayalam}
	case Oriya:
		return national{"or", lockingOriya, singleOriya}
	case Punjabi:
		return national{"pa", lockingPunjabi, singlePunjabi}
	case Tamil:
		return national{"ta", lockingTamil, singleTamil}
	case Telugu:
		return national{"te", lockingTelugu, singleTelugu}
	case Urdu:
		return national{"ur", lockingUrdu, singleUrdu}
	}
	return national{}
}

// locking returns the table that replaces the default alphabet.
func (l Language) locking() (string, bool) {
	t := l.tables().locking
	return t, t != ""
}

// single returns the table that replaces the default extension table.
func (l Language) single() (string, bool) {
	t := l.tables().single
	return t, t != ""
}

// known reports whether c has at least one language, and a table for each.
func (c Coding) known() bool {
	_, locking := c.Locking.locking()
	_, single := c.Single.single()
	return (locking || c.Locking == NoLanguage) && (single || c.Single == NoLanguage) && (locking || single)
}

package gsm

import "fmt"

// Language is a national language identifier of 23.038 §6.2.1.2.4: which
// national tables a text uses.
type Language byte

// The languages that have tables. All but Spanish have both a locking and a single
// shift table; Spanish has the latter only.
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

// String returns the two letters of ISO 639-1, "" of [NoLanguage].
func (l Language) String() string {
	if t := l.tables(); t.code != "" || l == NoLanguage {
		return t.code
	}
	return fmt.Sprintf("Language(%d)", byte(l))
}

// ParseLanguage is the reverse of [Language.String].
func ParseLanguage(code string) (Language, error) {
	for l := Turkish; l <= Urdu; l++ {
		if l.tables().code == code {
			return l, nil
		}
	}
	return NoLanguage, fmt.Errorf("language %q has no table in the GSM alphabet", code)
}

// national is what the specification has for a language.
type national struct {
	code            string
	locking, single string // "" if there is none
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

// locking returns the table that stands in for the default alphabet.
func (l Language) locking() (string, bool) {
	t := l.tables().locking
	return t, t != ""
}

// single returns the table that stands in for the default extension table.
func (l Language) single() (string, bool) {
	t := l.tables().single
	return t, t != ""
}

// known reports whether there is a table for each language that c names, and c
// names one.
func (c Coding) known() bool {
	_, locking := c.Locking.locking()
	_, single := c.Single.single()
	return (locking || c.Locking == NoLanguage) && (single || c.Single == NoLanguage) && (locking || single)
}

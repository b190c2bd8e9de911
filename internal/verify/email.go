package verify

import (
	"errors"
	"fmt"
	"strings"
)

// Limits of an e-mail address in octets (RFC 5321 §4.5.3.1). A path has 256 with its angle
// brackets.
const (
	maxEmail       = 254
	maxEmailLocal  = 64
	maxDomainLabel = 63 // RFC 1035 §2.3.4
)

// EmailAddress parses an e-mail address without display name, such as jane@example.com. The
// local part is a dot-string (RFC 5321 §4.1.2) and the domain is fully qualified; an
// internationalised domain is written in its ASCII form. Quoted local parts, address
// literals and other characters than ASCII (RFC 6531) are refused, since many servers do not
// accept them. The error names the broken rule and does not contain text.
//
// The canonical form is text in lower case. RFC 5321 §2.4 lets a server distinguish the case
// of local parts, so messages go to the given form. Identity servers fold it all the same
// (Keycloak, Ory Kratos, Matrix since MSC2265): otherwise each spelling of a mailbox has
// its caps. Dots and "+" suffixes are kept, since their meaning differs by provider.
func EmailAddress(text string) (Address, error) {
	if len(text) > maxEmail {
		return Address{}, fmt.Errorf("an e-mail address has at most %d characters", maxEmail)
	}
	local, domain, ok := strings.Cut(text, "@")
	if !ok {
		return Address{}, errors.New(`an e-mail address contains "@"`)
	}
	if err := checkEmailLocal(local); err != nil {
		return Address{}, err
	}
	if err := checkDomain(domain); err != nil {
		return Address{}, err
	}
	return Address{Kind: Email, Given: text, Canonical: strings.ToLower(text)}, nil
}

func checkEmailLocal(local string) error {
	if local == "" || len(local) > maxEmailLocal {
		return fmt.Errorf(`an e-mail address has 1 to %d characters before "@"`, maxEmailLocal)
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" {
			return errors.New(`dots before "@" of an e-mail address separate other characters`)
		}
		if strings.ContainsFunc(atom, func(r rune) bool { return !isLetterOrDigit(r) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r) }) {
			return errors.New("an e-mail address contains only ASCII letters, digits and !#$%&'*+-/=?^_`{|}~. before \"@\"")
		}
	}
	return nil
}

// checkDomain accepts names of hosts (RFC 1123 §2.1) below a top-level domain.
func checkDomain(domain string) error {
	labels := strings.Split(domain, ".")
	if len(labels) < 2 {
		return errors.New("the domain of an e-mail address is fully qualified, such as example.com")
	}
	for _, label := range labels {
		if label == "" || len(label) > maxDomainLabel || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool { return !isLetterOrDigit(r) && r != '-' }) {
			return errors.New("the parts of the domain of an e-mail address have 1 to 63 ASCII letters, digits and inner hyphens; " +
				"an internationalised domain is written in its ASCII form, such as xn--bcher-kva.example")
		}
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return errors.New("the domain of an e-mail address is a name, not an IP address")
	}
	return nil
}

func isLetterOrDigit(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

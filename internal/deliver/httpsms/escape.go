package httpsms

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/url"
	"strings"
)

// asQuery escapes s for a query or a form. A space becomes %20, which is valid in both.
func asQuery(s string) (string, error) {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), nil
}

func asSegment(s string) (string, error) {
	if strings.Trim(s, ".") == "" {
		return "", errors.New("cannot be used in a path: it is empty or has only dots")
	}
	return url.PathEscape(s), nil
}

// asHeader returns s if it is printable ASCII. It refuses line breaks, and other
// characters because headers have no common encoding for them.
func asHeader(s string) (string, error) {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return "", errors.New("cannot be used in a header: it has a character that is not printable ASCII")
		}
	}
	return s, nil
}

// asJSON returns the contents of a JSON string, without its quotes.
func asJSON(s string) (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return "", err
	}
	quoted := strings.TrimSuffix(b.String(), "\n")
	return quoted[1 : len(quoted)-1], nil
}

func asXML(s string) (string, error) {
	var b strings.Builder
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}

func asText(s string) (string, error) { return s, nil }

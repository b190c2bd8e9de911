package httpsms

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"countersign/internal/deliver/placeholder"
)

// format is a kind of body, with functions to escape and to extract values.
type format struct {
	name   string
	escape placeholder.Escape
	form   bool
	texts  func(body string) ([]string, error)
}

func formatOf(media string) (format, error) {
	switch {
	case media == "application/json" || strings.HasSuffix(media, "+json"):
		return format{name: "JSON", escape: asJSON, texts: textsOfJSON}, nil
	case media == "application/x-www-form-urlencoded":
		return format{name: "form", escape: asQuery, form: true, texts: textsOfForm}, nil
	case media == "application/xml" || media == "text/xml" || strings.HasSuffix(media, "+xml"):
		return format{name: "XML", escape: asXML, texts: textsOfXML}, nil
	case media == "text/plain":
		return format{name: "text", escape: asText, texts: func(s string) ([]string, error) { return []string{s}, nil }}, nil
	default:
		return format{}, fmt.Errorf("Content-Type %s: not supported; use "+
			"application/json, application/x-www-form-urlencoded, application/xml or text/plain", media)
	}
}

// hostile returns values for all placeholders of t that break a template without
// correct escaping.
func hostile(t placeholder.Text) placeholder.Values {
	v := placeholder.Values{
		"To":           "447700900123",
		"From":         `A"b\c'd&e=f`,
		"Text":         "1\"2\\3'4&5=6<b>%7+8 ]]>9\r\n{{.To}}\té ☎ 😀",
		"EventID":      "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
		"RequestID":    "a91b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
		"Attempt":      "1",
		"ValidSeconds": "299",
	}
	for _, field := range t.Fields() {
		if _, ok := v[field]; !ok {
			v[field] = v["From"] + field
		}
	}
	return v
}

// try renders t with hostile values and returns an error unless each value can be
// extracted unchanged.
func (f format) try(t placeholder.Text) error {
	if f.form {
		if err := checkEncoded(t); err != nil {
			return err
		}
	}
	v := hostile(t)
	body, err := t.Render(v)
	if err != nil {
		return err
	}
	texts, err := f.texts(body)
	if err != nil {
		return fmt.Errorf("is not valid %s with a message filled in (is each placeholder for text quoted?): %w", f.name, err)
	}
	return arrived(t, v, texts)
}

func arrived(t placeholder.Text, v placeholder.Values, texts []string) error {
	for _, field := range t.Fields() {
		found := false
		for _, text := range texts {
			found = found || strings.Contains(text, v[field])
		}
		if !found {
			return fmt.Errorf("{{.%s}} is in a place where its value is lost; put it into a value", field)
		}
	}
	return nil
}

// checkEncoded checks the encoding of the literal parts of a query or a form.
func checkEncoded(t placeholder.Text) error {
	var err error
	t.Literals(func(literal, next string) {
		switch {
		case strings.ContainsAny(literal, " \t\r\n"):
			err = errors.New("has a space or a line break: remove it, or write %20 or %0A")
		case next != "" && strings.HasSuffix(literal, "+"):
			err = errors.New(`"+" before a placeholder would arrive as a space: write %2B`)
		}
	})
	return err
}

func textsOfJSON(body string) ([]string, error) {
	doc, err := decodeJSON([]byte(body))
	if err != nil {
		return nil, err
	}
	var texts []string
	var walk func(any)
	walk = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			for _, value := range node {
				walk(value)
			}
		case []any:
			for _, value := range node {
				walk(value)
			}
		case string:
			texts = append(texts, node)
		case json.Number:
			texts = append(texts, node.String())
		}
	}
	walk(doc)
	return texts, nil
}

func textsOfForm(body string) ([]string, error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, list := range form {
		texts = append(texts, list...)
	}
	return texts, nil
}

func textsOfXML(body string) ([]string, error) {
	decoder := xml.NewDecoder(strings.NewReader(body))
	var texts []string
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return texts, nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.CharData:
			texts = append(texts, string(token))
		case xml.StartElement:
			for _, attribute := range token.Attr {
				texts = append(texts, attribute.Value)
			}
		}
	}
}

// parseURL parses a URL with placeholders in segments of the path and in the query.
// Errors do not contain the URL, which may have a key.
func parseURL(s string) (placeholder.Text, error) {
	scheme, rest, _ := strings.Cut(s, "://")
	if scheme != "https" && scheme != "http" {
		return placeholder.Text{}, errors.New("must begin with https:// or http://")
	}
	host := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host = rest[:i]
	}
	switch {
	case host == "":
		return placeholder.Text{}, errors.New("has no host")
	case strings.Contains(host, "@"):
		return placeholder.Text{}, errors.New("has a user: use basic_user and basic_password")
	case strings.Contains(host, "{{"):
		return placeholder.Text{}, errors.New("has a placeholder in its host")
	case strings.Contains(s, "#"):
		return placeholder.Text{}, errors.New("has a fragment")
	}
	t, err := placeholder.Parse(s, func(before string) placeholder.Escape {
		if strings.Contains(before, "?") {
			return asQuery
		}
		return asSegment
	})
	if err != nil {
		return placeholder.Text{}, err
	}
	if err := checkEncoded(t); err != nil {
		return placeholder.Text{}, err
	}
	return t, tryURL(t, host)
}

func tryURL(t placeholder.Text, host string) error {
	v := hostile(t)
	rendered, err := t.Render(v)
	if err != nil {
		return err
	}
	u, err := url.Parse(rendered)
	if err != nil || u.Host != host || u.User != nil || u.Fragment != "" {
		return errors.New("is not a URL")
	}
	texts, err := textsOfForm(u.RawQuery)
	if err != nil {
		return errors.New("has a query with invalid encoding")
	}
	return arrived(t, v, append(texts, u.Path))
}

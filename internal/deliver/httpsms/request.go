package httpsms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"countersign/internal/deliver/placeholder"
)

// request is the template of the HTTP request for a message.
type request struct {
	method         string
	url            placeholder.Text
	headers        []header
	body           placeholder.Text
	user, password string
}

type header struct {
	name  string // canonical
	value placeholder.Text
}

func parseRequest(c Config) (request, error) {
	r := request{method: c.Method, user: c.BasicUser, password: c.BasicPassword}
	if !slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut}, c.Method) {
		return request{}, fmt.Errorf("method: must be GET, POST or PUT, not %q", c.Method)
	}
	var err error
	if r.url, err = parseURL(c.URL); err != nil {
		return request{}, fmt.Errorf("url: %w", err)
	}
	for i, line := range c.Headers {
		h, err := parseHeader(line)
		if err != nil {
			return request{}, fmt.Errorf("headers[%d]: %w", i, err)
		}
		if r.header(h.name) != nil {
			return request{}, fmt.Errorf("headers[%d]: %s is given twice", i, h.name)
		}
		r.headers = append(r.headers, h)
	}
	if (c.BasicUser != "" || c.BasicPassword != "") && r.header("Authorization") != nil {
		return request{}, errors.New("headers: Authorization excludes basic_user and basic_password")
	}
	if r.body, err = r.parseBody(c.Body); err != nil {
		return request{}, fmt.Errorf("body: %w", err)
	}
	return r, nil
}

// parseHeader parses "Name: value". Errors do not contain the line, which may have a key.
func parseHeader(line string) (header, error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isToken(r) }) {
		return header{}, errors.New(`is not of the form "Name: value"`)
	}
	h := header{name: http.CanonicalHeaderKey(name)}
	switch h.name {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "Te", "Trailer",
		"Proxy-Connection", "Proxy-Authorization", "Accept-Encoding", "Expect":
		return header{}, fmt.Errorf("%s is set automatically; remove it", h.name)
	}
	value = strings.TrimSpace(value)
	if _, err := asHeader(value); err != nil {
		return header{}, fmt.Errorf("the value of %s %w", h.name, err)
	}
	var err error
	h.value, err = placeholder.Parse(value, func(string) placeholder.Escape { return asHeader })
	if err != nil {
		return header{}, fmt.Errorf("%s: %w", h.name, err)
	}
	return h, nil
}

// isToken reports whether r is valid in the name of a header (RFC 9110, section 5.6.2).
func isToken(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

func (r request) header(name string) *header {
	for i := range r.headers {
		if r.headers[i].name == name {
			return &r.headers[i]
		}
	}
	return nil
}

// parseBody parses the body, whose placeholders are escaped according to its
// Content-Type.
func (r request) parseBody(body string) (placeholder.Text, error) {
	if body == "" {
		return placeholder.Text{}, nil
	}
	if r.method == http.MethodGet {
		return placeholder.Text{}, errors.New("not allowed with GET; put the placeholders into the url")
	}
	contentType := r.header("Content-Type")
	if contentType == nil {
		return placeholder.Text{}, errors.New("headers lack a Content-Type, which selects the escaping of placeholders")
	}
	text, err := contentType.value.Render(nil)
	if err != nil || len(contentType.value.Fields()) > 0 {
		return placeholder.Text{}, errors.New("the Content-Type must have no placeholders")
	}
	media, parameters, err := mime.ParseMediaType(text)
	if err != nil {
		return placeholder.Text{}, fmt.Errorf("Content-Type: %w", err)
	}
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return placeholder.Text{}, fmt.Errorf("Content-Type: charset %s: only UTF-8 is supported", charset)
	}
	f, err := formatOf(media)
	if err != nil {
		return placeholder.Text{}, err
	}
	t, err := placeholder.Parse(body, func(string) placeholder.Escape { return f.escape })
	if err != nil {
		return placeholder.Text{}, err
	}
	return t, f.try(t)
}

// texts returns the parts of the request that may have placeholders.
func (r request) texts() []placeholder.Text {
	list := []placeholder.Text{r.url, r.body}
	for _, h := range r.headers {
		list = append(list, h.value)
	}
	return list
}

// hasEventID reports whether the request contains the event id: anywhere, or else as the
// value of the parameter that ref reads from the callback's URL.
func (r request) hasEventID(ref field, anywhere bool) bool {
	found := false
	for _, text := range r.texts() {
		text.Literals(func(literal, next string) {
			found = found || next == "EventID" && ref.query != "" && endsWithParameter(literal, ref.query)
		})
		found = found || anywhere && slices.Contains(text.Fields(), "EventID")
	}
	return found
}

// endsWithParameter reports whether text ends with "?NAME=" or "&NAME=", possibly encoded
// once or twice, as in a callback URL within a query or form.
func endsWithParameter(text, name string) bool {
	for range 3 {
		if strings.HasSuffix(text, "?"+name+"=") || strings.HasSuffix(text, "&"+name+"=") {
			return true
		}
		decoded, err := url.QueryUnescape(text)
		if err != nil {
			return false
		}
		text = decoded
	}
	return false
}

// wire is the rendered request of one message.
type wire struct {
	method, url    string
	header         http.Header
	body           string
	user, password string
}

// text returns the whole request, including its secrets, for comparison with answers.
func (w wire) text() string {
	var b strings.Builder
	_ = w.header.Write(&b) // a Builder returns no errors
	return strings.Join([]string{w.url, w.body, w.user, w.password, b.String()}, "\n")
}

func (r request) render(v placeholder.Values) (wire, error) {
	w := wire{method: r.method, user: r.user, password: r.password, header: make(http.Header)}
	w.header.Set("User-Agent", "countersign")
	var err error
	if w.url, err = r.url.Render(v); err != nil {
		return wire{}, fmt.Errorf("url: %w", err)
	}
	for _, h := range r.headers {
		value, err := h.value.Render(v)
		if err != nil {
			return wire{}, fmt.Errorf("header %s: %w", h.name, err)
		}
		w.header.Set(h.name, value)
	}
	if w.body, err = r.body.Render(v); err != nil {
		return wire{}, fmt.Errorf("body: %w", err)
	}
	return w, nil
}

// request returns an HTTP request that is written at most once. After a lost connection
// the transport repeats requests that it considers idempotent: a GET with GetBody, or any
// request with a header Idempotency-Key. So a GET has a body without GetBody, and those
// header names are lower case, which HTTP permits. The transport still repeats requests of
// which no byte was written, which is safe.
func (w wire) request(ctx context.Context) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, w.method, w.url, strings.NewReader(w.body))
	if err != nil {
		return nil, err
	}
	maps.Copy(r.Header, w.header)
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := r.Header[name]; ok {
			delete(r.Header, name)
			r.Header[strings.ToLower(name)] = values
		}
	}
	if r.Method == http.MethodGet {
		r.Body, r.GetBody = io.NopCloser(strings.NewReader("")), nil
	}
	if w.user != "" || w.password != "" {
		r.SetBasicAuth(w.user, w.password)
	}
	return r, nil
}

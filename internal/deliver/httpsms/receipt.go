package httpsms

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"countersign/internal/deliver"
	"countersign/internal/verify"
	"countersign/internal/web"
)

const (
	minSecret    = 16
	maxCallback  = 64 << 10 // bytes
	maxErrorCode = 64       // bytes
	maxUnknown   = 32       // words that are logged, once each
)

// ReceiptConfig says how the gateway calls back. Ref, Status and Error are names of
// fields of a form or a query, and paths in JSON.
type ReceiptConfig struct {
	Secret string   // at least 16 characters; "" serves no callback
	Ref    string   // the id that the answer to the message gave
	Status string   // the word for what became of it
	Error  string   // the code for what went wrong; "" for none
	States []string // "word=state", added to the words that are known, and before them
}

// field is a value of a callback.
type field struct {
	name string
	path path
}

type receipts struct {
	secret             [sha256.Size]byte // its hash: of one length, whatever is compared
	enabled            bool
	ref, status, error field
	states             map[string]verify.EventState // "" to pass over

	mu      sync.Mutex
	unknown map[string]bool
}

// defaultStates are words of Vonage, Twilio, and of SMPP, which other gateways pass
// on. They are compared in lower case.
func defaultStates() map[string]verify.EventState {
	return map[string]verify.EventState{
		"accepted": verify.EventAccepted, "acceptd": verify.EventAccepted, "buffered": verify.EventAccepted,
		"enroute": verify.EventAccepted, "queued": verify.EventAccepted, "scheduled": verify.EventAccepted,
		"sending": verify.EventAccepted, "sent": verify.EventAccepted, "submitted": verify.EventAccepted,

		"delivered": verify.EventDelivered, "delivrd": verify.EventDelivered, "read": verify.EventDelivered,

		"canceled": verify.EventUndeliverable, "deleted": verify.EventUndeliverable,
		"failed": verify.EventUndeliverable, "undeliv": verify.EventUndeliverable,
		"undeliverable": verify.EventUndeliverable, "undelivered": verify.EventUndeliverable,

		"expired":  verify.EventExpired,
		"rejected": verify.EventRejected, "rejectd": verify.EventRejected,

		"unknown": "", // says that the gateway does not know either
	}
}

func parseReceipts(c ReceiptConfig) (*receipts, error) {
	if c.Secret == "" {
		return &receipts{}, nil
	}
	if len(c.Secret) < minSecret {
		return nil, fmt.Errorf("secret: shorter than %d characters", minSecret)
	}
	r := &receipts{
		enabled: true, secret: sha256.Sum256([]byte(c.Secret)),
		states: defaultStates(), unknown: make(map[string]bool),
	}
	for _, f := range []struct {
		setting, name string
		field         *field
	}{{"ref", c.Ref, &r.ref}, {"status", c.Status, &r.status}, {"error", c.Error, &r.error}} {
		if f.name == "" && f.setting == "error" {
			continue
		}
		p, err := parsePath(f.name)
		if err == nil && slices.Contains(p, anyElement) {
			err = fmt.Errorf("%q: a receipt is about one message", anyElement)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.setting, err)
		}
		*f.field = field{f.name, p}
	}
	for i, line := range c.States {
		word, state, err := parseState(line)
		if err != nil {
			return nil, fmt.Errorf("states[%d]: %w", i, err)
		}
		r.states[word] = state
	}
	return r, nil
}

func parseState(line string) (string, verify.EventState, error) {
	word, name, ok := strings.Cut(line, "=")
	word = strings.ToLower(strings.TrimSpace(word))
	if !ok || word == "" {
		return "", "", fmt.Errorf(`%q is not of the form "word=state"`, line)
	}
	state := verify.EventState(strings.TrimSpace(name))
	all := slices.Sorted(maps.Values(defaultStates()))
	all = slices.Compact(all)[1:] // without ""
	if !slices.Contains(all, state) {
		return "", "", fmt.Errorf("no state %q; there are %v", state, all)
	}
	return word, state, nil
}

// ReceiptHandler takes the callbacks of the gateway: a GET with a query, a POST of a
// form, or of JSON, one receipt or a list of them. Without a secret in the
// configuration it answers 404.
func (g *Gateway) ReceiptHandler() http.Handler {
	return http.HandlerFunc(g.serveReceipts)
}

func (g *Gateway) serveReceipts(w http.ResponseWriter, r *http.Request) {
	switch {
	case !g.receipts.enabled:
		http.NotFound(w, r)
		return
	case !g.receipts.authentic(r):
		w.WriteHeader(http.StatusUnauthorized)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	all, err := readCallback(w, r)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	// What is good of a list is kept, whatever the rest is like.
	var bad error
	for _, one := range all {
		receipt, err := g.receiptOf(one)
		if err != nil {
			bad = err
			continue
		}
		if receipt.State == "" {
			continue
		}
		if err := g.reports.Receipt(r.Context(), receipt); err != nil {
			g.log.Error("receipt of an HTTP gateway is not stored: it is asked to come again",
				"error", err)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
	}
	if bad != nil {
		http.Error(w, bad.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// authentic looks for the secret where gateways can put one: as a bearer token, as
// the password of basic authentication (https://user:SECRET@host/), in the query.
func (c *receipts) authentic(r *http.Request) bool {
	given, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if _, password, basic := r.BasicAuth(); basic {
		given = password
	} else if !bearer {
		given = r.URL.Query().Get("secret")
	}
	hash := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(hash[:], c.secret[:]) == 1
}

// lookup gives a value of one receipt, and whether it is there.
type lookup func(field) (string, bool)

func readCallback(w http.ResponseWriter, r *http.Request) ([]lookup, error) {
	query := r.URL.Query()
	if r.Method == http.MethodGet {
		return []lookup{inForm(query)}, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCallback))
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	text := strings.TrimSpace(string(web.TrimBOM(body)))
	media := web.MediaType(r.Header.Get("Content-Type"))
	// Some send JSON and call it text; none sends a form that begins like JSON.
	if media == "application/json" || media != "application/x-www-form-urlencoded" && strings.IndexAny(text, "{[") == 0 {
		doc, err := decodeJSON([]byte(text))
		if err != nil {
			return nil, errors.New("body is not JSON")
		}
		list, ok := doc.([]any)
		if !ok {
			list = []any{doc}
		}
		all := make([]lookup, 0, len(list))
		for _, item := range list {
			all = append(all, inJSON(item))
		}
		return all, nil
	}
	form, err := url.ParseQuery(text)
	if err != nil {
		return nil, errors.New("body is not a form")
	}
	for name, list := range query {
		if !form.Has(name) {
			form[name] = list
		}
	}
	return []lookup{inForm(form)}, nil
}

func inForm(form url.Values) lookup {
	return func(f field) (string, bool) { return form.Get(f.name), form.Get(f.name) != "" }
}

func inJSON(doc any) lookup {
	return func(f field) (string, bool) {
		l := f.path.find(doc)[0]
		return l.text, !l.missing && !l.null && l.text != ""
	}
}

// receiptOf reads one receipt. Its state is "" if there is nothing to report.
func (g *Gateway) receiptOf(get lookup) (deliver.Receipt, error) {
	c := g.receipts
	ref, ok := get(c.ref)
	if !ok || !validRef(ref) {
		return deliver.Receipt{}, fmt.Errorf("no id of a message in %q", c.ref.name)
	}
	word, ok := get(c.status)
	if !ok {
		return deliver.Receipt{}, fmt.Errorf("no status in %q", c.status.name)
	}
	receipt := deliver.Receipt{Carrier: g.name, Ref: ref}
	receipt.State, ok = c.states[strings.ToLower(word)]
	if !ok && c.isNew(word) {
		g.log.Warn("HTTP gateway reports a status that is not known; add it to receipts.states",
			"status", cut(word, 32))
	}
	// Codes such as 0 come with success, too, where nothing went wrong.
	went := receipt.State == verify.EventDelivered || receipt.State == verify.EventAccepted
	if code, ok := get(c.error); ok && !went && c.error.name != "" && !strings.ContainsFunc(code, unicode.IsControl) {
		receipt.Error = cut(code, maxErrorCode)
	}
	return receipt, nil
}

// isNew reports whether word was not seen before. It forgets none, and is told of no
// more than a few.
func (c *receipts) isNew(word string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	word = cut(strings.ToLower(word), 32)
	if c.unknown[word] || len(c.unknown) >= maxUnknown {
		return false
	}
	c.unknown[word] = true
	return true
}

// cut shortens s to at most n bytes of whole characters.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

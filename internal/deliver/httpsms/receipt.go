package httpsms

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"countersign/internal/deliver"
	"countersign/internal/verify"
)

const (
	minSecret    = 16
	maxErrorCode = 64 // bytes
	maxUnknown   = 32 // unknown words logged, once each
)

// ReceiptConfig is the configuration of callbacks with receipts. Ref, Status and Error
// are names of fields of a form or a query, and paths in JSON, with "*" for every element
// of a list of receipts. With the prefix "query." the value is read from the query of the
// URL for every kind of body.
type ReceiptConfig struct {
	Secret string   // at least 16 characters; "" disables callbacks
	Ref    string   // message id from the answer, or the event id, see [Config]
	Status string   // word for the state of the message
	Error  string   // error code; "" if the gateway sends no code
	States []string // "word=state"; extends or overrides the known words
}

type receipts struct {
	secret             [sha256.Size]byte // hash of the secret, for comparison in constant time
	enabled            bool
	ref, status, error field
	states             map[string]verify.EventState // "" ignores the receipt

	// eventIDs is set if callbacks identify a message by the event id in the request.
	eventIDs bool

	log     sparing
	mu      sync.Mutex
	unknown map[string]bool
}

// defaultStates returns the states for the words of Vonage, Twilio and SMPP, which other
// gateways use. Words are compared in lower case.
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

		"unknown": "", // the gateway has no state
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
		parsed, err := parseField(f.name)
		if err == nil && f.setting != "ref" {
			err = parsed.sharesLists(r.ref)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.setting, err)
		}
		*f.field = parsed
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
		return "", "", fmt.Errorf("unknown state %q; use one of %v", state, all)
	}
	return word, state, nil
}

// ReceiptHandler returns the handler for callbacks of the gateway: a GET with a query, or
// a POST of a form or of JSON with one receipt or a list. Without a secret in the
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
	all, err := readCallback(w, r, g.receipts.ref)
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) || errors.Is(err, errBatch) {
			status = http.StatusRequestEntityTooLarge
		}
		g.refuse(w, status, err)
		return
	}
	// A repetition would not make a receipt readable. So a callback is refused only if
	// all its receipts are unreadable.
	var unread error
	bad := 0
	for _, one := range all {
		receipt, err := g.receiptOf(one)
		if err != nil {
			unread = cmp.Or(unread, err)
			bad++
			continue
		}
		if receipt.State == "" {
			continue
		}
		if err := g.report(r.Context(), receipt); err != nil {
			g.log.Error("receipt of an HTTP gateway not stored; answered 503, so that the gateway resends it", "error", err)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
	}
	switch {
	case bad > 0 && bad == len(all):
		g.refuse(w, http.StatusBadRequest, unread)
		return
	case bad > 0:
		g.receipts.log.warn(g.log, "unreadable receipts in a callback of an HTTP gateway ignored",
			"left_out", bad, "of", len(all), "reason", unread)
	}
	w.WriteHeader(http.StatusNoContent)
}

// report stores a receipt. If the outcome of its message was unclear, it first stores
// that the message was accepted.
func (g *Gateway) report(ctx context.Context, r deliver.Receipt) error {
	id, _ := verify.ParseID(r.Ref)
	if event, attempt, ok := g.awaited.receipt(id); ok && g.receipts.eventIDs {
		part := verify.Part{Attempt: attempt, Count: 1, Carrier: g.name, Ref: r.Ref, State: verify.EventAccepted}
		if err := g.reports.Answer(ctx, deliver.Answer{Event: event, Part: part}); err != nil {
			return err
		}
		g.awaited.forget(id)
	}
	return g.reports.Receipt(ctx, r)
}

// refuse answers a callback without a readable receipt, and logs the reason.
func (g *Gateway) refuse(w http.ResponseWriter, status int, reason error) {
	g.receipts.log.warn(g.log, "callback of an HTTP gateway refused: no readable receipt", "answered", status, "reason", reason)
	http.Error(w, reason.Error(), status)
}

// sparing limits log lines about callbacks to one per minute, so that a misconfigured
// gateway cannot fill the disk. The zero value is ready to use.
type sparing struct {
	mu      sync.Mutex
	last    time.Time
	skipped int
}

func (s *sparing) warn(log *slog.Logger, message string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !s.last.IsZero() && now.Sub(s.last) < time.Minute {
		s.skipped++
		return
	}
	if s.skipped > 0 {
		args = append(args, "such_lines_left_out", s.skipped)
	}
	s.last, s.skipped = now, 0
	log.Warn(message, args...)
}

// authentic reports whether the request has the secret as a bearer token, as the password
// of basic authentication (https://user:SECRET@host/), or in the query.
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

// receiptOf parses one receipt. Its state is "" if the receipt must be ignored.
func (g *Gateway) receiptOf(get lookup) (deliver.Receipt, error) {
	c := g.receipts
	ref, ok := get(c.ref)
	if !ok || !validRef(ref) {
		return deliver.Receipt{}, fmt.Errorf("no message id in %q", c.ref.name)
	}
	if c.eventIDs {
		id, ok := verify.ParseID(ref)
		if !ok {
			return deliver.Receipt{}, fmt.Errorf("the value of %q is not an event id ({{.EventID}})", c.ref.name)
		}
		ref = id.String()
	}
	word, ok := get(c.status)
	if !ok {
		return deliver.Receipt{}, fmt.Errorf("no status in %q", c.status.name)
	}
	receipt := deliver.Receipt{Carrier: g.name, Ref: ref}
	receipt.State, ok = c.states[strings.ToLower(word)]
	if !ok && c.isNew(word) {
		g.log.Warn("HTTP gateway reports an unknown status; add it to receipts.states",
			"status", cut(word, 32))
	}
	// Gateways also send a code, such as 0, with success.
	went := receipt.State == verify.EventDelivered || receipt.State == verify.EventAccepted
	if code, ok := get(c.error); ok && !went && c.error.name != "" && !strings.ContainsFunc(code, unicode.IsControl) {
		receipt.Error = cut(code, maxErrorCode)
	}
	return receipt, nil
}

// isNew reports whether word occurs for the first time. After maxUnknown words it returns
// false.
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

// cut truncates s to at most n bytes at a character boundary.
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

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
	maxUnknown   = 32 // words that are logged, once each
)

// ReceiptConfig says how the gateway calls back. Ref, Status and Error are names of
// fields of a form or a query, and paths in JSON, with "*" for every element of a list
// of receipts; "query." before a name reads it from the query of the URL, whatever the
// body is.
type ReceiptConfig struct {
	Secret string   // at least 16 characters; "" serves no callback
	Ref    string   // the id that the answer to the message gave, or our own, see [Config]
	Status string   // the word for what became of it
	Error  string   // the code for what went wrong; "" for none
	States []string // "word=state", added to the words that are known, and before them
}

type receipts struct {
	secret             [sha256.Size]byte // its hash: of one length, whatever is compared
	enabled            bool
	ref, status, error field
	states             map[string]verify.EventState // "" to pass over

	// eventIDs is set where callbacks name a message by the id of its event, which the
	// request has given to the gateway.
	eventIDs bool

	log     sparing
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
	all, err := readCallback(w, r, g.receipts.ref)
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) || errors.Is(err, errBatch) {
			status = http.StatusRequestEntityTooLarge
		}
		g.refuse(w, status, err)
		return
	}
	// A part that cannot be read would be no better the next time: only a callback with
	// no other part comes again.
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
			g.log.Error("receipt of an HTTP gateway is not stored: it is asked to come again", "error", err)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
	}
	switch {
	case bad > 0 && bad == len(all):
		g.refuse(w, http.StatusBadRequest, unread)
		return
	case bad > 0:
		g.receipts.log.warn(g.log, "receipts in a callback of an HTTP gateway left out: they cannot be read",
			"left_out", bad, "of", len(all), "reason", unread)
	}
	w.WriteHeader(http.StatusNoContent)
}

// report has a receipt stored. If its message ended without a clear answer, it was
// accepted, which is stored first.
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

// refuse answers a callback that has no receipt that can be read, and logs the reason.
func (g *Gateway) refuse(w http.ResponseWriter, status int, reason error) {
	g.receipts.log.warn(g.log, "callback of an HTTP gateway refused: no receipt in it can be read", "answered", status, "reason", reason)
	http.Error(w, reason.Error(), status)
}

// sparing limits log lines about callbacks to one a minute: a gateway that is set up
// in a wrong way must not fill the disk. The zero value is ready to use.
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

// receiptOf reads one receipt. Its state is "" if there is nothing to report.
func (g *Gateway) receiptOf(get lookup) (deliver.Receipt, error) {
	c := g.receipts
	ref, ok := get(c.ref)
	if !ok || !validRef(ref) {
		return deliver.Receipt{}, fmt.Errorf("no id of a message in %q", c.ref.name)
	}
	if c.eventIDs {
		id, ok := verify.ParseID(ref)
		if !ok {
			return deliver.Receipt{}, fmt.Errorf("the value of %q is not an id of ours ({{.EventID}})", c.ref.name)
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

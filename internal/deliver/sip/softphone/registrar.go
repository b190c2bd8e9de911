package softphone

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// maxContacts bounds the registrations.
const maxContacts = 1000

// book holds the registered contacts with their expiry.
type book struct {
	mu      sync.Mutex
	entries map[string]time.Time // expiry by contact
	changed chan struct{}        // closed and replaced after each change
}

// contacts returns the registered contacts, sorted, and a channel that is closed by the
// next change.
func (b *book) contacts(now time.Time) (list []string, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for contact, until := range b.entries {
		if now.Before(until) {
			list = append(list, contact)
		}
	}
	slices.Sort(list)
	return list, b.changed
}

// set registers a contact, or removes it if expires is 0. It returns false if the book
// is full.
func (b *book) set(contact string, expires time.Duration, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() {
		close(b.changed)
		b.changed = make(chan struct{})
	}()
	if expires <= 0 {
		delete(b.entries, contact)
		return true
	}
	if b.entries == nil {
		b.entries = map[string]time.Time{}
	}
	if _, known := b.entries[contact]; !known && len(b.entries) >= maxContacts {
		return false
	}
	b.entries[contact] = now.Add(expires)
	return true
}

// onRegister handles a REGISTER (RFC 3261 §10.3).
func (p *Phone) onRegister(req *sip.Request, tx sip.ServerTransaction) {
	if !p.cfg.Registrar {
		respond(tx, req, 405, "Method Not Allowed")
		return
	}
	if !p.auth.admits(req, tx) {
		return
	}
	if status := p.cfg.RegisterStatus; status != 0 {
		var headers []sip.Header
		if status == 503 {
			headers = append(headers, sip.NewHeader("Retry-After", "30 (maintenance);duration=60"))
		}
		respond(tx, req, status, reason(status), headers...)
		return
	}
	contact := req.Contact()
	if contact == nil {
		respond(tx, req, 200, "OK")
		return
	}
	asked, ok := expiry(req, contact)
	expires := min(asked, p.cfg.LongestRegistration)
	uri := contact.Address.String()
	switch {
	case !ok:
		respond(tx, req, 400, "Bad Expires")
	case asked > 0 && asked < p.cfg.ShortestRegistration:
		least := int(p.cfg.ShortestRegistration.Seconds())
		respond(tx, req, 423, "Interval Too Brief", sip.NewHeader("Min-Expires", strconv.Itoa(least)))
	case !p.book.set(uri, expires, time.Now()):
		respond(tx, req, 503, "Service Unavailable")
	case expires == 0:
		respond(tx, req, 200, "OK")
	default:
		seconds := int(expires.Seconds())
		respond(tx, req, 200, "OK", sip.NewHeader("Contact", fmt.Sprintf("<%s>;expires=%d", uri, seconds)))
	}
}

// expiry returns the requested duration of a registration: the expires parameter of the
// contact, the Expires header, or an hour. It returns false for a malformed value.
func expiry(req *sip.Request, contact *sip.ContactHeader) (time.Duration, bool) {
	text, given := "", false
	if contact.Params != nil {
		text, given = contact.Params.Get("expires")
	}
	if h := req.GetHeader("Expires"); !given && h != nil {
		text, given = h.Value(), true
	}
	if !given {
		return time.Hour, true
	}
	seconds, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31)
	return time.Duration(seconds) * time.Second, err == nil
}

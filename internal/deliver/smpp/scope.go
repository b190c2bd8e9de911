package smpp

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// IDScope is the part of a carrier within which message ids are unique.
type IDScope string

// The scopes.
const (
	// ScopeAddress keeps the ids of each address apart: a receipt counts only for a
	// message that the same address accepted.
	ScopeAddress IDScope = "address"
	// ScopeCarrier is for addresses of one system: a receipt for a message of one
	// address may arrive over another.
	ScopeCarrier IDScope = "carrier"
)

// scopeMark separates a message id from the address that issued it. Ids have no
// control characters (see printable), so a scoped reference never equals an id.
const scopeMark = "\t"

// references writes message ids as references that are unique within the carrier.
// Addresses are compared without case; an address given twice is one.
type references struct {
	scope     IDScope
	addresses []string
}

func newReferences(scope IDScope, addresses []string) references {
	r := references{scope: scope}
	for _, a := range addresses {
		if a = strings.ToLower(a); !slices.Contains(r.addresses, a) {
			r.addresses = append(r.addresses, a)
		}
	}
	return r
}

// scoped reports whether references name an address. A carrier with one address has
// plain ids.
func (r references) scoped() bool { return r.scope == ScopeAddress && len(r.addresses) > 1 }

// of returns the reference of an id that address issued; "" for no id.
func (r references) of(address, id string) string {
	if id == "" || !r.scoped() {
		return id
	}
	return id + scopeMark + strings.ToLower(address)
}

// former returns the references that the id may have under another scope:
// the plain id, or the id with each configured address. Messages that were in flight
// when the scope changed have them.
func (r references) former(id string) []string {
	switch {
	case id == "":
		return nil
	case r.scoped():
		return []string{id}
	}
	former := make([]string, len(r.addresses))
	for i, address := range r.addresses {
		former[i] = id + scopeMark + address
	}
	return former
}

// maxIssued bounds the references that are remembered to recognize a receipt over
// the wrong address.
const maxIssued = 8192

// issued remembers the latest references. The zero value is ready to use.
type issued struct {
	mu     sync.Mutex
	known  map[string]bool
	order  []string // a ring, once it has maxIssued
	oldest int
}

func (i *issued) add(reference string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known == nil {
		i.known = map[string]bool{}
	}
	if i.known[reference] {
		return
	}
	i.known[reference] = true
	if len(i.order) < maxIssued {
		i.order = append(i.order, reference)
		return
	}
	delete(i.known, i.order[i.oldest])
	i.order[i.oldest] = reference
	i.oldest = (i.oldest + 1) % maxIssued
}

func (i *issued) has(reference string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.known[reference]
}

// accepted returns the reference of an id in a response, and remembers it where a
// receipt could arrive over the wrong address.
func (c *Carrier) accepted(address, id string) string {
	reference := c.references.of(address, c.cfg.IDForm.ref(id, false))
	if c.references.scoped() && reference != "" {
		c.issued.add(reference)
	}
	return reference
}

// issuedElsewhere reports whether the id of a receipt over address was lately issued
// by other addresses only.
func (c *Carrier) issuedElsewhere(address, id string) bool {
	if !c.references.scoped() || c.issued.has(c.references.of(address, id)) {
		return false
	}
	return slices.ContainsFunc(c.references.addresses, func(other string) bool {
		return c.issued.has(c.references.of(other, id))
	})
}

// reminder limits a warning to one an hour. The zero value allows the first.
type reminder struct {
	mu   sync.Mutex
	last time.Time
}

func (r *reminder) due(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.IsZero() && now.Sub(r.last) < time.Hour {
		return false
	}
	r.last = now
	return true
}

package smpp

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// IDScope is the part of a carrier within which message ids are unique.
type IDScope string

// Scopes.
const (
	// ScopeAddress means that each address issues its own ids. A receipt applies only
	// to a message that the same address accepted.
	ScopeAddress IDScope = "address"
	// ScopeCarrier means that the addresses belong to one system. A receipt may arrive
	// over any address.
	ScopeCarrier IDScope = "carrier"
)

// scopeMark separates a message id from its address. Ids have no control characters
// (see printable), so a scoped reference never equals an id.
const scopeMark = "\t"

// references converts message ids to references that are unique within the carrier.
// Addresses are case-insensitive, and duplicates are ignored.
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

// scoped reports whether references contain an address. With a single address they are
// plain ids.
func (r references) scoped() bool { return r.scope == ScopeAddress && len(r.addresses) > 1 }

// of returns the reference of an id that address issued; "" for no id.
func (r references) of(address, id string) string {
	if id == "" || !r.scoped() {
		return id
	}
	return id + scopeMark + strings.ToLower(address)
}

// former returns the references of an id under the other scope: the plain id, or the id
// with each configured address. Messages in flight during a change of the scope have
// them.
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

// maxIssued limits the references that are kept to detect a receipt over the wrong
// address.
const maxIssued = 8192

// issued holds the latest maxIssued references. The zero value is ready to use.
type issued struct {
	mu     sync.Mutex
	known  map[string]bool
	order  []string // a ring once it has maxIssued entries
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

// accepted returns the reference of an id in a response. It stores the reference in
// c.issued if receipts could arrive over the wrong address.
func (c *Carrier) accepted(address, id string) string {
	reference := c.references.of(address, c.cfg.IDForm.ref(id, false))
	if c.references.scoped() && reference != "" {
		c.issued.add(reference)
	}
	return reference
}

// issuedElsewhere reports whether the id of a receipt over address was recently issued
// only by other addresses.
func (c *Carrier) issuedElsewhere(address, id string) bool {
	if !c.references.scoped() || c.issued.has(c.references.of(address, id)) {
		return false
	}
	return slices.ContainsFunc(c.references.addresses, func(other string) bool {
		return c.issued.has(c.references.of(other, id))
	})
}

// reminder limits a warning to one per hour. The zero value is ready to use.
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

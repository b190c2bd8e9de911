package verify

import (
	"strconv"
	"time"
)

// EntryKind is the kind of a ledger entry.
type EntryKind string

// The kinds of entries made by rules.
const (
	ChargeEntry EntryKind = "charge"       // takes the price from the payer's balance
	RefundEntry EntryKind = "refund"       // returns the price to the payer's balance
	CostEntry   EntryKind = "carrier-cost" // charge of a carrier to the operator; changes no balance
	// HoldEntry counts the price toward the daily caps; the charge follows on success. It
	// is not written to the ledger.
	HoldEntry EntryKind = "hold"
)

// Entry is a posting to the ledger that belongs to a verification.
type Entry struct {
	Key    string // unique, such as charge/ID; posting it again has no effect
	Kind   EntryKind
	Amount Money // negative for a charge and a cost
	At     time.Time

	// Spent is the change of the spending of payer and account that counts toward their
	// daily caps, on the UTC day of SpentAt.
	Spent   Money
	SpentAt time.Time
}

// Funds decides whether a price can be charged.
type Funds interface {
	// Shortage returns the limit that forbids the price, or nil.
	Shortage(price Money, now time.Time) *Cause
}

// charge posts the price at the start: as a charge, or as a hold if success is charged.
func (c *Change) charge(onSuccess bool, now time.Time) {
	v := &c.Verification
	v.Paid = !onSuccess
	switch {
	case v.Price == 0:
	case onSuccess:
		c.Entries = append(c.Entries, Entry{Kind: HoldEntry, At: now, Spent: v.Price, SpentAt: now})
	default:
		c.Entries = append(c.Entries, Entry{Key: v.chargeKey(), Kind: ChargeEntry, Amount: -v.Price, At: now, Spent: v.Price, SpentAt: now})
		c.fact(Fact{At: now, Kind: Charged, Amount: v.Price})
	}
}

// capture charges a price that was only held.
func (c *Change) capture(now time.Time) {
	v := &c.Verification
	if v.Paid {
		return
	}
	v.Paid = true
	if v.Price != 0 {
		c.Entries = append(c.Entries, Entry{Key: v.chargeKey(), Kind: ChargeEntry, Amount: -v.Price, At: now})
		c.fact(Fact{At: now, Kind: Charged, Amount: v.Price})
	}
}

func (v Verification) chargeKey() string { return "charge/" + v.ID.Hex() }

// RefundDue reports whether an ended verification may need a refund. While an event is open
// its outcome decides, and the lease must remain: without a lease no node would resolve the
// event after a crash.
func (v Verification) RefundDue() bool {
	return v.Unsent && v.Ended() && v.Charged() != 0 && len(v.Open()) == 0
}

// Refund returns the price if the verification ended without a success and no carrier
// accepted any of its events. An event of unknown outcome keeps the price; if a carrier
// refuses it late, the refund is due again. Refund releases the runner's lease.
func (v Verification) Refund(now time.Time) Change {
	c := v.change()
	if v.Refundable() {
		c.Verification.Paid = false
		c.Entries = append(c.Entries, Entry{
			Key: "refund/" + v.ID.Hex(), Kind: RefundEntry, Amount: v.Price, At: now,
			Spent: -v.Price, SpentAt: v.SubmittedAt,
		})
		c.fact(Fact{At: now, Kind: Refunded, Amount: v.Price})
	}
	c.Verification.Unsent = false
	c.Verification.release()
	return *c
}

// Refundable reports whether the verification ended without a success, was charged, and had
// no event that a carrier may have accepted.
func (v Verification) Refundable() bool {
	if !v.Ended() || v.Status == Success || v.Charged() == 0 || len(v.Events) == 0 {
		return false
	}
	for _, e := range v.Events {
		if !e.NeverLeft() {
			return false
		}
	}
	return true
}

// Cost is the charge of a carrier for one submission of an event.
type Cost struct {
	Attempt int // attempt of the event, from 1
	Part    int // index of a part with a late response, from 0; -1 for the whole submission
	Amount  Money
}

func (c Cost) key() string {
	if c.Part < 0 {
		return strconv.Itoa(c.Attempt)
	}
	return strconv.Itoa(c.Attempt) + "/" + strconv.Itoa(c.Part)
}

// addCost records a cost; a repeated call for the same attempt and part has no effect.
func (c *Change) addCost(seq int, cost Cost, now time.Time) {
	e := &c.Verification.Events[seq]
	if cost.Amount == 0 {
		return
	}
	for _, known := range e.Costs {
		if known.Attempt == cost.Attempt && known.Part == cost.Part {
			return
		}
	}
	e.Costs = append(e.Costs[:len(e.Costs):len(e.Costs)], cost)
	c.Entries = append(c.Entries, Entry{
		Key: "cost/" + e.ID.Hex() + "/" + cost.key(), Kind: CostEntry, Amount: -cost.Amount, At: now,
	})
}

package verify

import "cmp"

// Account is an application that may ask for verifications. Its secrets are not
// part of it: only the store sees them.
type Account struct {
	Key       string // the api_key: 8 letters and digits
	Name      string
	Barred    bool   // may not start verifications
	Trial     bool   // may only reach its approved numbers
	CustomPIN bool   // may choose the PIN (pin_code)
	Rate      int    // requests in any second; 0 for the installation's default
	Unlimited bool   // neither rate nor credit limits it
	Parent    string // the account whose balance it uses; "" for its own
	Balance   Money  // of the account that pays, see Payer
	DailyCap  Money  // what it, and all that use its balance, may spend in a day (UTC); 0 for any amount

	PayerUnlimited bool // the parent is Unlimited; as read, and not a setting of its own

	OnUndeliverable OnUndeliverable
	Settings        Settings
}

// Payer is the key of the account whose balance pays for this one.
func (a Account) Payer() string { return cmp.Or(a.Parent, a.Key) }

// OnCredit reports whether the balance may go below nothing.
func (a Account) OnCredit() bool { return a.Unlimited || a.PayerUnlimited }

// OnUndeliverable says when the next event comes after one that failed.
type OnUndeliverable string

const (
	// UndeliverableWait keeps to the timings of the workflow. The default.
	UndeliverableWait OnUndeliverable = "wait"
	// UndeliverableNextEvent takes the next step at once.
	UndeliverableNextEvent OnUndeliverable = "next_event"
)

// Valid reports whether o is one of the above.
func (o OnUndeliverable) Valid() bool {
	return o == UndeliverableWait || o == UndeliverableNextEvent
}

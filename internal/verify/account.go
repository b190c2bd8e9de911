package verify

import "cmp"

// Account is an application that may request verifications. Only the store handles its
// secrets.
type Account struct {
	Key       string // the api_key: 8 letters and digits
	Name      string
	Barred    bool   // may not start verifications
	Trial     bool   // may only reach its approved numbers
	CustomPIN bool   // may choose the PIN (pin_code)
	Rate      int    // limit in requests per second; 0 for the default of the installation
	Unlimited bool   // exempt from rate and credit limits
	Parent    string // key of the account that pays; "" if this account pays
	Balance   Money  // balance of the paying account, see Payer
	DailyCap  Money  // spending limit per UTC day for the account and its sub-accounts; 0 means unlimited

	PayerUnlimited bool // Unlimited of the parent; read-only

	OnUndeliverable OnUndeliverable
	Settings        Settings
}

// Payer returns the key of the account that pays for this account.
func (a Account) Payer() string { return cmp.Or(a.Parent, a.Key) }

// OnCredit reports whether the balance may be negative.
func (a Account) OnCredit() bool { return a.Unlimited || a.PayerUnlimited }

// OnUndeliverable configures when the next event follows a failed event.
type OnUndeliverable string

const (
	// UndeliverableWait keeps the timings of the workflow. The default.
	UndeliverableWait OnUndeliverable = "wait"
	// UndeliverableNextEvent makes the next step due immediately.
	UndeliverableNextEvent OnUndeliverable = "next_event"
)

// Valid reports whether o is UndeliverableWait or UndeliverableNextEvent.
func (o OnUndeliverable) Valid() bool {
	return o == UndeliverableWait || o == UndeliverableNextEvent
}

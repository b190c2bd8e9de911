package verify

import "cmp"

// PaidBy is the account whose balance pays for the verification.
func (v Verification) PaidBy() string { return cmp.Or(v.Payer, v.Account) }

// Charged is what was taken for the verification, as far as it was not given back.
func (v Verification) Charged() Money {
	if !v.Paid {
		return 0
	}
	return v.Price
}

// Ended reports whether the verification is over for good.
func (v Verification) Ended() bool { return v.Status != InProgress }

// RefundDue reports whether it is time to ask if the verification is [Refundable].
func (v Verification) RefundDue() bool { return v.Unsent && v.Ended() && v.Charged() != 0 }

// Refundable reports whether the verification, with these events, is to be given its
// price back: it is over without a success, and nothing of it ever left. An event of
// which nobody knows keeps the price; should it be refused late, that is asked again.
func (v Verification) Refundable(events []Event) bool {
	if !v.Ended() || v.Status == Success || v.Charged() == 0 || len(events) == 0 {
		return false
	}
	for _, e := range events {
		if !e.NeverLeft() {
			return false
		}
	}
	return true
}

// NeverLeft reports whether it is certain that no carrier took the event: all refused
// it, or none could take it in time. What was handed over twice may have left the
// first time, whatever became of the second.
func (e Event) NeverLeft() bool {
	if e.Attempt != 1 {
		return false
	}
	// Only what a carrier took names it when it expires.
	return e.State == EventRefused || e.State == EventExpired && e.Carrier == ""
}

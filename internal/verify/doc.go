// Package verify is the domain of Countersign: what a verification is and the
// rules by which it moves from accepted to ended.
//
// A [Verification] proves that a person can be reached at a phone number. It
// walks through the steps of its [Workflow]; each step makes an [Event] (one
// delivery attempt of the PIN on a channel). The person's reply arrives as a
// [Check]. Every rule is a method that takes a value, an input and the time,
// and returns the new value together with what must be done:
//
//	Start    → a verification and its first event
//	Step     → the next event, or the end (EXPIRED)
//	Trigger  → the next event, at once
//	Check    → SUCCESS, one try less, or FAILED
//	Cancel   → CANCELLED
//
// The package must not know HTTP, SQL, carriers, goroutines or the wall clock:
// it imports the standard library only, and "now" is always an argument. That is
// what lets a test run a year of traffic in a second.
package verify

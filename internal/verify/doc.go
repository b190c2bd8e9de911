// Package verify is the domain of Countersign: the verification and the rules that change
// it.
//
// A [Verification] proves that a person can be reached at an [Address]. It executes the
// steps of its [Workflow]; each step makes an [Event] (one delivery attempt of the PIN on a
// channel). The person's reply arrives as a [Check]. Every rule is a method that takes a
// value, an input and the time, and returns the new value with its consequences, a
// [Change]:
//
//	Begin    → a verification and its first event
//	Step     → the next event, or the end (EXPIRED)
//	Trigger  → the next event, immediately
//	Check    → SUCCESS, one try less, or FAILED
//	Cancel   → CANCELLED
//
// The package does not depend on HTTP, SQL, carriers, goroutines or the wall clock: it
// imports the standard library only, and "now" is always an argument. A test can thus run a
// year of traffic in a second.
package verify

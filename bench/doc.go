// Package bench measures SMS over SMPP: how many messages a second a carrier
// submits, whether it grows while it does so, and how soon the message of an
// accepted verification is on the wire. docs/explanation/performance.md says what
// the numbers mean; "make bench" and "make soak" run it.
//
// All is on one machine and in one run, so that what counts are ratios: against
// npm's smpp as the SMSC, and against a client that only counts responses. The
// package has no code but tests. It must not be imported.
package bench

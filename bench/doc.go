// Package bench measures what carriers can do. SMS over SMPP: how many messages a
// second are submitted, and whether that grows anything. Calls over SIP: how many can
// speak at a time, and how many a second can be made. docs/explanation/performance.md says what the
// numbers mean; "make bench-carriers" and "make soak" run it. How fast the whole
// server is, is what bench/speed measures ("make bench").
//
// All is on one machine and in one run, so that what counts are ratios: against
// npm's smpp as the SMSC, against a client that only counts responses, and against
// Debian's sipp. The package has no code but tests. It must not be imported.
package bench

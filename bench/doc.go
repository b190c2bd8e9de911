// Package bench measures carriers: the rate and the memory growth of SMS over SMPP, and the
// number of concurrent calls and the call rate over SIP. "make bench-carriers" and "make soak"
// run it, and docs/explanation/performance.md explains the results. Package bench/speed
// ("make bench") measures the whole server.
//
// All parts run on one machine, so the results are ratios: to npm's smpp as the SMSC, to a
// client that only counts responses, and to Debian's sipp. The package contains only tests
// and must not be imported.
package bench

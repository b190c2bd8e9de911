// Package e2e tests the program from outside: it builds and runs the program, with unmodified
// clients and carriers of other projects as its peers. The tests import the code under test only
// for the test SMSC and its codec, where the peer is foreign software, and for the speech
// of a call, to compare it with a recording.
//
// The tests need Node.js, npm packages, Chromium, Kannel, Perl's Net::SMPP, sipp, baresip and
// Kamailio. Therefore "go test ./..." skips them; "make test" installs these and runs the tests.
package e2e

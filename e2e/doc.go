// Package e2e tests the program from outside: it builds it, runs it, and talks
// to it with the clients and carriers that people use, unmodified. Nothing here
// imports the code under test, but for the SMSC to test against and its codec,
// where it is the other side that is somebody else's, and for what makes the sound
// of a call, to compare a recording with.
//
// The tests need Node.js, npm packages, Chromium, Kannel, Perl's Net::SMPP, sipp,
// baresip and Kamailio, so that "go test ./..." skips them; "make test" installs
// what they need and runs them.
package e2e

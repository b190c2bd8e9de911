//go:build race

package signature_test

const raceDetector = true // the race detector allocates

//go:build race

package signature_test

const raceDetector = true // it allocates, too

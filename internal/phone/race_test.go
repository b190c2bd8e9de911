//go:build race

package phone_test

const raceDetector = true // it allocates, too

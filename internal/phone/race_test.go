//go:build race

package phone_test

const raceDetector = true // the race detector allocates

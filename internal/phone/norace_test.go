//go:build !race

package phone_test

const raceDetector = false

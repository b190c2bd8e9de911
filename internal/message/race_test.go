//go:build race

package message_test

const raceDetector = true // the race detector allocates

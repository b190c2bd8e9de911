//go:build race

package message_test

const raceDetector = true // it allocates, too

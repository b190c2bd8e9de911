//go:build race

package apiv1

const raceDetector = true // it allocates, too

//go:build race

package apiv1

const raceDetector = true // allocates memory

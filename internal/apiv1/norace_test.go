//go:build !race

package apiv1

const raceDetector = false

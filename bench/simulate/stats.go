package main

import (
	"math"
	"time"
)

// histogram counts times in steps of two percent.
type histogram struct {
	counts [1600]int
	n      int
	max    time.Duration
	sum    time.Duration
}

// stepLog is the logarithm of a step, 1.02. From 1 µs on, all steps reach to a year.
const stepLog = 0.019802627296179712

func (h *histogram) add(d time.Duration) {
	i := 0
	if d > time.Microsecond {
		i = min(int(math.Log(float64(d)/float64(time.Microsecond))/stepLog), len(h.counts)-1)
	}
	h.counts[i]++
	h.n++
	h.sum += d
	h.max = max(h.max, d)
}

// quantile is the time that so many (0 to 1) do not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int(math.Ceil(q * float64(h.n)))
	for i, n := range h.counts {
		if rank -= n; rank <= 0 {
			return min(time.Duration(math.Exp((float64(i)+0.5)*stepLog)*float64(time.Microsecond)), h.max)
		}
	}
	return h.max
}

// stats are what is measured of a cell.
type stats struct {
	start, check histogram // from the request's arrival at a node to its answer
	submit       histogram // of first messages: from the answer to the carrier
	late         histogram // of later ones: from when they are due to the carrier

	arrived, accepted, refused int // starts; a try that follows a refusal counts again
	checks, checked            int // codes that came, and those that were compared
	checksRefused              int
	starting, checking         int // requests at work
	ended, running             int // verifications that are over, and that are not
	sent, outcomes             int // messages that carriers got, and whose outcome is written
	rescued                    int // those that may have gone twice: their node died, or the database

	gaveUp int // who was refused, and did not try again

	firstRefused, lastRefused time.Duration
	lastBehind                time.Duration // when a row was last more than a second overdue
	peakDue, peakQueue        int           // rows that were due, jobs that waited for one writer
}

package main

import (
	"math"
	"time"
)

// histogram counts times in buckets of 2 % width.
type histogram struct {
	counts [1600]int
	n      int
	max    time.Duration
	sum    time.Duration
}

// stepLog is the logarithm of 1.02. The buckets range from 1 µs to more than a year.
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

// quantile returns the time not exceeded by the share q, 0 to 1, of all.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int(math.Ceil(q * float64(h.n)))
	for i, n := range h.counts {
		if rank -= n; rank <= 0 {
			return min(time.Duration(math.Exp((float64(i)+0.5)*stepLog)*float64(time.Microsecond)), h.max)
		}
	}
	return h.max
}

// stats are the measurements of a cell.
type stats struct {
	start, check histogram // time from a request's arrival to its answer
	submit       histogram // first messages: time from the answer to the carrier
	late         histogram // later messages: time from due to the carrier

	arrived, accepted, refused int // starts, including retries
	checks, checked            int // received and compared codes, including retries
	checksRefused              int
	starting, checking         int // requests in progress
	ended, running             int // verifications
	sent, outcomes             int // submitted messages, and written outcomes
	rescued                    int // messages possibly sent twice after a failure

	gaveUp int // refused requests without a retry

	firstRefused, lastRefused time.Duration
	lastBehind                time.Duration // last time at which a row was overdue by more than a second
	peakDue, peakQueue        int           // maximum of due rows, and of one writer's waiting jobs
}

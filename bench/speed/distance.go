package main

import (
	"fmt"
	"math"
	"strings"
)

// distances compares works on SQLite with the physical limit of the machine, as Markdown;
// "" unless a work and all three limits were measured. A durable answer needs
//
//   - its HTTP exchanges: at most as many as a server without any work answers;
//   - its bytes on disk, at the rate of large blocks;
//   - its share of a flush per commit: a batch has at most one request of each connection.
//
// The limit is the least of the three, since CPU and disk work at the same time. A commit
// of a life holds a start or a check, so a life needs two shares.
func (r *results) distances(clients int, names func(work string) string) string {
	var s strings.Builder
	for _, of := range []struct {
		work     string
		requests float64
	}{{"start sqlite", 1}, {"check sqlite", 1}, {"life sqlite", 2}} {
		http := r.median("http", colRate) / of.requests
		log := r.median("log", colRate) * largeBlock / r.median(of.work, colWritten)
		flush := r.median("fsync", colRate) * float64(clients) / of.requests
		rate := r.median(of.work, colRate)
		limit := min(http, log, flush)
		if math.IsNaN(limit) || math.IsNaN(rate) {
			continue
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s | %s | %s | %.2f |\n", names(of.work), count(flush), count(log), count(http), count(limit), count(rate), rate/limit)
	}
	if s.Len() == 0 {
		return ""
	}
	return "| at most a second | by flushes | by bytes | by HTTP exchanges | limit | measured | measured ÷ limit |\n|---|--:|--:|--:|--:|--:|--:|\n" + s.String()
}

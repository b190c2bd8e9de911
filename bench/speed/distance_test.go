package main

import "testing"

// TestDistances checks that the limit is the least of three, and that a life needs two exchanges
// and two commits.
func TestDistances(t *testing.T) {
	t.Parallel()
	var r results
	r.add("fsync", result{colRate: 1000})
	r.add("log", result{colRate: 400})
	r.add("start sqlite", result{colRate: 3000, colWritten: 1024})
	r.add("life sqlite", result{colRate: 2000, colWritten: 16 << 10})
	b := &bench{}
	if got := r.distances(64, b.workName); got != "" {
		t.Errorf("table without an HTTP limit: %s", got)
	}
	r.add("http", result{colRate: 30_000})
	want := `| at most a second | by flushes | by bytes | by HTTP exchanges | limit | measured | measured ÷ limit |
|---|--:|--:|--:|--:|--:|--:|
| start, SQLite | 64,000 | 102,400 | 30,000 | 30,000 | 3,000 | 0.10 |
| whole life, SQLite | 32,000 | 6,400 | 15,000 | 6,400 | 2,000 | 0.31 |
`
	if got := r.distances(64, b.workName); got != want {
		t.Errorf("table\n%s\nwant\n%s", got, want)
	}
}

package main

import (
	"strings"
	"testing"
)

func TestTables(t *testing.T) {
	t.Parallel()
	const in = `goos: linux
BenchmarkSubmit/smsc=ours/client=raw/window=100-2         	  100	 1545 ns/op	    600000 submit_sm/s	  328 B/op
BenchmarkSubmit/smsc=ours/client=carrier/window=100-2     	  100	 8601 ns/op	    110000 submit_sm/s
BenchmarkSubmit/smsc=ours/client=carrier/window=100-2     	  100	 8601 ns/op	    120000 submit_sm/s
BenchmarkSubmit/smsc=ours/client=carrier/window=100-2     	  100	 8601 ns/op	         9 submit_sm/s
BenchmarkSubmit/smsc=ours/client=carrier/window=10-2      	  100	 8601 ns/op	   1234567 submit_sm/s
BenchmarkSubmit/smsc=process/client=carrier/window=100-2  	  100	 8601 ns/op	     90000 submit_sm/s
BenchmarkSubmit/smsc=npm/client=carrier/window=100-2      	  100	 8601 ns/op	     30000 submit_sm/s
BenchmarkSoak/receipts=off-2         	 1000000	     14415 ns/op	      2474 first-heap-KiB	       -99.00 goroutines-growth	      2118 last-heap-KiB
BenchmarkCalls/caller=carrier/calls=500-2 	 1	 100.0 %arrived	 0.03000 %late	 780.1 cpu-us/call/s	 22.4 late-max-ms	 61.7 RSS-KiB/call
BenchmarkCalls/caller=sipp/calls=500-2    	 1	 99.96 %arrived	 12.5 %late	 912.0 cpu-us/call/s	 300.2 late-max-ms
BenchmarkSetup/caller=carrier/at-once=10-2 	 5000	 301000 ns/op	 3323 calls/s
BenchmarkSetup/caller=sipp/asked=3000-2    	 1	 2986 calls/s
--- BENCH: BenchmarkSoak/receipts=off-2
PASS
`
	var out strings.Builder
	if err := run(strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		"| 10 | – | 1,234,567 | – | – | – | – | – | – | – | – |",
		"| 100 | 600,000 | 110,000 | 0.18 | – | 90,000 | – | – | 30,000 | – | 3.00 |", // the median of three
		"| 500 | 0.03 % | 22 ms | 100.0 % | 780 µs/s | 62 KiB | 12.50 % | 300 ms | 100.0 % | 912 µs/s |",
		"| carrier, 10 concurrent | 3,323 |",
		"| sipp, target 3000 per second | 2,986 |",
		"| off | – | 2474 KiB | 2118 KiB | – | -99 | – |",
	} {
		if !strings.Contains(out.String(), row+"\n") {
			t.Errorf("missing %s in\n%s", row, &out)
		}
	}
	if ten, hundred := strings.Index(out.String(), "| 10 |"), strings.Index(out.String(), "| 100 |"); ten > hundred {
		t.Errorf("windows are not in order:\n%s", &out)
	}
}

func TestNoResults(t *testing.T) {
	t.Parallel()
	if err := run(strings.NewReader("PASS\n"), &strings.Builder{}); err == nil {
		t.Error("no error without results")
	}
}

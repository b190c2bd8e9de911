package main

import (
	"container/heap"
	"math/rand/v2"
)

// placement describes a distribution of accounts over cells.
type placement struct {
	fullest []float64 // starts per second of each account in the fullest cell
	load    float64   // load of the fullest cell
	split   int       // accounts that were split into several
	hashed  float64   // load of the fullest cell if a hash distributed the accounts
}

// place assigns accounts to cells, each account to the emptiest cell; loads must be in
// descending order. An account above biggest is split into equal sub-accounts, each placed
// separately.
func place(loads []float64, cells int, biggest float64, seed uint64) placement {
	var p placement
	all := make(emptiest, cells)
	hashed := make([]float64, cells)
	r := rand.New(rand.NewPCG(seed, 0xce11)) //nolint:gosec // must be reproducible
	put := func(load float64) {
		all[0].load += load
		all[0].accounts = append(all[0].accounts, load)
		heap.Fix(&all, 0)
		hashed[r.IntN(cells)] += load
	}
	for _, load := range loads {
		parts := 1
		if load > biggest {
			p.split++
			parts = int(load/biggest) + 1
		}
		for range parts {
			put(load / float64(parts))
		}
	}
	for i := range all {
		if all[i].load > p.load {
			p.load, p.fullest = all[i].load, all[i].accounts
		}
		p.hashed = max(p.hashed, hashed[i])
	}
	return p
}

// emptiest is a heap of cells, with the least loaded cell first.
type emptiest []struct {
	load     float64
	accounts []float64
}

func (e emptiest) Len() int           { return len(e) }
func (e emptiest) Less(i, j int) bool { return e[i].load < e[j].load }
func (e emptiest) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e emptiest) Push(any)           {} // unused: the number of cells is fixed
func (e emptiest) Pop() any           { return nil }

package main

import (
	"container/heap"
	"math/rand/v2"
)

// placement is how accounts lie in cells.
type placement struct {
	fullest []float64 // the accounts of the fullest cell: starts a second of each
	load    float64   // of that cell
	split   int       // accounts that were too large, and became several
	hashed  float64   // what the fullest cell would have, were a hash to say where accounts lie
}

// place puts accounts into cells, the largest first, each where there is the least. One
// that asks for more than biggest is split into equal parts: sub-accounts, each in a
// cell of its own.
func place(loads []float64, cells int, biggest float64, seed uint64) placement {
	var p placement
	all := make(emptiest, cells)
	hashed := make([]float64, cells)
	r := rand.New(rand.NewPCG(seed, 0xce11)) //nolint:gosec // it is to be the same each time
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

// emptiest is a heap of cells, that with the least load first.
type emptiest []struct {
	load     float64
	accounts []float64
}

func (e emptiest) Len() int           { return len(e) }
func (e emptiest) Less(i, j int) bool { return e[i].load < e[j].load }
func (e emptiest) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e emptiest) Push(any)           {} // there are as many as there are
func (e emptiest) Pop() any           { return nil }

package main

import (
	"math/rand/v2"
	"sort"
)

// zipf draws ranks by Zipf's law with exponent 1: rank r is r times rarer than the first. rand.Zipf needs an exponent above 1.
type zipf struct {
	cumulated []float64
	place     []int // of a rank: popular streams are not neighbours
}

func newZipf(n int, r *rand.Rand) *zipf {
	z := &zipf{cumulated: make([]float64, n), place: r.Perm(n)}
	sum := 0.0
	for rank := range n {
		sum += 1 / float64(rank+1)
		z.cumulated[rank] = sum
	}
	return z
}

// next returns a number below n.
func (z *zipf) next(r *rand.Rand) int {
	at := r.Float64() * z.cumulated[len(z.cumulated)-1]
	return z.place[sort.SearchFloat64s(z.cumulated, at)]
}

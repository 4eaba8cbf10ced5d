package kernel

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestRank(t *testing.T) {
	t.Parallel()
	var r Ranker
	rank := make([]uint32, 5)
	// |key| 2, 0.5, 2, 0, 3: the second 2 comes after the first.
	r.Rank(rank, []float32{-2, 0.5, 2, float32(math.Copysign(0, -1)), -3})
	if want := []uint32{2, 1, 3, 0, 4}; !slices.Equal(rank, want) {
		t.Errorf("ranks %v, want %v", rank, want)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 3000, 160} { // a shorter run after a longer one
		key := make([]float32, n)
		for i := range key {
			switch random.IntN(3) {
			case 0:
				key[i] = float32(random.IntN(9)-4) * 0x1p-12 // many ties
			case 1:
				key[i] = float32(random.NormFloat64() * 0.02)
			default:
				key[i] = math.Float32frombits(random.Uint32() &^ (1 << 30)) // all of the digits, no NaN
			}
		}
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int {
			return cmp.Compare(math.Abs(float64(key[a])), math.Abs(float64(key[b])))
		})
		rank := make([]uint32, n)
		r.Rank(rank, key)
		for place, i := range order {
			if rank[i] != uint32(place) {
				t.Fatalf("%d elements: [%d] has rank %d, want %d", n, i, rank[i], place)
			}
		}
	}
}

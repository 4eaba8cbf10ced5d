package kernel_test

import (
	"math"
	"testing"

	"mergebot/merge/kernel"
)

// TestDotByHand: products that fp32 could not hold, added block by block.
func TestDotByHand(t *testing.T) {
	t.Parallel()
	sum := 1.0
	must(t, dev.Dot(&sum, []float32{3, -2, 1 + 0x1p-23}, []float32{0.5, 4, 1 + 0x1p-23}))
	if want := 1 + 1.5 - 8 + 1 + 0x1p-22 + 0x1p-46; sum != want {
		t.Errorf("%v, want %v", sum, want)
	}
	// 1 is lost beside 2^53, the sum of a whole block of them is not.
	x, y := make([]float32, 2*kernel.BlockSize), make([]float32, 2*kernel.BlockSize)
	for i := range x {
		x[i], y[i] = 1, 1
	}
	sum = 0x1p53
	must(t, dev.Dot(&sum, x, y))
	if want := 0x1p53 + 2*kernel.BlockSize; sum != want {
		t.Errorf("%v, want %v", sum, want)
	}
}

// TestDotRuns: the sum does not depend on how a tensor is cut into runs.
func TestDotRuns(t *testing.T) {
	t.Parallel()
	const n = 3*kernel.BlockSize + 100
	x, y := numbers(n), numbers(n)
	for i := range y {
		y[i] = x[(i+1)%n]
	}
	var whole, cut float64
	must(t, dev.Dot(&whole, x, y))
	for first := 0; first < n; first += kernel.BlockSize {
		last := min(first+kernel.BlockSize, n)
		must(t, dev.Dot(&cut, x[first:last], y[first:last]))
	}
	if whole != cut || whole == 0 || math.IsNaN(whole) {
		t.Errorf("%v at once, %v in blocks", whole, cut)
	}
}

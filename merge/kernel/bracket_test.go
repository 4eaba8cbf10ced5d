package kernel_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"mergebot/merge/kernel"
)

// counted delivers whole again and again until n elements are out, and counts
// the passes that were not broken off.
func counted(whole []float32, times int, passes *int) kernel.Source {
	n := int64(len(whole))
	return kernel.Source{N: n * int64(times), Blocks: func(_ context.Context, visit func(int64, []float32) error) error {
		for i := range int64(times) {
			if err := visit(i*n, whole); err != nil {
				return err
			}
		}
		*passes++
		return nil
	}}
}

func normal(r *rand.Rand, n int, scale float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * scale)
	}
	return x
}

// TestSelectPasses shows that each way of finding a cut is taken where it should
// be, and finds what sorting finds.
func TestSelectPasses(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	steady := normal(r, 60_000, 0.02)
	tied := make([]float32, len(steady)) // to bfloat16's precision
	must(t, dev.Round(tied, steady, kernel.BF16))
	// The first rows are unlike the others.
	odd := slices.Concat(normal(r, 10_000, 1), steady[10_000:])
	for _, c := range []struct {
		name   string
		x      []float32
		passes int
	}{{"steady", steady, 1}, {"tied", tied, 1}, {"odd start", odd, 2}} {
		ranks := []int64{54_000, 48_000, 1}
		var want [][]bool
		for _, k := range ranks {
			want = append(want, pruned([][]float32{c.x}, k)[0])
		}
		for _, d := range kernel.Devices() {
			passes := 0
			src := blocks(c.x, 10_000)
			walk := src.Blocks
			src.Blocks = func(ctx context.Context, visit func(int64, []float32) error) error {
				passes++
				return walk(ctx, visit)
			}
			cuts, err := kernel.Select(t.Context(), d, []kernel.Source{src}, ranks, false)
			must(t, err)
			if passes != c.passes {
				t.Errorf("%s on %s: %d passes, want %d", c.name, d.Name(), passes, c.passes)
			}
			for j, k := range ranks {
				for i, v := range c.x {
					if cuts[0][j].Keeps(v, int64(i)) == want[j][i] {
						t.Fatalf("%s on %s, rank %d: [%d] = %v is on the wrong side of %+v", c.name, d.Name(), k, i, v, cuts[0][j])
					}
				}
			}
		}
	}
}

// TestSelectManyTies: more ties than candidates are kept of, alone in their
// bracket or beside others.
func TestSelectManyTies(t *testing.T) {
	t.Parallel()
	const n, times = 1 << 16, 80 // 5.2 million elements
	zeros := make([]float32, n)
	passes := 0
	for _, k := range []int64{1, 3*n + 7, times*n - 1, times * n} {
		cuts, err := kernel.Select(t.Context(), kernel.CPU(), []kernel.Source{counted(zeros, times, &passes)}, []int64{k}, false)
		must(t, err)
		if c := cuts[0][0]; c != (kernel.Cut{Index: k}) {
			t.Errorf("%d zeros of %d: %+v", k, times*n, c)
		}
	}
	// Ones at even places, minus twos at odd ones: the wanted element is the last one.
	two := make([]float32, n)
	for i := range two {
		two[i] = float32(1 - 3*(i%2))
	}
	for _, c := range []struct {
		k    int64
		want kernel.Cut
	}{
		{times * n / 2, kernel.Cut{Threshold: 1, Index: times * n}},
		{times*n/2 - 1, kernel.Cut{Threshold: 1, Index: times*n - 3}},
		{times*n/2 + 2, kernel.Cut{Threshold: 2, Index: 4}},
	} {
		passes = 0
		cuts, err := kernel.Select(t.Context(), kernel.CPU(), []kernel.Source{counted(two, times, &passes)}, []int64{c.k}, false)
		must(t, err)
		if cuts[0][0] != c.want {
			t.Errorf("rank %d: %+v, want %+v", c.k, cuts[0][0], c.want)
		}
		if passes < 4 { // two for nothing, two of radix
			t.Errorf("rank %d: %d passes", c.k, passes)
		}
	}
}

// TestSelectLies: a source that delivers less than it said, or fails later.
func TestSelectLies(t *testing.T) {
	t.Parallel()
	short := blocks([]float32{1, 2, 3}, 2)
	short.N = 9
	if _, err := kernel.Select(t.Context(), kernel.CPU(), []kernel.Source{short}, []int64{8}, false); err == nil {
		t.Error("3 elements of 9 were enough to prune 8")
	}
	lost := errors.New("lost")
	passes := 0
	fails := kernel.Source{N: 1 << 23, Blocks: func(_ context.Context, visit func(int64, []float32) error) error {
		if passes++; passes > 2 {
			return lost
		}
		key := make([]float32, 1<<16)
		for i := range key {
			key[i] = float32(i % 2)
		}
		for i := range int64(1 << 7) {
			if err := visit(i<<16, key); err != nil {
				return err
			}
		}
		return nil
	}}
	if _, err := kernel.Select(t.Context(), kernel.CPU(), []kernel.Source{fails}, []int64{1 << 22}, false); !errors.Is(err, lost) {
		t.Errorf("a source that is lost in the third pass: %v", err)
	}
}

package merge

import (
	"sync"
	"testing"
	"testing/synctest"

	"mergebot/merge/checkpoint"
)

// Measuring stays within aheadBytes of what is written, but for one tensor that
// is larger than that alone.
func TestMeasuredAheadIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tensor := func(n int64) checkpoint.Output {
			return checkpoint.Output{DType: checkpoint.U8, Shape: []int64{n}}
		}
		a := &ahead{}
		a.cond = sync.NewCond(&a.mu)
		var begun []int64
		sizes := []int64{aheadBytes / 2, aheadBytes / 2, 1, 3 * aheadBytes, 7}
		a.all.Go(func() {
			for _, n := range sizes {
				if !a.begin(n) {
					return
				}
				begun = append(begun, n)
			}
		})
		expect := func(n int) {
			t.Helper()
			synctest.Wait()
			if len(begun) != n {
				t.Fatalf("%d tensors begun, want %d", len(begun), n)
			}
		}
		expect(2)
		a.written(tensor(sizes[0]))
		expect(3)
		a.written(tensor(sizes[1]))
		expect(3) // the large one waits until nothing else is ahead
		a.written(tensor(sizes[2]))
		expect(4)
		a.stop()
		a.wait()
		if len(begun) != 4 {
			t.Errorf("%d tensors begun after the end", len(begun))
		}
	})
}

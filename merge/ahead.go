package merge

import (
	"context"
	"sync"

	"mergebot/merge/checkpoint"
)

// aheadBytes is how much of the result is measured before it is written: enough
// to keep the cores busy while the disk is, little enough that the system still
// has the models' tensors in its cache when they are merged.
const aheadBytes = 1 << 30

// ahead measures tensors in the order in which they are written. What fails
// there fails again, and is reported, where the tensor is written.
type ahead struct {
	mu   sync.Mutex
	cond *sync.Cond
	gap  int64 // bytes begun and not yet written
	over bool
	all  sync.WaitGroup
}

func (m *Merger) measureAhead(ctx context.Context, tensors []checkpoint.Output) *ahead {
	a := &ahead{}
	a.cond = sync.NewCond(&a.mu)
	next := make(chan checkpoint.Output)
	a.all.Go(func() {
		defer close(next)
		for _, o := range tensors {
			if !a.begin(o.Size()) {
				return
			}
			next <- o
		}
	})
	for range max(1, m.dev.Lanes()) {
		a.all.Go(func() {
			for o := range next {
				if t := m.at(o.Name); t.float && ctx.Err() == nil {
					m.prefetch(t)
					if in, err := m.planOf(t); err == nil {
						_, _ = in.plan.Tensor(ctx, t.name)
					}
				}
			}
		})
	}
	context.AfterFunc(ctx, a.stop)
	return a
}

// begin waits until so many bytes may be measured; false when nobody wants them
// any more. One tensor always may, however large it is.
func (a *ahead) begin(n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.over && a.gap > 0 && a.gap+n > aheadBytes {
		a.cond.Wait()
	}
	a.gap += n
	return !a.over
}

func (a *ahead) written(o checkpoint.Output) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gap -= o.Size()
	a.cond.Broadcast()
}

func (a *ahead) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	a.cond.Broadcast()
}

// wait returns when no goroutine is left; the context must have ended, or all be
// written.
func (a *ahead) wait() { a.all.Wait() }

package gitrepo

import (
	"context"
	"fmt"
	"sync"
)

// flights lets callers that come at once share one fetch. A caller never shares one that began before it came, so what
// it is told is never older than its question.
type flights struct {
	fetch func(context.Context) error

	turn sync.Mutex // held by the fetch that runs

	mu   sync.Mutex
	next *flight // waits for its turn and may still be joined
}

type flight struct {
	done    chan struct{}
	err     error
	waiting int
	cancel  context.CancelFunc
}

// refresh joins the next fetch, or makes it, and waits for it. A fetch goes on while anybody waits for it.
func (fs *flights) refresh(ctx context.Context) error {
	fs.mu.Lock()
	f := fs.next
	if f == nil {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchLimit)
		f = &flight{done: make(chan struct{}), cancel: cancel}
		fs.next = f
		go fs.fly(own, f)
	}
	f.waiting++
	fs.mu.Unlock()

	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.waiting--; f.waiting == 0 {
		f.cancel()
		if fs.next == f {
			fs.next = nil
		}
	}
	return fmt.Errorf("fetching: %w", context.Cause(ctx))
}

func (fs *flights) fly(ctx context.Context, f *flight) {
	defer f.cancel()
	fs.turn.Lock()
	defer fs.turn.Unlock()
	fs.mu.Lock()
	if fs.next == f {
		fs.next = nil
	}
	fs.mu.Unlock()
	if f.err = ctx.Err(); f.err == nil {
		f.err = fs.fetch(ctx)
	}
	close(f.done)
}

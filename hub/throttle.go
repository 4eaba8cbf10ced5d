package hub

import (
	"context"
	"sync"
	"time"
)

// throttle spreads bytes over time: together, those who share it move rate bytes a second.
type throttle struct {
	rate int64 // bytes per second; 0 = as fast as it goes

	mu   sync.Mutex
	free time.Time // when all that was asked for will have been moved
}

// take waits until n more bytes may be moved.
func (t *throttle) take(ctx context.Context, n int) error {
	if t.rate <= 0 || n <= 0 {
		return nil
	}
	t.mu.Lock()
	now := time.Now()
	if t.free.Before(now) {
		t.free = now
	}
	wait := t.free.Sub(now)
	t.free = t.free.Add(time.Duration(float64(n) / float64(t.rate) * float64(time.Second)))
	t.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	return sleep(ctx, wait)
}

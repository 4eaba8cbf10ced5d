package bot

import (
	"context"
	"sync"
	"time"
)

// queue holds what is to be looked at, by key. A key that is added many times is worked on once; one that is added
// while it is worked on is worked on again afterwards, never at the same time.
type queue struct {
	mu      sync.Mutex
	ready   []string
	waiting map[string]*later // keys that are added later
	queued  map[string]bool
	working map[string]bool
	failed  map[string]int // times in a row
	wake    chan struct{}
}

func newQueue() *queue {
	return &queue{waiting: map[string]*later{}, queued: map[string]bool{}, working: map[string]bool{}, failed: map[string]int{}, wake: make(chan struct{}, 1)}
}

// add puts a key in line.
func (q *queue) add(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.push(key)
}

func (q *queue) push(key string) {
	if l := q.waiting[key]; l != nil {
		l.timer.Stop()
		delete(q.waiting, key)
	}
	if q.queued[key] {
		return
	}
	q.queued[key] = true
	if !q.working[key] {
		q.ready = append(q.ready, key)
		q.signal()
	}
}

// later is when a key is added.
type later struct {
	at    time.Time
	timer *time.Timer
}

// after adds a key once d has passed, unless it is in line, or will be sooner, anyway.
func (q *queue) after(key string, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := time.Now().Add(d)
	if old := q.waiting[key]; q.queued[key] || old != nil && !at.Before(old.at) {
		return
	} else if old != nil {
		old.timer.Stop()
	}
	l := &later{at: at}
	q.waiting[key] = l
	l.timer = time.AfterFunc(d, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.waiting[key] == l {
			delete(q.waiting, key)
			q.push(key)
		}
	})
}

// stop forgets what was to be added later.
func (q *queue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range q.waiting {
		l.timer.Stop()
	}
	clear(q.waiting)
}

// next waits for a key; false when the context is done.
func (q *queue) next(ctx context.Context) (string, bool) {
	for {
		if ctx.Err() != nil {
			return "", false
		}
		q.mu.Lock()
		if len(q.ready) > 0 {
			key := q.ready[0]
			q.ready = q.ready[1:]
			delete(q.queued, key)
			q.working[key] = true
			if len(q.ready) > 0 {
				q.signal()
			}
			q.mu.Unlock()
			return key, true
		}
		q.mu.Unlock()
		select {
		case <-ctx.Done():
			return "", false
		case <-q.wake:
		}
	}
}

// done says that the work on a key has ended, and returns how often in a row it has failed.
func (q *queue) done(key string, err error) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.working, key)
	if q.queued[key] {
		q.ready = append(q.ready, key)
		q.signal()
	}
	if err == nil {
		delete(q.failed, key)
		return 0
	}
	q.failed[key]++
	return q.failed[key]
}

// length is how many keys are in line.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queued)
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

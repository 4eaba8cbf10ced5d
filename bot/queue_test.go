package bot

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// Many adds of one key are one piece of work; one that comes during the work is another, afterwards.
func TestQueueCoalesces(t *testing.T) {
	t.Parallel()
	q := newQueue()
	for range 100 {
		q.add("a")
	}
	q.add("b")
	if key, _ := q.next(t.Context()); key != "a" {
		t.Fatalf("got %s", key)
	}
	q.add("a")
	q.add("a")
	if key, _ := q.next(t.Context()); key != "b" { // not a, which is worked on
		t.Fatalf("got %s", key)
	}
	q.done("b", nil)
	if n := q.length(); n != 1 {
		t.Errorf("%d keys wait, want 1", n)
	}
	if n := q.done("a", errors.New("failed")); n != 1 {
		t.Errorf("failed %d times", n)
	}
	if key, _ := q.next(t.Context()); key != "a" {
		t.Fatalf("got %s", key)
	}
	if n := q.done("a", errors.New("failed")); n != 2 {
		t.Errorf("failed %d times in a row", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := q.next(ctx); ok {
		t.Error("there is nothing left to do")
	}
}

func TestQueueAfter(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.after("a", time.Hour)
	q.add("a") // no: now
	if key, _ := q.next(t.Context()); key != "a" {
		t.Fatalf("got %s", key)
	}
	q.done("a", nil)
	q.after("a", time.Hour)
	q.after("a", time.Millisecond) // sooner
	q.after("a", time.Hour)
	if key, _ := q.next(t.Context()); key != "a" {
		t.Fatalf("got %s", key)
	}
	q.done("a", nil)
	q.after("b", time.Millisecond)
	if key, _ := q.next(t.Context()); key != "b" {
		t.Fatalf("got %s", key)
	}
}

// No key is ever worked on twice at once, and none that was added is forgotten.
func TestQueueUnderLoad(t *testing.T) {
	t.Parallel()
	q, keys := newQueue(), []string{"a", "b", "c"}
	var mu sync.Mutex
	working, seen, added := map[string]bool{}, map[string]int{}, map[string]int{}
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for {
				key, ok := q.next(ctx)
				if !ok {
					return
				}
				mu.Lock()
				if working[key] {
					t.Errorf("%s is worked on twice at once", key)
				}
				working[key], seen[key] = true, added[key]
				mu.Unlock()
				mu.Lock()
				working[key] = false
				mu.Unlock()
				q.done(key, nil)
			}
		})
	}
	var adders sync.WaitGroup
	for range 4 {
		adders.Go(func() {
			for i := range 500 {
				key := keys[i%len(keys)]
				mu.Lock()
				added[key]++
				mu.Unlock()
				q.add(key)
			}
		})
	}
	adders.Wait()
	for {
		mu.Lock()
		all := true
		for _, key := range keys {
			all = all && seen[key] == added[key]
		}
		mu.Unlock()
		if all {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	workers.Wait()
}

// Package lease gives out rights that one owner has at a time: to be the daemon of a storage, to publish to a repo, to
// use a GPU. Leases lie in the storage that their users share; there is no server.
//
// Every change of hands makes a blob bot/leases/<name>/<token>.json that must not exist yet, so tokens only grow and no
// two owners get the same one; the highest token holds the lease. Whoever held it before finds that out by [Lease.Check]
// (fencing), which is to be asked right before what must not be done twice.
//
// A lease with a TTL is also lost by the clock. Its holder stops when the TTL since its last renewal has passed, by its
// own clock; others take it a third of the TTL later, by theirs. So the clocks of two hosts may differ by a third of the
// TTL (10 s of 30 s) before two could think at once that they hold it, and even then only until the next Check.
package lease

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"mergebot/bot/run"
)

// ErrLost is returned to a holder that is none any more: another took the lease, it was broken, or its time ran out.
var ErrLost = errors.New("the lease is lost")

// Options of [Acquire].
type Options struct {
	// Owner in words: a host and a process, or a change ("#12"). The same owner takes a lease over from itself: two
	// processes must not call themselves the same.
	Owner string
	// TTL is how long the lease holds after it was acquired or renewed; 0: until it is released or broken.
	TTL time.Duration
	// Keep renews in the background, every third of the TTL, until the lease is released or lost. It says, too, that the
	// lease lives with this process: found dead on the same host, its lease is free at once. Without it, it outlives it.
	Keep bool

	now func() time.Time // of tests
}

// Lease is a right that was acquired. Its methods may be called at once.
type Lease struct {
	store   store
	name    string
	token   int64
	options Options
	lost    chan struct{}
	stop    chan struct{} // closed by Release

	turn   sync.Mutex // of those that write; record is theirs
	record record

	mu    sync.Mutex // never held while the storage is asked: a lease ends in time even when that hangs
	until time.Time  // with the monotonic clock where there is one; zero: no end
	timer *time.Timer
	ended error // why it is not held any more
}

// Acquire takes a lease, or says by a *[Held] who has it.
func Acquire(ctx context.Context, s *run.Storage, name string, o Options) (*Lease, error) {
	return acquire(ctx, s, name, o)
}

func acquire(ctx context.Context, s store, name string, o Options) (*Lease, error) {
	switch {
	case name == "" || o.Owner == "":
		return nil, fmt.Errorf("lease %q of owner %q: a lease needs a name and an owner", name, o.Owner)
	case o.TTL < 0, o.Keep && o.TTL == 0:
		return nil, fmt.Errorf("lease %s: a TTL of %v cannot be kept; give one such as 30s", name, o.TTL)
	}
	if o.now == nil {
		o.now = time.Now
	}
	for range attempts {
		last, err := newest(ctx, s, name)
		if err != nil {
			return nil, err
		}
		if last.record.Owner != o.Owner {
			if held := last.held(o.now()); held != nil {
				return nil, held
			}
		}
		l := &Lease{store: s, name: name, token: last.token + 1, options: o, lost: make(chan struct{}), stop: make(chan struct{})}
		ok, err := l.begin(ctx)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue // another was quicker
		}
		clean(ctx, s, name, l.token)
		if o.Keep {
			go l.keep(context.WithoutCancel(ctx))
		}
		return l, nil
	}
	return nil, busy(name)
}

// begin writes the lease's blob and makes sure that it is the newest: a slow process may have come to a token that
// others had, gave back and cleaned away long ago.
func (l *Lease) begin(ctx context.Context) (bool, error) {
	host, _ := os.Hostname()
	l.record = record{Owner: l.options.Owner, Host: host, PID: os.Getpid(), TTL: l.options.TTL.Seconds()}
	if l.options.Keep {
		l.record.Process = self()
	}
	now := l.options.now()
	l.record.Until = l.end(now).UTC()
	ok, err := l.store.Create(ctx, l.key(), l.record)
	if !ok || err != nil {
		return false, err
	}
	last, err := newest(ctx, l.store, l.name)
	if err != nil {
		l.record.Released = true // nobody has it
		_ = l.store.Put(context.WithoutCancel(ctx), l.key(), l.record)
		return false, err
	}
	if last.token != l.token {
		return false, nil
	}
	l.extend(now)
	return true, nil
}

func (l *Lease) key() string { return key(l.name, l.token) }

// end is when a lease ends that was renewed at a time; zero: never. It is reckoned from before the write that says so.
func (l *Lease) end(from time.Time) time.Time {
	if l.options.TTL == 0 {
		return time.Time{}
	}
	return from.Add(l.options.TTL)
}

// extend takes note of a renewal, and makes a lease that is kept end by itself.
func (l *Lease) extend(from time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = l.end(from)
	if !l.options.Keep || l.ended != nil {
		return
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer = time.AfterFunc(l.until.Sub(l.options.now()), func() { _ = l.expired() })
}

// Token grows with every change of hands.
func (l *Lease) Token() int64 { return l.token }

// Lost is closed when the lease is found to be lost; that is sure to happen in time only with Keep. Release does not
// close it.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Check says whether the lease is still held: ErrLost if not, another error when the storage does not tell.
func (l *Lease) Check(ctx context.Context) error {
	if err := l.expired(); err != nil {
		return err
	}
	last, err := newest(ctx, l.store, l.name)
	switch {
	case err != nil:
		return err
	case last.token > l.token && last.record.Owner == "":
		return l.lose("it was broken")
	case last.token > l.token:
		return l.lose(last.record.Owner + " took it")
	case last.token < l.token: // a folder that cannot be read looks empty
		return fmt.Errorf("%w: lease %s: its file %s is not there; is the folder still mounted?", run.ErrStorage, l.name, l.key())
	}
	return l.expired() // reading may have taken long
}

// expired says why the lease has ended, if it has: by the clock that ticks or by the one that others see, too.
func (l *Lease) expired() error {
	l.mu.Lock()
	ended, until := l.ended, l.until
	l.mu.Unlock()
	now := l.options.now()
	if ended != nil || until.IsZero() || now.Before(until) && now.Round(0).Before(until.Round(0)) {
		return ended
	}
	return l.lose(fmt.Sprintf("it was not renewed within %v", l.options.TTL))
}

func (l *Lease) lose(why string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil {
		l.ended = fmt.Errorf("lease %s: %w: %s", l.name, ErrLost, why)
		close(l.lost)
	}
	return l.ended
}

// Renew makes the lease hold for its TTL from now.
func (l *Lease) Renew(ctx context.Context) error {
	l.turn.Lock()
	defer l.turn.Unlock()
	if err := l.Check(ctx); err != nil {
		return err
	}
	now := l.options.now()
	l.record.Until = l.end(now).UTC()
	if err := l.store.Put(ctx, l.key(), l.record); err != nil {
		return err
	}
	// While it was written, somebody with another clock may have taken the lease.
	if err := l.Check(ctx); err != nil {
		return err
	}
	l.extend(now)
	return nil
}

// Release gives the lease back. One that is lost or released already is no error.
func (l *Lease) Release(ctx context.Context) error {
	l.turn.Lock()
	defer l.turn.Unlock()
	if err := l.Check(ctx); err != nil {
		if errors.Is(err, ErrLost) {
			return nil
		}
		return err
	}
	released := l.record
	released.Released = true
	if err := l.store.Put(ctx, l.key(), released); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil {
		l.ended = fmt.Errorf("lease %s: %w: it was released", l.name, ErrLost)
	}
	close(l.stop)
	if l.timer != nil {
		l.timer.Stop()
	}
	return nil
}

// keep renews until the lease is released or lost. A storage that fails is tried again until the TTL ends.
func (l *Lease) keep(ctx context.Context) {
	wait := l.options.TTL / 3
	for {
		select {
		case <-l.stop:
			return
		case <-l.lost:
			return
		case <-time.After(wait):
		}
		wait = l.options.TTL / 3
		if err := l.Renew(ctx); err != nil {
			wait = l.options.TTL / 15
		}
	}
}

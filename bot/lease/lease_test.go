package lease

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"mergebot/bot/run"
)

func storage(t *testing.T) *run.Storage {
	t.Helper()
	s, err := run.OpenStorage(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// clock is a host's clock.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock(skew time.Duration) *clock {
	return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(skew)}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func get(t *testing.T, s store, name string, o Options) *Lease {
	t.Helper()
	l, err := acquire(t.Context(), s, name, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestOneHolder(t *testing.T) {
	t.Parallel()
	s, ctx := storage(t), t.Context()
	a := get(t, s, "repo acme/model", Options{Owner: "#12"})
	_, err := Acquire(ctx, s, "repo acme/model", Options{Owner: "#13"})
	var held *Held
	if !errors.As(err, &held) || held.Owner != "#12" || held.Name != "repo acme/model" || !held.Until.IsZero() {
		t.Fatalf("a second owner: %v", err)
	}
	if want := "lease repo acme/model is held by #12 until it is released"; err.Error() != want {
		t.Errorf("said %q, want %q", err, want)
	}
	if h, err := Peek(ctx, s, "repo acme/model"); err != nil || h == nil || h.Owner != "#12" {
		t.Errorf("peek: %v, %v", h, err)
	}
	if h, err := Peek(ctx, s, "repo acme/Model"); err != nil || h != nil {
		t.Errorf("peek at another: %v, %v", h, err)
	}

	again := get(t, s, "repo acme/model", Options{Owner: "#12"})
	if again.Token() != a.Token()+1 {
		t.Errorf("taken over with token %d after %d", again.Token(), a.Token())
	}
	if err := a.Check(ctx); !errors.Is(err, ErrLost) {
		t.Errorf("the old holder's check: %v", err)
	}
	select {
	case <-a.Lost():
	default:
		t.Error("Lost is open after a check that failed")
	}
	if err := errors.Join(a.Release(ctx), again.Check(ctx)); err != nil {
		t.Errorf("an old holder's release: %v", err)
	}

	if err := errors.Join(again.Release(ctx), again.Release(ctx)); err != nil {
		t.Errorf("release twice: %v", err)
	}
	if err := again.Check(ctx); !errors.Is(err, ErrLost) {
		t.Errorf("check after release: %v", err)
	}
	if err := again.Renew(ctx); !errors.Is(err, ErrLost) {
		t.Errorf("renew after release: %v", err)
	}
	select {
	case <-again.Lost():
		t.Error("a release is no loss")
	default:
	}
	if next := get(t, s, "repo acme/model", Options{Owner: "#13"}); next.Token() != 3 {
		t.Errorf("token %d, want 3", next.Token())
	}
}

func TestBreak(t *testing.T) {
	t.Parallel()
	s, ctx := storage(t), t.Context()
	if err := Break(ctx, s, "gpu"); err != nil {
		t.Fatal(err)
	}
	l := get(t, s, "gpu", Options{Owner: "a"})
	if err := Break(ctx, s, "gpu"); err != nil {
		t.Fatal(err)
	}
	if h, err := Peek(ctx, s, "gpu"); err != nil || h != nil {
		t.Errorf("after break: %v, %v", h, err)
	}
	if err := l.Renew(ctx); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "broken") {
		t.Errorf("the holder: %v", err)
	}
	if l := get(t, s, "gpu", Options{Owner: "b"}); l.Token() != 3 {
		t.Errorf("token %d, want 3", l.Token())
	}
}

// TestClocks: a holder stops at its TTL by its own clock; another host, whose clock may go a third of the TTL ahead,
// takes the lease only after that.
func TestClocks(t *testing.T) {
	t.Parallel()
	const ttl = 30 * time.Second
	for _, skew := range []time.Duration{-time.Hour, -ttl / 3, 0, ttl/3 - time.Second} {
		s, ctx := storage(t), t.Context()
		here, there := newClock(0), newClock(skew)
		l := get(t, s, "daemon", Options{Owner: "here", TTL: ttl, now: here.now})
		for range 300 {
			free := true
			var held *Held
			if other, err := acquire(ctx, s, "daemon", Options{Owner: "there", TTL: ttl, now: there.now}); errors.As(err, &held) {
				free = false
			} else if err != nil {
				t.Fatal(err)
			} else if err := other.Check(ctx); err != nil {
				t.Fatal(err)
			}
			if free {
				if now := here.now(); now.Before(newClock(ttl).t) {
					t.Errorf("skew %v: taken %v before its end", skew, newClock(ttl).t.Sub(now))
				}
				break
			}
			here.add(time.Second)
			there.add(time.Second)
		}
		if err := l.Check(ctx); !errors.Is(err, ErrLost) {
			t.Errorf("skew %v: the old holder's check: %v", skew, err)
		}
		if err := l.Renew(ctx); !errors.Is(err, ErrLost) {
			t.Errorf("skew %v: renewed after its end: %v", skew, err)
		}
	}
}

func TestRenew(t *testing.T) {
	t.Parallel()
	s, ctx, c := storage(t), t.Context(), newClock(0)
	l := get(t, s, "x", Options{Owner: "a", TTL: 30 * time.Second, now: c.now})
	for range 5 {
		c.add(20 * time.Second)
		if err := l.Renew(ctx); err != nil {
			t.Fatal(err)
		}
	}
	_, err := acquire(ctx, s, "x", Options{Owner: "b", now: c.now})
	var held *Held
	if !errors.As(err, &held) || !held.Until.Equal(c.now().Add(40*time.Second)) {
		t.Errorf("after renewals: %v", err)
	}
	if want := "lease x is held by a; unless renewed it is free at 2026-03-01T12:02:20Z"; err.Error() != want {
		t.Errorf("said %q, want %q", err, want)
	}
	c.add(31 * time.Second)
	if err := l.Check(ctx); !errors.Is(err, ErrLost) {
		t.Errorf("after its end: %v", err)
	}
}

func TestTokensGrowAndOldOnesGo(t *testing.T) {
	t.Parallel()
	s, ctx := storage(t), t.Context()
	for i := range int64(20) {
		l := get(t, s, "x", Options{Owner: "a"})
		if l.Token() != i+1 {
			t.Fatalf("token %d, want %d", l.Token(), i+1)
		}
		if i%2 == 0 {
			if err := l.Release(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	names, err := s.Children(ctx, "bot/leases/x/")
	if err != nil || fmt.Sprint(names) != "[000000000019.json 000000000020.json]" {
		t.Errorf("left %v, %v", names, err)
	}
}

// TestSlowProcess comes with a token that others had and cleaned away.
func TestSlowProcess(t *testing.T) {
	t.Parallel()
	s, ctx := storage(t), t.Context()
	if err := get(t, s, "x", Options{Owner: "a"}).Release(ctx); err != nil {
		t.Fatal(err)
	}
	slow := &faulty{store: s}
	slow.create = func() { // after the slow process has seen token 1
		slow.create = nil
		for range 3 {
			get(t, s, "x", Options{Owner: "b"})
		}
	}
	_, err := acquire(ctx, slow, "x", Options{Owner: "slow"})
	var held *Held
	if !errors.As(err, &held) || held.Owner != "b" {
		t.Errorf("got %v", err)
	}
}

func TestTornByAPowerCut(t *testing.T) {
	t.Parallel()
	s := storage(t)
	if err := s.WriteBytes(t.Context(), key("x", 7), nil); err != nil {
		t.Fatal(err)
	}
	if l := get(t, s, "x", Options{Owner: "a"}); l.Token() != 8 {
		t.Errorf("token %d, want 8", l.Token())
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	s := storage(t)
	for _, o := range []Options{{}, {Owner: "a", TTL: -1}, {Owner: "a", Keep: true}} {
		if l, err := Acquire(t.Context(), s, "x", o); err == nil {
			t.Errorf("%+v: got %v", o, l)
		}
	}
	if _, err := Acquire(t.Context(), s, "", Options{Owner: "a"}); err == nil {
		t.Error("no name: accepted")
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := storage(t)
	long := strings.Repeat("ä", 200)
	names := []string{"a/b", "a%2Fb", "a b", "..", "a..", ".", "a_b", "a__0x2f__b", "__0x2f__", "\x00", "\\", "x.attrs", long, long + "b", "fileblob1", ".mergebot-tmp-1"}
	for _, name := range names {
		if l := get(t, s, name, Options{Owner: "a"}); l.Token() != 1 {
			t.Errorf("%q shares a folder with another", name)
		}
	}
	for _, name := range names {
		if h, err := Peek(t.Context(), s, name); err != nil || h == nil {
			t.Errorf("%q: %v, %v", name, h, err)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("a/b", "a%2Fb")
	f.Add("..", ".")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := escape(a), escape(b)
		if (a == b) != (x == y) {
			t.Errorf("%q and %q give %q and %q", a, b, x, y)
		}
		if len(x) > 200 || strings.ContainsAny(x, "/\\._:\x00") {
			t.Errorf("%q gives %q, no safe name", a, x)
		}
	})
}

// faulty is a storage that fails when it is told to.
type faulty struct {
	store
	mu     sync.Mutex
	fail   error
	puts   chan struct{} // one for each try to write
	hang   chan struct{} // writes wait for it
	create func()
}

func (f *faulty) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func (f *faulty) Put(ctx context.Context, key string, v any) error {
	f.mu.Lock()
	err, hang := f.fail, f.hang
	f.mu.Unlock()
	if f.puts != nil {
		select {
		case f.puts <- struct{}{}:
		default:
		}
	}
	if hang != nil {
		<-hang
	}
	if err != nil {
		return err
	}
	return f.store.Put(ctx, key, v)
}

func (f *faulty) Create(ctx context.Context, key string, v any) (bool, error) {
	if f.create != nil {
		f.create()
	}
	return f.store.Create(ctx, key, v)
}

// TestKeep: renewed in the background beyond its TTL, through errors of the storage that pass, until it is released.
func TestKeep(t *testing.T) {
	t.Parallel()
	s := &faulty{store: storage(t), puts: make(chan struct{}, 1)}
	s.set(errors.New("no space left"))
	ctx, cancel := context.WithCancel(t.Context())
	l, err := acquire(ctx, s, "daemon", Options{Owner: "a", TTL: time.Minute, Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	cancel() // a context that ends does not end the lease
	if err := l.Release(t.Context()); err == nil {
		t.Error("released without a storage")
	}
	s.set(nil)
	if err := errors.Join(l.Renew(t.Context()), l.Check(t.Context()), l.Release(t.Context())); err != nil {
		t.Error(err)
	}

	for range 20 { // again where this machine stood still so long that the lease was lost
		l = get(t, s, "short", Options{Owner: "a", TTL: 900 * time.Millisecond, Keep: true})
		put := func() {
			select {
			case <-s.puts:
			case <-l.Lost():
			}
		}
		s.set(errors.New("no space left"))
		for range 3 { // tried again
			put()
		}
		s.set(nil)
		for range 4 { // beyond its TTL
			put()
		}
		err := l.Check(t.Context())
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			return
		}
		if !errors.Is(err, ErrLost) {
			t.Fatal(err)
		}
	}
	t.Error("a storage that failed for a moment lost the lease every time")
}

// TestKeepLoses: errors that do not pass, and a write that hangs, end a lease when its TTL ends.
func TestKeepLoses(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*faulty{
		"fails": {store: storage(t), fail: errors.New("input/output error")},
		"hangs": {store: storage(t), hang: make(chan struct{})},
	} {
		l := get(t, s, "daemon", Options{Owner: "a", TTL: 300 * time.Millisecond, Keep: true})
		<-l.Lost()
		if err := l.Check(t.Context()); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "not renewed within 300ms") {
			t.Errorf("%s: %v", name, err)
		}
		if s.hang != nil {
			close(s.hang)
		}
	}
}

func TestUnreadableFolder(t *testing.T) {
	t.Parallel()
	s, ctx := storage(t), t.Context()
	l := get(t, s, "x", Options{Owner: "a", TTL: time.Hour})
	dir := strings.TrimPrefix(s.URL(), "file://") + "/bot/leases"
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := l.Renew(ctx); err == nil || errors.Is(err, ErrLost) || !errors.Is(err, run.ErrStorage) {
		t.Errorf("without its folder: %v", err)
	}
	if err := os.Rename(dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	if err := l.Renew(ctx); err != nil {
		t.Errorf("its folder is back: %v", err)
	}
}

package hub

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// fetch brings one file's blob into the cache. Several ranges come at once, and the hash follows on the bytes as they
// lie on disk; the blob gets its name only when the hash is right. What an earlier attempt left is hashed with the
// rest and not fetched again. Only the lock's holder touches <etag>.part; where locks do not work, a file of its own
// is used and nothing is continued.
func (c *Client) fetch(ctx context.Context, r Repo, sha string, file File, m *meter) error {
	place := c.folder(r)
	held, err := c.takeLock(ctx, place.lock(file.etag()))
	if err != nil {
		return err
	}
	defer held.release()
	if place.has(file) {
		m.set(file.Size) // another process was faster
		return nil
	}
	name := place.part(file)
	if !held.sound {
		name = place.blob(file.etag()) + "." + randomHex() + ".part"
	}
	part, err := openPartial(name, file.Size)
	if err != nil {
		return fmt.Errorf("hub: download %s: %w", file.Path, noSpace(err))
	}
	defer part.close()
	if !held.sound {
		defer part.remove()
	}
	d := &download{client: c, repo: r, sha: sha, file: file, part: part, meter: m, busy: map[*piece]bool{}}
	m.set(part.total())
	for {
		err := d.run(ctx)
		switch {
		case err == nil:
			if err := part.install(place.blob(file.etag())); err != nil {
				return fmt.Errorf("hub: store %s in the cache: %w", file.Path, noSpace(err))
			}
			m.set(file.Size)
			return nil
		case errors.Is(err, errNoRanges):
			d.whole = true
			err = d.restart()
		case errors.Is(err, ErrIntegrity):
			err = d.mend(err)
		}
		if err != nil {
			return err // what came stays for the next time
		}
	}
}

// mend makes ready for another try after wrong bytes: once for what the disk has spoilt, if it has, and once for what
// came over the network.
func (d *download) mend(wrong error) error {
	if !d.mended {
		d.mended = true
		repaired, err := d.part.repair()
		if err != nil {
			return fmt.Errorf("hub: download %s: %w", d.file.Path, noSpace(err))
		}
		if repaired {
			d.meter.set(d.part.total())
			return nil
		}
	}
	if d.refetched {
		return errors.Join(wrong, d.part.remove())
	}
	d.refetched = true
	return d.restart()
}

// part is where an unfinished download lies.
func (f folder) part(file File) string { return f.blob(file.etag()) + ".part" }

// download is one file on its way.
type download struct {
	client *Client
	repo   Repo
	sha    string
	file   File
	part   *partial
	meter  *meter
	whole  bool // one request without a range: the hub or a proxy does not know them
	failed int  // such requests that failed

	mended, refetched bool // what was done about wrong bytes

	mu     sync.Mutex
	open   spans           // what nobody fetches yet
	busy   map[*piece]bool // what is being fetched
	idle   func()          // called when nothing is left to do
	direct string          // the storage's signed address, once the hub has given one
	strays int             // answers that were not the range asked for
}

// restart forgets all bytes.
func (d *download) restart() error {
	d.meter.set(0)
	if err := d.part.clear(); err != nil {
		return fmt.Errorf("hub: download %s: %w", d.file.Path, err)
	}
	return nil
}

// wrong makes the error of bytes that are not the file's.
func (d *download) wrong(how string) error {
	return &Error{
		Op: "download", Repo: d.repo, Revision: d.sha, Path: d.file.Path, Err: ErrIntegrity, Message: how,
		Remedy: "try again; if it stays, a proxy or mirror on the way gives other bytes than the hub",
	}
}

// run fetches what is missing and checks the hash of all.
func (d *download) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.fill(ctx) })
	h := newContentHash(d.file)
	group.Go(func() error { return d.follow(ctx, h) })
	if err := group.Wait(); err != nil {
		return err
	}
	if sum(h) != d.file.etag() {
		return d.wrong(fmt.Sprintf("the hash is %s, not %s", sum(h), d.file.etag()))
	}
	return nil
}

// follow hashes the file from its start as its bytes come, read back from where they were written.
func (d *download) follow(ctx context.Context, h hash.Hash) error {
	buf := make([]byte, 1<<18)
	for at := int64(0); at < d.file.Size; {
		if ctx.Err() != nil {
			return fmt.Errorf("hub: download %s: %w", d.file.Path, context.Cause(ctx))
		}
		end := d.part.reach(at)
		if end == at {
			select {
			case <-d.part.grown:
			case <-ctx.Done():
			}
			continue
		}
		n, err := d.part.data.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		h.Write(buf[:n])
		at += int64(n)
		if n == 0 && err != nil {
			if err == io.EOF || errors.Is(err, os.ErrInvalid) {
				return d.wrong("the part on disk is shorter than its log says")
			}
			return d.wrong("the part on disk cannot be read: " + err.Error())
		}
	}
	return nil
}

const (
	minPiece = 4 << 20  // smaller requests cost more than they bring; see Client.minPiece
	maxPiece = 64 << 20 // larger ones leave the hash far behind
	minShare = 64 << 10 // of a piece that is too slow and is shared with another request
	tooSlow  = 2 * time.Second
)

// piece is what one request is to bring. Its fields belong to the download's lock.
type piece struct {
	span    // from moves on as bytes come; to moves back when another request takes the rest
	begun   time.Time
	started int64
}

// fill fetches what is missing, in as many requests at once as the client allows.
func (d *download) fill(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	assign, idle := context.WithCancel(ctx)
	defer idle()
	d.mu.Lock()
	d.open, d.idle, d.strays = d.part.missing(), idle, 0
	clear(d.busy)
	if len(d.open) == 0 {
		idle()
	}
	d.mu.Unlock()
	gate := d.client.gate
	for assign.Err() == nil {
		if gate.enter(assign) != nil {
			break
		}
		p := d.take(gate.allowed())
		if p == nil {
			gate.leave()
			select { // all is given away: look again whether a request has become too slow
			case <-assign.Done():
			case <-time.After(tooSlow / 4):
			}
			continue
		}
		group.Go(func() error {
			defer gate.leave()
			if err := d.bring(ctx, p); err != nil {
				return err
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			delete(d.busy, p)
			if len(d.busy) == 0 && len(d.open) == 0 {
				d.idle()
			}
			return nil
		})
	}
	return group.Wait()
}

// take gives the next piece to be fetched: of what is open, or else half of what a slow request still has to bring.
// Near the end pieces become small, so that all requests end together. Nil means that all is under way.
func (d *download) take(requests int) *piece {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if len(d.open) > 0 {
		g := d.open[0]
		least := d.client.minPiece
		n := min(max(d.open.total()/int64(2*requests), least), maxPiece)
		if d.whole || g.len() < n+least/2 {
			n = g.len()
		}
		if d.open[0].from += n; d.open[0].len() == 0 {
			d.open = d.open[1:]
		}
		return d.begin(span{g.from, g.from + n}, now)
	}
	var slow *piece
	for p := range d.busy {
		if !d.whole && p.len() >= 2*minShare && p.remaining(now) > tooSlow && (slow == nil || p.len() > slow.len()) {
			slow = p
		}
	}
	if slow == nil {
		return nil
	}
	middle := slow.from + slow.len()/2
	rest := span{middle, slow.to}
	slow.to = middle
	return d.begin(rest, now)
}

func (d *download) begin(s span, now time.Time) *piece {
	p := &piece{s, now, s.from}
	d.busy[p] = true
	return p
}

// remaining is how long the piece will still take at its speed until now.
func (p *piece) remaining(now time.Time) time.Duration {
	passed := now.Sub(p.begun)
	if passed < tooSlow {
		return 0 // too early to tell
	}
	got := max(p.from-p.started, 1)
	return time.Duration(float64(passed) * float64(p.len()) / float64(got))
}

// todo is what of a piece is still to come.
func (d *download) todo(p *piece) span {
	d.mu.Lock()
	defer d.mu.Unlock()
	return p.span
}

// bring makes requests until all bytes of the piece are there. It gives up after a number of failures without a byte
// in between.
func (d *download) bring(ctx context.Context, p *piece) error {
	failures := 0
	if d.whole {
		failures = d.failed
	}
	for {
		before := d.todo(p)
		if before.len() <= 0 {
			return nil
		}
		err := d.stream(ctx, p)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return fmt.Errorf("hub: download %s: %w", d.file.Path, context.Cause(ctx))
		}
		if d.todo(p).from > before.from && !d.whole {
			failures = 0
		}
		var e *Error
		switch {
		case !errors.As(err, &e):
			return err
		case e.Err == errExpired:
			continue // the hub is asked for a new address
		case e.Status == http.StatusRequestedRangeNotSatisfiable, e.Err == errRange:
			// The hub's idea of the length or of ranges is another one. Once more, then as a whole; then it is wrong.
			if d.whole {
				return d.wrong(fmt.Sprintf("the hub has no bytes from %d on, of %d", before.from, d.file.Size))
			}
			if d.stray() > 1 {
				return errNoRanges
			}
			continue
		}
		if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
			d.client.gate.refuse(time.Now())
		}
		wait, ok := patience(err, failures)
		if !ok {
			return err
		}
		failures++
		if err := d.client.sleep(ctx, wait); err != nil {
			return fmt.Errorf("hub: download %s: %w", d.file.Path, err)
		}
		if d.whole { // without ranges there is no going on: from the start
			d.failed = failures
			return errNoRanges
		}
	}
}

// stray counts an answer that was not the range asked for.
func (d *download) stray() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.strays++
	return d.strays
}

package gitrepo

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

var (
	errMissing = errors.New("object not found")
	errSize    = errors.New("object too large")
	errDamaged = errors.New("the mirror is damaged")

	// errMalformed is of an object that was stored like this: of a hostile or broken branch, not of the mirror.
	errMalformed = errors.New("malformed")
)

// The most bytes of a commit and of one directory that are read: a directory of 100,000 files has 5 MB.
const (
	maxCommit = 1 << 20
	maxTree   = 32 << 20
)

// objects reads a repository's object files. Everything is bounded before it is inflated.
type objects struct {
	packs []string // whose indexes have been read

	mu  sync.Mutex // the storage is not safe for concurrent use
	sto *filesystem.Storage
}

// openObjects reads the indexes of all packs; packs that come later are seen by a new objects only. Open files are
// closed by the runtime when nobody holds the objects any more.
func openObjects(dir string) (*objects, error) {
	sto := filesystem.NewStorageWithOptions(osfs.New(dir), cache.NewObjectLRU(32*cache.MiByte), filesystem.Options{LargeObjectThreshold: 1 << 20, KeepDescriptors: true})
	packs, err := mirror{dir}.packs()
	if err != nil {
		return nil, fmt.Errorf("mirror: %w", err)
	}
	o := &objects{packs: packs, sto: sto}
	if err := sto.HasEncodedObject(plumbing.ZeroHash); err != nil && !errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return o, nil
}

func (o *objects) has(h plumbing.Hash) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sto.HasEncodedObject(h) == nil
}

// size is that of the content, found without inflating it.
func (o *objects) size(h plumbing.Hash) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.sto.EncodedObjectSize(h)
	if errors.Is(err, plumbing.ErrObjectNotFound) { // it may lie in an alternate
		var e plumbing.EncodedObject
		if e, err = o.sto.EncodedObject(plumbing.AnyObject, h); err == nil {
			n = e.Size()
		}
	}
	return n, o.explain(h, err)
}

// read returns the content of an object of that type, if it has at most limit bytes.
func (o *objects) read(h plumbing.Hash, t plumbing.ObjectType, limit int64) (b []byte, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e, err := o.sto.EncodedObject(t, h)
	if errors.Is(err, plumbing.ErrObjectNotFound) && o.sto.HasEncodedObject(h) == nil {
		// It is of another type, or an index names it and a pack that is cut short does not hold it.
		if _, err := o.sto.EncodedObject(plumbing.AnyObject, h); err != nil {
			return nil, fmt.Errorf("%w: object %s: cut short", errDamaged, h)
		}
	}
	if err != nil {
		return nil, o.explain(h, err)
	}
	if e.Size() > limit {
		return nil, fmt.Errorf("%w: %s %s has %d bytes", errSize, t, h, e.Size())
	}
	r, err := e.Reader()
	if err != nil {
		return nil, o.explain(h, err)
	}
	defer r.Close()
	b, err = io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) != e.Size() {
		err = io.ErrUnexpectedEOF
	}
	return b, o.explain(h, err)
}

func (o *objects) explain(h plumbing.Hash, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, plumbing.ErrObjectNotFound):
		return fmt.Errorf("%w: %s", errMissing, h)
	}
	return fmt.Errorf("%w: object %s: %w", errDamaged, h, err)
}

// commit is what is needed of a commit to walk history.
type commit struct {
	tree    plumbing.Hash
	parents []plumbing.Hash
	time    int64 // of the committer, seconds since 1970
	author  string
	title   string
}

// graph keeps the commits that were read: they never change.
type graph struct{ commits map[plumbing.Hash]*commit }

func (g *graph) commit(o *objects, h plumbing.Hash) (*commit, error) {
	if c, ok := g.commits[h]; ok {
		return c, nil
	}
	c, err := readCommit(o, h)
	if err == nil {
		g.commits[h] = c
	}
	return c, err
}

func readCommit(o *objects, h plumbing.Hash) (*commit, error) {
	b, err := o.read(h, plumbing.CommitObject, maxCommit)
	if err != nil {
		return nil, err
	}
	return parseCommit(b)
}

func parseCommit(b []byte) (*commit, error) {
	raw := new(plumbing.MemoryObject)
	raw.SetType(plumbing.CommitObject)
	if _, err := raw.Write(b); err != nil {
		return nil, err
	}
	var c object.Commit
	if err := c.Decode(raw); err != nil {
		return nil, fmt.Errorf("%w commit: %w", errMalformed, err)
	}
	author := c.Author.Name
	if author == "" {
		author = c.Author.Email
	}
	title, _, _ := cutLine(c.Message)
	return &commit{c.TreeHash, c.ParentHashes, c.Committer.When.Unix(), printable(author, 100), printable(title, 200)}, nil
}

// when is the time as JSON can say it; commits may claim any.
func when(seconds int64) time.Time {
	if seconds < 0 || seconds > 253402300799 { // the end of 9999
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

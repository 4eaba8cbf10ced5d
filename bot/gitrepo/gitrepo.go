// Package gitrepo lets the daemon watch any git remote, or a local bare repository, as a [forge.Forge]: a change is a
// branch that is ahead of the default branch, merging it is the approval, and nobody is there to talk to.
//
// A bare mirror on disk holds the commits, directories and small files of all branches. It is a cache with a memory:
// it also keeps the heads of branches that are gone, so that what became of a change can still be told. Nothing of the
// remote is run or obeyed: no hooks, no configuration, no filters, no submodules; names of branches and files are data.
//
// Files above [forge.MaxFile] are not mirrored. A local repository's are skipped, and a server that supports partial
// clones (uploadpack.allowFilter) leaves them out. From other servers all of history comes over, up to [MaxPack] bytes
// and [MaxObject] bytes an object; beyond that the fetch is refused with a remedy.
package gitrepo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"mergebot/bot/forge"
)

const (
	// MaxPack is the most bytes that one fetch may send.
	MaxPack = 1 << 30
	// MaxObject is the most bytes that an object in a pack may have: they are held in memory while a pack is indexed.
	MaxObject = 128 << 20

	fetchLimit = 30 * time.Minute // of one fetch, from the lock to the last byte
)

// Options of a Repo.
type Options struct {
	URL    string // https, http, ssh or file URL, user@host:path, or the path of a local repository
	Dir    string // of the mirror; several processes may share it
	Branch string // the default branch; "" is the remote's HEAD

	// Username and Password go before what the URL says. With ssh, "" asks the agent for keys.
	Username, Password string

	// Recipes says which files a squashed merge must have brought; nil: those that end in .yaml or .yml.
	Recipes func(path string) bool
}

// Repo is a git remote with its mirror. It is safe for concurrent use.
type Repo struct {
	options Options
	remote  remote
	name    string
	mirror  mirror

	flights flights

	mu      sync.Mutex // guards what follows
	view    *view      // nil before the first fetch
	graph   graph
	remade  time.Time // when the mirror was last found damaged
	suspect bool      // the mirror is to be made again by the next fetch

	stage func(string) // tests stop the process here; nil otherwise
}

var _ forge.Forge = (*Repo)(nil)

// Open prepares the mirror. It does not ask the network; a local repository must be there.
func Open(ctx context.Context, o Options) (*Repo, error) {
	if o.Recipes == nil {
		o.Recipes = func(p string) bool { e := path.Ext(p); return e == ".yaml" || e == ".yml" }
	}
	if o.Dir == "" {
		return nil, errors.New("gitrepo: no folder for the mirror: set serve.work")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("gitrepo: %w", err)
	}
	remote, name, err := newRemote(o)
	if err != nil {
		return nil, err
	}
	r := &Repo{options: o, remote: remote, name: name, mirror: mirror{dir}, graph: graph{commits: map[plumbing.Hash]*commit{}}}
	r.flights.fetch = r.fetch
	release, err := r.mirror.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := r.mirror.prepare(name); err != nil {
		return nil, err
	}
	s, err := r.mirror.read()
	if err != nil || s.main == "" { // damaged, or never filled: the first fetch sees to it
		return r, nil
	}
	if objects, err := openObjects(dir); err == nil {
		if err := r.show(ctx, s, objects); err != nil && ctx.Err() != nil {
			return nil, err
		}
	}
	return r, nil
}

// Repo names the remote, without credentials.
func (r *Repo) Repo() string { return r.name }

// Head fetches what is new and returns the tip of the default branch.
func (r *Repo) Head(ctx context.Context) (forge.Commit, string, error) {
	if err := r.flights.refresh(ctx); err != nil {
		return forge.Commit{}, "", err
	}
	var out forge.Commit
	var main string
	err := r.look(ctx, func(v *view) error {
		c, err := r.graph.commit(v.objects, v.tip)
		if err != nil {
			return err
		}
		out, main = forge.Commit{SHA: v.tip.String(), Time: when(c.time)}, v.main
		return nil
	})
	return out, main, err
}

// Open fetches what is new and lists the branches that are ahead of the default branch, in the order of their names.
func (r *Repo) Open(ctx context.Context) ([]forge.Change, error) {
	if err := r.flights.refresh(ctx); err != nil {
		return nil, err
	}
	var out []forge.Change
	err := r.look(ctx, func(v *view) (err error) { out, err = r.open(ctx, v); return err })
	return out, err
}

// Change tells what became of a branch, by what the last fetch saw: Head and Open fetch, Change does only when nothing
// has been fetched yet.
//
// It is merged when its head is in the default branch's history, or when one of that branch's commits after the merge
// base has the same recipes (a squashed or rebased merge). A branch whose head was moved and merged between two fetches
// is recognised while the branch is there; when it is gone by then, it is reported closed.
func (r *Repo) Change(ctx context.Context, id string) (forge.Change, error) {
	var out forge.Change
	err := r.ask(ctx, func(v *view) (err error) { out, err = r.change(ctx, v, id); return err })
	return out, err
}

// Files lists every file at a commit.
func (r *Repo) Files(ctx context.Context, sha string) ([]forge.File, error) {
	var out []forge.File
	err := r.ask(ctx, func(v *view) error {
		c, err := r.named(v, sha)
		if err != nil {
			return err
		}
		out, err = files(ctx, v.objects, c.tree)
		return wrap(err, "files of "+sha)
	})
	return out, err
}

// Diff lists the files that head has otherwise than its merge base with base; all of them when there is no merge base.
// Of several merge bases it takes the newest, as git does.
func (r *Repo) Diff(ctx context.Context, base, head string) ([]forge.File, error) {
	var out []forge.File
	err := r.ask(ctx, func(v *view) error {
		if _, err := r.named(v, base); err != nil {
			return err
		}
		if _, err := r.named(v, head); err != nil {
			return err
		}
		from, err := r.mergeBase(ctx, v, plumbing.NewHash(base), plumbing.NewHash(head))
		if err == nil {
			out, err = r.changed(ctx, v, from, plumbing.NewHash(head))
		}
		return wrap(err, "difference of "+base+" and "+head)
	})
	return out, err
}

// Read returns a file's content. Those that are not mirrored for their size are both too large and not found: the
// mirror cannot tell which.
func (r *Repo) Read(ctx context.Context, blob string) ([]byte, error) {
	if !isSHA(blob) {
		return nil, fmt.Errorf("%w: blob %q is no object id", forge.ErrNotFound, blob)
	}
	var out []byte
	err := r.ask(ctx, func(v *view) (err error) {
		out, err = v.objects.read(plumbing.NewHash(blob), plumbing.BlobObject, forge.MaxFile)
		switch {
		case errors.Is(err, errMissing):
			return fmt.Errorf("%w: blob %s: there is none, or it is left out of the mirror (%w: above %d bytes)", forge.ErrNotFound, blob, forge.ErrTooLarge, forge.MaxFile)
		case errors.Is(err, errSize):
			return fmt.Errorf("%w: blob %s has more than %d bytes", forge.ErrTooLarge, blob, forge.MaxFile)
		}
		return err
	})
	return out, err
}

// Link is always "": a plain remote has no pages.
func (r *Repo) Link(_, _ string) string { return "" }

// named finds a commit by what a caller wrote.
func (r *Repo) named(v *view, sha string) (*commit, error) {
	if !isSHA(sha) {
		return nil, fmt.Errorf("%w: %q is no commit id", forge.ErrNotFound, sha)
	}
	c, err := r.graph.commit(v.objects, plumbing.NewHash(sha))
	if errors.Is(err, errMissing) {
		return nil, fmt.Errorf("%w: commit %s is in no branch of %s", forge.ErrNotFound, sha, r.name)
	}
	return c, err
}

// ask looks at the last fetch, and fetches first when there is none.
func (r *Repo) ask(ctx context.Context, f func(*view) error) error {
	r.mu.Lock()
	none := r.view == nil
	r.mu.Unlock()
	if none {
		if err := r.flights.refresh(ctx); err != nil {
			return err
		}
	}
	return r.look(ctx, f)
}

// look runs f on the last fetch. When f meets damage, the mirror is opened anew (another process may have packed it
// together), and if that is no cure made again, at most once in ten minutes: a remote may be damaged itself.
func (r *Repo) look(ctx context.Context, f func(*view) error) error {
	once := func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		return f(r.view)
	}
	err := once()
	if !errors.Is(err, errDamaged) {
		return err
	}
	r.mu.Lock()
	if fresh, oerr := openObjects(r.mirror.dir); oerr == nil {
		r.view.objects = fresh
	}
	r.mu.Unlock()
	if err = once(); !errors.Is(err, errDamaged) {
		return err
	}
	r.mu.Lock()
	again := time.Since(r.remade) > 10*time.Minute
	if again {
		r.remade, r.suspect = time.Now(), true
	}
	r.mu.Unlock()
	if !again {
		return err
	}
	if rerr := r.flights.refresh(ctx); rerr != nil {
		return fmt.Errorf("%w; making the mirror again: %w", err, rerr)
	}
	return once()
}

func isSHA(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 40
}

func wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

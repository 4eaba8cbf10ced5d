package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
)

// fetch brings the mirror to where the remote is. Only the list of branches is asked for when none has moved.
func (r *Repo) fetch(ctx context.Context) error {
	release, err := r.mirror.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	old, objects, err := r.load()
	if err != nil {
		return err
	}
	s, err := r.remote.dial(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	heads := s.advert().heads
	main, err := r.mainOf(s.advert())
	if err != nil {
		return err
	}
	r.at("listed")
	if main == old.main && maps.Equal(heads, old.heads) && r.shown(old) {
		return nil
	}

	var wants []plumbing.Hash
	for _, h := range heads {
		if !objects.has(h) {
			wants = append(wants, h)
		}
	}
	if len(wants) > 0 {
		slices.SortFunc(wants, func(a, b plumbing.Hash) int { return slices.Compare(a[:], b[:]) })
		wants = slices.Compact(wants)
		if err := s.fetch(ctx, r.mirror, objects, wants, r.haves(old, objects)); err != nil {
			return err
		}
		r.at("fetched")
		if objects, err = openObjects(r.mirror.dir); err != nil {
			return err
		}
	}
	for branch, h := range heads { // git allows none, but a server may send a tag or a file as a branch
		if _, err := readCommit(objects, h); err != nil && branch != main {
			delete(heads, branch)
		} else if err != nil {
			return fmt.Errorf("%s: branch %s: %w", r.name, branch, incomplete(err))
		}
	}
	now := snapshot{main: main, heads: heads, seen: old.seen}
	if now.main == old.main && maps.Equal(now.heads, old.heads) && r.shown(now) {
		return nil
	}
	return r.advance(ctx, now, objects)
}

// load reads the mirror as the last fetch, of whatever process, left it. What is damaged is made anew.
func (r *Repo) load() (snapshot, *objects, error) {
	if err := r.mirror.prepare(r.name); err != nil {
		return snapshot{}, nil, err
	}
	if err := r.mirror.sweep(); err != nil {
		return snapshot{}, nil, err
	}
	r.mu.Lock()
	suspect := r.suspect
	r.suspect = false
	r.mu.Unlock()
	if !suspect {
		s, err := r.mirror.read()
		if err == nil {
			if o := r.current(s); o != nil {
				return s, o, nil
			}
			var o *objects
			if o, err = openObjects(r.mirror.dir); err == nil {
				if err = whole(o, s); err == nil {
					return s, o, nil
				}
			}
		}
		if !errors.Is(err, errDamaged) {
			return snapshot{}, nil, err
		}
	}
	s, err := r.mirror.empty()
	if err != nil {
		return s, nil, err
	}
	o, err := openObjects(r.mirror.dir)
	return s, o, err
}

// whole says that the tips of branches can be read. The rest is looked at when it is used.
func whole(o *objects, s snapshot) error {
	for branch, h := range s.heads {
		if _, err := readCommit(o, h); err != nil {
			return fmt.Errorf("branch %s: %w", branch, incomplete(err))
		}
	}
	return nil
}

// haves tells the server what is here already: all heads and, since the default branch may have been rewritten, some
// of its earlier commits, sparser the older they are.
func (r *Repo) haves(s snapshot, o *objects) []plumbing.Hash {
	var out []plumbing.Hash
	if s.main != "" {
		out = append(out, s.heads[s.main])
	}
	r.mu.Lock()
	if r.view != nil {
		chain := r.view.history.chain
		for back := 1; back < len(chain); back *= 2 {
			out = append(out, chain[len(chain)-1-back])
		}
	}
	r.mu.Unlock()
	for _, refs := range []map[string]plumbing.Hash{s.heads, s.seen} {
		for _, h := range refs {
			out = append(out, h)
		}
	}
	return slices.DeleteFunc(out, func(h plumbing.Hash) bool { return !o.has(h) })
}

// current returns the objects that are open already, if no other process has moved the mirror on.
func (r *Repo) current(s snapshot) *objects {
	if !r.shown(s) {
		return nil
	}
	packs, err := r.mirror.packs()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || !slices.Equal(packs, r.view.objects.packs) {
		return nil
	}
	return r.view.objects
}

// shown says that the view is of this snapshot already.
func (r *Repo) shown(s snapshot) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.view != nil && r.view.main == s.main && maps.Equal(r.view.heads, s.heads)
}

// advance remembers the heads of branches that are ahead, writes the snapshot, and shows it.
func (r *Repo) advance(ctx context.Context, s snapshot, o *objects) error {
	v, err := r.newView(ctx, s, o)
	if err != nil {
		return err
	}
	v.seen = maps.Clone(s.seen)
	for branch, h := range s.heads {
		if _, merged := v.history.brought[h]; branch != s.main && !merged {
			v.seen[branch] = h
		}
	}
	if err := r.mirror.write(v.snapshot); err != nil {
		return err
	}
	r.at("written")
	r.mu.Lock()
	r.view = v
	r.mu.Unlock()
	packed, err := r.mirror.repack(ctx, o, v.snapshot)
	if err != nil || !packed {
		return err
	}
	r.at("packed")
	if o, err = openObjects(r.mirror.dir); err != nil {
		return err
	}
	r.mu.Lock()
	v.objects = o
	r.mu.Unlock()
	return nil
}

// show makes a snapshot what questions are answered from.
func (r *Repo) show(ctx context.Context, s snapshot, o *objects) error {
	v, err := r.newView(ctx, s, o)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.view = v
	r.mu.Unlock()
	return nil
}

func (r *Repo) at(stage string) {
	if r.stage != nil {
		r.stage(stage)
	}
}

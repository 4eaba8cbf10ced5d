package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"mergebot/bot/forge"
)

// view is what questions are answered from: a snapshot, the objects it needs, and what has been found out about it.
type view struct {
	snapshot
	tip     plumbing.Hash // of the default branch
	objects *objects
	history *history
	forks   map[plumbing.Hash]fork // by head; they stay true while the default branch only grows
	changes []forge.Change         // open ones; nil before they are asked for
}

// fork is where a head left the default branch, and the files that a merge of it would bring.
type fork struct {
	base  plumbing.Hash
	files []forge.File // none where there are too many to compare
}

// maxCompared is the most files by which a squashed merge is recognised.
const maxCompared = 1000

func (r *Repo) newView(ctx context.Context, s snapshot, o *objects) (*view, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := &view{snapshot: s, tip: s.heads[s.main], objects: o, forks: map[plumbing.Hash]fork{}}
	var old *history
	if r.view != nil {
		old = r.view.history
	}
	var err error
	if v.history, err = newHistory(ctx, &r.graph, o, v.tip, old); err != nil {
		return nil, err
	}
	if old != nil && len(v.history.chain) >= len(old.chain) && v.history.chain[len(old.chain)-1] == old.chain[len(old.chain)-1] {
		for head, f := range r.view.forks {
			// A merge that brought some of the commits below a head has moved its base.
			if base, err := r.mergeBase(ctx, v, v.tip, head); err == nil && base == f.base {
				v.forks[head] = f
			}
		}
	}
	return v, nil
}

// open lists the branches that are ahead of the default branch and were not squashed into it.
func (r *Repo) open(ctx context.Context, v *view) ([]forge.Change, error) {
	if v.changes != nil {
		return slices.Clone(v.changes), nil
	}
	out := []forge.Change{}
	for _, branch := range slices.Sorted(maps.Keys(v.heads)) {
		if _, contained := v.history.brought[v.heads[branch]]; branch == v.main || contained {
			continue
		}
		c, err := r.change(ctx, v, branch)
		if err != nil {
			return nil, err
		}
		if c.State == forge.Open {
			out = append(out, c)
		}
	}
	v.changes = out
	return slices.Clone(out), nil
}

func (r *Repo) change(ctx context.Context, v *view, id string) (forge.Change, error) {
	tip, there := v.heads[id]
	head, known := v.seen[id]
	if id == v.main || !there && !known {
		return forge.Change{}, fmt.Errorf("%w: %s has no change %q", forge.ErrNotFound, r.name, printable(id, 100))
	}
	place, contained := v.history.brought[tip]
	// A branch that is contained stands where it was merged, or was moved on to the default branch since: then its last
	// head tells more. One that was moved and merged between two fetches stands where a merge brought it.
	if there && (!contained || !known || v.history.chain[place] != tip) {
		head = tip
	}
	c := forge.Change{ID: id, State: forge.Closed, Head: head.String(), Base: v.tip.String(), Target: v.main}
	merged, err := r.merged(ctx, v, head)
	if err != nil {
		return c, wrap(err, "branch "+id)
	}
	switch {
	case !merged.IsZero():
		c.State, c.MergeCommit = forge.Merged, merged.String()
	case there && !contained:
		c.State = forge.Open
	}
	commit, err := r.graph.commit(v.objects, head)
	if errors.Is(err, errMissing) { // seen once, and lost with an earlier mirror
		return c, nil
	}
	if err != nil {
		return c, wrap(err, "branch "+id)
	}
	c.Title, c.Author, c.Updated = commit.title, commit.author, when(commit.time)
	return c, nil
}

// merged finds the commit of the default branch's chain that brought a head, whole or squashed; the zero hash when
// none did.
func (r *Repo) merged(ctx context.Context, v *view, head plumbing.Hash) (plumbing.Hash, error) {
	h := v.history
	if i, ok := h.brought[head]; ok {
		return h.chain[i], nil
	}
	if !v.objects.has(head) {
		return plumbing.ZeroHash, nil
	}
	f, ok := v.forks[head]
	if !ok {
		var err error
		if f, err = r.fork(ctx, v, head); err != nil && (ctx.Err() != nil || errors.Is(err, errDamaged)) {
			return plumbing.ZeroHash, err
		}
		v.forks[head] = f // without files where they cannot be listed: whoever asks for them is told
	}
	if len(f.files) == 0 {
		return plumbing.ZeroHash, nil
	}
	// The first commit that has the base is looked up whole; from there on the steps between commits say what changed.
	first := h.brought[f.base] // 0 without a base
	want := make(map[string]string, len(f.files))
	for _, file := range f.files {
		want[file.Path] = file.Blob
	}
	differ := map[string]bool{}
	c, err := r.graph.commit(v.objects, h.chain[first])
	if err != nil {
		return plumbing.ZeroHash, err
	}
	for p, blob := range want {
		is, err := at(v.objects, c.tree, p)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if is.IsZero() != (blob == "") || !is.IsZero() && is.String() != blob {
			differ[p] = true
		}
	}
	for i := first; ; {
		if len(differ) == 0 {
			return h.chain[i], nil
		}
		if i++; i == len(h.chain) {
			return plumbing.ZeroHash, nil
		}
		step, err := h.step(ctx, &r.graph, v.objects, i)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		for _, file := range step {
			if blob, ok := want[file.Path]; ok && blob == file.Blob {
				delete(differ, file.Path)
			} else if ok {
				differ[file.Path] = true
			}
		}
	}
}

// fork looks where a head left the default branch. The files are its recipes, or all of them when there are none.
func (r *Repo) fork(ctx context.Context, v *view, head plumbing.Hash) (fork, error) {
	base, err := r.mergeBase(ctx, v, v.tip, head)
	if err != nil {
		return fork{}, err
	}
	all, err := r.changed(ctx, v, base, head)
	if err != nil {
		return fork{base: base}, err
	}
	recipes := slices.DeleteFunc(slices.Clone(all), func(f forge.File) bool { return !r.options.Recipes(f.Path) })
	if len(recipes) == 0 {
		recipes = all
	}
	if len(recipes) > maxCompared {
		recipes = nil
	}
	return fork{base, recipes}, nil
}

package gitrepo

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"mergebot/bot/forge"
)

// history is the default branch's: the chain of its first parents, oldest first, and for every commit in it the place
// in the chain at which it was brought. A commit is thus an ancestor of chain[i] if it was brought at i or before.
type history struct {
	chain   []plumbing.Hash
	brought map[plumbing.Hash]int
	// steps[i] are the files by which chain[i] differs from chain[i-1], found when first asked for.
	steps map[int][]forge.File
}

// newHistory walks from a tip. It goes on from an earlier history where that is a beginning of this one.
func newHistory(ctx context.Context, g *graph, o *objects, tip plumbing.Hash, old *history) (*history, error) {
	h := &history{brought: map[plumbing.Hash]int{}, steps: map[int][]forge.File{}}
	var fresh []plumbing.Hash // newest first
	next := tip
	for {
		if old != nil {
			if i, ok := old.brought[next]; ok && i == len(old.chain)-1 && old.chain[i] == next {
				h.chain, h.brought, h.steps = slices.Clone(old.chain), maps.Clone(old.brought), maps.Clone(old.steps)
				break
			}
		}
		c, err := g.commit(o, next)
		if err != nil {
			return nil, fmt.Errorf("commit %s: %w", next, incomplete(err))
		}
		fresh = append(fresh, next)
		if len(c.parents) == 0 {
			break
		}
		next = c.parents[0]
	}
	for _, top := range slices.Backward(fresh) {
		place := len(h.chain)
		h.chain = append(h.chain, top)
		todo := []plumbing.Hash{top}
		for len(todo) > 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			next := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if _, ok := h.brought[next]; ok {
				continue
			}
			h.brought[next] = place
			c, err := g.commit(o, next)
			if err != nil {
				return nil, fmt.Errorf("commit %s: %w", next, incomplete(err))
			}
			todo = append(todo, c.parents...)
		}
	}
	return h, nil
}

// step returns the files that chain[i] has otherwise than chain[i-1].
func (h *history) step(ctx context.Context, g *graph, o *objects, i int) ([]forge.File, error) {
	if s, ok := h.steps[i]; ok {
		return s, nil
	}
	is, err := g.commit(o, h.chain[i])
	if err != nil {
		return nil, err
	}
	was, err := g.commit(o, h.chain[i-1])
	if err != nil {
		return nil, err
	}
	s, err := diff(ctx, o, was.tree, is.tree)
	if err == nil {
		h.steps[i] = s
	}
	return s, err
}

// ancestors says what is an ancestor of a commit, the commit itself included.
func (r *Repo) ancestors(ctx context.Context, v *view, of plumbing.Hash) (func(plumbing.Hash) bool, error) {
	h := v.history
	if i, ok := h.brought[of]; ok && h.chain[i] == of {
		return func(c plumbing.Hash) bool { at, ok := h.brought[c]; return ok && at <= i }, nil
	}
	all := map[plumbing.Hash]bool{}
	err := r.walk(ctx, v, []plumbing.Hash{of}, func(c plumbing.Hash) bool { all[c] = true; return true })
	return func(c plumbing.Hash) bool { return all[c] }, err
}

// walk visits commits and those they descend from, each once, as long as visit says to go on to the parents.
func (r *Repo) walk(ctx context.Context, v *view, from []plumbing.Hash, visit func(plumbing.Hash) bool) error {
	seen := map[plumbing.Hash]bool{}
	for todo := slices.Clone(from); len(todo) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[next] {
			continue
		}
		seen[next] = true
		if !visit(next) {
			continue
		}
		c, err := r.graph.commit(v.objects, next)
		if err != nil {
			return fmt.Errorf("commit %s: %w", next, incomplete(err))
		}
		todo = append(todo, c.parents...)
	}
	return nil
}

// mergeBase finds the newest of the best common ancestors; the zero hash when there is none.
func (r *Repo) mergeBase(ctx context.Context, v *view, a, b plumbing.Hash) (plumbing.Hash, error) {
	common, err := r.ancestors(ctx, v, a)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	var found []plumbing.Hash // where the walk from b first meets a's history
	err = r.walk(ctx, v, []plumbing.Hash{b}, func(c plumbing.Hash) bool {
		if common(c) {
			found = append(found, c)
			return false
		}
		return true
	})
	if err != nil || len(found) == 0 {
		return plumbing.ZeroHash, err
	}
	if len(found) > 1 { // those that others descend from are not best
		older := map[plumbing.Hash]bool{}
		var parents []plumbing.Hash
		for _, f := range found {
			c, err := r.graph.commit(v.objects, f)
			if err != nil {
				return plumbing.ZeroHash, incomplete(err)
			}
			parents = append(parents, c.parents...)
		}
		if err := r.walk(ctx, v, parents, func(c plumbing.Hash) bool { older[c] = true; return true }); err != nil {
			return plumbing.ZeroHash, err
		}
		found = slices.DeleteFunc(found, func(f plumbing.Hash) bool { return older[f] })
	}
	return slices.MaxFunc(found, func(x, y plumbing.Hash) int {
		a, b := r.graph.commits[x], r.graph.commits[y]
		if a.time != b.time {
			return int(min(max(a.time-b.time, -1), 1))
		}
		return slices.Compare(y[:], x[:])
	}), nil
}

// changed lists the files that head has otherwise than from, or all when from is the zero hash.
func (r *Repo) changed(ctx context.Context, v *view, from, head plumbing.Hash) ([]forge.File, error) {
	var before plumbing.Hash
	if !from.IsZero() {
		c, err := r.graph.commit(v.objects, from)
		if err != nil {
			return nil, incomplete(err)
		}
		before = c.tree
	}
	c, err := r.graph.commit(v.objects, head)
	if err != nil {
		return nil, incomplete(err)
	}
	return diff(ctx, v.objects, before, c.tree)
}

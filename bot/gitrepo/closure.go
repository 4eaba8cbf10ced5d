package gitrepo

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"mergebot/bot/forge"
)

// maxObjects is the most objects that one fetch may bring.
const maxObjects = 10_000_000

// item is something to copy.
type item struct {
	hash plumbing.Hash
	kind plumbing.ObjectType
}

// closure lists the commits, directories and small files that the commits in wants need and that has does not report:
// with a commit, all that it needs is taken to be there. Files are left out where they are missing or above
// forge.MaxFile, and all of them where blobs is false; so are commits and directories that are too large. What is
// malformed is copied as it is: it is the trouble of the branch that it is on, not of the others.
func closure(ctx context.Context, src *objects, wants []plumbing.Hash, has func(plumbing.Hash) bool, blobs bool) ([]item, error) {
	var out []item
	seen := map[plumbing.Hash]bool{}
	var todo []item
	add := func(h plumbing.Hash, kind plumbing.ObjectType) {
		if !seen[h] {
			seen[h] = true
			todo = append(todo, item{h, kind})
		}
	}
	for _, h := range wants {
		add(h, plumbing.CommitObject)
	}
	for len(todo) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(seen) > maxObjects {
			return nil, fmt.Errorf("more than %d objects to fetch", maxObjects)
		}
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if has(next.hash) {
			continue
		}
		switch next.kind {
		case plumbing.CommitObject:
			c, err := readCommit(src, next.hash)
			if errors.Is(err, errSize) {
				continue
			}
			if errors.Is(err, errMalformed) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("commit %s: %w", next.hash, err)
			}
			add(c.tree, plumbing.TreeObject)
			for _, p := range c.parents {
				add(p, plumbing.CommitObject)
			}
		case plumbing.TreeObject:
			list, err := readTree(src, next.hash)
			if errors.Is(err, errSize) {
				continue
			}
			if errors.Is(err, errMalformed) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("directory %w", err)
			}
			for _, e := range list {
				switch {
				case e.mode == filemode.Dir:
					add(e.hash, plumbing.TreeObject)
				case e.mode != filemode.Submodule && blobs:
					add(e.hash, plumbing.BlobObject)
				}
			}
		case plumbing.BlobObject:
			n, err := src.size(next.hash)
			if errors.Is(err, errMissing) || err == nil && n > forge.MaxFile {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		out = append(out, next)
	}
	return out, nil
}

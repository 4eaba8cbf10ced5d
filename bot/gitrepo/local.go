package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"mergebot/bot/forge"
)

// local is a repository on this machine. Its files are read as they are: git is not run, so neither are its hooks.
type local struct{ dir string }

// newLocal finds the repository in a folder, bare or beside a checkout.
func newLocal(path string) (*local, error) {
	for _, dir := range []string{path, filepath.Join(path, ".git")} {
		if head, err := os.Stat(filepath.Join(dir, "HEAD")); err != nil || !head.Mode().IsRegular() {
			continue
		}
		if objects, err := os.Stat(filepath.Join(dir, "objects")); err == nil && objects.IsDir() {
			return &local{dir}, nil
		}
	}
	return nil, fmt.Errorf("gitrepo: %w: %s is no git repository: make one with git init --bare", forge.ErrNotFound, path)
}

type localSession struct {
	name string
	src  *objects
	refs advert
}

func (l *local) dial(context.Context) (session, error) {
	if _, err := newLocal(l.dir); err != nil {
		return nil, err
	}
	src, err := openObjects(l.dir)
	if err != nil {
		return nil, l.explain(err)
	}
	if err := l.readable(src); err != nil {
		return nil, err
	}
	s := &localSession{name: l.dir, src: src, refs: advert{heads: map[string]plumbing.Hash{}}}
	if head, err := src.sto.Reference(plumbing.HEAD); err == nil && head.Type() == plumbing.SymbolicReference {
		s.refs.main = strings.TrimPrefix(head.Target().String(), headPrefix)
	}
	all, err := src.sto.IterReferences()
	if err != nil {
		return nil, l.explain(err)
	}
	err = all.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() == plumbing.SymbolicReference && ref.Name() != plumbing.HEAD {
			resolved, err := storer.ResolveReference(src.sto, ref.Name())
			if err != nil { // dangling
				return nil
			}
			ref = plumbing.NewHashReference(ref.Name(), resolved.Hash())
		}
		s.refs.add(ref.Name(), ref.Hash())
		return nil
	})
	return s, l.explain(err)
}

// readable refuses formats that would be read wrongly.
func (l *local) readable(src *objects) error {
	c, err := src.sto.Config()
	if err != nil {
		return l.explain(err)
	}
	extensions := c.Raw.Section("extensions")
	if f := extensions.Option("objectformat"); f != "" && f != "sha1" {
		return fmt.Errorf("%s: object format %s is not built in: use sha1", l.dir, f)
	}
	if f := extensions.Option("refstorage"); f != "" && f != "files" {
		return fmt.Errorf("%s: reference format %s is not built in: use files", l.dir, f)
	}
	if info, err := os.Stat(filepath.Join(l.dir, "shallow")); err == nil && info.Size() > 0 {
		return fmt.Errorf("%s is a shallow clone, which lacks history: git fetch --unshallow", l.dir)
	}
	return nil
}

func (l *local) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", l.dir, foreign(err))
}

func (s *localSession) advert() advert { return s.refs }
func (s *localSession) close()         {}

func (s *localSession) fetch(ctx context.Context, m mirror, already *objects, wants, _ []plumbing.Hash) error {
	list, err := closure(ctx, s.src, wants, already.has, true)
	if err == nil {
		err = m.take(ctx, s.src, list)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", s.name, foreign(err))
	}
	return err
}

// foreign is damage of the remote: making the mirror again is no cure.
func foreign(err error) error {
	if errors.Is(err, errDamaged) {
		return fmt.Errorf("%s: see what git fsck says there", strings.ReplaceAll(err.Error(), errDamaged.Error(), "the repository is damaged"))
	}
	return err
}

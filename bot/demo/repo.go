package demo

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// team plays the people: it keeps recipes in a bare repository, pushes branches and merges them, as git would.
type team struct {
	dir  string
	repo *git.Repository
}

const (
	mainBranch = "main"
	readme     = "# Recipes\nBranches that touch `recipes/` are planned; what is merged is run and published.\n"
)

// openTeam opens the repository, or makes it with a first commit.
func openTeam(dir string) (*team, error) {
	repo, err := git.PlainOpen(dir)
	if errors.Is(err, git.ErrRepositoryNotExists) {
		repo, err = git.PlainInitWithOptions(dir, &git.PlainInitOptions{Bare: true, InitOptions: git.InitOptions{DefaultBranch: plumbing.NewBranchReferenceName(mainBranch)}})
	}
	if err != nil {
		return nil, fmt.Errorf("repository of recipes %s: %w", dir, err)
	}
	t := &team{dir: dir, repo: repo}
	if _, err := t.head(mainBranch); err != nil {
		tree, err := t.put(plumbing.ZeroHash, "README.md", []byte(readme))
		if err != nil {
			return nil, err
		}
		if _, err := t.commit(mainBranch, tree, "A place for recipes"); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// head is the tip of a branch.
func (t *team) head(branch string) (plumbing.Hash, error) {
	ref, err := t.repo.Storer.Reference(plumbing.NewBranchReferenceName(branch))
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("branch %s: %w", branch, err)
	}
	return ref.Hash(), nil
}

// read returns a file on a branch; "" when it is not there.
func (t *team) read(branch, file string) (string, error) {
	head, err := t.head(branch)
	if err != nil {
		return "", err
	}
	c, err := t.repo.CommitObject(head)
	if err != nil {
		return "", err
	}
	f, err := c.File(file)
	if errors.Is(err, object.ErrFileNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return f.Contents()
}

// propose pushes a branch with one commit upon main that writes a file, and returns the commit.
func (t *team) propose(branch, file string, text []byte, title string) (string, error) {
	head, err := t.head(mainBranch)
	if err != nil {
		return "", err
	}
	c, err := t.repo.CommitObject(head)
	if err != nil {
		return "", err
	}
	tree, err := t.put(c.TreeHash, file, text)
	if err != nil {
		return "", err
	}
	h, err := t.commit(branch, tree, title, head)
	return h.String(), err
}

// merge brings a branch to main by a merge commit, which it returns, and deletes the branch. Main has not moved since.
func (t *team) merge(branch string) (string, error) {
	head, err := t.head(branch)
	if err != nil {
		return "", err
	}
	c, err := t.repo.CommitObject(head)
	if err != nil {
		return "", err
	}
	main, err := t.head(mainBranch)
	if err != nil {
		return "", err
	}
	h, err := t.commit(mainBranch, c.TreeHash, "Merge "+branch, main, head)
	if err != nil {
		return "", err
	}
	return h.String(), os.Remove(t.ref(branch))
}

func (t *team) ref(branch string) string {
	return filepath.Join(t.dir, "refs", "heads", filepath.FromSlash(branch))
}

// commit keeps a tree as the newest commit of a branch.
func (t *team) commit(branch string, tree plumbing.Hash, title string, parents ...plumbing.Hash) (plumbing.Hash, error) {
	who := object.Signature{Name: "demo", Email: "demo@localhost", When: time.Now()}
	h, err := t.store(&object.Commit{Author: who, Committer: who, Message: title + "\n", TreeHash: tree, ParentHashes: parents})
	if err != nil {
		return h, err
	}
	// By rename, as git does: whoever reads the reference meanwhile sees the old one or the new.
	name := t.ref(branch)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return h, err
	}
	if err := os.WriteFile(name+".lock", []byte(h.String()+"\n"), 0o644); err != nil {
		return h, err
	}
	return h, os.Rename(name+".lock", name)
}

// put is a tree with a file written into it.
func (t *team) put(tree plumbing.Hash, file string, text []byte) (plumbing.Hash, error) {
	var old object.Tree
	if !tree.IsZero() {
		found, err := t.repo.TreeObject(tree)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		old = *found
	}
	name, rest, below := strings.Cut(path.Clean(file), "/")
	entry := object.TreeEntry{Name: name, Mode: filemode.Regular}
	at := slices.IndexFunc(old.Entries, func(e object.TreeEntry) bool { return e.Name == name })
	var err error
	if below {
		entry.Mode = filemode.Dir
		sub := plumbing.ZeroHash
		if at >= 0 {
			sub = old.Entries[at].Hash
		}
		entry.Hash, err = t.put(sub, rest, text)
	} else {
		entry.Hash, err = t.blob(text)
	}
	if err != nil {
		return plumbing.ZeroHash, err
	}
	entries := slices.DeleteFunc(slices.Clone(old.Entries), func(e object.TreeEntry) bool { return e.Name == name })
	entries = append(entries, entry)
	slices.SortFunc(entries, func(a, b object.TreeEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	return t.store(&object.Tree{Entries: entries})
}

// sortName is what git sorts a directory's entries by.
func sortName(e object.TreeEntry) string {
	if e.Mode == filemode.Dir {
		return e.Name + "/"
	}
	return e.Name
}

func (t *team) blob(b []byte) (plumbing.Hash, error) {
	o := t.repo.Storer.NewEncodedObject()
	o.SetType(plumbing.BlobObject)
	w, err := o.Writer()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if _, err := w.Write(b); err != nil {
		return plumbing.ZeroHash, err
	}
	return t.repo.Storer.SetEncodedObject(o)
}

func (t *team) store(v interface {
	Encode(plumbing.EncodedObject) error
}) (plumbing.Hash, error) {
	o := t.repo.Storer.NewEncodedObject()
	if err := v.Encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	return t.repo.Storer.SetEncodedObject(o)
}

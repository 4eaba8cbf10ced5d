package github

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	gh "github.com/google/go-github/v60/github"

	"mergebot/bot/forge"
)

const (
	// comparedFiles is how many files a comparison shows: https://docs.github.com/rest/commits/commits#compare-two-commits
	comparedFiles = 300
	// maxTrees bounds the requests for one tree that is too large for one answer (100,000 entries): anyone can push one,
	// and an hour has 5,000 requests.
	maxTrees = 300
	// maxBlob bounds the answer that holds a file of forge.MaxFile in base64, with its line ends and what is said of it.
	// Of a larger one, up to GitHub's 100 MB, no more than that is read.
	maxBlob = 2 * forge.MaxFile
)

// Files lists a commit's tree.
func (c *Client) Files(ctx context.Context, sha string) ([]forge.File, error) {
	sha, err := c.sha(sha)
	if err != nil {
		return nil, err
	}
	commit, _, err := c.gh.Git.GetCommit(ctx, c.o.Owner, c.o.Name, sha)
	if err != nil {
		return nil, c.fail(ctx, err, "read commit %s", sha)
	}
	w := walk{c: c, left: maxTrees}
	if err := w.tree(ctx, commit.GetTree().GetSHA(), ""); err != nil {
		return nil, c.fail(ctx, err, "list the files of commit %s", sha)
	}
	slices.SortFunc(w.files, func(a, b forge.File) int { return strings.Compare(a.Path, b.Path) })
	return w.files, nil
}

// walk collects the files of a tree.
type walk struct {
	c     *Client
	left  int // requests
	files []forge.File
}

func (w *walk) read(ctx context.Context, sha string, recursive bool) (*gh.Tree, error) {
	sha, err := w.c.sha(sha)
	if err != nil {
		return nil, err
	}
	if w.left--; w.left < 0 {
		return nil, fmt.Errorf("%w: the tree takes more than %d requests: keep recipes in a repository of their own", forge.ErrTooLarge, maxTrees)
	}
	tree, _, err := w.c.gh.Git.GetTree(ctx, w.c.o.Owner, w.c.o.Name, sha, recursive)
	return tree, err
}

// tree adds what lies under prefix: in one answer if it fits, else folder by folder.
func (w *walk) tree(ctx context.Context, sha, prefix string) error {
	tree, err := w.read(ctx, sha, true)
	if err != nil {
		return err
	}
	if !tree.GetTruncated() {
		for _, e := range tree.Entries {
			w.add(prefix, e)
		}
		return nil
	}
	if tree, err = w.read(ctx, sha, false); err != nil {
		return err
	}
	if tree.GetTruncated() {
		return fmt.Errorf("%w: folder %q has more entries than GitHub lists: keep recipes in a repository of their own", forge.ErrTooLarge, oneLine(prefix))
	}
	for _, e := range tree.Entries {
		if e.GetType() != "tree" {
			w.add(prefix, e)
		} else if err := w.tree(ctx, e.GetSHA(), prefix+e.GetPath()+"/"); err != nil {
			return err
		}
	}
	return nil
}

// add takes files; links (mode 120000), submodules and folders are none.
func (w *walk) add(prefix string, e *gh.TreeEntry) {
	if e.GetType() == "blob" && e.GetMode() != "120000" {
		w.files = append(w.files, forge.File{Path: prefix + e.GetPath(), Blob: e.GetSHA()})
	}
}

// Diff compares head with its merge base; without one, all files of head are new. Of what a change takes away it does not look whether it was a link.
func (c *Client) Diff(ctx context.Context, base, head string) ([]forge.File, error) {
	base, err := c.sha(base)
	if err != nil {
		return nil, err
	}
	if head, err = c.sha(head); err != nil {
		return nil, err
	}
	// All files come with the first page of commits, of which one is enough.
	all, _, err := c.gh.Repositories.CompareCommits(ctx, c.o.Owner, c.o.Name, base, head, &gh.ListOptions{Page: 1, PerPage: 1})
	if unrelated(err) {
		return c.Files(ctx, head)
	}
	if err != nil {
		return nil, c.fail(ctx, err, "compare %s with %s", head, base)
	}
	if len(all.Files) == 0 {
		return nil, nil
	}
	there, err := c.Files(ctx, head)
	if err != nil {
		return nil, err
	}
	now := byPath(there)
	if len(all.Files) >= comparedFiles { // there may be more
		old, err := c.Files(ctx, all.GetMergeBaseCommit().GetSHA())
		if err != nil {
			return nil, err
		}
		return compareTrees(byPath(old), now), nil
	}
	diff := map[string]forge.File{}
	for _, f := range all.Files {
		if f.GetStatus() == "renamed" {
			diff[f.GetPreviousFilename()] = forge.File{Path: f.GetPreviousFilename(), Removed: true}
		}
	}
	for _, f := range all.Files {
		switch file, ok := now[f.GetFilename()]; {
		case ok: // after the renames: two files may have changed places
			diff[file.Path] = file
		case f.GetStatus() == "added", f.GetStatus() == "renamed", f.GetStatus() == "copied": // a link or a submodule
		default:
			diff[f.GetFilename()] = forge.File{Path: f.GetFilename(), Removed: true}
		}
	}
	return inOrder(diff), nil
}

// unrelated says that two commits have no ancestor in common: a push to a pull request may replace all of its history.
func unrelated(err error) bool {
	var answer *gh.ErrorResponse
	return gone(err) && errors.As(err, &answer) && strings.Contains(strings.ToLower(answer.Message), "no common ancestor")
}

// compareTrees is the difference in full.
func compareTrees(old, now map[string]forge.File) []forge.File {
	diff := map[string]forge.File{}
	for path, f := range now {
		if old[path].Blob != f.Blob {
			diff[path] = f
		}
	}
	for path := range old {
		if _, ok := now[path]; !ok {
			diff[path] = forge.File{Path: path, Removed: true}
		}
	}
	return inOrder(diff)
}

func byPath(files []forge.File) map[string]forge.File {
	m := make(map[string]forge.File, len(files))
	for _, f := range files {
		m[f.Path] = f
	}
	return m
}

func inOrder(files map[string]forge.File) []forge.File {
	out := make([]forge.File, 0, len(files))
	for _, path := range slices.Sorted(maps.Keys(files)) {
		out = append(out, files[path])
	}
	return out
}

// Read returns a blob.
func (c *Client) Read(ctx context.Context, blob string) ([]byte, error) {
	blob, err := c.sha(blob)
	if err != nil {
		return nil, err
	}
	b, _, err := c.gh.Git.GetBlob(atMost(ctx, maxBlob), c.o.Owner, c.o.Name, blob)
	if errors.Is(err, errTooLong) {
		err = forge.ErrTooLarge
	}
	if err != nil {
		return nil, c.fail(ctx, err, "read blob %s", blob)
	}
	if b.GetSize() > forge.MaxFile {
		return nil, c.fail(ctx, forge.ErrTooLarge, "read blob %s of %d bytes", blob, b.GetSize())
	}
	var content []byte
	switch b.GetEncoding() {
	case "base64":
		content, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(b.GetContent(), "\n", ""))
	case "utf-8":
		content = []byte(b.GetContent())
	default:
		err = fmt.Errorf("encoding %q is not known", oneLine(b.GetEncoding()))
	}
	if err == nil && len(content) > forge.MaxFile {
		err = forge.ErrTooLarge
	}
	if err != nil {
		return nil, c.fail(ctx, err, "read blob %s", blob)
	}
	return content, nil
}

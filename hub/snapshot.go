package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"
)

// maxRead is the largest file that Read gives.
const maxRead = 64 << 20 // the largest real tokenizer.json has 34 MB

// Snapshot brings files of a revision ("" is main) into the cache and returns their folder, snapshots/<commit>. With
// nil it takes what [SelectCheckpoint] picks of a model, and all files of a data set; of given files only the Path
// counts, size and hash are the hub's. Files that are there are not fetched again. A commit of 40 digits whose files
// are all there needs no request. Offline, what is missing is [ErrOffline].
func (c *Client) Snapshot(ctx context.Context, r Repo, revision string, files []File) (string, error) {
	if err := r.Validate(); err != nil {
		return "", err
	}
	sha, err := c.commit(ctx, r, revision)
	if err != nil {
		return "", err
	}
	place := c.folder(r)
	tree, err := c.treeOrRest(ctx, r, sha)
	if err != nil {
		return "", err
	}
	switch {
	case files != nil:
		if files, err = c.lookUp(r, sha, tree, files); err != nil {
			return "", err
		}
	case r.kind() == string(Model):
		files = SelectCheckpoint(tree)
	default:
		files = tree
	}
	if err := c.complete(ctx, r, sha, tree, files); err != nil {
		return "", err
	}
	if revision == "" {
		revision = "main"
	}
	if revision != sha && !c.offline {
		if err := place.writeRef(revision, sha); err != nil {
			return "", err
		}
	}
	return place.snapshot(sha), nil
}

// Remember notes in the cache that a revision ("" is main) is a commit whose snapshot is there, as [Client.Snapshot]
// does for a revision that is no commit: offline, the revision is then found. It asks no server.
func (c *Client) Remember(r Repo, revision, sha string) error {
	place := c.folder(r)
	if revision == "" {
		revision = "main"
	}
	// A ref to a snapshot that is not there makes Python drop the whole repository.
	if known, _ := place.readRef(revision); revision == sha || known == sha || c.offline {
		return nil
	}
	if _, err := os.Stat(place.snapshot(sha)); err != nil {
		return fmt.Errorf("hub: note that %s is %s: %w", revision, short(sha), err)
	}
	return place.writeRef(revision, sha)
}

// Read gives one small file of a commit whole (at most 32 MiB), through the cache.
func (c *Client) Read(ctx context.Context, r Repo, sha, path string) ([]byte, error) {
	if err := errors.Join(r.Validate(), checkPath(path)); err != nil {
		return nil, err
	}
	sha, err := c.commit(ctx, r, sha)
	if err != nil {
		return nil, err
	}
	tree, err := c.treeOrRest(ctx, r, sha)
	if err != nil {
		return nil, err
	}
	files, err := c.lookUp(r, sha, tree, []File{{Path: path}})
	if err != nil {
		return nil, err
	}
	if files[0].Size > maxRead {
		return nil, fmt.Errorf("hub: %s: %s has %s: too large to read whole", r, path, humanize.IBytes(uint64(files[0].Size)))
	}
	if err := c.complete(ctx, r, sha, tree, files); err != nil {
		return nil, err
	}
	return os.ReadFile(c.folder(r).shown(sha, path))
}

// commit finds the commit of a revision; offline, in the cache's refs.
func (c *Client) commit(ctx context.Context, r Repo, revision string) (string, error) {
	if hex40.MatchString(revision) {
		return revision, nil
	}
	info, err := c.Info(ctx, r, revision)
	if err != nil {
		return "", err
	}
	return info.SHA, nil
}

// treeOrRest is the list of a commit's files. Offline and without a recorded list it is what the snapshot shows:
// older writers left no list, and then nobody can tell whether something is missing.
func (c *Client) treeOrRest(ctx context.Context, r Repo, sha string) ([]File, error) {
	tree, err := c.Tree(ctx, r, sha)
	if !errors.Is(err, ErrOffline) {
		return tree, err
	}
	rest := c.folder(r).rest(sha)
	if len(rest) == 0 {
		return nil, err
	}
	c.warn("rest "+r.String()+sha, fmt.Sprintf("%s@%s: the cache has no list of files, so it may be incomplete", r, short(sha)))
	return rest, nil
}

// lookUp replaces files by the tree's entries of the same path.
func (c *Client) lookUp(r Repo, sha string, tree, files []File) ([]File, error) {
	found := make([]File, 0, len(files))
	for _, f := range files {
		i, ok := slices.BinarySearchFunc(tree, f.Path, func(a File, path string) int { return cmp.Compare(a.Path, path) })
		if !ok {
			e := &Error{Op: "look up the file", Repo: r, Revision: sha, Path: clip(f.Path, 200), Err: ErrEntryNotFound}
			e.Remedy = c.remedy(e)
			return nil, e
		}
		found = append(found, tree[i])
	}
	return sortFiles(found), nil
}

// complete downloads what is missing of files and shows all of them in the snapshot.
func (c *Client) complete(ctx context.Context, r Repo, sha string, tree, files []File) error {
	place := c.folder(r)
	var total, there int64
	var missing, hidden []File
	for _, f := range files {
		total += f.Size
		if place.linked(sha, f) {
			there += f.Size
			continue
		}
		if err := f.check(); err != nil {
			return err
		}
		hidden = append(hidden, f)
		if place.has(f) {
			there += f.Size
		} else {
			missing = append(missing, f)
		}
	}
	all := c.meters.start(r, "", total, nil)
	all.add(there)
	if len(missing) > 0 && c.offline {
		return c.incomplete(r, sha, missing)
	}
	if len(hidden) == 0 && place.known() && (c.offline || place.recorded(sha)) {
		return nil // nothing to write: the cache may be read-only
	}
	if err := c.checkSpace(r, place, missing); err != nil {
		return err
	}
	if err := place.prepare(sha); err != nil {
		return err
	}
	if !c.offline {
		// Before the files: then whoever finds a part of them knows that it is a part.
		if err := place.writeTree(sha, tree); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.gate.ceiling)
	for _, f := range hidden {
		group.Go(func() error {
			if !place.has(f) {
				if err := c.fetch(ctx, r, sha, f, c.meters.start(r, f.Path, f.Size, all)); err != nil {
					return err
				}
			}
			return place.link(sha, f)
		})
	}
	return group.Wait()
}

func (c *Client) incomplete(r Repo, sha string, missing []File) error {
	text := fmt.Sprintf("%d files are not in the cache: %s", len(missing), missing[0].Path)
	if len(missing) > 1 {
		text += ", …"
	}
	return &Error{
		Op: "use the cache", Repo: r, Revision: sha, Err: ErrOffline, Message: text,
		Remedy: "unset HF_HUB_OFFLINE, or fetch what is needed first",
	}
}

// checkSpace compares what will be written with what is free, before anything is.
func (c *Client) checkSpace(r Repo, place folder, missing []File) error {
	var need int64
	counted := map[string]bool{}
	for _, f := range missing {
		if counted[f.etag()] {
			continue
		}
		counted[f.etag()] = true
		need += f.Size
		need -= begun(place.part(f), f.Size)
	}
	free, err := freeSpace(place.dir())
	if err != nil || need <= free {
		return nil // if the volume does not say, writing will
	}
	return fmt.Errorf("hub: %w: %s needs %s, and %s is free in %s: free some space, or set HF_HUB_CACHE to another volume",
		ErrNoSpace, r, humanize.IBytes(uint64(need)), humanize.IBytes(uint64(free)), place.cache)
}

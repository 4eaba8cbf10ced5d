package bucket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// The cache:
//
//	blobs/<sha256>        content that was checked, named by its hash: sha256sum tells whether it still is
//	known/<name>          the hash of an object, by a name made of where it lies, its size and what the store says of it
//	parts/<name>.part     a download that is not finished, <name>.sums the hashes of those of its ranges that are there
//	snapshots/<id>/<file> links to blobs: a checkpoint's folder

// cached is an object's place in the cache.
type cached struct {
	dir, name string
	file      File
}

func (c *Client) cached(l Location, f File) cached {
	sum := sha256.Sum256([]byte(strings.Join([]string{l.String(), f.Path, strconv.FormatInt(f.Size, 10), f.mark()}, "\x00")))
	return cached{c.cache, hex.EncodeToString(sum[:20]), f}
}

func (k cached) known() string          { return filepath.Join(k.dir, "known", k.name) }
func (k cached) blob(sum string) string { return filepath.Join(k.dir, "blobs", sum) }
func (k cached) part(ending string) string {
	return filepath.Join(k.dir, "parts", k.name+ending)
}

// sum is the SHA-256 of the object's bytes, if they are in the cache. A blob got its name when its hash was checked, so
// the length is enough to find those that were cut later.
func (k cached) sum() (string, bool) {
	b, err := os.ReadFile(k.known())
	if err != nil || len(b) != 64 {
		return "", false
	}
	st, err := os.Stat(k.blob(string(b)))
	return string(b), err == nil && st.Mode().IsRegular() && st.Size() == k.file.Size
}

// Missing is how many bytes of files are not in the cache yet; it makes no request.
func (c *Client) Missing(l Location, files []File) (n int64) {
	for _, f := range files {
		if _, ok := c.cached(l, f).sum(); !ok {
			n += f.Size
		}
	}
	return n
}

// Snapshot brings files into the cache and returns their folder, and the SHA-256 of each. id names the folder: what
// decides the files decides it. watch is told how far it has come.
func (c *Client) Snapshot(ctx context.Context, l Location, id string, files []File, watch func(done, total int64)) (dir string, sums map[string]string, err error) {
	b, err := c.bucket(ctx, l)
	if err != nil {
		return "", nil, err
	}
	dir = filepath.Join(c.cache, "snapshots", id)
	for _, d := range []string{dir, filepath.Join(c.cache, "blobs"), filepath.Join(c.cache, "known"), filepath.Join(c.cache, "parts")} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			return "", nil, fmt.Errorf("the cache of buckets: %w; set MERGEBOT_BUCKET_CACHE to another folder", err)
		}
	}
	var total, came atomic.Int64
	var mu sync.Mutex
	sums = map[string]string{}
	progress := func(n int64) { watch(min(came.Add(n), total.Load()), total.Load()) }
	for _, f := range files {
		if err := safe(f.Path); err != nil {
			return "", nil, fmt.Errorf("%s: %w", l, err)
		}
		total.Add(f.Size)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for _, f := range files {
		g.Go(func() error {
			k := c.cached(l, f)
			sum, ok := k.sum()
			if ok {
				progress(f.Size)
			} else {
				var err error
				if sum, err = c.fetch(ctx, b, k, progress); err != nil {
					return failed("download", l, f.Path, err)
				}
			}
			mu.Lock()
			sums[f.Path] = sum
			mu.Unlock()
			return show(k.blob(sum), filepath.Join(dir, f.Path))
		})
	}
	return dir, sums, g.Wait()
}

// show gives a blob its name in a snapshot.
func show(blob, name string) error {
	if a, err := os.Stat(blob); err == nil {
		if b, err := os.Stat(name); err == nil && os.SameFile(a, b) {
			return nil
		}
	}
	// Made under another name and moved: what is there may be an earlier blob's.
	temp, err := os.MkdirTemp(filepath.Dir(filepath.Dir(name)), ".new*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	link := filepath.Join(temp, "link")
	if err := os.Link(blob, link); err != nil {
		if lerr := os.Symlink(blob, link); lerr != nil {
			return fmt.Errorf("the cache of buckets needs a file system with links: %w; set MERGEBOT_BUCKET_CACHE to a folder on another", errors.Join(err, lerr))
		}
	}
	return os.Rename(link, name)
}

// replace writes a small file at once or not at all.
func replace(name string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

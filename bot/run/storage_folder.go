package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"
)

// folder keeps blobs as files.
type folder struct {
	bucket *blob.Bucket
	dir    string
}

func openFolder(location string) (*Storage, error) {
	dir := location
	if strings.Contains(location, "://") {
		u, err := url.Parse(location)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrStorage, location, err)
		}
		if u.Scheme != "file" {
			return nil, fmt.Errorf("%w: %s://… is not known; set storage to a folder, or to s3://bucket/prefix, gs://… or az://…", ErrStorage, u.Scheme)
		}
		dir = filepath.FromSlash(u.Path)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrStorage, location, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("%w: %w; set storage (--storage, MERGEBOT_STORAGE) to a folder that can be written", ErrStorage, err)
	}
	// The temporary file must lie beside its target: a rename from another file system is not atomic.
	b, err := fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrStorage, dir, err)
	}
	return &Storage{keeper: &folder{b, dir}, url: "file://" + filepath.ToSlash(dir)}, nil
}

func (s *folder) close() error { return s.bucket.Close() }

func (s *folder) read(ctx context.Context, key string) ([]byte, error) {
	return s.bucket.ReadAll(ctx, key)
}

func (s *folder) delete(ctx context.Context, key string) error { return s.bucket.Delete(ctx, key) }

// write puts a blob in place. The blob library renames what may not be on the disk yet: after a power cut a record
// would be an empty file.
func (s *folder) write(ctx context.Context, key string, b []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	temp, file, err := s.temporary(key, b)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	return os.Rename(temp, file)
}

// temporary writes a blob beside its place, down to the disk, and returns where it is and where it belongs.
func (s *folder) temporary(key string, b []byte) (temp, file string, err error) {
	file = filepath.Join(s.dir, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", "", err
	}
	f, err := os.CreateTemp(filepath.Dir(file), halfWritten+"*")
	if err != nil {
		return "", "", err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), file, err
}

func (s *folder) create(_ context.Context, key string, b []byte) (bool, error) {
	// The blob library looks and then renames, which two processes can do at once; a link is one step.
	temp, file, err := s.temporary(key, b)
	if err == nil {
		defer os.Remove(temp)
		err = os.Link(temp, file)
	}
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

func (s *folder) children(_ context.Context, folder string) ([]string, error) {
	// The blob library walks through all that lies below, a page of names after another: minutes for ten thousand runs.
	entries, err := os.ReadDir(filepath.Join(s.dir, filepath.FromSlash(folder)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if leftover(name) {
			continue
		}
		if e.IsDir() {
			name += "/"
		}
		names = append(names, name)
	}
	return names, nil
}

// list tries again when a file went away, or got its name, between being found and being looked at: the blob library
// gives up on that, and others write all the time.
func (s *folder) list(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	var err error
	for range 100 {
		names, err = s.listOnce(ctx, prefix)
		if gcerrors.Code(err) != gcerrors.NotFound || ctx.Err() != nil {
			break
		}
	}
	return names, err
}

func (s *folder) listOnce(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	all := s.bucket.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := all.Next(ctx)
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		if !leftover(path.Base(o.Key)) {
			names = append(names, o.Key)
		}
	}
}

// leftover says that a file is what a kill leaves behind: of temporary, or the blob library's <key>.<time>.tmp.
func leftover(name string) bool {
	return strings.HasPrefix(name, halfWritten) || path.Ext(name) == ".tmp"
}

package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"
)

// ErrStorage is returned when runs and results cannot be kept.
var ErrStorage = errors.New("storage")

// Storage is where runs and the ledger live: runs/<id>/… and ledger/<key>.json.
// Several processes may share one: every write is a whole blob, put in place atomically.
type Storage struct {
	bucket *blob.Bucket
	url    string
	dir    string // of a file:// storage
}

// OpenStorage opens a folder (a path or a file:// URL), which is made when missing.
func OpenStorage(location string) (*Storage, error) {
	dir := location
	if strings.Contains(location, "://") {
		u, err := url.Parse(location)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrStorage, location, err)
		}
		if u.Scheme != "file" {
			return nil, fmt.Errorf("%w: %s: only file:// is built in; set storage to a folder", ErrStorage, location)
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
	return &Storage{bucket: b, url: "file://" + filepath.ToSlash(dir), dir: dir}, nil
}

// URL names the place.
func (s *Storage) URL() string { return s.url }

// Close releases the bucket.
func (s *Storage) Close() error { return s.bucket.Close() }

// Put writes v as JSON under key.
func (s *Storage) Put(ctx context.Context, key string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrStorage, key, err)
	}
	return s.WriteBytes(ctx, key, b)
}

// WriteBytes writes a blob.
func (s *Storage) WriteBytes(ctx context.Context, key string, b []byte) error {
	if err := s.write(ctx, key, b); err != nil {
		var cause *fs.PathError // without the blob library's words, which say the key again
		if errors.As(err, &cause) {
			err = cause
		}
		if errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("%w: %w: free some space, or set storage (--storage, MERGEBOT_STORAGE) to a folder on another disk", ErrStorage, err)
		}
		return fmt.Errorf("%w: writing %s: %w", ErrStorage, key, err)
	}
	return nil
}

// write puts a blob in place. The blob library renames what may not be on the disk yet: after a power cut a record
// would be an empty file.
func (s *Storage) write(ctx context.Context, key string, b []byte) error {
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
func (s *Storage) temporary(key string, b []byte) (temp, file string, err error) {
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

// ReadBytes reads a blob; false when there is nothing under key.
func (s *Storage) ReadBytes(ctx context.Context, key string) ([]byte, bool, error) {
	b, err := s.bucket.ReadAll(ctx, key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("%w: reading %s: %w", ErrStorage, key, err)
	}
	return b, true, nil
}

// Create writes v as JSON under key unless something is there already, which it says by false. Of several processes
// that try at once, one succeeds: leases stand on it.
func (s *Storage) Create(ctx context.Context, key string, v any) (bool, error) {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return false, fmt.Errorf("%w: %s: %w", ErrStorage, key, err)
	}
	// The blob library looks and then renames, which two processes can do at once; a link is one step.
	temp, file, err := s.temporary(key, b)
	if err == nil {
		defer os.Remove(temp)
		err = os.Link(temp, file)
	}
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w: creating %s: %w", ErrStorage, key, err)
	}
	return true, nil
}

// Delete removes a blob; one that is not there is no error.
func (s *Storage) Delete(ctx context.Context, key string) error {
	if err := s.bucket.Delete(ctx, key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("%w: deleting %s: %w", ErrStorage, key, err)
	}
	return nil
}

// Get reads JSON into v; false when there is nothing under key.
func (s *Storage) Get(ctx context.Context, key string, v any) (bool, error) {
	b, ok, err := s.ReadBytes(ctx, key)
	if err != nil || !ok {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("%w: %s: %w", ErrStorage, key, err)
	}
	return true, nil
}

// List names what lies in a folder and below it; the folder ends with a slash. Sorted.
func (s *Storage) List(ctx context.Context, folder string) ([]string, error) {
	return s.list(ctx, &blob.ListOptions{Prefix: folder})
}

// Children names what lies in a folder itself, without its path; the names of folders end with a slash. Sorted.
func (s *Storage) Children(_ context.Context, folder string) ([]string, error) {
	// The blob library walks through all that lies below, a page of names after another: minutes for ten thousand runs.
	entries, err := os.ReadDir(filepath.Join(s.dir, filepath.FromSlash(folder)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: listing %s: %w", ErrStorage, s.url, err)
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
func (s *Storage) list(ctx context.Context, o *blob.ListOptions) ([]string, error) {
	var names []string
	var err error
	for range 100 {
		names, err = s.listOnce(ctx, o)
		if gcerrors.Code(err) != gcerrors.NotFound || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: listing %s: %w", ErrStorage, s.url, err)
	}
	return names, nil
}

func (s *Storage) listOnce(ctx context.Context, o *blob.ListOptions) ([]string, error) {
	var names []string
	all := s.bucket.List(o)
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

// leftover says that a file is what a kill leaves behind: of Create, or the blob library's <key>.<time>.tmp.
func leftover(name string) bool {
	return strings.HasPrefix(name, halfWritten) || path.Ext(name) == ".tmp"
}

// hashOf is the SHA-256 of v's JSON, in hex. Struct fields keep their order and map keys are
// sorted by encoding/json, so equal values give equal hashes.
func hashOf(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

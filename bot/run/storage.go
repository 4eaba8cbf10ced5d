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
	return &Storage{bucket: b, url: "file://" + filepath.ToSlash(dir)}, nil
}

// URL names the place.
func (s *Storage) URL() string { return s.url }

// Close releases the bucket.
func (s *Storage) Close() error { return s.bucket.Close() }

// put writes v as JSON under key.
func (s *Storage) put(ctx context.Context, key string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrStorage, key, err)
	}
	return s.putBytes(ctx, key, b)
}

func (s *Storage) putBytes(ctx context.Context, key string, b []byte) error {
	if err := s.bucket.WriteAll(ctx, key, b, nil); err != nil {
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

// get reads JSON into v; false when there is nothing under key.
func (s *Storage) get(ctx context.Context, key string, v any) (bool, error) {
	b, err := s.bucket.ReadAll(ctx, key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w: reading %s: %w", ErrStorage, key, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("%w: %s: %w", ErrStorage, key, err)
	}
	return true, nil
}

// list names what lies in a folder, which ends with a slash; sorted.
func (s *Storage) list(ctx context.Context, folder string) ([]string, error) {
	var names []string
	all := s.bucket.List(&blob.ListOptions{Prefix: folder})
	for {
		o, err := all.Next(ctx)
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: listing %s: %w", ErrStorage, folder, err)
		}
		names = append(names, o.Key)
	}
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

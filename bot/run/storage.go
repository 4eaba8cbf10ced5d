package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"gocloud.dev/gcerrors"
	"golang.org/x/sync/errgroup"

	"mergebot/hub/bucket"
)

// ErrStorage is returned when runs and results cannot be kept.
var ErrStorage = errors.New("storage")

// Storage is where runs and the ledger live: runs/<id>/… and ledger/<key>.json.
// Several processes may share one: every write is a whole blob, put in place atomically.
type Storage struct {
	keeper keeper
	url    string
}

// keeper is what keeps the blobs: a folder, or a bucket of a cloud. What is not there is gcerrors.NotFound.
type keeper interface {
	read(ctx context.Context, key string) ([]byte, error)
	// write puts a whole blob in place at once, to stay.
	write(ctx context.Context, key string, b []byte) error
	// create is write unless there is something already, which false says. Of several that try at once one succeeds.
	create(ctx context.Context, key string, b []byte) (bool, error)
	delete(ctx context.Context, key string) error
	// list names all below a prefix, sorted.
	list(ctx context.Context, prefix string) ([]string, error)
	// children names what lies in a folder itself, without its path; the names of folders end with a slash. Sorted.
	children(ctx context.Context, folder string) ([]string, error)
	close() error
}

// OpenStorage opens a folder (a path or a file:// URL), which is made when missing, or a prefix in a bucket
// (s3://bucket/prefix, gs://…, az://…), which is asked once whether it can be reached.
func OpenStorage(location string) (*Storage, error) {
	if bucket.IsLocation(location) {
		return openBucket(location)
	}
	return openFolder(location)
}

// URL names the place.
func (s *Storage) URL() string { return s.url }

// Close releases the folder or the bucket.
func (s *Storage) Close() error { return s.keeper.close() }

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
	if err := s.keeper.write(ctx, key, b); err != nil {
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

// ReadBytes reads a blob; false when there is nothing under key.
func (s *Storage) ReadBytes(ctx context.Context, key string) ([]byte, bool, error) {
	b, err := s.keeper.read(ctx, key)
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
	ok, err := s.keeper.create(ctx, key, b)
	if err != nil {
		return false, fmt.Errorf("%w: creating %s: %w", ErrStorage, key, err)
	}
	return ok, nil
}

// Delete removes a blob; one that is not there is no error.
func (s *Storage) Delete(ctx context.Context, key string) error {
	if err := s.keeper.delete(ctx, key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
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
	return s.listed(s.keeper.list(ctx, folder))
}

// Children names what lies in a folder itself, without its path; the names of folders end with a slash. Sorted.
func (s *Storage) Children(ctx context.Context, folder string) ([]string, error) {
	return s.listed(s.keeper.children(ctx, folder))
}

func (s *Storage) listed(names []string, err error) ([]string, error) {
	if err != nil {
		return nil, fmt.Errorf("%w: listing %s: %w", ErrStorage, s.url, err)
	}
	return names, nil
}

// atOnce is how many blobs are read at the same time: in a bucket each takes a while to answer.
const atOnce = 16

// each calls do for every number below n, several at once, and returns the first error.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range n {
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
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

package run

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"mergebot/hub/bucket"
)

// objects keeps blobs in a bucket. There, a blob is in place for good once its upload has been answered.
type objects struct{ bucket *blob.Bucket }

// reachable is how long a bucket is waited for when it is opened.
const reachable = 2 * time.Minute

func openBucket(location string) (*Storage, error) {
	l, err := bucket.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), reachable)
	defer cancel()
	b, err := bucket.Open(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	// A bucket that is not there would look empty later.
	err = bucket.Retry(ctx, func() error {
		_, err := b.List(&blob.ListOptions{Delimiter: "/"}).Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	})
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("%w: %s cannot be read; are its name, region and endpoint right, and the credentials in the environment?: %w", ErrStorage, l, err)
	}
	return &Storage{keeper: &objects{b}, url: l.String()}, nil
}

func (s *objects) close() error { return s.bucket.Close() }

func (s *objects) read(ctx context.Context, key string) (b []byte, err error) {
	err = bucket.Retry(ctx, func() error {
		b, err = s.bucket.ReadAll(ctx, key)
		return err
	})
	return b, err
}

func (s *objects) delete(ctx context.Context, key string) error {
	return bucket.Retry(ctx, func() error { return s.bucket.Delete(ctx, key) })
}

func (s *objects) write(ctx context.Context, key string, b []byte) error {
	return s.put(ctx, key, b, blob.WriterOptions{})
}

// put uploads a blob from memory. The library's WriteAll goes through a pipe, and panics where Azure refuses a write.
func (s *objects) put(ctx context.Context, key string, b []byte, o blob.WriterOptions) error {
	sum := md5.Sum(b)
	o.ContentType, o.ContentMD5 = contentType, sum[:]
	return bucket.Retry(ctx, func() error { return s.bucket.Upload(ctx, key, bytes.NewReader(b), &o) })
}

// contentType is that of all blobs, so that their bytes are not guessed at.
const contentType = "application/octet-stream"

// writer is the metadata that says which call made a blob.
const writer = "writer"

func (s *objects) create(ctx context.Context, key string, b []byte) (bool, error) {
	mine := strings.ToLower(rand.Text())
	err := s.put(ctx, key, b, blob.WriterOptions{IfNotExist: true, Metadata: map[string]string{writer: mine}})
	if gcerrors.Code(err) != gcerrors.FailedPrecondition {
		return err == nil, err
	}
	// Something is there. It may be what this call wrote when its answer was lost and it was made again.
	var there *blob.Attributes
	err = bucket.Retry(ctx, func() error {
		there, err = s.bucket.Attributes(ctx, key)
		return err
	})
	if gcerrors.Code(err) == gcerrors.NotFound { // and gone since
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return there.Metadata[writer] == mine, nil
}

func (s *objects) list(ctx context.Context, prefix string) ([]string, error) {
	return s.names(ctx, &blob.ListOptions{Prefix: prefix})
}

func (s *objects) children(ctx context.Context, folder string) ([]string, error) {
	names, err := s.names(ctx, &blob.ListOptions{Prefix: folder, Delimiter: "/"})
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], folder)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" }), err
}

func (s *objects) names(ctx context.Context, o *blob.ListOptions) (names []string, err error) {
	err = bucket.Retry(ctx, func() error {
		names = nil
		all := s.bucket.List(o)
		for {
			o, err := all.Next(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			names = append(names, o.Key)
		}
	})
	slices.Sort(names)
	return names, err
}

// Exclusive makes sure that the storage gives a blob that must not exist yet to one alone, as leases need it. Some
// servers that speak S3 take no notice of the condition.
func (s *Storage) Exclusive(ctx context.Context) error {
	key := "bot/exclusive/" + strings.ToLower(rand.Text())
	first, err := s.Create(ctx, key, 1)
	if err != nil {
		return err
	}
	second, err := s.Create(ctx, key, 2)
	if derr := s.Delete(ctx, key); err == nil {
		err = derr
	}
	if err == nil && (!first || second) {
		err = fmt.Errorf("%w: %s overwrites what must not be overwritten (it ignores If-None-Match): two daemons could both think that they are the only one; use another store for serve", ErrStorage, s.url)
	}
	return err
}

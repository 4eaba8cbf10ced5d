package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"mergebot/hub"
)

const (
	workers  = 8        // requests at once
	mostFile = 10_000   // files under a prefix
	maxRead  = 32 << 20 // of a file that is read whole into memory
)

// Client reads checkpoints and keeps them in a cache, which several processes may share. It is safe for concurrent use.
type Client struct {
	cache string
	turns chan struct{}
	open  func(context.Context, Location) (*blob.Bucket, error)

	mu      sync.Mutex
	buckets map[string]*blob.Bucket
}

// New makes a client with a cache in a folder, which is made when it is needed. It makes no request.
func New(cache string) *Client {
	return &Client{cache: cache, turns: make(chan struct{}, workers), open: Open, buckets: map[string]*blob.Bucket{}}
}

// CacheDir is the folder of the cache.
func (c *Client) CacheDir() string { return c.cache }

// File is an object directly below a location. MD5 is in hex, and "" where the store tells none (of large uploads in
// parts); then the ETag stands for the content.
type File struct {
	Path      string
	Size      int64
	ETag, MD5 string
}

// mark names the content as well as the store tells it. The MD5 comes first: the same bytes, uploaded again, keep it.
func (f File) mark() string {
	if f.MD5 != "" {
		return "md5:" + f.MD5
	}
	return "etag:" + f.ETag
}

var errChanged = errors.New("it was changed since it was listed: plan and run again")

// bucket opens a location once.
func (c *Client) bucket(ctx context.Context, l Location) (*blob.Bucket, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.buckets[l.String()]; b != nil {
		return b, nil
	}
	b, err := c.open(context.WithoutCancel(ctx), l)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", hub.ErrNetwork, err)
	}
	c.buckets[l.String()] = b
	return b, nil
}

// Close ends the connections.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, b := range c.buckets {
		errs = append(errs, b.Close())
	}
	clear(c.buckets)
	return errors.Join(errs...)
}

// turn waits until a request may be made.
func (c *Client) turn(ctx context.Context) (done func(), err error) {
	select {
	case c.turns <- struct{}{}:
		return func() { <-c.turns }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// List finds the files directly below a location, sorted; what lies deeper is left out. None at all is
// hub.ErrRepoNotFound.
func (c *Client) List(ctx context.Context, l Location) ([]File, error) {
	b, err := c.bucket(ctx, l)
	if err != nil {
		return nil, err
	}
	done, err := c.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var files []File
	err = Retry(ctx, func() error {
		files = nil
		all := b.List(&blob.ListOptions{Delimiter: "/"})
		for {
			o, err := all.Next(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if o.IsDir || o.Key == "" || strings.HasSuffix(o.Key, "/") {
				continue
			}
			f := File{Path: o.Key, Size: o.Size}
			f.ETag, f.MD5 = marks(o)
			if files = append(files, f); len(files) > mostFile {
				return nil
			}
		}
	})
	switch {
	case err != nil:
		return nil, failed("list", l, "", err)
	case len(files) > mostFile:
		return nil, fmt.Errorf("%s: %w: it holds more than %d files; give the prefix of one checkpoint", l, hub.ErrRepoNotFound, mostFile)
	case len(files) == 0:
		return nil, fmt.Errorf("%s: %w: there is nothing below this prefix", l, hub.ErrRepoNotFound)
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

// Read gives one small file whole.
func (c *Client) Read(ctx context.Context, l Location, f File) ([]byte, error) {
	if f.Size > maxRead {
		return nil, fmt.Errorf("%s/%s has %d bytes: too large to read whole", l, f.Path, f.Size)
	}
	return c.readRange(ctx, l, f, 0, f.Size)
}

// SafetensorsHeader gives the JSON header of a safetensors file by one or two ranges, as [hub.Client.SafetensorsHeader].
func (c *Client) SafetensorsHeader(ctx context.Context, l Location, f File) ([]byte, error) {
	return hub.ReadHeader(hub.File{Path: f.Path, Size: f.Size}, func(from, n int64) ([]byte, error) { return c.readRange(ctx, l, f, from, n) })
}

func (c *Client) readRange(ctx context.Context, l Location, f File, from, n int64) ([]byte, error) {
	b, err := c.bucket(ctx, l)
	if err != nil {
		return nil, err
	}
	done, err := c.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	out := make([]byte, n)
	if _, err := get(ctx, b, f, from, out, func(int) {}); err != nil {
		return nil, failed("read", l, f.Path, err)
	}
	return out, nil
}

var (
	errSilent = errors.New("no byte came for 30 s")
	errRange  = errors.New("the range that came is not the one that was asked for")
)

// get fills p with a file's bytes from an offset on. What broke off goes on where it was. md5 says whether the store's
// MD5 can be that of these bytes.
func get(ctx context.Context, b *blob.Bucket, f File, from int64, p []byte, came func(int)) (md5 bool, err error) {
	at := 0
	md5 = f.MD5 != ""
	part := func() error {
		if at == len(p) {
			return nil
		}
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		watch := time.AfterFunc(2*silence, func() { cancel(errSilent) }) // a request may be made several times
		defer watch.Stop()
		r, err := b.NewRangeReader(ctx, f.Path, from+int64(at), int64(len(p)-at), &blob.ReaderOptions{BeforeRead: only(f)})
		if err != nil {
			return silent(ctx, err)
		}
		defer r.Close()
		if !answersRange(r, from+int64(at)) {
			return errRange
		}
		md5 = md5 && ownMD5(r)
		for at < len(p) {
			watch.Reset(silence)
			n, err := r.Read(p[at:])
			at += n
			came(n)
			switch {
			case at == len(p):
				return nil
			case err == io.EOF:
				return io.ErrUnexpectedEOF
			case err != nil:
				return silent(ctx, err)
			}
		}
		return nil
	}
	for before := -1; ; before = at {
		err := Retry(ctx, part)
		// As long as bytes come, it goes on.
		if err == nil || at == before || ctx.Err() != nil || !passes(err) {
			return md5, err
		}
	}
}

func silent(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
		return cause
	}
	return err
}

// failed says what was wrong, by the Hub's errors: who calls treats both sources alike.
func failed(what string, l Location, file string, err error) error {
	name := l.String()
	if file != "" {
		name += "/" + file
	}
	kind, remedy := hub.ErrNetwork, ""
	var local *fs.PathError
	switch status := statusOf(err); {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s %s: %w", what, name, err)
	case gcerrors.Code(err) == gcerrors.FailedPrecondition, status == 412, errors.Is(err, errChanged):
		return fmt.Errorf("%s %s: %w: %w", what, name, hub.ErrIntegrity, errChanged)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%s %s: %w: free some space, or set MERGEBOT_BUCKET_CACHE to another volume: %w", what, name, hub.ErrNoSpace, err)
	case errors.Is(err, hub.ErrIntegrity), errors.As(err, &local):
		return fmt.Errorf("%s %s: %w", what, name, err)
	case gcerrors.Code(err) == gcerrors.NotFound && file != "":
		kind = hub.ErrEntryNotFound
	case gcerrors.Code(err) == gcerrors.NotFound:
		kind, remedy = hub.ErrRepoNotFound, ": is the bucket's name right, and its region or endpoint?"
	case gcerrors.Code(err) == gcerrors.PermissionDenied, status == 401, status == 403:
		kind, remedy = hub.ErrForbidden, ": the credentials of this machine's environment do not reach it"
	}
	return fmt.Errorf("%s %s: %w%s: %w", what, name, kind, remedy, err)
}

// safe says whether a file's path may be made on this machine.
func safe(name string) error {
	if !filepath.IsLocal(name) || name != path.Base(name) || strings.ContainsAny(name, "\\:") || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return fmt.Errorf("%.120q cannot be a file's name here", name)
	}
	return nil
}

package hub

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

const (
	maxHeader   = 25_000_000 // as the Hub's own clients have it
	headerGuess = 100_001    // bytes of the first request; enough for most
)

// SafetensorsHeader gives the JSON header of a safetensors file, without the eight length bytes before it, from the
// cache or by one or two range requests. It is not parsed here. A length that cannot be is [ErrIntegrity].
func (c *Client) SafetensorsHeader(ctx context.Context, r Repo, sha string, f File) ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	if place := c.folder(r); place.has(f) {
		blob, err := os.Open(place.blob(f.etag()))
		if err != nil {
			return nil, fmt.Errorf("hub: read the header of %s: %w", f.Path, err)
		}
		defer blob.Close()
		return ReadHeader(f, func(from, n int64) ([]byte, error) {
			b := make([]byte, n)
			_, err := blob.ReadAt(b, from)
			return b, err
		})
	}
	return ReadHeader(f, func(from, n int64) ([]byte, error) { return c.readRange(ctx, r, sha, f, from, n) })
}

// ReadHeader gets a safetensors file's header as [Client.SafetensorsHeader] does, wherever the file lies: through read,
// which gives n bytes from a position on, all inside the file.
func ReadHeader(f File, read func(from, n int64) ([]byte, error)) ([]byte, error) {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("hub: %s: %w: %s: it is damaged or no safetensors file", f.Path, ErrIntegrity, fmt.Sprintf(format, args...))
	}
	if f.Size < 10 {
		return nil, refuse("it has only %d bytes", f.Size)
	}
	start, err := read(0, min(headerGuess, f.Size))
	if err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint64(start)
	switch {
	case length > maxHeader:
		return nil, refuse("its header claims %d bytes, over the limit of %d", length, maxHeader)
	case length < 2 || int64(length) > f.Size-8:
		return nil, refuse("its header claims %d bytes in a file of %d", length, f.Size)
	case start[8] != '{':
		return nil, refuse("its header does not begin with '{'")
	}
	n := int64(length)
	got := start[8:]
	if int64(len(got)) >= n {
		return got[:n:n], nil
	}
	// The rest only: what came is the beginning.
	rest, err := read(int64(len(start)), n-int64(len(got)))
	if err != nil {
		return nil, err
	}
	return append(got, rest...), nil
}

// readRange gets n bytes of a file; a hub that ignores ranges costs the bytes before them too.
func (c *Client) readRange(ctx context.Context, r Repo, sha string, f File, from, n int64) ([]byte, error) {
	var out []byte
	err := c.retry(ctx, func() error {
		resp, err := c.open(ctx, r, sha, f.Path, "", from, from+n-1)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		fail := &Error{Op: "read the header", Repo: r, Revision: sha, Path: f.Path}
		if resp.StatusCode == 206 && !startsAt(resp, from, f.Size) {
			fail.Err = fmt.Errorf("%w: %w", ErrIntegrity, errRange)
			fail.Remedy = "the file on the hub is not the one of its file list: try again"
			return fail
		}
		if resp.StatusCode != 206 {
			_, err = io.CopyN(io.Discard, resp.Body, from)
		}
		if err == nil {
			out = make([]byte, n)
			_, err = io.ReadFull(resp.Body, out)
		}
		if err != nil {
			return c.networkError(fail, resp.Request.URL, err, context.Cause(ctx))
		}
		return nil
	})
	return out, err
}

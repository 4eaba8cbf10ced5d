package hub

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

var (
	errRange    = errors.New("the range is not the one asked for")
	errNoRanges = errors.New("ranges are not served")
	errExpired  = errors.New("the storage's address has expired")
)

// stream makes one request for what is left of a piece and takes what comes.
func (d *download) stream(ctx context.Context, p *piece) error {
	want := d.todo(p)
	resp, err := d.ask(ctx, want)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	fail := &Error{Op: "download", Repo: d.repo, Revision: d.sha, Path: d.file.Path}
	encoding := resp.Header.Get("Content-Encoding")
	all := want == span{0, d.file.Size}
	switch partly := resp.StatusCode == http.StatusPartialContent; {
	case partly && (encoding != "" && encoding != "identity" || !startsAt(resp, want.from, d.file.Size)), !partly && !all:
		d.forget()
		fail.Err = errRange // or ignored: this is the whole file
		return fail
	}
	body := io.Reader(resp.Body)
	if encoding == "gzip" { // not asked for, but some proxies know better
		if body, err = gzip.NewReader(resp.Body); err != nil {
			return d.client.networkError(fail, resp.Request.URL, err, context.Cause(ctx))
		}
	}
	w := writer{d: d, p: p, at: want.from}
	err = w.copy(ctx, body)
	if noteErr := w.note(); noteErr != nil {
		return noteErr
	}
	var network *readError
	switch {
	case errors.As(err, &network):
		d.forget()
		return d.client.networkError(fail, resp.Request.URL, network.err, context.Cause(ctx))
	case err != nil || !all:
		return err
	}
	if n, _ := io.ReadFull(body, make([]byte, 1)); n > 0 && w.at == d.file.Size {
		return d.wrong(fmt.Sprintf("more than the %d bytes of the file list", d.file.Size))
	}
	return nil
}

// ask opens a range of the file: at the storage, if the hub has named its address before, which spares the hub and
// its rate limits; else through the hub. The answer is a 200 or a 206.
func (d *download) ask(ctx context.Context, s span) (*http.Response, error) {
	offset, last := s.from, s.to-1
	if s.to == d.file.Size {
		last = -1
	}
	d.mu.Lock()
	direct := d.direct
	d.mu.Unlock()
	resp, err := d.client.open(ctx, d.repo, d.sha, d.file.Path, direct, offset, last)
	var e *Error
	switch {
	case err != nil && direct != "":
		d.forget()
		if errors.As(err, &e) && e.Status/100 == 4 && !e.again && e.Status != http.StatusRequestedRangeNotSatisfiable {
			e.Err = errExpired
		}
	case err == nil && !d.client.home(resp.Request.URL):
		d.mu.Lock()
		d.direct = resp.Request.URL.String()
		d.mu.Unlock()
	}
	return resp, err
}

// forget has the hub asked for the storage's address again: it may name another one.
func (d *download) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.direct = ""
}

// readError is a failure of the network, not of the disk.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }

// writer puts the bytes of an answer where they belong.
type writer struct {
	d     *download
	p     *piece
	at    int64
	fresh noted // written, not noted yet
}

// copy ends without error when the piece is full, which may be earlier than it was when the request was made.
func (w *writer) copy(ctx context.Context, body io.Reader) error {
	d := w.d
	w.fresh = noted{span: span{w.at, w.at}}
	buf := make([]byte, 1<<18)
	for {
		left := d.todo(w.p).to - w.at
		if left <= 0 {
			return nil
		}
		n, err := body.Read(buf[:min(int64(len(buf)), left)])
		if n > 0 {
			if _, err := d.part.data.WriteAt(buf[:n], w.at); err != nil {
				return fmt.Errorf("hub: download %s: %w", d.file.Path, noSpace(err))
			}
			w.fresh.sum = crc32.Update(w.fresh.sum, castagnoli, buf[:n])
			w.at += int64(n)
			w.fresh.to = w.at
			d.mu.Lock()
			w.p.from = w.at
			d.mu.Unlock()
			d.meter.add(int64(n))
			d.client.gate.count(n, time.Now())
			if w.fresh.len() >= noteEvery {
				if err := w.note(); err != nil {
					return err
				}
			}
			if err := d.client.throttle.take(ctx, n); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF && d.todo(w.p).to > w.at:
			return &readError{io.ErrUnexpectedEOF}
		case err != nil && err != io.EOF:
			return &readError{err}
		}
	}
}

func (w *writer) note() error {
	if err := w.d.part.note(w.fresh); err != nil {
		return fmt.Errorf("hub: download %s: %w", w.d.file.Path, noSpace(err))
	}
	w.fresh = noted{span: span{w.at, w.at}}
	return nil
}

// startsAt reads the Content-Range of a 206: "bytes 5-9/10".
func startsAt(resp *http.Response, at, size int64) bool {
	spec, ok := strings.CutPrefix(resp.Header.Get("Content-Range"), "bytes ")
	from, rest, _ := strings.Cut(spec, "-")
	_, total, _ := strings.Cut(rest, "/")
	start, err := strconv.ParseInt(from, 10, 64)
	return ok && err == nil && start == at && (total == "*" || total == strconv.FormatInt(size, 10))
}

// open asks for a file's bytes from offset on (up to and with last, if last ≥ 0), at a signed address if one is
// given. The answer is a 200 or a 206.
func (c *Client) open(ctx context.Context, r Repo, sha, path, direct string, offset, last int64) (*http.Response, error) {
	q := request{op: "download", repo: r, revision: sha, path: path, url: r.resolve(sha, path)}
	if direct != "" {
		q.url, q.anonymous = direct, true
	}
	switch {
	case last >= 0:
		q.header = http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", offset, last)}}
	case offset > 0:
		q.header = http.Header{"Range": {fmt.Sprintf("bytes=%d-", offset)}}
	}
	return c.attempt(ctx, q)
}

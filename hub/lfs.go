package hub

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"
)

const lfsJSON = "application/vnd.git-lfs+json"

type lfsAction struct {
	Href   string            `json:"href"`
	Header map[string]string `json:"header"`
}

type lfsObject struct {
	OID     string `json:"oid"`
	Size    int64  `json:"size"`
	Actions struct {
		Upload *lfsAction `json:"upload"`
		Verify *lfsAction `json:"verify"`
	} `json:"actions"`
	Error *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// store sends the content of all LFS files that the hub does not hold.
func (c *Client) store(ctx context.Context, r Repo, u Upload, adds []*addition) error {
	var large []*addition
	var total int64
	seen := map[string]bool{}
	for _, a := range adds {
		if a.lfs && !seen[a.sha256] {
			seen[a.sha256] = true
			large = append(large, a)
			total += a.size
		}
	}
	all := c.meters.start(r, "", total, nil)
	slots := make(chan struct{}, c.workers) // requests that carry content, over all files and parts
	for batch := range slices.Chunk(large, c.batchSize) {
		objects, err := c.lfsBatch(ctx, r, u, batch)
		if err != nil {
			return err
		}
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(c.workers)
		for _, a := range batch {
			group.Go(func() error {
				object, ok := objects[a.sha256]
				if !ok {
					return fmt.Errorf("hub: %s: store %s: the hub did not answer for it", r, a.Path)
				}
				t := &transfer{client: c, repo: r, file: a, slots: slots, meter: c.meters.start(r, a.Path, a.size, all)}
				err := t.send(ctx, object)
				if gone(err) && ctx.Err() == nil {
					// The signed addresses have run out while other files were sent: ask for new ones, once.
					fresh, batchErr := c.lfsBatch(ctx, r, u, []*addition{a})
					if batchErr != nil {
						return err
					}
					err = t.send(ctx, fresh[a.sha256])
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// lfsBatch asks where the files are to be put.
func (c *Client) lfsBatch(ctx context.Context, r Repo, u Upload, files []*addition) (map[string]lfsObject, error) {
	type object struct {
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	}
	type ref struct {
		Name string `json:"name"`
	}
	body := struct {
		Operation string   `json:"operation"`
		Transfers []string `json:"transfers"`
		Objects   []object `json:"objects"`
		HashAlgo  string   `json:"hash_algo"`
		Ref       *ref     `json:"ref,omitempty"`
	}{Operation: "upload", Transfers: []string{"basic", "multipart"}, HashAlgo: "sha256"}
	for _, f := range files {
		body.Objects = append(body.Objects, object{f.sha256, f.size})
	}
	if !u.CreatePR {
		body.Ref = &ref{u.Revision}
	}
	var answer struct {
		Objects []lfsObject `json:"objects"`
	}
	q := request{
		op: "ask where to store large files", repo: r, url: "/" + r.String() + ".git/info/lfs/objects/batch",
		header: http.Header{"Accept": {lfsJSON}, "Content-Type": {lfsJSON}},
	}.asJSON(body)
	if _, err := c.call(ctx, q, &answer); err != nil {
		return nil, err
	}
	objects := map[string]lfsObject{}
	for _, o := range answer.Objects {
		objects[o.OID] = o
	}
	return objects, nil
}

// transfer is one LFS file on its way to the hub.
type transfer struct {
	client *Client
	repo   Repo
	file   *addition
	slots  chan struct{}
	meter  *meter
}

// send does what the hub says to do about the file: nothing if it holds it, one PUT, or one a part.
func (t *transfer) send(ctx context.Context, o lfsObject) error {
	fail := func(message string) error {
		return &Error{Op: "store", Repo: t.repo, Path: t.file.Path, Err: errRefused, Message: clip(message, 400)}
	}
	switch {
	case o.Error != nil:
		e := &Error{Op: "store", Repo: t.repo, Path: t.file.Path, Status: o.Error.Code, Message: t.client.redact(clip(o.Error.Message, 400))}
		e.Err = classify(e.Status, "", e.Message, false)
		e.Remedy = t.client.remedy(e)
		return e
	case o.Actions.Upload == nil:
		_ = os.Remove(t.client.deliveryPath(t.repo, t.file.sha256)) // of an upload that ended without our knowing
		t.meter.set(t.file.size)
		return nil
	}
	content, closer, err := t.file.open()
	if err != nil {
		return fmt.Errorf("hub: store %s: %w", t.file.Path, err)
	}
	defer closer.Close()
	up := o.Actions.Upload
	if spec, ok := up.Header["chunk_size"]; ok {
		size, err := strconv.ParseInt(spec, 10, 64)
		urls := partURLs(up.Header)
		if err != nil || size <= 0 || int64(len(urls)) != (t.file.size-1)/size+1 {
			return fail(fmt.Sprintf("the hub gave %d parts of %s bytes for a file of %d", len(urls), clip(spec, 20), t.file.size))
		}
		if err := t.deliver(ctx, content, size, *up); err != nil {
			return err
		}
	} else if _, err := t.put(ctx, up.Href, content, 0, t.file.size); err != nil {
		return err
	}
	if o.Actions.Verify != nil {
		q := request{op: "verify", repo: t.repo, path: t.file.Path, url: o.Actions.Verify.Href,
			header: http.Header{"Accept": {lfsJSON}, "Content-Type": {lfsJSON}}}
		if _, err := t.client.call(ctx, q.asJSON(map[string]any{"oid": t.file.sha256, "size": t.file.size}), nil); err != nil {
			return err
		}
	}
	t.meter.set(t.file.size)
	return nil
}

// partURLs are the addresses of the parts, which stand in the header under their numbers ("1" or "00001").
func partURLs(header map[string]string) []string {
	var numbers []int
	urls := map[int]string{}
	for k, v := range header {
		if n, err := strconv.Atoi(k); err == nil && n >= 0 {
			numbers = append(numbers, n)
			urls[n] = v
		}
	}
	slices.Sort(numbers)
	out := make([]string, 0, len(numbers))
	for _, n := range numbers {
		out = append(out, urls[n])
	}
	return out
}

// deliver sends the file in parts: as an earlier process began it, if one did and the hub still knows, else anew.
func (t *transfer) deliver(ctx context.Context, content io.ReaderAt, size int64, up lfsAction) error {
	if d := t.client.findDelivery(t.repo, t.file, up); d != nil {
		err := t.parts(ctx, content, size, d)
		if err == nil || !gone(err) || ctx.Err() != nil {
			return err
		}
	}
	return t.parts(ctx, content, size, t.client.beginDelivery(t.repo, t.file, up))
}

// parts sends those parts that were not accepted yet, several at once, and then tells the hub to join them.
func (t *transfer) parts(ctx context.Context, content io.ReaderAt, size int64, d *delivery) (err error) {
	defer func() {
		if err == nil || gone(err) {
			d.drop()
		} else {
			d.close()
		}
	}()
	type part struct {
		Number int    `json:"partNumber"`
		ETag   string `json:"etag"`
	}
	urls := partURLs(d.plan.Upload.Header)
	parts := make([]part, len(urls))
	t.meter.set(0)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(cap(t.slots))
	for i, u := range urls {
		n, from := i+1, int64(i)*size
		length := min(size, t.file.size-from)
		if etag := d.accepted(n); etag != "" {
			parts[i] = part{n, etag}
			t.meter.add(length)
			continue
		}
		group.Go(func() error {
			etag, err := t.put(groupCtx, u, content, from, length)
			if err == nil && etag == "" {
				err = &Error{Op: "store", Repo: t.repo, Path: t.file.Path, Err: errRefused, Message: fmt.Sprintf("no etag came for part %d", n)}
			}
			if err != nil {
				return err
			}
			d.accept(n, etag)
			parts[i] = part{n, etag}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	q := request{op: "join the parts", repo: t.repo, path: t.file.Path, url: d.plan.Upload.Href,
		header: http.Header{"Accept": {lfsJSON}, "Content-Type": {lfsJSON}}}
	_, err = t.client.call(ctx, q.asJSON(map[string]any{"oid": t.file.sha256, "parts": parts}), nil)
	return err
}

// put sends n bytes to a signed address, without the token, and again if the storage falters.
func (t *transfer) put(ctx context.Context, to string, content io.ReaderAt, from, n int64) (etag string, err error) {
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return "", fmt.Errorf("hub: store %s: %w", t.file.Path, context.Cause(ctx))
	}
	counted := int64(0)
	q := request{
		op: "store", repo: t.repo, path: t.file.Path, method: http.MethodPut, url: to, size: n, silence: writePatience,
		anonymous: true, // the signature in the address is all that it needs
		header:    http.Header{"Content-Type": {"application/octet-stream"}},
		body: func() io.Reader {
			t.meter.add(-counted)
			counted = 0
			return &countedReader{io.NewSectionReader(content, from, n), func(k int) error {
				counted += int64(k)
				t.meter.add(int64(k))
				return t.client.throttle.take(ctx, k)
			}}
		},
	}
	if u, err := url.Parse(to); err != nil || u.Host == "" {
		return "", &Error{Op: "store", Repo: t.repo, Path: t.file.Path, Err: errRefused, Message: "the hub gave an address that is not one"}
	}
	header, err := t.client.call(ctx, q, nil)
	return header.Get("ETag"), err
}

type countedReader struct {
	io.Reader
	count func(int) error
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if waitErr := r.count(n); waitErr != nil {
		err = waitErr
	}
	return n, err
}

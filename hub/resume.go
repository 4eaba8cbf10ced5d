package hub

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// delivery is the upload of a file in parts, noted on disk so that a later process sends only the parts that were not
// accepted yet. The note lies beside the locks, the one folder of the cache that Python's scan leaves alone: a line
// of JSON with the addresses that the hub gave, then a line for each accepted part, its number and its etag. The
// addresses are signed, so only the user can read it.
type delivery struct {
	path string
	plan deliveryPlan

	mu    sync.Mutex
	file  *os.File // nil: it could not be noted, which costs no more than the resuming
	etags map[int]string
}

type deliveryPlan struct {
	Endpoint string    `json:"endpoint"`
	Size     int64     `json:"size"`
	Upload   lfsAction `json:"upload"`
}

const maxDelivery = 32 << 20 // a file of 10,000 parts has addresses of some 10 MB

func (c *Client) deliveryPath(r Repo, sha256 string) string {
	return strings.TrimSuffix(c.folder(r).lock(sha256), ".lock") + ".upload"
}

// beginDelivery notes where the parts go.
func (c *Client) beginDelivery(r Repo, a *addition, up lfsAction) *delivery {
	d := &delivery{path: c.deliveryPath(r, a.sha256), plan: deliveryPlan{c.Endpoint(), a.size, up}, etags: map[int]string{}}
	b, err := json.Marshal(d.plan)
	if err != nil || os.MkdirAll(filepath.Dir(d.path), 0o777) != nil {
		return d
	}
	_ = os.Remove(d.path) // perhaps another user's
	if d.file, err = os.OpenFile(d.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600); err != nil {
		d.file = nil
		return d
	}
	if _, err := d.file.Write(append(b, '\n')); err != nil {
		d.drop()
	}
	return d
}

// findDelivery takes up what an earlier process began, nil if there is nothing that fits. The hub has just named
// fresh addresses: the noted ones must name the same places, or whoever may write to the cache could have a private
// file sent elsewhere.
func (c *Client) findDelivery(r Repo, a *addition, fresh lfsAction) *delivery {
	path := c.deliveryPath(r, a.sha256)
	st, err := os.Stat(path)
	if err != nil || st.Size() > maxDelivery {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	d, err := parseDelivery(b)
	if err != nil || d.plan.Endpoint != c.Endpoint() || d.plan.Size != a.size || !samePlaces(d.plan.Upload, fresh) || len(d.etags) == 0 {
		return nil
	}
	d.path = path
	if d.file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err != nil {
		return nil
	}
	return d
}

func parseDelivery(b []byte) (*delivery, error) {
	d := &delivery{etags: map[int]string{}}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, maxDelivery+1)
	if !lines.Scan() {
		return nil, errors.New("it is empty")
	}
	if err := json.Unmarshal(lines.Bytes(), &d.plan); err != nil {
		return nil, err
	}
	for lines.Scan() {
		var n int
		var etag string
		line := lines.Text()
		// The dot at the end tells a whole line from one that a crash has cut.
		if _, err := fmt.Sscanf(line, "%d %q .", &n, &etag); err == nil && n > 0 && line == partLine(n, etag) {
			d.etags[n] = etag
		}
	}
	return d, lines.Err()
}

func partLine(n int, etag string) string { return fmt.Sprintf("%d %q .", n, etag) }

// samePlaces says whether two answers of the hub differ in signatures only.
func samePlaces(a, b lfsAction) bool {
	if !samePlace(a.Href, b.Href) || len(a.Header) != len(b.Header) || a.Header["chunk_size"] != b.Header["chunk_size"] {
		return false
	}
	ours, theirs := partURLs(a.Header), partURLs(b.Header)
	if len(ours) != len(theirs) {
		return false
	}
	for i := range ours {
		if !samePlace(ours[i], theirs[i]) {
			return false
		}
	}
	return true
}

func samePlace(a, b string) bool {
	u, err := url.Parse(a)
	v, err2 := url.Parse(b)
	return err == nil && err2 == nil && origin(u) == origin(v) && u.EscapedPath() == v.EscapedPath() && u.User == nil
}

// accepted is the etag of a part that was stored, "" if it was not.
func (d *delivery) accepted(n int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.etags[n]
}

// accept notes that a part was stored.
func (d *delivery) accept(n int, etag string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.etags[n] = etag
	if d.file != nil {
		_, _ = d.file.WriteString(partLine(n, etag) + "\n") // lost, the part is sent again
	}
}

// close leaves the note for the next time.
func (d *delivery) close() {
	if d.file != nil {
		_ = d.file.Close()
	}
}

// drop forgets the delivery: it is done, or the hub knows it no more.
func (d *delivery) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file != nil {
		_ = d.file.Close()
		d.file = nil
		_ = os.Remove(d.path)
	}
}

// gone says whether an answer means that the addresses lead nowhere any more: expired, or the upload was ended.
func gone(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status/100 == 4 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout
}

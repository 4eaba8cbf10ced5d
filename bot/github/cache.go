package github

import (
	"container/list"
	"net/http"
	"sync"
)

const (
	// cacheBytes bounds the bodies that are remembered.
	cacheBytes = 32 << 20
	// cacheEntry bounds one of them, so that one large answer does not drive out all others.
	cacheEntry = cacheBytes / 8
)

// cache remembers answers with their ETags. It always asks: an answer is only taken from memory when GitHub says that
// it is still the same, which costs no quota. What max-age says is not believed: it would show an old pull request.
type cache struct {
	next http.RoundTripper

	mu      sync.Mutex
	entries map[string]*list.Element
	recent  *list.List // of *entry, the most recently used first
	size    int
}

// entry is a remembered answer. It is never changed.
type entry struct {
	key, etag string
	header    http.Header
	body      []byte
}

func newCache(next http.RoundTripper) *cache {
	return &cache{next: next, entries: map[string]*list.Element{}, recent: list.New()}
}

func (c *cache) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet {
		return c.next.RoundTrip(req)
	}
	key := req.Header.Get("Accept") + " " + req.URL.String()
	known := c.get(key)
	if known != nil {
		req = req.Clone(req.Context())
		req.Header.Set("If-None-Match", known.etag)
	}
	resp, err := c.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusNotModified && known != nil:
		header := known.header.Clone()
		for name, values := range resp.Header { // a 304 carries what has changed besides the body
			if name != "Content-Length" && name != "Content-Encoding" && name != "Content-Type" {
				header[name] = values
			}
		}
		resp.StatusCode, resp.Status, resp.Header = http.StatusOK, "200 OK", header
		setBody(resp, known.body)
	case resp.StatusCode == http.StatusOK && resp.Header.Get("ETag") != "":
		c.put(&entry{key, resp.Header.Get("ETag"), resp.Header.Clone(), body(resp)})
	case known != nil:
		c.drop(key)
	}
	return resp, nil
}

func (c *cache) get(key string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.entries[key]
	if !ok {
		return nil
	}
	c.recent.MoveToFront(at)
	return at.Value.(*entry)
}

func (c *cache) put(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(e.key)
	if len(e.body) > cacheEntry {
		return
	}
	c.entries[e.key] = c.recent.PushFront(e)
	c.size += len(e.body)
	for c.size > cacheBytes {
		c.remove(c.recent.Back().Value.(*entry).key)
	}
}

func (c *cache) drop(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(key)
}

// remove forgets an answer. The lock is held.
func (c *cache) remove(key string) {
	if at, ok := c.entries[key]; ok {
		c.size -= len(at.Value.(*entry).body)
		c.recent.Remove(at)
		delete(c.entries, key)
	}
}

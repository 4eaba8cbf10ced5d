// Package logtail keeps the end of a child process's output, for the errors that it explains.
package logtail

import (
	"io"
	"strings"
	"sync"
)

// Tail passes on what is written to it and keeps the end. It may be used from several goroutines.
type Tail struct {
	// Keep is how many bytes are kept at least, once there are so many.
	Keep int
	// To, if not nil, gets all. That it fails must not stop the process: a disk for logs may be full.
	To io.Writer

	mu   sync.Mutex
	last []byte
}

// Write implements io.Writer; it never fails.
func (t *Tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, b...)
	if n := len(t.last); n > 2*t.Keep {
		t.last = append(t.last[:0], t.last[n-t.Keep:]...)
	}
	if t.To != nil {
		_, _ = t.To.Write(b)
	}
	return len(b), nil
}

// Text is what is kept, as text without blanks around it.
func (t *Tail) Text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(t.last), "?"))
}

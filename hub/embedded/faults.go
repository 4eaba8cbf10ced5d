package embedded

import (
	"compress/gzip"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// FaultKind is a way in which hubs and the stores behind them misbehave. Each
// was met by someone on the real Hub.
type FaultKind string

const (
	FaultStatus      FaultKind = "status"       // answer Status (500) at once, nothing done
	FaultRateLimit   FaultKind = "rate-limit"   // 429 with RateLimit: "api";r=0;t=seconds of Delay
	FaultTruncate    FaultKind = "truncate"     // full Content-Length, but the connection breaks after After bytes
	FaultIgnoreRange FaultKind = "ignore-range" // 200 with the whole file to a ranged request
	FaultExpired     FaultKind = "expired"      // 403 as a cloud store says that a signed URL has expired
	FaultWrongBytes  FaultKind = "wrong-bytes"  // right length, the byte at offset After of the body is flipped
	FaultLost        FaultKind = "lost"         // the request is carried out, then answered 504
	FaultGzip        FaultKind = "gzip"         // body gzipped, chunked, without a length, whatever was asked for
	FaultStall       FaultKind = "stall"        // After bytes, then silence for Delay (or until the client leaves)
)

// Fault is one fault and the requests that meet it.
type Fault struct {
	Kind   FaultKind
	Method string        // "" = any
	Path   string        // pattern of the decoded URL path on either origin; * is any run of characters; "" = any
	Skip   int           // let so many matching requests through first
	Count  int           // then strike so many times; 0 = once, negative = always
	After  int64         // see Kind, bytes of the body
	Delay  time.Duration // see Kind
	Status int           // see Kind

	Where func(*http.Request) bool // what else must hold, such as the range asked for; nil = nothing
}

// Faults is a list of faults that may change while the hub runs. The zero value
// has none. The first fault that matches a request strikes, no other.
type Faults struct {
	mu     sync.Mutex
	list   []*Fault
	struck map[FaultKind]int
}

// Add puts a fault after those already there.
func (f *Faults) Add(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fault.Count == 0 {
		fault.Count = 1
	}
	f.list = append(f.list, &fault)
}

// Clear removes all faults; the counts stay.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = nil
}

// Struck is how often faults of a kind have struck.
func (f *Faults) Struck(k FaultKind) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.struck[k]
}

// next takes the fault that strikes this request, if any.
func (f *Faults) next(r *http.Request) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range f.list {
		if fault.Method != "" && fault.Method != r.Method || fault.Path != "" && !matches(fault.Path, r.URL.Path) || fault.Count == 0 {
			continue
		}
		if fault.Kind == FaultIgnoreRange && r.Header.Get("Range") == "" || fault.Where != nil && !fault.Where(r) {
			continue
		}
		if fault.Skip > 0 {
			fault.Skip--
			continue
		}
		if fault.Count > 0 {
			fault.Count--
		}
		if f.struck == nil {
			f.struck = map[FaultKind]int{}
		}
		f.struck[fault.Kind]++
		copied := *fault
		return &copied
	}
	return nil
}

// matches reports whether s is covered by a pattern in which * stands for any
// run of characters, slashes included.
func matches(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, last)
}

func (f *Faults) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fault := f.next(r); fault != nil {
			fault.strike(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (f *Fault) strike(w http.ResponseWriter, r *http.Request, next http.Handler) {
	switch f.Kind {
	case FaultStatus:
		orDefault(&f.Status, http.StatusInternalServerError)
		http.Error(w, "injected fault", f.Status)
	case FaultRateLimit:
		seconds := strconv.Itoa(int(f.Delay.Seconds()))
		w.Header().Set("RateLimit", fmt.Sprintf(`"api";r=0;t=%s`, seconds))
		w.Header().Set("Retry-After", seconds)
		writeJSON(w, http.StatusTooManyRequests, map[string]string{"error": "We had to rate limit you, please retry later"})
	case FaultExpired:
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>`)
	case FaultIgnoreRange:
		r = r.Clone(r.Context())
		r.Header.Del("Range")
		next.ServeHTTP(w, r)
	case FaultLost:
		next.ServeHTTP(nowhere{}, r)
		http.Error(w, "<html><body>504 Gateway Time-out</body></html>", http.StatusGatewayTimeout)
	case FaultGzip:
		r = r.Clone(r.Context())
		r.Header.Del("Range")
		g := &gzipWriter{ResponseWriter: w}
		defer g.finish()
		next.ServeHTTP(g, r)
	case FaultTruncate, FaultWrongBytes, FaultStall:
		next.ServeHTTP(&bodyFault{ResponseWriter: w, fault: f, r: r}, r)
	default:
		http.Error(w, "unknown fault "+string(f.Kind), http.StatusInternalServerError)
	}
}

// nowhere is an answer that no one gets.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}

// bodyFault spoils the body as it passes.
type bodyFault struct {
	http.ResponseWriter
	fault *Fault
	r     *http.Request
	sent  int64
	done  bool
}

func (b *bodyFault) Write(p []byte) (int, error) {
	at := b.fault.After - b.sent
	if b.done || at < 0 || at >= int64(len(p)) {
		n, err := b.ResponseWriter.Write(p)
		b.sent += int64(n)
		return n, err
	}
	b.done = true
	if b.fault.Kind == FaultWrongBytes {
		p = append([]byte(nil), p...)
		p[at] ^= 0xff
		n, err := b.ResponseWriter.Write(p)
		b.sent += int64(n)
		return n, err
	}
	n, err := b.ResponseWriter.Write(p[:at])
	b.sent += int64(n)
	if err != nil {
		return n, err
	}
	_ = http.NewResponseController(b.ResponseWriter).Flush()
	if b.fault.Kind == FaultTruncate {
		panic(http.ErrAbortHandler) // breaks the connection
	}
	wait := time.NewTimer(b.fault.Delay)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-b.r.Context().Done():
		panic(http.ErrAbortHandler)
	}
	m, err := b.ResponseWriter.Write(p[at:])
	b.sent += int64(m)
	return n + m, err
}

// gzipWriter compresses what a handler writes.
type gzipWriter struct {
	http.ResponseWriter
	gz *gzip.Writer
}

func (g *gzipWriter) WriteHeader(status int) {
	h := g.Header()
	if status == http.StatusOK {
		h.Del("Content-Length")
		h.Del("Accept-Ranges")
		h.Set("Content-Encoding", "gzip")
		g.gz = gzip.NewWriter(g.ResponseWriter)
	}
	g.ResponseWriter.WriteHeader(status)
	if g.gz != nil {
		// Sent before the body is known, the header cannot tell its length.
		_ = http.NewResponseController(g.ResponseWriter).Flush()
	}
}

func (g *gzipWriter) Write(p []byte) (int, error) {
	if g.gz == nil {
		return g.ResponseWriter.Write(p)
	}
	return g.gz.Write(p)
}

func (g *gzipWriter) finish() {
	if g.gz != nil {
		g.gz.Close()
	}
}

package buckettest

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy stands before a server and does harm: of every so many requests one is answered by 503 SlowDown, one is cut off
// in the middle of the answer's body, one has its answer lost after the server did what was asked.
type Proxy struct {
	URL     string
	Busy    atomic.Int64 // every n-th request gets a 503; 0: none
	Cut     atomic.Int64 // every n-th answer with a body of more than 1 KiB breaks off half-way
	Lost    atomic.Int64 // every n-th answer to a PUT is lost
	Latency atomic.Int64 // nanoseconds that every request waits

	// Seen is called with the number of each request before it is passed on.
	Seen atomic.Pointer[func(n int64)]

	Requests, Harmed atomic.Int64
	Bytes            atomic.Int64 // of bodies that went out
	bodies, puts     atomic.Int64
}

// Before starts a proxy before an endpoint, until the test ends. It does no harm yet.
func Before(t testing.TB, endpoint string) *Proxy {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{URL: "http://" + l.Addr().String()}
	forward := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }, // the host is signed
		ModifyResponse: p.harm,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		FlushInterval:  -1,
		ErrorLog:       log.New(io.Discard, "", 0),
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := p.Requests.Add(1)
		if seen := p.Seen.Load(); seen != nil {
			(*seen)(n)
		}
		if wait := p.Latency.Load(); wait > 0 {
			time.Sleep(time.Duration(wait))
		}
		if every(&p.Busy, n) {
			p.Harmed.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
			return
		}
		forward.ServeHTTP(w, r)
	}), ErrorLog: log.New(io.Discard, "", 0), BaseContext: func(net.Listener) context.Context { return t.Context() }}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return p
}

func every(n *atomic.Int64, count int64) bool { return n.Load() > 0 && count%n.Load() == 0 }

var errHarm = errors.New("cut by the test's proxy")

func (p *Proxy) harm(r *http.Response) error {
	if r.Request.Method == http.MethodPut && every(&p.Lost, p.puts.Add(1)) {
		p.Harmed.Add(1)
		r.Body.Close()
		return errHarm
	}
	left := int64(-1)
	if r.ContentLength > 1<<10 && every(&p.Cut, p.bodies.Add(1)) {
		p.Harmed.Add(1)
		left = r.ContentLength / 2
	}
	r.Body = &body{r.Body, p, left}
	return nil
}

// body counts what goes out, and breaks off when nothing is left to go.
type body struct {
	io.ReadCloser
	proxy *Proxy
	left  int64 // -1: no end
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errHarm
	}
	if b.left > 0 {
		p = p[:min(int64(len(p)), b.left)]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	b.proxy.Bytes.Add(int64(n))
	return n, err
}

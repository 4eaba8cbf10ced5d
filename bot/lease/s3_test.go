package lease

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"mergebot/bot/run"
	"mergebot/hub/bucket/buckettest"
)

// TestOnS3: a lease in a bucket of a real S3 server, behind a proxy that loses answers, changes hands as one in a folder.
func TestOnS3(t *testing.T) {
	proxy := buckettest.Before(t, buckettest.Start(t).Endpoint)
	for _, v := range buckettest.Env(proxy.URL) {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	proxy.Lost.Store(3)
	proxy.Busy.Store(7)
	open := func() *run.Storage {
		s, err := run.OpenStorage("s3://storage/bot?endpoint=" + url.QueryEscape(proxy.URL))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	a, b := open(), open()
	options := func(owner string) Options { return Options{Owner: owner, TTL: time.Hour} }
	first, err := Acquire(t.Context(), a, "daemon", options("host-a"))
	if err != nil {
		t.Fatal(err)
	}
	var held *Held
	if _, err := Acquire(t.Context(), b, "daemon", options("host-b")); !errors.As(err, &held) || held.Owner != "host-a" {
		t.Fatalf("while it is held: %v", err)
	}
	if err := first.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, err := Acquire(t.Context(), b, "daemon", options("host-b"))
	if err != nil || second.Token() <= first.Token() {
		t.Fatalf("after it was released: %v", err)
	}
	if err := Break(t.Context(), a, "daemon"); err != nil {
		t.Fatal(err)
	}
	if err := second.Check(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("after it was broken: %v", err)
	}
	if proxy.Harmed.Load() == 0 {
		t.Error("the proxy did no harm")
	}
}

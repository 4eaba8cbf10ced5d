package run

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gocloud.dev/blob/memblob"

	"mergebot/eval/engine"
	"mergebot/hub/bucket/buckettest"
)

// s3 is a storage location on a real S3 server, behind a proxy.
func s3(t *testing.T) (location string, proxy *buckettest.Proxy) {
	t.Helper()
	proxy = buckettest.Before(t, buckettest.Start(t).Endpoint)
	for _, v := range buckettest.Env("http://127.0.0.1:1") { // the location's own endpoint counts
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	return "s3://storage/team a/ä+b?endpoint=" + url.QueryEscape(proxy.URL), proxy
}

func opened(t *testing.T, location string) *Storage {
	t.Helper()
	s, err := OpenStorage(location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestStorage holds every kind of storage to the same promises.
func TestStorage(t *testing.T) {
	t.Run("folder", func(t *testing.T) { promises(t, opened(t, t.TempDir())) })
	t.Run("memory", func(t *testing.T) {
		promises(t, &Storage{keeper: &objects{memblob.OpenBucket(nil)}, url: "mem://"})
	})
	t.Run("s3", func(t *testing.T) {
		location, proxy := s3(t)
		proxy.Busy.Store(7)
		proxy.Cut.Store(3)
		s := opened(t, location)
		promises(t, s)
		if url := s.URL(); url != "s3://storage/team a/ä+b" {
			t.Errorf("it is shown as %s", url)
		}
		if proxy.Harmed.Load() == 0 {
			t.Error("the proxy did no harm")
		}
	})
}

// TestStorageElsewhere holds the storage named by MERGEBOT_TEST_STORAGE, which must be empty, to the promises.
func TestStorageElsewhere(t *testing.T) {
	location := os.Getenv("MERGEBOT_TEST_STORAGE")
	if location == "" {
		t.Skip("MERGEBOT_TEST_STORAGE names no storage")
	}
	promises(t, opened(t, location))
}

func promises(t *testing.T, s *Storage) {
	t.Helper()
	ctx := t.Context()
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB: more than one part
	want := map[string][]byte{"runs/a/run.json": []byte(`{}`), "runs/a/report/items/x.jsonl": large, "runs/b/run.json": nil,
		"bot/odd/%2F #?&=ü\"'.json": []byte("odd"), "runs.txt": []byte("beside")}
	for key, b := range want {
		if err := s.WriteBytes(ctx, key, b); err != nil {
			t.Fatal(err)
		}
	}
	for key, b := range want {
		if got, ok, err := s.ReadBytes(ctx, key); err != nil || !ok || !bytes.Equal(got, b) {
			t.Errorf("%s: %d bytes, %v, %v", key, len(got), ok, err)
		}
	}
	if _, ok, err := s.ReadBytes(ctx, "runs/none"); ok || err != nil {
		t.Errorf("what is not there: %v, %v", ok, err)
	}
	if got, err := s.List(ctx, "runs/"); err != nil || !slices.Equal(got, []string{"runs/a/report/items/x.jsonl", "runs/a/run.json", "runs/b/run.json"}) {
		t.Errorf("list: %q, %v", got, err)
	}
	for folder, want := range map[string][]string{"runs/": {"a/", "b/"}, "runs/a/": {"report/", "run.json"}, "bot/odd/": {"%2F #?&=ü\"'.json"}, "none/": nil} {
		if got, err := s.Children(ctx, folder); err != nil || !slices.Equal(got, want) {
			t.Errorf("children of %s: %q, %v", folder, got, err)
		}
	}
	if err := s.WriteBytes(ctx, "runs/b/run.json", []byte("again")); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Create(ctx, "runs/b/run.json", 1); ok || err != nil {
		t.Errorf("create over something: %v, %v", ok, err)
	}
	if got, _, err := s.ReadBytes(ctx, "runs/b/run.json"); string(got) != "again" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for range 2 {
		if err := s.Delete(ctx, "runs/b/run.json"); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if err := s.Exclusive(ctx); err != nil {
		t.Error(err)
	}
	if got, err := s.List(ctx, "bot/exclusive/"); err != nil || len(got) > 0 {
		t.Errorf("left over: %q, %v", got, err)
	}
}

// TestStorageCreate: of many who want to make the same blob one does, even where answers are lost on the way and the
// request is made again.
func TestStorageCreate(t *testing.T) {
	location, proxy := s3(t)
	proxy.Lost.Store(3)
	for round := range 3 {
		var won atomic.Int64
		var all sync.WaitGroup
		for i := range 4 {
			s := opened(t, location)
			all.Go(func() {
				ok, err := s.Create(t.Context(), fmt.Sprintf("bot/leases/x/%d.json", round), i)
				if err != nil {
					t.Error(err)
				}
				if ok {
					won.Add(1)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("round %d: %d made it", round, won.Load())
		}
	}
	if proxy.Harmed.Load() == 0 {
		t.Error("no answer was lost")
	}
}

// careless is a store that overwrites what must not be overwritten.
type careless struct{ keeper }

func (c careless) create(ctx context.Context, key string, b []byte) (bool, error) {
	return true, c.write(ctx, key, b)
}

func TestStorageThatOverwrites(t *testing.T) {
	s := &Storage{keeper: careless{&objects{memblob.OpenBucket(nil)}}, url: "s3://old"}
	if err := s.Exclusive(t.Context()); err == nil || !strings.Contains(err.Error(), "two daemons") {
		t.Errorf("%v", err)
	}
}

func TestStorageRefuses(t *testing.T) {
	server := buckettest.Start(t)
	for _, v := range buckettest.Env(server.Endpoint) {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	refused := func(location, want string) {
		t.Helper()
		s, err := OpenStorage(location)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", location, err)
		}
	}
	refused("s3://key:hunter2@storage/x", "without keys")
	refused("s3://storage/x?aws_secret=hunter2", "not an option")
	refused("s3://nobucket/x", "cannot be read")
	refused("http://host/x?sig=hunter2", "is not known")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")
	refused("s3://storage/x", "credentials")
}

// TestStorageFarAway: where every answer takes 50 ms, a page of runs and a run's log are there in a moment, and so is a
// run's memory of answers.
func TestStorageFarAway(t *testing.T) {
	location, proxy := s3(t)
	s := opened(t, location)
	const runs, events = 100, 40
	if err := each(t.Context(), runs, func(ctx context.Context, i int) error {
		r := Record{ID: fmt.Sprintf("2026-%03d", i), State: Succeeded}
		return s.Put(ctx, r.Path()+"run.json", r)
	}); err != nil {
		t.Fatal(err)
	}
	if err := each(t.Context(), events, func(ctx context.Context, i int) error {
		return s.Put(ctx, fmt.Sprintf("runs/2026-000/events/%06d.json", i+1), Event{Step: "merge", Done: int64(i)})
	}); err != nil {
		t.Fatal(err)
	}
	const latency = 50 * time.Millisecond
	proxy.Latency.Store(int64(latency))
	begin := time.Now()
	all, err := Records(t.Context(), s, "", 0)
	if err != nil || len(all) != runs || all[0].ID != "2026-099" {
		t.Fatalf("%d records, %v", len(all), err)
	}
	records := time.Since(begin)
	if some, err := Records(t.Context(), s, "2026-050", 10); err != nil || len(some) != 10 || some[0].ID != "2026-049" {
		t.Errorf("%v, %v", some, err)
	}
	begin = time.Now()
	log, err := Events(t.Context(), s, "2026-000", 0)
	if err != nil || len(log) != events || log[events-1].Done != events-1 {
		t.Fatalf("%d events, %v", len(log), err)
	}
	t.Logf("at %v an answer: %d records in %v, %d events in %v", latency, runs, records, events, time.Since(begin))
	if _, err := s.recall(t.Context(), author{Engine: engine.Info{Engine: "x"}}); err != nil {
		t.Error(err)
	}
}

// TestStorageAtRest: a folder's blobs are files that others may read, and nothing else is left beside them.
func TestStorageAtRest(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, "file://"+filepath.ToSlash(dir))
	if err := s.WriteBytes(t.Context(), "a/b.json", []byte("x")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "a"))
	if err != nil || len(entries) != 1 || entries[0].Name() != "b.json" {
		t.Errorf("%v, %v", entries, err)
	}
}

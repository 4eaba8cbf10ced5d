package bucket_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gocloud.dev/blob"

	"mergebot/hub"
	"mergebot/hub/bucket"
	"mergebot/hub/bucket/buckettest"
)

// open opens a location of the test's server.
func open(t *testing.T, location string) *blob.Bucket {
	t.Helper()
	l, err := bucket.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bucket.Open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// setenv points this process at an endpoint.
func setenv(t *testing.T, endpoint string) {
	t.Helper()
	for _, v := range buckettest.Env(endpoint) {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
}

// TestS3 downloads from a real server through a proxy that does harm, is stopped in the middle, goes on with what is
// there, and finds that a file was changed.
func TestS3(t *testing.T) {
	proxy := buckettest.Before(t, buckettest.Start(t).Endpoint)
	setenv(t, proxy.URL)
	content := make([]byte, 36<<20+123)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(content)
	b := open(t, "s3://models/odd name +ü/7b")
	for name, c := range map[string][]byte{"model.safetensors": content, "config.json": []byte("{}"), "empty.txt": nil} {
		if err := b.WriteAll(t.Context(), name, c, nil); err != nil {
			t.Fatal(err)
		}
	}
	l, err := bucket.Parse("s3://models/odd name +ü/7b")
	if err != nil {
		t.Fatal(err)
	}
	proxy.Busy.Store(4)
	proxy.Cut.Store(3)
	cache := t.TempDir()
	c := bucket.New(cache)
	defer c.Close()
	files, err := c.List(t.Context(), l)
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	if files[2].ETag == "" || files[2].MD5 != "" { // it went up in parts
		t.Errorf("%+v", files[2])
	}

	ctx, stop := context.WithCancel(t.Context())
	if _, _, err := c.Snapshot(ctx, l, "x", files, func(done, _ int64) {
		if done > 18<<20 {
			stop()
		}
	}); !errors.Is(err, context.Canceled) {
		t.Fatalf("stopped: %v", err)
	}
	dir, sums, err := bucket.New(cache).Snapshot(t.Context(), l, "x", files, func(int64, int64) {})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	want := sha256.Sum256(content)
	if err != nil || !bytes.Equal(got, content) || sums["model.safetensors"] != hex.EncodeToString(want[:]) {
		t.Errorf("%d bytes, %v, %v", len(got), sums, err)
	}
	if moved := float64(proxy.Bytes.Load()) / float64(len(content)); moved > 2 || proxy.Harmed.Load() == 0 {
		t.Errorf("%.2f × the bytes, %d requests harmed", moved, proxy.Harmed.Load())
	} else {
		t.Logf("%.2f × the bytes in %d requests, %d of them harmed", moved, proxy.Requests.Load(), proxy.Harmed.Load())
	}

	if err := b.WriteAll(t.Context(), "config.json", []byte("[]"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(t.Context(), l, files[0]); !errors.Is(err, hub.ErrIntegrity) || !strings.Contains(err.Error(), "changed") {
		t.Errorf("changed: %v", err)
	}
}

// TestElsewhere lists and downloads from the place named by MERGEBOT_TEST_BUCKET, which it writes to, and finds that a
// file was changed.
func TestElsewhere(t *testing.T) {
	location := os.Getenv("MERGEBOT_TEST_BUCKET")
	if location == "" {
		t.Skip("MERGEBOT_TEST_BUCKET names no bucket")
	}
	l, err := bucket.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, location)
	content := make([]byte, 20<<20)
	_, _ = rand.NewChaCha8([32]byte{8}).Read(content)
	put := func(name string, content []byte) {
		if err := b.WriteAll(t.Context(), name, content, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("model.safetensors", content)
	put("config.json", []byte("{}"))
	put("deeper/config.json", []byte("{}"))
	c := bucket.New(t.TempDir())
	defer c.Close()
	files, err := c.List(t.Context(), l)
	if err != nil || len(files) != 2 || files[0].ETag == "" {
		t.Fatalf("%+v, %v", files, err)
	}
	t.Logf("%+v", files)
	dir, _, err := c.Snapshot(t.Context(), l, "x", files, func(int64, int64) {})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "model.safetensors")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	put("config.json", []byte("[]"))
	if _, err := c.Read(t.Context(), l, files[0]); err == nil {
		t.Error("a file that was changed was read")
	} else {
		t.Log(err)
	}
}

func TestS3Refuses(t *testing.T) {
	server := buckettest.Start(t)
	setenv(t, server.Endpoint)
	list := func(location string) error {
		l, err := bucket.Parse(location)
		if err != nil {
			t.Fatal(err)
		}
		c := bucket.New(t.TempDir())
		defer c.Close()
		_, err = c.List(t.Context(), l)
		return err
	}
	for _, location := range []string{"s3://nobucket/x", "s3://models/nothing"} {
		if err := list(location); !errors.Is(err, hub.ErrRepoNotFound) {
			t.Errorf("%s: %v", location, err)
		}
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong-hunter2")
	if err := list("s3://models/x"); !errors.Is(err, hub.ErrForbidden) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("wrong key: %v", err)
	}
}

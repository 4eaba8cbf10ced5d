package bucket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"

	"mergebot/hub"
)

var llama = Location{Scheme: "s3", Bucket: "models", Prefix: "llama"}

// overFolder is a client with an empty cache over one bucket that is a folder, and that bucket.
func overFolder(t *testing.T) (*Client, *blob.Bucket) {
	t.Helper()
	dir := t.TempDir()
	open := func() *blob.Bucket {
		b, err := fileblob.OpenBucket(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b, c := open(), New(t.TempDir())
	c.open = func(_ context.Context, l Location) (*blob.Bucket, error) {
		return blob.PrefixedBucket(open(), l.Prefix+"/"), nil
	}
	t.Cleanup(func() { c.Close(); b.Close() })
	return c, b
}

func put(t *testing.T, b *blob.Bucket, key string, content []byte) {
	t.Helper()
	if err := b.WriteAll(t.Context(), key, content, nil); err != nil {
		t.Fatal(err)
	}
}

// noise is bytes that depend on the seed alone.
func noise(seed uint64, n int) []byte {
	out := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = r.Read(out)
	return out
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestListReadSnapshot(t *testing.T) {
	c, b := overFolder(t)
	header := []byte(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`)
	weights := append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), make([]byte, 8)...)
	files := map[string][]byte{"config.json": []byte(`{"a":1}`), "model.safetensors": weights, "big.bin": noise(1, piece+piece/2), "empty.txt": {}}
	for name, content := range files {
		put(t, b, "llama/"+name, content)
	}
	put(t, b, "llama/checkpoint-5/config.json", []byte("deeper"))
	put(t, b, "other/config.json", []byte("elsewhere"))

	list, err := c.List(t.Context(), llama)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range list {
		if names = append(names, f.Path); f.Size != int64(len(files[f.Path])) || f.MD5 == "" {
			t.Errorf("%+v", f)
		}
	}
	if want := slices.Sorted(maps.Keys(files)); !slices.Equal(names, want) {
		t.Fatalf("listed %q, want %q", names, want)
	}
	if got, err := c.SafetensorsHeader(t.Context(), llama, list[slices.Index(names, "model.safetensors")]); err != nil || string(got) != string(header) {
		t.Errorf("header %q, %v", got, err)
	}
	if n := c.Missing(llama, list); n != int64(len(weights)+len(files["big.bin"])+7) {
		t.Errorf("%d bytes are missing", n)
	}
	for n := range 2 { // from the bucket, then from the cache
		dir, sums, err := c.Snapshot(t.Context(), llama, "one", list, func(int64, int64) {})
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range files {
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || !bytes.Equal(got, content) || sums[name] != hexSum(content) {
				t.Errorf("%s: %d bytes of hash %s, %v", name, len(got), sums[name], err)
			}
		}
		if missing := c.Missing(llama, list); missing != 0 {
			t.Errorf("%d bytes are missing still", missing)
		}
		for name := range files {
			if err := b.Delete(t.Context(), "llama/"+name); err != nil && n == 0 {
				t.Fatal(err)
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(c.cache, "parts", "*[ts]")); len(left) > 0 { // .part, .sums
		t.Errorf("left over: %q", left)
	}
	if _, err := c.List(t.Context(), Location{Scheme: "s3", Bucket: "models", Prefix: "none"}); !errors.Is(err, hub.ErrRepoNotFound) {
		t.Errorf("nothing there: %v", err)
	}
}

// TestResume: pieces that an earlier attempt left are used if they are still what came, and no others.
func TestResume(t *testing.T) {
	c, b := overFolder(t)
	content := noise(2, 3*piece+5)
	put(t, b, "llama/w.bin", content)
	list, err := c.List(t.Context(), llama)
	if err != nil {
		t.Fatal(err)
	}
	k := c.cached(llama, list[0])
	if err := os.MkdirAll(filepath.Join(c.cache, "parts"), 0o755); err != nil {
		t.Fatal(err)
	}
	part := slices.Clone(content[:3*piece])
	part[piece+7] ^= 1                                                                            // went bad on the disk
	sums := "0 " + hexSum(content[:piece]) + "\n1 " + hexSum(content[piece:2*piece]) + "\n2 0123" // a kill tore the line
	if err := errors.Join(os.WriteFile(k.part(".part"), part, 0o644), os.WriteFile(k.part(".sums"), []byte(sums), 0o644)); err != nil {
		t.Fatal(err)
	}
	_, got, err := c.Snapshot(t.Context(), llama, "x", list, func(int64, int64) {})
	if err != nil || got["w.bin"] != hexSum(content) {
		t.Fatalf("%v, %v", got, err)
	}
}

// TestWrongBytes: bytes that are not those of the store's MD5 are an error and no file.
func TestWrongBytes(t *testing.T) {
	c, b := overFolder(t)
	put(t, b, "llama/w.bin", noise(3, 1000))
	list, err := c.List(t.Context(), llama)
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, "llama/w.bin", noise(4, 1000))
	if _, _, err := c.Snapshot(t.Context(), llama, "x", list, func(int64, int64) {}); !errors.Is(err, hub.ErrIntegrity) {
		t.Errorf("%v", err)
	}
	if blobs, _ := filepath.Glob(filepath.Join(c.cache, "blobs", "*")); len(blobs) > 0 {
		t.Errorf("in the cache: %q", blobs)
	}
}

func TestNamesThatLeaveTheFolder(t *testing.T) {
	c, _ := overFolder(t)
	for _, name := range []string{"../x", "a/b", "/x", "..", `a\b`, "a\x00"} {
		if _, _, err := c.Snapshot(t.Context(), llama, "x", []File{{Path: name, Size: 1, MD5: "0"}}, func(int64, int64) {}); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

var (
	shardA = file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, floatBytes(1, 2))
	shardB = file(`{"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"extra":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, floatBytes(3, 4))
)

const goodIndex = `{"metadata":{"total_size":12},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`

func sharded() map[string][]byte {
	return map[string][]byte{
		indexSafetensors:                   []byte(goodIndex),
		"model-00001-of-00002.safetensors": shardA,
		"model-00002-of-00002.safetensors": shardB,
	}
}

func TestOpenShards(t *testing.T) {
	t.Parallel()
	c := open(t, folder(t, sharded()))
	if got := strings.Join(c.Names(), " "); got != "a b" {
		t.Fatalf("names %q: a tensor that the index does not name is not there", got)
	}
	if v := read(t, c, "b"); v[0] != 3 {
		t.Errorf("b = %v", v)
	}
	if e, _ := c.Tensor("b"); filepath.Base(e.File) != "model-00002-of-00002.safetensors" {
		t.Errorf("b is in %s", e.File)
	}
	if !c.TiedEmbeddings() {
		t.Error("without config.json and lm_head.weight the embeddings are tied")
	}
}

func TestOpenThroughLinks(t *testing.T) {
	t.Parallel()
	blobs, dir := t.TempDir(), t.TempDir()
	for name, data := range sharded() {
		blob := filepath.Join(blobs, "sha-"+name)
		if err := os.WriteFile(blob, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(blob, filepath.Join(dir, name)); err != nil {
			t.Skip(err)
		}
	}
	if v := read(t, open(t, dir), "a"); v[1] != 2 {
		t.Errorf("a = %v", v)
	}
	if err := os.Remove(filepath.Join(blobs, "sha-model-00002-of-00002.safetensors")); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir)
	mustFail(t, err, ErrMissingShard, "model-00002-of-00002.safetensors", "a link to a file that is gone", "download it again")
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	index := func(s string) func(map[string][]byte) {
		return func(f map[string][]byte) { f[indexSafetensors] = []byte(s) }
	}
	place := func(file string) func(map[string][]byte) {
		return index(strings.Replace(goodIndex, "model-00001-of-00002.safetensors", file, 1))
	}
	for _, c := range []struct {
		name     string
		change   func(map[string][]byte)
		sentinel error
		want     []string
	}{
		{"missing shard", func(f map[string][]byte) { delete(f, "model-00001-of-00002.safetensors") }, ErrMissingShard, []string{"model-00001-of-00002.safetensors", "names it", "download"}},
		{"missing index", func(f map[string][]byte) { delete(f, indexSafetensors) }, ErrMissingShard, []string{"no index"}},
		{"tensor is not in its shard", place("model-00002-of-00002.safetensors"), ErrCorrupt, []string{`tensor "a"`, "download it again"}},
		{"escapes upward", place(`../../secret.safetensors`), ErrCorrupt, []string{"secret", "not a .safetensors file of this folder"}},
		{"absolute", place(`/etc/secret.safetensors`), ErrCorrupt, []string{"secret"}},
		{"in a subfolder", place(`sub/x.safetensors`), ErrCorrupt, []string{"sub"}},
		{"with a backslash", place(`..\\x.safetensors`), ErrCorrupt, []string{"x.safetensors"}},
		{"other kind of file", place(`pytorch_model.bin`), ErrCorrupt, []string{"pytorch_model.bin"}},
		{"empty name", place(``), ErrCorrupt, nil},
		{"tensor twice", index(strings.Replace(goodIndex, `"b"`, `"a"`, 1)), ErrCorrupt, []string{"twice"}},
		{"no map", index(`{}`), ErrCorrupt, []string{"names no tensor"}},
		{"map of numbers", index(`{"weight_map":{"a":1}}`), ErrCorrupt, []string{`"a"`}},
		{"not JSON", index(`<html>`), ErrCorrupt, []string{indexSafetensors}},
		{"not UTF-8", index("{\"\xff\":1}"), ErrCorrupt, []string{"UTF-8"}},
		{"quantised by config", func(f map[string][]byte) {
			f[configName] = []byte(`{"quantization_config":{"quant_method":"gptq"}}`)
		}, ErrUnsupported, []string{"gptq", "float16"}},
		{"broken config", func(f map[string][]byte) { f[configName] = []byte(`{`) }, ErrCorrupt, []string{configName}},
		{"adapter", only("adapter_model.safetensors"), ErrUnsupported, []string{"LoRA"}},
		{"gguf", only("m.gguf"), ErrUnsupported, []string{"GGUF"}},
		{"original layout", only("consolidated.00.pth"), ErrUnsupported, []string{"-hf"}},
		{"nothing", only("README.md"), ErrMissingShard, []string{singleSafetensors}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := sharded()
			c.change(files)
			_, err := Open(folder(t, files))
			mustFail(t, err, c.sentinel, c.want...)
		})
	}
}

func only(name string) func(map[string][]byte) {
	return func(f map[string][]byte) {
		clear(f)
		f[name] = []byte("x")
	}
}

func TestOpenNoFolder(t *testing.T) {
	t.Parallel()
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	dir := folder(t, map[string][]byte{"f": nil})
	if _, err := Open(filepath.Join(dir, "f")); err == nil || !strings.Contains(err.Error(), "not a folder") {
		t.Errorf("got %v", err)
	}
}

func TestReadRanges(t *testing.T) {
	t.Parallel()
	c := open(t, folder(t, sharded()))
	one := make([]float32, 1)
	if err := c.Floats("a", one, 1); err != nil || one[0] != 2 {
		t.Errorf("a[1] = %v, %v", one, err)
	}
	raw := make([]byte, 3)
	if err := c.ReadAt("a", raw, 5); err != nil || string(raw) != string(floatBytes(1, 2)[5:]) {
		t.Errorf("bytes % x, %v", raw, err)
	}
	for name, err := range map[string]error{
		"floats beyond":  c.Floats("a", one, 2),
		"floats before":  c.Floats("a", one, -1),
		"far beyond":     c.Floats("a", one, 1<<62),
		"bytes beyond":   c.ReadAt("a", raw, 6),
		"bytes before":   c.ReadAt("a", raw, -1),
		"wrong length":   c.Read("a", one),
		"no such tensor": c.Read("none", one),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ints := open(t, folder(t, map[string][]byte{singleSafetensors: file(`{"i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}`, []byte{7, 0, 0, 0, 0, 0, 0, 0})}))
	mustFail(t, ints.Floats("i", one, 0), ErrUnsupported, "I64")
	if err := ints.ReadAt("i", raw[:1], 0); err != nil || raw[0] != 7 {
		t.Errorf("raw integer % x, %v", raw[:1], err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Read("a", make([]float32, 2)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	c.Release("a")
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestReadInChunks reads a tensor that does not fit the buffer.
func TestReadInChunks(t *testing.T) {
	t.Parallel()
	values := make([]float32, readChunk/4+5)
	for i := range values {
		values[i] = float32(i)
	}
	c := open(t, folder(t, map[string][]byte{singleSafetensors: file(
		fmt.Sprintf(`{"a":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}`, len(values), 4*len(values)), floatBytes(values...))}))
	for i, v := range read(t, c, "a") {
		if v != values[i] {
			t.Fatalf("a[%d] = %v", i, v)
		}
	}
}

func TestConcurrentReaders(t *testing.T) {
	t.Parallel()
	c := open(t, "../../testdata/family/base")
	names := c.Names()
	want := map[string]float32{}
	for _, n := range names {
		want[n] = read(t, c, n)[0]
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 3 * len(names) {
				n := names[(i*(g+1))%len(names)]
				v := make([]float32, 1)
				if err := c.Floats(n, v, 0); err != nil || v[0] != want[n] {
					t.Errorf("%s: %v, %v", n, v, err)
				}
				c.Release(n)
			}
		})
	}
	wg.Wait()
}

func TestShrunkFile(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a mapped file cannot shrink here")
	}
	size := 1 << 20
	header := `{"a":{"dtype":"U8","shape":[1048576],"data_offsets":[0,1048576]}}`
	dir := folder(t, map[string][]byte{singleSafetensors: file(header, make([]byte, size))})
	c := open(t, dir)
	buf := make([]byte, size)
	if err := c.ReadAt("a", buf, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, singleSafetensors), 4096); err != nil {
		t.Fatal(err)
	}
	mustFail(t, c.ReadAt("a", buf, 0), ErrCorrupt, "changed", singleSafetensors)
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(goodIndex))
	f.Add([]byte(`{"weight_map":{"a":"../x.safetensors"}}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "index.json")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		place, err := readIndex(path, ".safetensors")
		if err != nil {
			return
		}
		for tensor, file := range place {
			if filepath.Dir(filepath.Join(dir, file)) != dir {
				t.Fatalf("%q escapes to %q", tensor, file)
			}
		}
	})
}

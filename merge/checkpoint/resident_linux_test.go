package checkpoint

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// resident sums the resident kB of this process's mappings of a file.
func resident(t *testing.T, path string) (kb int) {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = f.Close() }()
	of := false
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if strings.Contains(line, "-") && strings.Contains(line, " r") {
			of = strings.HasSuffix(line, path)
		}
		var n int
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &n); of && err == nil {
			kb += n
		}
	}
	return kb
}

// TestReadingMapsNothing reads 24 MB, none of which becomes resident memory of
// this process beside the buffers: peak memory does not depend on the model.
func TestReadingMapsNothing(t *testing.T) {
	t.Parallel()
	const tensors, each = 6, 4 << 20
	var list []Output
	for i := range tensors {
		list = append(list, Output{fmt.Sprintf("t%02d", i), U8, []int64{each}})
	}
	dir := t.TempDir()
	writeAll(t, dir, list, WriterOptions{})
	c := open(t, dir)
	buf := make([]byte, each)
	for _, name := range c.Names() {
		c.Prefetch(name)
		if err := c.ReadAt(name, buf, 0); err != nil {
			t.Fatal(err)
		}
		if kb := resident(t, filepath.Join(dir, singleSafetensors)); kb != 0 {
			t.Errorf("%s: %d kB of the file are resident", name, kb)
		}
		c.Release(name)
	}
}

// BenchmarkReading compares what the two ways of reading a file that the system
// has in its cache cost, into a buffer that stays in the core's.
func BenchmarkReading(b *testing.B) {
	const size = 256 << 20
	path := filepath.Join(b.TempDir(), "weights")
	if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, readChunk)
	for _, way := range []struct {
		name string
		read func(w *weights) error
	}{
		{"read", func(w *weights) error {
			for off := int64(0); off < size; off += readChunk {
				if err := w.read(buf, off); err != nil {
					return err
				}
			}
			return nil
		}},
		{"mapped", func(w *weights) error {
			mapped := w.bytes()
			for off := 0; off < size; off += readChunk {
				copy(buf, mapped[off:off+readChunk])
			}
			w.release(0, size)
			return nil
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			w := &weights{path: path, file: f, size: size}
			b.SetBytes(size)
			for b.Loop() {
				if err := way.read(w); err != nil {
					b.Fatal(err)
				}
			}
			unmapFile(w.bytes())
		})
	}
}

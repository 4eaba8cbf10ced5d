//go:build linux || darwin

package run

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A hash is remembered for a file that is left alone, and forgotten when the file is written to, whatever its times say.
func TestHashes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, h := filepath.Join(dir, "weights"), Hashes(filepath.Join(dir, "hashes"))
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	of := func() string {
		t.Helper()
		sum, err := h.of(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	entries := func() []string {
		found, _ := filepath.Glob(filepath.Join(string(h), "*", "*.json"))
		return found
	}
	write("one")
	if sum := of(); sum != hashBytes([]byte("one")) || len(entries()) != 0 {
		t.Errorf("just written: %s, kept as %v", sum, entries())
	}
	id, _ := identify(file)
	name := hashBytes([]byte(file))
	entry := filepath.Join(string(h), name[:2], name[2:34]+".json")
	believed := hashBytes([]byte("what was remembered"))
	if err := keepEntry(entry, remembered{id, believed}); err != nil {
		t.Fatal(err)
	}
	if sum := of(); sum != believed {
		t.Errorf("left alone, it is hashed again: %s", sum)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	for { // the same size and time of modification: only the system's own time tells
		write("two")
		if err := os.Chtimes(file, time.Time{}, info.ModTime()); err != nil {
			t.Fatal(err)
		}
		if now, _ := identify(file); now.Changed != id.Changed {
			break
		}
	}
	if sum := of(); sum != hashBytes([]byte("two")) {
		t.Errorf("written to: %s", sum)
	}
	if err := os.WriteFile(entry, []byte(`{"path":`), 0o644); err != nil {
		t.Fatal(err)
	}
	if sum := of(); sum != hashBytes([]byte("two")) {
		t.Errorf("with a torn entry: %s", sum)
	}
}

// What was left alone for long enough is kept, and found.
func TestHashesKept(t *testing.T) {
	t.Parallel()
	h := Hashes(t.TempDir())
	exe, err := os.Executable() // the file of this test has been there since it was built
	if err != nil {
		t.Fatal(err)
	}
	id, _ := identify(exe)
	if time.Since(time.Unix(0, id.Changed)) < settled {
		t.Skip("this test was built just now")
	}
	sum, err := h.of(t.Context(), exe)
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := filepath.Glob(filepath.Join(string(h), "*", "*.json"))
	if len(entries) != 1 {
		t.Fatalf("kept: %v", entries)
	}
	if again, err := h.of(t.Context(), exe); err != nil || again != sum {
		t.Errorf("%s, then %s: %v", sum, again, err)
	}
}

package checkpoint

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func TestAsideHash(t *testing.T) {
	for _, sizes := range [][]int{
		{},
		{0},
		{1, 0, 3},
		{hashPiece - 1, 2, hashPiece},
		{hashPiece, hashPiece + 1},
		{5*hashPiece*hashBehind/2 + 7, 1},
	} {
		random := rand.New(rand.NewPCG(1, 2))
		h, want := hashBeside(), sha256.New()
		for _, n := range sizes {
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(random.Uint32())
			}
			want.Write(p)
			if got, err := h.Write(p); got != n || err != nil {
				t.Fatalf("%v: took %d of %d, %v", sizes, got, n, err)
			}
			clear(p) // the caller may use it again at once
		}
		if got, want := fmt.Sprintf("%x", h.end()), fmt.Sprintf("%x", want.Sum(nil)); got != want {
			t.Errorf("%v: %s, not %s", sizes, got, want)
		}
	}
}

func TestFlushing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, want := flushBeside(f), sha256.New()
	p := make([]byte, flushPiece/3)
	for i := range 5 {
		p[i] = byte(i + 1)
		want.Write(p)
		if n, err := w.Write(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.end()
	if w.begun < flushPiece {
		t.Errorf("%d bytes of %d were begun", w.begun, w.written)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := sha256.Sum256(b); string(got[:]) != string(want.Sum(nil)) {
		t.Error("other bytes than were written")
	}
}

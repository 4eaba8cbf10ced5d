package hub

import (
	"bytes"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSpans holds the arithmetic of ranges to a plain list of bytes.
func TestSpans(t *testing.T) {
	t.Parallel()
	const size = 40
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var s spans
		var held [size]bool
		for range 8 {
			from := r.Int64N(size)
			n := span{from, from + r.Int64N(size-from+1)}
			s = s.with(n)
			for i := n.from; i < n.to; i++ {
				held[i] = true
			}
			var total int64
			for i := range int64(size) {
				end := i
				for end < size && held[end] {
					end++
				}
				if got := s.reach(i); got != end {
					t.Fatalf("seed %d: %v reaches from %d to %d, want %d", seed, s, i, got, end)
				}
				if held[i] {
					total++
				}
			}
			gaps := s.gaps(size)
			if s.total() != total || gaps.total() != size-total {
				t.Fatalf("seed %d: %v holds %d and lacks %d, want %d of %d", seed, s, s.total(), gaps.total(), total, size)
			}
			for i := 1; i < len(s); i++ {
				if s[i-1].to >= s[i].from {
					t.Fatalf("seed %d: %v overlap or touch", seed, s)
				}
			}
			for _, g := range gaps {
				for i := g.from; i < g.to; i++ {
					if held[i] {
						t.Fatalf("seed %d: byte %d of %v is no gap", seed, i, s)
					}
				}
			}
		}
	}
}

func TestPartial(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "x.part")
	content := bytesOf(100, 1)
	put := func(p *partial, from, to int64) {
		t.Helper()
		if _, err := p.data.WriteAt(content[from:to], from); err != nil {
			t.Fatal(err)
		}
		if err := p.note(noted{span{from, to}, crc32.Checksum(content[from:to], castagnoli)}); err != nil {
			t.Fatal(err)
		}
	}
	open := func() *partial {
		t.Helper()
		p, err := openPartial(name, 100)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.close() })
		return p
	}
	p := open()
	put(p, 0, 10)
	put(p, 50, 60)
	put(p, 60, 70)
	if got, want := p.missing(), (spans{{10, 50}, {70, 100}}); !slices.Equal(got, want) {
		t.Errorf("missing %v, want %v", got, want)
	}
	p.close()

	// A line that was cut, and the next one behind it, cost those two and no more.
	log, err := os.OpenFile(name+".log", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = log.WriteString("10 2")
	log.Close()
	p = open()
	put(p, 20, 30)
	put(p, 30, 40)
	p.close()
	p = open()
	if got, want := p.missing(), (spans{{10, 30}, {40, 50}, {70, 100}}); !slices.Equal(got, want) {
		t.Errorf("missing %v, want %v", got, want)
	}
	if n := begun(name, 100); n != 40 {
		t.Errorf("%d bytes begun, want 40", n)
	}

	// What the disk has spoilt is found, and only that.
	if repaired, err := p.repair(); repaired || err != nil {
		t.Errorf("%v, %v though nothing was spoilt", repaired, err)
	}
	if _, err := p.data.WriteAt([]byte{content[65] ^ 1}, 65); err != nil {
		t.Fatal(err)
	}
	if repaired, err := p.repair(); !repaired || err != nil {
		t.Errorf("%v, %v", repaired, err)
	}
	if got, want := p.missing(), (spans{{10, 30}, {40, 50}, {60, 100}}); !slices.Equal(got, want) {
		t.Errorf("missing %v, want %v", got, want)
	}
	// Bytes that the log names and the file lacks are not there.
	if err := os.Truncate(name, 55); err != nil {
		t.Fatal(err)
	}
	if n := begun(name, 100); n != 20 {
		t.Errorf("%d bytes begun, want 20", n)
	}
	// A file without a log, or that is too long, begins anew.
	if err := os.Truncate(name, 101); err != nil {
		t.Fatal(err)
	}
	if p = open(); p.total() != 0 {
		t.Errorf("%d bytes of a file that is too long", p.total())
	}
}

// FuzzLog: whatever lies on disk, no span leaves the file, and what was read is written the same.
func FuzzLog(f *testing.F) {
	f.Add([]byte("0 10 0000abcd\n10 20 ffffffff\n"), int64(100))
	f.Add([]byte("0 10 abcd\n+1 20 ffffffff\n 1 2 00000000\n5"), int64(15))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		for _, n := range parseLog(b, size) {
			if n.from < 0 || n.to > size || n.len() <= 0 {
				t.Errorf("%v of %d bytes", n.span, size)
			}
			if !bytes.Contains(b, []byte(n.line())) {
				t.Errorf("%q is not in %q", n.line(), b)
			}
		}
	})
}

// FuzzDelivery: a note of an upload that is no such note is refused, not misread.
func FuzzDelivery(f *testing.F) {
	f.Add([]byte(`{"endpoint":"http://h","size":3,"upload":{"href":"http://s/x","header":{"chunk_size":"2","1":"http://s/1"}}}` + "\n1 \"a\\\"b\" .\n2 \"c"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := parseDelivery(b)
		if err != nil {
			return
		}
		for n, etag := range d.etags {
			if n <= 0 || !bytes.Contains(b, []byte(partLine(n, etag))) {
				t.Errorf("part %d, %q is not in %q", n, etag, b)
			}
		}
	})
}

func TestSamePlaces(t *testing.T) {
	t.Parallel()
	action := func(part string) lfsAction {
		return lfsAction{Href: "https://s/up/done?sig=1", Header: map[string]string{"chunk_size": "5", "1": part}}
	}
	old := action("https://s/up/x?part=1&sig=1")
	for part, want := range map[string]bool{
		"https://s/up/x?part=1&sig=2": true, "https://s:444/up/x?part=1": false, "https://evil/up/x?part=1": false,
		"https://s/up/y?part=1": false, "http://s/up/x?part=1": false, "%": false,
	} {
		if got := samePlaces(old, action(part)); got != want {
			t.Errorf("%s: %v", part, got)
		}
	}
}

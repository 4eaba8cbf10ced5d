package hub

import (
	"testing"
	"time"
)

// TestTake: pieces come in order and become smaller towards the end; then half of what a slow request still has to
// bring is given to another one, and nothing of one that is fast.
func TestTake(t *testing.T) {
	t.Parallel()
	const size = 2 << 30
	d := &download{client: &Client{minPiece: minPiece}, file: File{Size: size}, open: spans{{0, size}}, busy: map[*piece]bool{}}
	var at, last int64 = 0, maxPiece
	for len(d.open) > 0 {
		p := d.take(8)
		if p.from != at || p.len() > last && p.len() > minPiece*3/2 || p.len() > maxPiece {
			t.Fatalf("a piece %v after %d, one before was of %d", p.span, at, last)
		}
		at, last = p.to, p.len()
		delete(d.busy, p)
	}
	if at != size {
		t.Fatalf("the pieces end at %d of %d", at, size)
	}
	if p := d.take(8); p != nil {
		t.Errorf("%v though all is given away", p.span)
	}
	now := time.Now()
	fast := &piece{span{9 << 20, 10 << 20}, now.Add(-10 * time.Second), 0}
	slow := &piece{span{20 << 20, 28 << 20}, now.Add(-10 * time.Second), 20<<20 - 1000}
	young := &piece{span{40 << 20, 80 << 20}, now, 40 << 20}
	d.busy = map[*piece]bool{fast: true, slow: true, young: true}
	p := d.take(8)
	if p == nil || p.span != (span{24 << 20, 28 << 20}) || slow.to != 24<<20 {
		t.Errorf("%+v, the slow one keeps %v", p, slow.span)
	}
}

// TestBandwidth: the limit holds over all files and connections.
func TestBandwidth(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]byte{"model.safetensors": bytesOf(1_500_000, 1)})
	c, _ := testClient(t, f.main.URL, Options{Bandwidth: 4_000_000})
	start := time.Now()
	if _, err := c.Snapshot(t.Context(), testRepo, testSHA, nil); err != nil {
		t.Fatal(err)
	}
	// The last read of at most 256 KiB is not waited for.
	if passed := time.Since(start); passed < 300*time.Millisecond {
		t.Errorf("1.5 MB at 4 MB/s took %s", passed)
	}
}

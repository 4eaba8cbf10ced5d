package checkpoint

import "os"

// flushing writes to a file whose bytes begin their way to the disk while more
// are computed: left to itself, a system with much memory keeps gigabytes until
// the sync at the end (2.2 GB: 0.6 s after 2.1 s of merging).
type flushing struct {
	file    *os.File
	written int64
	begun   int64
	ranges  chan [2]int64 // off, n
	ended   chan struct{}
}

// flushPiece is how many bytes are handed to the disk at a time.
const flushPiece = 64 << 20

func flushBeside(f *os.File) *flushing {
	w := &flushing{file: f, ranges: make(chan [2]int64, 64), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		for r := range w.ranges { // it can block while the disk is behind
			startFlush(f, r[0], r[1])
		}
	}()
	return w
}

func (w *flushing) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.written += int64(n)
	if w.written-w.begun >= flushPiece {
		select {
		case w.ranges <- [2]int64{w.begun, w.written - w.begun}:
			w.begun = w.written
		default: // far behind: no use in asking for more
		}
	}
	return n, err
}

// end waits for what was begun to be begun. It is called once.
func (w *flushing) end() {
	close(w.ranges)
	<-w.ended
}

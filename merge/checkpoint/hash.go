package checkpoint

import (
	"crypto/sha256"
	"hash"
)

// asideHash takes a SHA-256 on a goroutine of its own, a few pieces behind whoever
// writes: a core that hashes takes about as long as the disk, and neither waits
// for the other piece by piece.
type asideHash struct {
	sum    hash.Hash // the goroutine's until ended is closed
	pieces chan []byte
	spare  chan []byte
	ended  chan struct{}
}

const (
	hashPiece  = 1 << 18 // bytes that are copied and handed over at a time: they stay in the cache
	hashBehind = 16      // pieces
)

func hashBeside() *asideHash {
	h := &asideHash{sum: sha256.New(), pieces: make(chan []byte, hashBehind), spare: make(chan []byte, hashBehind), ended: make(chan struct{})}
	for range hashBehind {
		h.spare <- make([]byte, hashPiece)
	}
	go func() {
		defer close(h.ended)
		for p := range h.pieces {
			_, _ = h.sum.Write(p) // a hash's Write never fails
			h.spare <- p[:hashPiece]
		}
	}()
	return h
}

// Write copies p and returns; it waits only when the hash has fallen far behind.
func (h *asideHash) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		to := <-h.spare
		took := copy(to, p)
		h.pieces <- to[:took]
		p = p[took:]
	}
	return n, nil
}

// end waits until all is hashed and returns the 32 bytes. It is called once,
// after the last Write.
func (h *asideHash) end() []byte {
	close(h.pieces)
	<-h.ended
	return h.sum.Sum(nil)
}

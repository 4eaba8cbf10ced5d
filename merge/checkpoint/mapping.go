package checkpoint

import (
	"os"
	"runtime/debug"
	"sync"
)

// weights is one open weights file. It is read into buffers that stay in the
// processor's cache, faster than by a mapping's page faults (see
// BenchmarkReading); only elements that do not lie in one piece are taken from
// a mapping.
type weights struct {
	path string
	file *os.File
	size int64

	mapOnce sync.Once
	mapped  []byte // nil: read the file; only through bytes()
}

// readChunk bounds what is read at a time on the way to another form.
const readChunk = 1 << 17

// chunks are buffers of readChunk bytes.
var chunks = sync.Pool{New: func() any { return new([readChunk]byte) }}

func (w *weights) bytes() []byte {
	w.mapOnce.Do(func() { w.mapped, _ = mapFile(w.file, w.size) })
	return w.mapped
}

// read fills dst with the bytes from off on.
func (w *weights) read(dst []byte, off int64) error {
	if _, err := w.file.ReadAt(dst, off); err != nil {
		return w.lost(err)
	}
	return nil
}

// view calls use with the bytes [off, off+n), in order, in pieces whose lengths
// are multiples of 8 bytes but for the last. The bytes are only valid during the
// call.
func (w *weights) view(off, n int64, use func(b []byte)) error {
	buf := chunks.Get().(*[readChunk]byte)
	defer chunks.Put(buf)
	for n > 0 {
		part := buf[:min(n, readChunk)]
		if err := w.read(part, off); err != nil {
			return err
		}
		use(part)
		off += int64(len(part))
		n -= int64(len(part))
	}
	return nil
}

// gather copies len(dst)/size elements of size bytes each to dst; element i
// starts at offset(i). It serves tensors that do not lie in one piece.
func (w *weights) gather(dst []byte, size int, offset func(i int64) int64) error {
	mapped := w.bytes()
	return w.guard(func() error {
		for i := 0; i < len(dst)/size; i++ {
			to, off := dst[i*size:(i+1)*size], offset(int64(i))
			if mapped != nil {
				copy(to, mapped[off:off+int64(size)])
			} else if err := w.read(to, off); err != nil {
				return err
			}
		}
		return nil
	})
}

// guard runs f, which reads the mapping. A file that shrinks under its
// mapping, or a disk that fails, shows as a fault on the page: an error here,
// instead of the end of the process.
func (w *weights) guard(f func() error) (err error) {
	defer func(old bool) {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			if _, fault := r.(interface{ Addr() uintptr }); !fault {
				panic(r)
			}
			err = w.lost(r.(error))
		}
	}(debug.SetPanicOnFault(true))
	return f()
}

func (w *weights) lost(err error) error {
	return inFile(w.path, corrupt("it changed or failed while it was read: %v", err))
}

// release drops the pages of [off, off+n) from resident memory.
func (w *weights) release(off, n int64) {
	if mapped := w.bytes(); mapped != nil && n > 0 {
		dropPages(mapped, off, n)
	}
}

// prefetch lets the system read [off, off+n) from the disk, and does not wait.
func (w *weights) prefetch(off, n int64) { readAhead(w.file, off, n) }

func (w *weights) close() error {
	w.mapOnce.Do(func() {}) // never read: nothing to map any more
	if w.mapped != nil {
		unmapFile(w.mapped)
		w.mapped = nil
	}
	return w.file.Close()
}

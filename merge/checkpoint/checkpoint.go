package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
)

// Checkpoint is an open model. Its methods may be called from several
// goroutines at once.
type Checkpoint struct {
	dir      string
	metadata map[string]string
	names    []string
	tensors  map[string]entry
	files    []*weights

	mu     sync.RWMutex // held for reading while pages are in use
	closed bool
}

// entry is a tensor and where it is. strides, in elements, is nil for data in
// row-major order without gaps, which is all that safetensors knows.
type entry struct {
	Tensor
	in      *weights
	strides []int64
	patch   *patch // computes the values, where an adapter changes them
}

// Dir returns the folder that was opened.
func (c *Checkpoint) Dir() string { return c.dir }

// Names returns the tensors' names, sorted. The slice is the caller's.
func (c *Checkpoint) Names() []string { return slices.Clone(c.names) }

// Tensor returns what is known of a tensor without reading it. For a tensor of
// a PyTorch file that does not lie in one piece Size is that of its elements.
func (c *Checkpoint) Tensor(name string) (Tensor, bool) {
	e, ok := c.tensors[name]
	e.Shape = slices.Clone(e.Shape)
	return e.Tensor, ok
}

// Tensors returns all tensors sorted by name.
func (c *Checkpoint) Tensors() []Tensor {
	out := make([]Tensor, len(c.names))
	for i, n := range c.names {
		out[i], _ = c.Tensor(n)
	}
	return out
}

// Shape returns a tensor's dimensions, outermost first; nil if there is none
// of that name.
func (c *Checkpoint) Shape(name string) []int64 { return slices.Clone(c.tensors[name].Shape) }

// Metadata returns the __metadata__ of the first weights file; often
// {"format": "pt"}, empty for PyTorch files.
func (c *Checkpoint) Metadata() map[string]string { return c.metadata }

// Files returns the paths of the weights files in the order they were opened.
func (c *Checkpoint) Files() []string {
	out := make([]string, len(c.files))
	for i, w := range c.files {
		out[i] = w.path
	}
	return out
}

// ReadAt copies the raw little-endian bytes [off, off+len(dst)) of a tensor.
func (c *Checkpoint) ReadAt(name string, dst []byte, off int64) error {
	e, done, err := c.use(name)
	if err != nil {
		return err
	}
	defer done()
	if e.patch != nil {
		return fmt.Errorf("read tensor %q of %s: it is computed from an adapter and has no stored bytes", name, c.dir)
	}
	if off < 0 || off > e.Size-int64(len(dst)) {
		return fmt.Errorf("read tensor %q of %s: bytes [%d, %d) are outside its %d", name, c.dir, off, off+int64(len(dst)), e.Size)
	}
	if e.strides != nil {
		return e.gatherBytes(dst, off)
	}
	return e.in.read(dst, e.Offset+off)
}

// Floats widens the elements [from, from+len(dst)) of a tensor, in row-major
// order, to fp32. Exact for F32, F16 and BF16; F64 is rounded to nearest even;
// other types give ErrUnsupported (read them raw with [Checkpoint.ReadAt]).
// Adapted tensors are computed, see [OpenAdapted].
func (c *Checkpoint) Floats(name string, dst []float32, from int64) error {
	e, done, err := c.use(name)
	if err != nil {
		return err
	}
	defer done()
	if !e.DType.Float() {
		return fmt.Errorf("read tensor %q of %s: %w", name, c.dir, unsupported("%s is not a floating type", e.DType))
	}
	if from < 0 || from > e.Elements()-int64(len(dst)) {
		return fmt.Errorf("read tensor %q of %s: elements [%d, %d) are outside its %d", name, c.dir, from, from+int64(len(dst)), e.Elements())
	}
	if e.patch != nil {
		return e.patch.floats(dst, from)
	}
	return e.floats(dst, from)
}

// floats widens stored elements; the caller has checked type and range.
func (e entry) floats(dst []float32, from int64) error {
	size := int64(e.DType.Size())
	if e.strides != nil {
		buf := make([]byte, min(int64(len(dst))*size, readChunk))
		for len(dst) > 0 {
			n := min(int64(len(dst)), int64(len(buf))/size)
			if err := e.gatherBytes(buf[:n*size], from*size); err != nil {
				return err
			}
			if err := widen(e.DType, dst[:n], buf); err != nil {
				return err
			}
			dst, from = dst[n:], from+n
		}
		return nil
	}
	var failed error
	err := e.in.view(e.Offset+from*size, int64(len(dst))*size, func(b []byte) {
		n := int64(len(b)) / size
		failed = errors.Join(failed, widen(e.DType, dst[:n], b))
		dst = dst[n:]
	})
	return errors.Join(err, failed)
}

// Read widens a whole tensor; dst must have exactly its length.
func (c *Checkpoint) Read(name string, dst []float32) error {
	if e, ok := c.tensors[name]; ok && e.Elements() != int64(len(dst)) {
		return fmt.Errorf("read tensor %q of %s: it has %d elements, the buffer %d", name, c.dir, e.Elements(), len(dst))
	}
	return c.Floats(name, dst, 0)
}

// Prefetch lets the system read a tensor from the disk into its cache, and does
// not wait for it. Where it cannot, nothing happens.
func (c *Checkpoint) Prefetch(name string) {
	e, done, err := c.use(name)
	if err != nil {
		return
	}
	defer done()
	if e.patch == nil {
		e.in.prefetch(e.Offset, e.span())
	}
}

// Release drops what this process holds of a tensor in memory: a copy that an
// adapter needs, or the pages of a mapping. They stay in the system's cache and
// come back when they are read again, also by a reader that is at it now.
func (c *Checkpoint) Release(name string) {
	e, done, err := c.use(name)
	if err != nil {
		return
	}
	defer done()
	if e.patch != nil {
		e.patch.release()
		return
	}
	if e.strides != nil { // nothing else is mapped
		e.in.release(e.Offset, e.span())
	}
}

// Close unmaps and closes the files, after waiting for readers. It may be
// called twice; reading afterwards is an error.
func (c *Checkpoint) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	var errs []error
	for _, w := range c.files {
		errs = append(errs, w.close())
	}
	return errors.Join(errs...)
}

// use finds a tensor and holds the mapping until done is called.
func (c *Checkpoint) use(name string) (e entry, done func(), err error) {
	c.mu.RLock()
	if c.closed {
		c.mu.RUnlock()
		return e, nil, fmt.Errorf("read tensor %q of %s: %w", name, c.dir, os.ErrClosed)
	}
	e, ok := c.tensors[name]
	if !ok {
		c.mu.RUnlock()
		return e, nil, fmt.Errorf("%s has no tensor %q", c.dir, name)
	}
	return e, c.mu.RUnlock, nil
}

// span is the number of bytes from the first to the last of a tensor's data.
func (e entry) span() int64 {
	if e.strides == nil || e.Size == 0 {
		return e.Size
	}
	last := int64(0)
	for d, s := range e.strides {
		last += (e.Shape[d] - 1) * s
	}
	return (last + 1) * int64(e.DType.Size())
}

// gatherBytes reads bytes [off, off+len(dst)) of the row-major order of a
// tensor that is stored in another.
func (e entry) gatherBytes(dst []byte, off int64) error {
	size := int64(e.DType.Size())
	first, head := off/size, off%size
	n := (head + int64(len(dst)) + size - 1) / size
	buf := dst
	if head != 0 || n*size != int64(len(dst)) {
		buf = make([]byte, n*size)
	}
	err := e.in.gather(buf, int(size), func(i int64) int64 { return e.Offset + e.at(first+i)*size })
	if err == nil && len(buf) != len(dst) {
		copy(dst, buf[head:])
	}
	return err
}

// at maps the index of an element in row-major order to its place in storage.
func (e entry) at(i int64) int64 {
	var place int64
	for d := len(e.Shape) - 1; d >= 0; d-- {
		place += i % e.Shape[d] * e.strides[d]
		i /= e.Shape[d]
	}
	return place
}

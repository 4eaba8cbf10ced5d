//go:build amd64 || arm64

package engine

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"mergebot/eval/engine/gguf"
)

// memory is the model's GGUF file in memory, mapped by this process and by the engine's: what is written here is what
// the engine computes with.
type memory struct {
	fd   *os.File
	data []byte
	file *gguf.File
}

// newMemory makes the file without its weights.
func newMemory(f *gguf.File) (_ *memory, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%d MiB of memory for the model: %w", f.Size>>20, err)
		}
	}()
	fd, err := unix.MemfdCreate("mergebot-model", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	m := &memory{fd: os.NewFile(uintptr(fd), "mergebot-model"), file: f}
	// Reserved now, so that memory that is missing is an error here and no SIGBUS later.
	if err := unix.Fallocate(fd, 0, 0, f.Size); err != nil {
		m.close()
		return nil, err
	}
	// Neither process can change the size under the other's mapping.
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		m.close()
		return nil, err
	}
	if m.data, err = unix.Mmap(fd, 0, int(f.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		m.close()
		return nil, err
	}
	copy(m.data, f.Header)
	for _, t := range f.Tensors {
		if t.Name == "" {
			copy(m.floats(t), t.Constant)
		}
	}
	return m, nil
}

// floats is a tensor's place in the mapping.
func (m *memory) floats(t gguf.Tensor) []float32 {
	n := t.Len()
	b := m.data[t.Offset : t.Offset+4*n]
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

// fill writes all weights, q and k in the engine's row order. The engine must be idle.
func (m *memory) fill(ctx context.Context, w Weights, headDim int) error {
	for _, t := range m.file.Tensors {
		if t.Name == "" {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		dst := m.floats(t)
		if err := w.Read(t.Name, dst); err != nil {
			return fmt.Errorf("read %s: %w", t.Name, err)
		}
		if t.RopeHeads > 0 {
			gguf.Permute(dst, t.RopeHeads, headDim)
		}
	}
	return nil
}

// disturbed is how many elements of each tensor disturb changes: enough for the first rows, few enough to be cheap.
const disturbed = 1 << 16

// disturb changes some elements of every tensor and returns what puts them back exactly.
func (m *memory) disturb() (restore func()) {
	saved := make([][]float32, len(m.file.Tensors))
	for i, t := range m.file.Tensors {
		x := m.floats(t)
		x = x[:min(len(x), disturbed)]
		saved[i] = append([]float32(nil), x...)
		for k := range x {
			x[k] = x[k]*1.25 + 0.01
		}
	}
	return func() {
		for i, t := range m.file.Tensors {
			copy(m.floats(t), saved[i])
		}
	}
}

func (m *memory) close() {
	if m.data != nil {
		_ = unix.Munmap(m.data)
		m.data = nil
	}
	_ = m.fd.Close()
}

// cacheBytes is the default bound of the caches beside so many bytes of weights: half of the machine's memory that is
// then left, or of its container's, in whole GiB so that it does not change from one start of a machine to the next. It
// is at least 1 GiB, and does not follow what other programs use: it decides how many sequences share a batch.
func cacheBytes(weights int64) int64 {
	var i unix.Sysinfo_t
	_ = unix.Sysinfo(&i) // fails never, and a total of 0 gives the least bound
	total := int64(i.Totalram) * int64(i.Unit)
	if b, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil { // or "max"
			total = min(total, limit)
		}
	}
	return max(1, (total-weights)/2>>30) << 30
}

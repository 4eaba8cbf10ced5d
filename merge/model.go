// Package merge turns a base and its experts into one model.
//
// It measures each expert once ([Measure]: statistics, significances, pruning
// rates and exact cuts, all small and plain data), and then merges in a single
// elementwise pass ([New], [NewTreated]). A candidate of a search is the same
// pass with other ratios ([Merger.With]), so probing writes nothing and holds no
// masks.
//
// Promises: the bytes written are a function of the models and the recipe alone,
// whatever the threads, device or order; peak memory is a few blocks per thread
// and small tables, never the model; arithmetic is fp32, rounded once.
package merge

import (
	"fmt"
	"sync"

	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
)

// Model is a checkpoint taking part in a merge.
type Model struct {
	// Name seeds the model's random masks, fnv1a64(Name + "/" + tensor), and
	// stands for its bytes in digests: it should be unique to its content.
	Name       string
	Checkpoint *checkpoint.Checkpoint
	// Trim leaves out rows of the embeddings beyond the base's vocabulary
	// (tokenizer_source: base). Without it, different sizes are an error.
	Trim bool
}

func (m Model) header() Header {
	h := Header{Name: m.Name, Tied: m.Checkpoint.TiedEmbeddings(), Trim: m.Trim}
	for _, name := range m.Checkpoint.Names() {
		t, _ := m.Checkpoint.Tensor(name)
		h.Tensors = append(h.Tensors, t)
	}
	h.Config, _ = m.Checkpoint.Config() // where it is needed, its absence is noticed
	return h
}

// models are the checkpoints behind a layout.
type models struct {
	dev     kernel.Device
	all     []Model
	headers []Header
	parts   []*part
	owner   int // whose config.json and tokenizer the result has
	layout  *layout
	scratch sync.Pool // of *scratch
}

// open lays out the tensors of whole models: the base and those that are compared
// with it.
func open(dev kernel.Device, all []Model) (*models, error) {
	headers, err := headersOf(all)
	if err != nil {
		return nil, err
	}
	return arrange(dev, all, headers, together(len(all), 0), 0)
}

func headersOf(all []Model) ([]Header, error) {
	headers := make([]Header, len(all))
	for i, m := range all {
		if m.Checkpoint == nil {
			return nil, fmt.Errorf("model %s has no checkpoint", m.Name)
		}
		headers[i] = m.header()
	}
	return headers, nil
}

func arrange(dev kernel.Device, all []Model, headers []Header, parts []*part, owner int) (*models, error) {
	l, err := align(headers, parts, owner)
	if err != nil {
		return nil, err
	}
	return &models{dev: dev, all: all, headers: headers, parts: parts, owner: owner, layout: l}, nil
}

// raw holds buffers for stored elements on their way to fp32.
var raw = sync.Pool{New: func() any { return new([]byte) }}

// read widens elements [from, from+len(dst)) of the tensor as the i-th source of its part has it.
func (ms *models) read(i int, t *tensor, dst []float32, from int64) error {
	if t.gathered != nil {
		return ms.gather(i, t, dst, from)
	}
	return ms.stored(i, t, dst, from)
}

// stored is read by the source's own rows.
func (ms *models) stored(i int, t *tensor, dst []float32, from int64) error {
	c, name := ms.all[t.part.sources[i].model].Checkpoint, t.stored[i]
	stored, _ := c.Tensor(name)
	f, ok := format(stored.DType)
	if !ok || stored.Adapted {
		return c.Floats(name, dst, from)
	}
	buf := raw.Get().(*[]byte)
	defer raw.Put(buf)
	n := len(dst) * f.Size()
	if cap(*buf) < n {
		*buf = make([]byte, n)
	}
	if err := c.ReadAt(name, (*buf)[:n], from*int64(f.Size())); err != nil {
		return err
	}
	return ms.dev.Decode(dst, (*buf)[:n], f)
}

// prefetch lets the disk read a tensor of every model before it is asked for.
func (ms *models) prefetch(t *tensor) {
	for i, s := range t.part.sources {
		ms.all[s.model].Checkpoint.Prefetch(t.stored[i])
	}
}

// release drops a tensor's pages in every model that it comes from.
func (ms *models) release(t *tensor) {
	for i, s := range t.part.sources {
		ms.all[s.model].Checkpoint.Release(t.stored[i])
	}
}

// format is the kernel's name of a stored type that devices decode themselves.
func format(d checkpoint.DType) (kernel.Format, bool) {
	switch d {
	case checkpoint.F32:
		return kernel.F32, true
	case checkpoint.F16:
		return kernel.F16, true
	case checkpoint.BF16:
		return kernel.BF16, true
	}
	return 0, false
}

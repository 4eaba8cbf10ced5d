package merge

import (
	"context"
	"errors"
	"fmt"

	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
)

// WriteOptions say how a merge is stored.
type WriteOptions struct {
	ShardSize int64  // bytes per file; 0 for the writer's default
	OutDType  string // float16, bfloat16, float32; "" for the recipe's out_dtype, then dtype, then as the first model stores each tensor
	Stamp     string // identifies the plan: finished shards of the same stamp are kept; "" for Digest
	Metadata  map[string]string
	Sidecars  string // folder whose config, tokenizer and the like are carried over; "" for the base's, else the first model's
	Progress  func(done, total int64)
}

// Written is what Write made.
type Written struct {
	Dir     string            `json:"dir"`
	Files   map[string]string `json:"files"` // file → sha256
	Bytes   int64             `json:"bytes"` // of tensors
	Tensors int               `json:"tensors"`
	DType   string            `json:"dtype,omitempty"` // "" where the tensors kept theirs
	Notes   []string          `json:"notes,omitempty"` // what was left out
}

// Write stores the merge as a checkpoint in dir: shards, index, config,
// tokenizer. Finished shards of an earlier attempt are kept, so that it goes on
// where it was killed. Progress counts bytes of the result.
func (m *Merger) Write(ctx context.Context, dir string, o WriteOptions) (*Written, error) {
	if o.OutDType == "" && m.recipe != nil {
		if o.OutDType = m.recipe.OutDType; o.OutDType == "" {
			o.OutDType = m.recipe.DType
		}
	}
	w := &Written{Dir: dir, Tensors: len(m.layout.tensors), DType: o.OutDType, Notes: m.Notes()}
	edit, notes, err := reshape(m.headers, m.parts, m.owner, m.layout)
	if err != nil {
		return nil, err
	}
	w.Notes = append(w.Notes, notes...)
	edit = m.vocabulary.config(m.headers, m.owner, edit)
	outputs, err := m.layout.result().Outputs(o.OutDType)
	if err != nil {
		return nil, err
	}
	for _, t := range outputs {
		w.Bytes += t.Size()
	}
	if o.Stamp == "" {
		o.Stamp = m.Digest() + "/" + o.OutDType
	}
	out, err := checkpoint.Create(dir, outputs, checkpoint.WriterOptions{ShardSize: o.ShardSize, Metadata: o.Metadata, Stamp: o.Stamp})
	if err != nil {
		return nil, err
	}
	if err := m.shards(ctx, out, o.Progress, w.Bytes); err != nil {
		return nil, err
	}
	if o.Sidecars == "" {
		o.Sidecars = m.all[m.owner].Checkpoint.Dir()
	}
	if o.OutDType != "" {
		if edit == nil {
			edit = map[string]any{}
		}
		edit["torch_dtype"] = o.OutDType
	}
	if err := m.sidecars(o.Sidecars, dir, edit); err != nil {
		return nil, err
	}
	w.Files, err = out.Finish()
	if err != nil {
		return nil, err
	}
	return w, nil
}

// sidecars writes what goes beside the weights.
func (m *Merger) sidecars(from, dir string, edit map[string]any) error {
	if m.vocabulary == nil {
		return checkpoint.CopySidecars(from, dir, edit)
	}
	if err := checkpoint.CopyConfig(from, dir, edit); err != nil {
		return err
	}
	foreign := m.vocabulary.source != m.owner
	if foreign {
		from = m.all[m.vocabulary.source].Checkpoint.Dir()
	}
	return m.vocabulary.write(from, dir, foreign)
}

// outputs are tensors as they are stored with a dtype, "" for their own.
func outputs(tensors []checkpoint.Tensor, name string) ([]checkpoint.Output, error) {
	want := checkpoint.DType("")
	if name != "" {
		var ok bool
		if want, ok = checkpoint.FromTorchName(name); !ok {
			return nil, fmt.Errorf("cannot write %q: use float16, bfloat16 or float32", name)
		}
		if _, ok := format(want); !ok {
			return nil, fmt.Errorf("cannot write %s: use float16, bfloat16 or float32", name)
		}
	}
	var all []checkpoint.Output
	for _, t := range tensors {
		o := checkpoint.Output{Name: t.Name, DType: t.DType, Shape: t.Shape}
		if t.DType.Float() && want != "" {
			o.DType = want
		} else if _, ok := format(t.DType); t.DType.Float() && !ok {
			o.DType = checkpoint.F32 // results are fp32: F64 would only claim more
		}
		all = append(all, o)
	}
	return all, nil
}

// shards writes every shard in order, while the tensors that follow are measured.
func (m *Merger) shards(ctx context.Context, out *checkpoint.Writer, progress func(done, total int64), total int64) error {
	var done int64
	advance := func(n int64) {
		if done += n; progress != nil && n > 0 {
			progress(done, total)
		}
	}
	var left []checkpoint.Output
	for _, shard := range out.Shards() {
		if !shard.Done {
			left = append(left, shard.Tensors...)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	ahead := m.measureAhead(ctx, left)
	defer ahead.wait()
	defer cancel()
	for i, shard := range out.Shards() {
		if shard.Done {
			for _, t := range shard.Tensors {
				advance(t.Size())
			}
			continue
		}
		_, err := out.WriteShard(ctx, i, func(o checkpoint.Output, put func([]byte) error) error {
			err := m.writeTensor(ctx, o, func(block []byte) error {
				err := put(block)
				advance(int64(len(block)))
				return err
			})
			ahead.written(o)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *Merger) writeTensor(ctx context.Context, o checkpoint.Output, put func([]byte) error) error {
	t := m.at(o.Name)
	defer m.release(t)
	if !t.float {
		return m.copyTensor(ctx, t, o.Size(), put)
	}
	f, _ := format(o.DType)
	return m.stream(ctx, t, func(s *scratch, out []float32, _, at int64) error {
		var st kernel.Stats
		if err := m.dev.Stats(&st, out); err != nil {
			return err
		}
		if st.NonFinite > 0 {
			return errNonFinite
		}
		if f == kernel.F16 && max(-st.Min, st.Max) >= halfLimit {
			return errOverflow
		}
		at *= int64(f.Size())
		return m.dev.Encode(s.encoded[at:at+int64(len(out)*f.Size())], out, f)
	}, func(s *scratch, n int64) error {
		return put(s.encoded[:int(n)*f.Size()])
	})
}

var errNonFinite = errors.New("the result has NaN or infinite elements: one of the models is damaged, or a ratio or coefficient is far too large")

// halfLimit is the smallest magnitude that rounds to infinity in float16.
const halfLimit = 65520

var errOverflow = errors.New("the result does not fit float16: set out_dtype: bfloat16")

// copyTensor carries a tensor that is not floating-point over as it is.
func (m *Merger) copyTensor(ctx context.Context, t *tensor, size int64, put func([]byte) error) error {
	buf := make([]byte, min(size, 4*blockElements))
	at := t.part.reference()
	from := m.all[t.part.sources[at].model].Checkpoint
	for off := int64(0); off < size; off += int64(len(buf)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := buf[:min(int64(len(buf)), size-off)]
		if err := from.ReadAt(t.stored[at], part, off); err != nil {
			return err
		}
		if err := put(part); err != nil {
			return err
		}
	}
	return nil
}

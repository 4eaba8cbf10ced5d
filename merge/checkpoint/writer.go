package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// WriterOptions say how a checkpoint is written.
type WriterOptions struct {
	// ShardSize is the most bytes of data in one file, 0 for DefaultShardSize.
	ShardSize int64
	// Metadata goes into every header; nil for {"format": "pt"}, which the
	// Python libraries ask for.
	Metadata map[string]string
	// Stamp identifies what is written, such as a plan's hash. Shards that an
	// earlier run finished under the same stamp and layout are kept. With an
	// empty stamp nothing is kept.
	Stamp string
}

// Writer writes a checkpoint shard by shard. WriteShard may be called from
// several goroutines for different shards.
type Writer struct {
	dir    string
	shards []Shard

	mu    sync.Mutex
	state progress
}

// Create lays the tensors out in shards and makes dir the place to write them.
// The layout is a function of tensors and ShardSize alone: one shard is
// model.safetensors, more are model-0000k-of-0000N.safetensors. dir is made if
// need be; if it holds anything but the remains of an unfinished Writer the
// error is ErrNotEmpty, and if what is still to be written does not fit on the
// disk it is ErrNoSpace.
func Create(dir string, tensors []Output, o WriterOptions) (*Writer, error) {
	shards, err := planShards(tensors, o.ShardSize, o.Metadata)
	if err != nil {
		return nil, fmt.Errorf("create checkpoint %s: %w", dir, err)
	}
	state, err := takeFolder(dir, o.Stamp, shards)
	if err != nil {
		return nil, fmt.Errorf("create checkpoint: %w", err)
	}
	w := &Writer{dir: dir, shards: shards, state: state}
	var need int64
	for i := range shards {
		if _, ok := state.Shards[shards[i].File]; ok {
			shards[i].Done = true
		} else {
			need += shards[i].size
		}
	}
	if err := checkSpace(dir, need); err != nil {
		return nil, fmt.Errorf("create checkpoint: %w", err)
	}
	return w, nil
}

// Dir returns the folder that is written to.
func (w *Writer) Dir() string { return w.dir }

// Shards returns the layout, with what is done so far.
func (w *Writer) Shards() []Shard {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.shards)
}

// WriteShard writes the i-th shard and returns the SHA-256 of the file, in
// hex. fill is called once for each of its tensors, in the order of
// [Shard].Tensors, and hands over the encoded data in one or more blocks with
// put, which is done with a block when it returns. A tensor that gets more or
// fewer bytes than its shape needs is an error. Nothing is visible under the
// shard's name before it is whole and on disk; on an error or when ctx ends
// nothing remains. A shard that is done already is not written again.
func (w *Writer) WriteShard(ctx context.Context, i int, fill func(t Output, put func(block []byte) error) error) (string, error) {
	if i < 0 || i >= len(w.shards) {
		return "", fmt.Errorf("write shard %d of %d: there is none", i+1, len(w.shards))
	}
	w.mu.Lock()
	s := w.shards[i]
	done, isDone := w.state.Shards[s.File]
	w.mu.Unlock()
	if isDone {
		return done.SHA256, nil
	}
	var sum string
	err := createFile(filepath.Join(w.dir, s.File), func(f io.Writer) error {
		hash := hashBeside()
		defer func() { sum = hex.EncodeToString(hash.end()) }()
		out := io.MultiWriter(hash, f)
		if _, err := out.Write(s.header); err != nil {
			return err
		}
		for _, t := range s.Tensors {
			if err := writeTensor(ctx, out, t, fill); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("write %s: %w", s.File, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shards[i].Done = true
	w.state.Shards[s.File] = finished{SHA256: sum, Size: s.size}
	if err := w.state.save(w.dir); err != nil {
		return "", fmt.Errorf("write %s: remember it: %w", s.File, err)
	}
	return sum, nil
}

func writeTensor(ctx context.Context, out io.Writer, t Output, fill func(Output, func([]byte) error) error) error {
	left := t.Size()
	put := func(block []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		left -= int64(len(block))
		if left < 0 {
			return fmt.Errorf("tensor %q: %d bytes more than %s%v takes", t.Name, -left, t.DType, t.Shape)
		}
		_, err := out.Write(block)
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := fill(t, put); err != nil {
		return err
	}
	if left != 0 {
		return fmt.Errorf("tensor %q: %d of its %d bytes were given", t.Name, t.Size()-left, t.Size())
	}
	return nil
}

// Finish writes the index, where there is more than one shard, and removes the
// side file that marks the folder as unfinished. It returns the SHA-256 of
// every file written, in hex, by name.
func (w *Writer) Finish() (map[string]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sums := map[string]string{}
	for _, s := range w.shards {
		done, ok := w.state.Shards[s.File]
		if !ok {
			return nil, fmt.Errorf("finish checkpoint %s: %s is not written yet", w.dir, s.File)
		}
		sums[s.File] = done.SHA256
	}
	if len(w.shards) > 1 {
		index, err := encodeIndex(w.shards)
		if err == nil {
			err = writeFile(filepath.Join(w.dir, indexSafetensors), index)
		}
		if err != nil {
			return nil, fmt.Errorf("finish checkpoint %s: %w", w.dir, err)
		}
		sum := sha256.Sum256(index)
		sums[indexSafetensors] = hex.EncodeToString(sum[:])
	}
	if err := os.Remove(filepath.Join(w.dir, stampName)); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("finish checkpoint %s: %w", w.dir, err)
	}
	return sums, syncDir(w.dir)
}

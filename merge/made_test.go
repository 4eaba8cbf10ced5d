package merge

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
)

// made is a checkpoint written by a test.
type made struct {
	tied  bool
	dtype checkpoint.DType // F32 by default
	data  map[string][]float32
	shape map[string][]int64 // one dimension by default
	ints  []string           // I64 tensors of two elements

	config string // by default only whether it is tied
}

func (x made) open(t testing.TB, name string) Model {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if x.dtype == "" {
		x.dtype = checkpoint.F32
	}
	var outputs []checkpoint.Output
	for n, v := range x.data {
		shape := x.shape[n]
		if shape == nil {
			shape = []int64{int64(len(v))}
		}
		outputs = append(outputs, checkpoint.Output{Name: n, DType: x.dtype, Shape: shape})
	}
	for _, n := range x.ints {
		outputs = append(outputs, checkpoint.Output{Name: n, DType: checkpoint.I64, Shape: []int64{2}})
	}
	w, err := checkpoint.Create(dir, outputs, checkpoint.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.WriteShard(t.Context(), 0, func(o checkpoint.Output, put func([]byte) error) error {
		if slices.Contains(x.ints, o.Name) {
			return put([]byte("0123456789abcdef"))
		}
		f, _ := format(o.DType)
		b := make([]byte, o.Size())
		if err := kernel.CPU().Encode(b, x.data[o.Name], f); err != nil {
			return err
		}
		return put(b)
	})
	if err != nil {
		t.Fatal(err)
	}
	config := `{"tie_word_embeddings": false}`
	if x.tied {
		config = `{"tie_word_embeddings": true}`
	}
	if x.config != "" {
		config = x.config
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return openModel(t, name, dir)
}

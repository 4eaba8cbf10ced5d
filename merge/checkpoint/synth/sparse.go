package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"

	"mergebot/merge/checkpoint"
)

// writeSparse writes one safetensors file of which only every nth block of
// blockSize elements of a tensor has values. The others are holes: they read as
// zeros and take no disk, so that models larger than the disk can be mapped.
func (s source) writeSparse(ctx context.Context, dir string, outputs []checkpoint.Output, nth int64) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	header, size, err := sparseHeader(outputs)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	if _, err := f.Write(header); err != nil {
		return err
	}
	at := int64(len(header))
	if err := f.Truncate(at + size); err != nil {
		return err
	}
	var buf []byte
	for _, t := range outputs {
		width := int64(t.DType.Size())
		total := t.Size() / width
		for first := int64(0); first < total; first += nth * blockSize {
			if err := ctx.Err(); err != nil {
				return err
			}
			if buf, err = s.block(t, first, min(blockSize, total-first), buf); err != nil {
				return err
			}
			if _, err := f.WriteAt(buf, at+first*width); err != nil {
				return err
			}
		}
		if s.base != nil {
			s.base.Release(t.Name)
		}
		at += t.Size()
	}
	return nil
}

// sparseHeader returns the bytes before the data, and the length of the data.
func sparseHeader(outputs []checkpoint.Output) ([]byte, int64, error) {
	members := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	var end int64
	for _, t := range outputs {
		members[t.Name] = map[string]any{"dtype": string(t.DType), "shape": t.Shape, "data_offsets": [2]int64{end, end + t.Size()}}
		end += t.Size()
	}
	js, err := json.Marshal(members)
	if err != nil {
		return nil, 0, err
	}
	for len(js)%8 != 0 {
		js = append(js, ' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(js))), js...), end, nil
}

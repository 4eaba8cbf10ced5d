package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// footprint is what merging took of memory.
type footprint struct {
	Recipe  string `json:"recipe"`
	Experts int    `json:"experts"`
	Mapped  int64  `json:"mapped_bytes"` // weights that the merge reads
	cost
}

// footprints merges with several numbers of experts by mergebot, and writes
// whole results, which are removed again.
func (b *bench) footprints(ctx context.Context, counts []int) ([]footprint, error) {
	var all []footprint
	out := filepath.Join(b.dir, "out-mergebot")
	defer func() { _ = os.RemoveAll(out) }()
	for _, method := range []string{"linear", "ties", "dppa"} {
		for _, n := range counts {
			m := b.models
			m.experts = n
			// Densities below the share of elements that have values in sparse models: cuts lie among values.
			texts := map[string]func(models) string{
				"linear": together("linear", false, "weight: %w"),
				"ties":   together("ties", true, "weight: %w, density: 0.1"),
				"dppa":   together("dppa", true, "density: 0.1, ratios: [1.6]"),
			}
			r := recipe{name: method, text: texts[method], base: method != "linear", experts: -1, whole: true}
			name := "recipe-memory.yaml"
			if err := os.WriteFile(filepath.Join(b.dir, name), []byte(r.text(m)), 0o644); err != nil {
				return nil, err
			}
			c, err := b.tools.ours(ctx, b.dir, name, out)
			if err := errors.Join(err, os.RemoveAll(out)); err != nil {
				return nil, fmt.Errorf("%s of %d: %w", method, n, err)
			}
			f := footprint{Recipe: method, Experts: n, Mapped: int64(len(r.reads(m))) * m.bytes, cost: c}
			b.note("%-8s of %d: %s", method, n, c)
			all = append(all, f)
		}
	}
	return all, nil
}

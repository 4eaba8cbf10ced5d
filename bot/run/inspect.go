package run

import (
	"context"
	"slices"

	"mergebot/configs"
	"mergebot/merge"
	"mergebot/merge/checkpoint"
	"mergebot/merge/dppa"
)

// Inspection is what is to be known of a checkpoint, and of how far it lies from a base.
type Inspection struct {
	Model      string              `json:"model"`
	Base       string              `json:"base,omitempty"`
	Parameters int64               `json:"parameters"`
	Bytes      int64               `json:"bytes"`
	DTypes     []string            `json:"dtypes"`
	Tensors    []checkpoint.Tensor `json:"tensors"`
	Delta      *DeltaInspection    `json:"delta,omitempty"`
}

// DeltaInspection is the distribution of expert − base over the linears, and where its outliers are.
type DeltaInspection struct {
	merge.Offset
	Names      []string    `json:"names"`       // of the linears: the map's columns
	OutlierMap [][]float64 `json:"outlier_map"` // share per layer and linear
}

// Inspect lists a checkpoint's tensors, from headers alone. With a base it fetches both and measures the delta.
func Inspect(ctx context.Context, env *Env, ref, base configs.ModelRef) (*Inspection, error) {
	m, tensors, err := lockModel(ctx, env, ref, nil)
	if err != nil {
		return nil, err
	}
	out := &Inspection{Model: m.String(), Parameters: m.Parameters, Bytes: m.size(), Tensors: tensors, DTypes: dtypes(tensors)}
	if base.IsZero() && len(tensors) > 0 {
		return out, nil
	}
	refs := []configs.ModelRef{ref}
	if !base.IsZero() {
		refs = append(refs, base)
	}
	x := newPipeline(env, &configs.Recipe{}, &Plan{ID: "inspect-" + m.Digest}, Options{}).x
	x.journal.storage = nil
	var models []merge.Model
	for _, r := range refs {
		l, _, err := lockModel(ctx, env, r, nil)
		if err != nil {
			return nil, err
		}
		at, err := x.fetch(ctx, &l)
		if err != nil {
			return nil, err
		}
		c, err := at.open()
		if err != nil {
			return nil, err
		}
		defer c.Close()
		models = append(models, merge.Model{Name: l.String(), Checkpoint: c, Trim: true})
	}
	c := models[0].Checkpoint
	out.Tensors, out.Parameters = c.Tensors(), 0
	for _, t := range out.Tensors {
		out.Parameters += t.Elements()
	}
	out.DTypes = dtypes(out.Tensors)
	if base.IsZero() {
		return out, nil
	}
	out.Base = models[1].Name
	out.Delta, err = inspectDelta(ctx, env, models[1], models[0])
	return out, err
}

func inspectDelta(ctx context.Context, env *Env, base, expert merge.Model) (*DeltaInspection, error) {
	offset, err := merge.MeasureOffset(ctx, env.Device, base, expert)
	if err != nil {
		return nil, err
	}
	d := &DeltaInspection{Offset: *offset}
	m, err := merge.Measure(ctx, env.Device, base, expert, merge.Pruning{Kind: merge.PruneDP, Density: 1, Fluctuation: 0, OutlierFactor: 5}, nil)
	if err != nil {
		return nil, err
	}
	for _, t := range m.Tensors {
		if name := linear(t.Name); t.Kind == dppa.LinearKind && !slices.Contains(d.Names, name) {
			d.Names = append(d.Names, name)
		}
	}
	slices.SortFunc(d.Names, byForward)
	d.OutlierMap = make([][]float64, len(m.Layers))
	for l := range d.OutlierMap {
		d.OutlierMap[l] = make([]float64, len(d.Names))
	}
	for _, t := range m.Tensors {
		if t.Kind == dppa.LinearKind && t.Outliers != nil && t.Stats.Count > 0 {
			d.OutlierMap[t.Layer][slices.Index(d.Names, linear(t.Name))] = float64(t.Outliers.Count) / float64(t.Stats.Count)
		}
	}
	return d, nil
}

func dtypes(tensors []checkpoint.Tensor) []string {
	var out []string
	for _, t := range tensors {
		if !slices.Contains(out, string(t.DType)) {
			out = append(out, string(t.DType))
		}
	}
	slices.Sort(out)
	return out
}

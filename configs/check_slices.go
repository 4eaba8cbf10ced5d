package configs

// checkSlices looks at each slice for itself: ranges that are ranges, sources of
// one length, each model once.
func checkSlices(d *decoder, r *Recipe) {
	for i, s := range r.Slices {
		path := index("slices", i)
		if len(s.Sources) == 0 {
			d.failAt(path, "the sources are missing: {sources: [{model: org/name, layer_range: [0, 16]}]}")
		}
		if d.written(join(path, "residual_weight")) {
			d.failKey(join(path, "residual_weight"), "", "residual_weight has no effect (mergekit reads it and does nothing with it); remove it")
		}
		depth := -1
		for j, source := range s.Sources {
			at := join(path, index("sources", j))
			if !d.written(join(at, "model")) {
				d.failAt(at, "the model is missing: {model: org/name, layer_range: [0, 16]}")
			}
			if first := s.SourceIndex(source.Model); first < j && !source.Model.IsZero() {
				d.failAt(join(at, "model"), "%s is a source of this slice already, in line %d", clip(source.Model.String()), s.Sources[first].Pos.Line)
			}
			lr := source.LayerRange
			if lr == nil && !d.written(join(at, "layer_range")) {
				continue // all layers
			}
			if len(lr) != 2 || lr[0] < 0 || lr[1] <= lr[0] {
				d.failAt(join(at, "layer_range"), "want [first, one after the last], such as [0, 16]")
				continue
			}
			if n := lr[1] - lr[0]; depth >= 0 && n != depth {
				d.failAt(join(at, "layer_range"), "%s here, %d in the source before; all sources of a slice have as many layers", countOf(n, "layer"), depth)
			} else {
				depth = n
			}
		}
	}
}

// checkStack holds slices to what the method takes: the base where deltas are
// taken from it, and the number of sources.
func checkStack(d *decoder, r *Recipe, m Method) {
	if len(r.Slices) > 1 {
		switch {
		case m.Prunes():
			d.failKey("slices", "", "merge_method %s prunes whole models: write models, or one slice of all layers", m.Name)
		case m.Name == "ties" && r.Mergebot.Semantics == "paper":
			d.failKey("mergebot.semantics", "", "the paper's ties ranks the deltas of whole models: write models, or one slice of all layers")
		case r.Mergebot.Search != nil:
			d.failKey("mergebot.search", "", "candidates of a search are scored in the base's place, layer by layer: write models, or one slice of all layers")
		}
	}
	if len(r.Slices) == 0 {
		return
	}
	if m.Prunes() && d.written("slices[0].base_model") && !r.Slices[0].BaseModel.Same(r.BaseModel) {
		d.failAt("slices[0].base_model", "merge_method %s takes the recipe's base_model; write it at the top level", m.Name)
	}
	for i, s := range r.Stack() {
		checkSources(d, r, m, i, s)
	}
}

// checkSources holds one slice to the method.
func checkSources(d *decoder, r *Recipe, m Method, i int, s Slice) {
	path := index("slices", i)
	own := join(path, "base_model")
	if m.Base == BaseIsModel {
		if d.written(own) {
			d.failKey(own, "", "merge_method %s takes nothing from a base; remove base_model here", m.Name)
		}
		if m.Max > 0 && len(s.Sources) > m.Max {
			d.failAt(join(path, "sources"), "merge_method %s takes %s in a slice; this one has %d", m.Name, count(m.Max), len(s.Sources))
		}
		return
	}
	if s.BaseModel.IsZero() || len(s.Sources) == 0 {
		if m.Base == BaseOptional && m.Min > 0 {
			checkSourceCount(d, m, path, len(s.Sources), "")
		}
		return
	}
	if d.written("mergebot.search") && d.written(own) && !s.BaseModel.Same(r.BaseModel) {
		d.failAt(own, "a search takes the recipe's base_model; remove this one")
	}
	base := s.base(m)
	if base < 0 {
		d.failAt(join(path, "sources"), "the base is missing, so that its layers are unknown: list %s among the sources, with a layer_range", clip(s.BaseModel.String()))
		return
	}
	if len(s.Sources[base].Parameters) > 0 {
		d.failAt(join(path, join(index("sources", base), "parameters")), "parameters of the base have no effect with merge_method %s; remove them", m.Name)
	}
	checkSourceCount(d, m, path, len(s.Sources)-1, " besides the base")
}

// checkSourceCount holds the sources that are not the base to the method's
// numbers. Where deltas are summed up, a slice may be the base's alone.
func checkSourceCount(d *decoder, m Method, path string, n int, besides string) {
	switch {
	case n == 0 && (m.Sums() || m.Name == "sce") && !m.Prunes():
	case n < m.Min && m.Min == m.Max, m.Max > 0 && n > m.Max:
		d.failAt(join(path, "sources"), "merge_method %s takes %s%s in a slice; this one has %d", m.Name, count(m.Max), besides, n)
	case n < m.Min:
		d.failAt(join(path, "sources"), "merge_method %s takes at least %s%s in a slice; this one has %d", m.Name, count(m.Min), besides, n)
	}
}

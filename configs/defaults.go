package configs

// The presets of DPPA.
const (
	PresetPaper         = "paper"
	PresetReferenceCode = "reference-code"
)

// setDefaults fills a value before the file's keys are read over it. Types
// without an entry start from zero.
func setDefaults(v any) {
	switch v := v.(type) {
	case *Recipe:
		v.Mergebot = mergebotDefaults()
	case *Tokenizer:
		v.Source = "union" // as in mergekit
	case *Search:
		*v = Search{
			Methods:      []int{1, 2},
			Ratios:       Range{Min: 0, Max: 4, Step: 0.1},
			Coefficient:  "none",
			Coefficients: Range{Min: 0.3, Max: 1.2, Step: 0.1},
			Patience:     4,
		}
	case *Publish:
		private := true
		*v = Publish{Private: &private}
	}
}

func mergebotDefaults() Mergebot {
	return Mergebot{
		Semantics: "mergekit",
		DPPA:      dppaDefaults(PresetPaper),
		Evaluate:  Evaluate{Engine: "auto"},
	}
}

// dppaDefaults gives a preset's numbers. The reference code leaves embeddings
// and output layer whole; its other differences are not numbers and live where
// they are computed (merge/dppa).
func dppaDefaults(preset string) DPPA {
	d := DPPA{Preset: PresetPaper, Pruning: "dp", Mean: "unit", Fluctuation: 0.08, OutlierFactor: 5, Partition: 0.1, Other: "prune"}
	if preset == PresetReferenceCode {
		d.Preset, d.Other = PresetReferenceCode, "keep"
	}
	return d
}

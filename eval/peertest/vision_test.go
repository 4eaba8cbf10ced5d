package peertest

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mergebot/merge/dppa"
)

// TestVisionTower merges Gemma 3 by the names that transformers writes today. mergekit's table does not know them, and
// without its table it leaves the decoder out; so this is held to a mean in plain fp64, with a gradient through each of
// the two stacks of layers.
func TestVisionTower(t *testing.T) {
	work := t.TempDir()
	writeArchitectures(t, work)
	path := filepath.Join(work, "recipe.yaml")
	const recipe = `
models:
  - model: ./gemma3-vision
    parameters: {weight: 0.5}
  - model: ./gemma3-vision-math
    parameters: {weight: [{filter: embeddings, value: 0}, {value: [0.25, 1]}]}
merge_method: linear
dtype: float32
`
	if err := os.WriteFile(path, []byte(recipe), 0o644); err != nil {
		t.Fatal(err)
	}
	ours := openCheckpoint(t, mergeLocal(t, path, work))
	a, b := openCheckpoint(t, filepath.Join(work, "gemma3-vision")), openCheckpoint(t, filepath.Join(work, "gemma3-vision-math"))
	sameLayout(t, ours, a)
	for _, name := range a.Names() {
		at := 0.0
		if stack, layer, _, ok := dppa.SplitLayer(name); ok {
			last := map[bool]int{true: 1, false: 2}[strings.HasPrefix(stack, "vision_tower.")]
			at = float64(layer) / float64(last)
		}
		weight := 0.25 + 0.75*at
		if strings.Contains(name, "embeddings") {
			weight = 0
		}
		got, x, y := floats(t, ours, name), floats(t, a, name), floats(t, b, name)
		for i := range got {
			want := (0.5*float64(x[i]) + weight*float64(y[i])) / (0.5 + weight)
			if !(math.Abs(float64(got[i])-want) <= 2e-7*max(1, math.Abs(want))) {
				t.Errorf("%s: element %d is %v, want %v", name, i, got[i], want)
				break
			}
		}
	}
}

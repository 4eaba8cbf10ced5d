package merge

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestStackTied: the last slice decides whether the output layer is the embeddings, and config.json says so.
func TestStackTied(t *testing.T) {
	t.Parallel()
	config := func(tied bool) string {
		return fmt.Sprintf(`{"num_hidden_layers": 2, "tie_word_embeddings": %v}`, tied)
	}
	ts := raise(t, map[string]tower{"x": {layers: 2, tied: true, config: config(true)}, "y": {layers: 2, add: 1, config: config(false)}})
	for name, c := range map[string]struct {
		slices string
		tied   bool
		head   float32
	}{
		"tied then not": {"[{sources: [{model: a/x, layer_range: [0, 2]}]}, {sources: [{model: a/y, layer_range: [1, 2]}]}]", false, 301},
		"not then tied": {"[{sources: [{model: a/y, layer_range: [0, 2]}]}, {sources: [{model: a/x, layer_range: [1, 2]}]}]", true, 0},
		"tied reference": {"[{sources: [{model: a/y, layer_range: [0, 2]}]}, {sources: [{model: a/x, layer_range: [0, 1]}, {model: a/y, layer_range: [1, 2]}]}]",
			true, 0},
		"tied stands in": {"[{sources: [{model: a/y, layer_range: [0, 2]}]}, {sources: [{model: a/y, layer_range: [0, 1]}, {model: a/x, layer_range: [1, 2]}]}]",
			false, (301 + 100) / 2.0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := ts.must(t, "merge_method: linear\nparameters: {weight: 1}\nslices: "+c.slices+"\n")
			if has := m.Shape(lmHead) != nil; has == c.tied {
				t.Fatalf("has an output layer: %v", has)
			}
			if !c.tied {
				if got := first(t, m, lmHead); got != c.head {
					t.Errorf("output layer %v, want %v", got, c.head)
				}
			}
			dir := filepath.Join(t.TempDir(), "out")
			if _, err := m.Write(t.Context(), dir, WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := written(t, dir)["tie_word_embeddings"]; got != c.tied {
				t.Errorf("config.json: tied %v", got)
			}
			if got := written(t, dir)["num_hidden_layers"]; got != 3.0 {
				t.Errorf("config.json: %v layers", got)
			}
		})
	}
}

func written(t testing.TB, dir string) (config map[string]any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &config); err != nil {
		t.Fatal(err)
	}
	return config
}

// TestStackConfig: what config.json says of single layers goes with the layers.
func TestStackConfig(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ x, y, want, note string }{
		"count": {`{"n_layer": 3, "hidden_size": 4}`, `{"n_layer": 3}`, `{"n_layer": 5, "hidden_size": 4}`, ""},
		"lists": {`{"num_hidden_layers": 3, "layer_types": ["a", "b", "c"], "eos_token_id": [1, 2, 3]}`, `{"num_hidden_layers": 3, "layer_types": ["d", "e", "f"]}`,
			`{"num_hidden_layers": 5, "layer_types": ["a", "b", "c", "e", "f"], "eos_token_id": [1, 2, 3]}`, ""},
		"numbers": {`{"num_hidden_layers": 3, "mlp_only_layers": [0, 2]}`, `{"num_hidden_layers": 3, "mlp_only_layers": [1]}`,
			`{"num_hidden_layers": 5, "mlp_only_layers": [0, 2, 3]}`, ""},
		"nested": {`{"model_type": "m", "text_config": {"num_hidden_layers": 3, "layer_types": ["a", "b", "c"]}}`, `{"text_config": {"num_hidden_layers": 3, "layer_types": ["d", "e", "f"]}}`,
			`{"model_type": "m", "text_config": {"num_hidden_layers": 5, "layer_types": ["a", "b", "c", "e", "f"]}}`, ""},
		"split": {`{"num_hidden_layers": 3, "first_k_dense_replace": 1}`, `{"num_hidden_layers": 3}`, `{"num_hidden_layers": 5, "first_k_dense_replace": 1}`, "first_k_dense_replace"},
		"none":  {`{"hidden_size": 4}`, `{}`, `{"hidden_size": 4}`, "does not say how many layers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			untied := func(s string) string { return strings.Replace(s, "{", `{"tie_word_embeddings": false, `, 1) }
			untiedEmpty := func(s string) string { return strings.Replace(untied(s), ", }", "}", 1) }
			ts := raise(t, map[string]tower{"x": {layers: 3, config: untied(c.x)}, "y": {layers: 3, config: untiedEmpty(c.y)}})
			m := ts.must(t, "merge_method: passthrough\nslices: [{sources: [{model: a/x}]}, {sources: [{model: a/y, layer_range: [1, 3]}]}]\n")
			dir := filepath.Join(t.TempDir(), "out")
			w, err := m.Write(t.Context(), dir, WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var want map[string]any
			if err := json.Unmarshal([]byte(untied(c.want)), &want); err != nil {
				t.Fatal(err)
			}
			if got := written(t, dir); !reflect.DeepEqual(got, want) {
				t.Errorf("config.json: %v, want %v", got, want)
			}
			if notes := strings.Join(w.Notes, "\n"); (c.note == "") != (notes == "") || !strings.Contains(notes, c.note) {
				t.Errorf("notes %q", notes)
			}
		})
	}
	ts := raise(t, map[string]tower{"x": {layers: 3, config: `{"num_hidden_layers": 3, "layer_types": ["a", "b", "c"]}`}, "y": {layers: 3, config: `{"num_hidden_layers": 3}`}})
	m := ts.must(t, "merge_method: passthrough\nslices: [{sources: [{model: a/x}]}, {sources: [{model: a/y}]}]\n")
	if _, err := m.Write(t.Context(), filepath.Join(t.TempDir(), "out"), WriteOptions{}); !errors.Is(err, ErrLayers) {
		t.Errorf("a list that one of the models lacks: %v", err)
	}
}

// FuzzReshape: whatever two models' config.json say, the result's is JSON and says how many layers there are, if they did.
func FuzzReshape(f *testing.F) {
	f.Add([]byte(`{"num_hidden_layers": 3, "layer_types": ["a", "b", "c"]}`), []byte(`{"num_hidden_layers": 3, "layer_types": [1, null, {}]}`))
	f.Add([]byte(`{"text_config": {"n_layer": 3, "mlp_only_layers": [0]}}`), []byte(`{"text_config": [], "mlp_only_layers": ["0"]}`))
	f.Add([]byte(`{"n_layer": 1e300, "num_layers": -1}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		headers := []Header{{Name: "x"}, {Name: "y"}}
		for i, b := range [][]byte{x, y} {
			if json.Unmarshal(b, &headers[i].Config) != nil {
				return
			}
		}
		before := depthOf(headers[0].Config)
		parts := []*part{{base: -1, depth: 3, input: true, sources: []source{{model: 0}}}, {base: -1, first: 3, depth: 2, output: true, sources: []source{{model: 1, first: 1}}}}
		edit, _, err := reshape(headers, parts, 0, &layout{tied: true})
		if err != nil {
			if !errors.Is(err, ErrLayers) {
				t.Error(err)
			}
			return
		}
		if _, err := json.Marshal(edit); err != nil {
			t.Error(err)
		}
		if before > 0 && before != 5 && depthOf(edit) != 5 {
			t.Errorf("%v was %d layers deep", edit, before)
		}
		if again := depthOf(headers[0].Config); again != before {
			t.Errorf("the model's own config was changed to %d layers", again)
		}
	})
}

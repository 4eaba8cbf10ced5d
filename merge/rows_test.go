package merge

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mergebot/merge/kernel"
	"mergebot/merge/tokenizer"
)

// speaking gives a made model of one embedding a tokenizer of words w0, w1, … in an order of its own.
func speaking(t *testing.T, name string, words []int, width int) Model {
	t.Helper()
	x := made{data: map[string][]float32{}, shape: map[string][]int64{}, config: fmt.Sprintf(`{"tie_word_embeddings": false, "vocab_size": %d, "eos_token_id": %d}`, len(words), len(name))}
	for _, tensor := range []string{"model.embed_tokens.weight", "lm_head.weight", "lm_head.bias"} {
		columns := width
		x.shape[tensor] = []int64{int64(len(words)), int64(width)}
		if strings.HasSuffix(tensor, "bias") {
			columns, x.shape[tensor] = 1, nil
		}
		for row := range words {
			for c := range columns { // an element tells whose it is
				x.data[tensor] = append(x.data[tensor], elementOf(name, words[row], c))
			}
		}
	}
	m := x.open(t, name)
	var vocab []string
	for id, w := range words {
		vocab = append(vocab, fmt.Sprintf(`"w%d": %d`, w, id))
	}
	file := `{"added_tokens": [], "model": {"type": "BPE", "vocab": {` + strings.Join(vocab, ", ") + `}, "merges": []}}`
	if err := os.WriteFile(filepath.Join(m.Checkpoint.Dir(), "tokenizer.json"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	return m
}

func elementOf(model string, word, column int) float32 {
	return float32(kernel.Uniform(kernel.Stream(9, model), int64(word*1000+column)) - 0.5)
}

// TestGatheredRows: every element is the right token's, whatever piece of the tensor is read.
func TestGatheredRows(t *testing.T) {
	t.Parallel()
	const width = 7
	base := []int{0, 1, 2, 3, 4, 5, 6, 7}
	other := []int{3, 2, 1, 0, 4, 5, 9, 8, 7, 6} // runs both ways
	a, b := speaking(t, "a", base, width), speaking(t, "b", other, width)
	r := recipe(t, "merge_method: linear\nbase_model: a/a\ntokenizer: {source: union, pad_to_multiple_of: 16}\nmodels:\n  - {model: a/a, parameters: {weight: 1}}\n  - {model: a/b, parameters: {weight: 1}}\n")
	m, err := New(kernel.CPU(), r, &a, []Input{{Model: a}, {Model: b}})
	if err != nil {
		t.Fatal(err)
	}
	words := slices.Concat(base, []int{9, 8}) // the other's in the order of its ids
	of := func(model string, word, column int) float32 {
		if model == "a" && word > 7 {
			model = "b" // the only one that has it
		}
		return elementOf(model, word, column)
	}
	for _, tensor := range []string{"model.embed_tokens.weight", "lm_head.weight", "lm_head.bias"} {
		columns := width
		if strings.HasSuffix(tensor, "bias") {
			columns = 1
		}
		x := m.at(tensor)
		if x.shape[0] != 16 || x.count != int64(16*columns) {
			t.Fatalf("%s: %v", tensor, x.shape)
		}
		for source, model := range map[int]string{0: "a", 1: "b"} {
			want := make([]float32, 16*columns)
			for c := range columns {
				var sum float64
				for row, w := range words {
					want[row*columns+c] = of(model, w, c)
					sum += float64(of(model, w, c))
				}
				for row := len(words); row < 16; row++ {
					want[row*columns+c] = float32(sum / float64(len(words)))
				}
			}
			for from := range len(want) {
				for to := from + 1; to <= len(want); to++ {
					got := make([]float32, to-from)
					if err := m.read(source, x, got, int64(from)); err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(got, want[from:to]) {
						t.Fatalf("%s of %s, elements %d to %d: %v, want %v", tensor, model, from, to, got, want[from:to])
					}
				}
			}
		}
	}
}

// TestVocabularyOfWritten: config, tokenizer files and digest follow; a foreign tokenizer brings its ids.
func TestVocabularyOfWritten(t *testing.T) {
	t.Parallel()
	a, b := speaking(t, "a", []int{0, 1, 2}, 2), speaking(t, "bb", []int{2, 1, 0, 3}, 2)
	for _, x := range []Model{a, b} {
		if err := os.WriteFile(filepath.Join(x.Checkpoint.Dir(), "generation_config.json"), []byte(`{"eos_token_id": `+fmt.Sprint(len(x.Name))+`, "top_p": 0.5}`), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	digests := map[string]bool{}
	for _, c := range []struct {
		source     string
		vocab, eos float64
		first      string // token of id 0
	}{{"base", 3, 1, "w0"}, {"union", 4, 1, "w0"}, {"a/bb", 4, 2, "w2"}} {
		r := recipe(t, "merge_method: linear\nbase_model: a/a\ntokenizer_source: "+c.source+"\nchat_template: chatml\nmodels:\n  - {model: a/a, parameters: {weight: 1}}\n  - {model: a/bb, parameters: {weight: 1}}\n")
		m, err := New(kernel.CPU(), r, &a, []Input{{Model: a}, {Model: b}})
		if err != nil {
			t.Fatal(err)
		}
		digests[m.Digest()] = true
		w, err := m.Write(t.Context(), filepath.Join(t.TempDir(), "out"), WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		written := openModel(t, "out", w.Dir)
		config, err := written.Checkpoint.Config()
		if err != nil || config["vocab_size"] != c.vocab || config["eos_token_id"] != c.eos {
			t.Errorf("%s: %v, %v", c.source, config, err)
		}
		generation, err := os.ReadFile(filepath.Join(w.Dir, "generation_config.json"))
		if err != nil || !strings.Contains(string(generation), fmt.Sprintf(`"eos_token_id": %g`, c.eos)) || !strings.Contains(string(generation), "0.5") {
			t.Errorf("%s: %s, %v", c.source, generation, err)
		}
		files, err := tokenizer.Open(w.Dir)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := tokenizer.Parse(files)
		if err != nil {
			t.Fatal(err)
		}
		if id, ok := tok.ID(c.first); !ok || id != 0 || tok.Len() != int(c.vocab) || !strings.Contains(string(files["chat_template.jinja"]), "<|im_start|>") {
			t.Errorf("%s: %v, %s", c.source, tok.Vocabulary(), files["chat_template.jinja"])
		}
		row := make([]float32, 2*int(c.vocab))
		if err := written.Checkpoint.Read("model.embed_tokens.weight", row); err != nil {
			t.Fatal(err)
		}
		var word int
		fmt.Sscanf(c.first, "w%d", &word)
		if want := (elementOf("a", word, 0) + elementOf("bb", word, 0)) / 2; math.Abs(float64(row[0]-want)) > 1e-6 {
			t.Errorf("%s: %g, want %g", c.source, row[0], want)
		}
	}
	if len(digests) != 3 {
		t.Errorf("%d digests of 3 recipes", len(digests))
	}
}

package peertest

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"testing"

	"mergebot/configs"
	"mergebot/merge"
	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
)

// vocabRecipes change vocabularies, and are merged by mergekit, too.
var vocabRecipes = map[string]string{
	"base":            `{merge_method: linear, base_model: ./base, models: [{model: ./base, parameters: {weight: 0.6}}, {model: ./chat, parameters: {weight: 0.4}}], tokenizer_source: base}`,
	"base-padded":     `{merge_method: linear, base_model: ./padded, models: [{model: ./padded, parameters: {weight: 0.6}}, {model: ./shuffled, parameters: {weight: 0.4}}], tokenizer_source: base}`,
	"base-over-pad":   `{merge_method: linear, base_model: ./over-pad, models: [{model: ./over-pad, parameters: {weight: 0.6}}, {model: ./chat, parameters: {weight: 0.4}}], tokenizer_source: base}`,
	"union":           `{merge_method: task_arithmetic, base_model: ./base, models: [{model: ./chat, parameters: {weight: 0.7}}, {model: ./tool, parameters: {weight: 0.5}}], tokenizer_source: union}`,
	"union-shuffled":  `{merge_method: ties, base_model: ./base, models: [{model: ./shuffled, parameters: {weight: 1, density: 0.5}}], tokenizer_source: union}`,
	"union-all":       `{merge_method: linear, models: [{model: ./base, parameters: {weight: 1}}, {model: ./chat, parameters: {weight: 2}}, {model: ./tool, parameters: {weight: 3}}, {model: ./shuffled, parameters: {weight: 1}}, {model: ./pad, parameters: {weight: 1}}], tokenizer_source: union}`,
	"union-unigram":   `{merge_method: slerp, base_model: ./uni, models: [{model: ./uni}, {model: ./uni-other}], parameters: {t: 0.3}, tokenizer_source: union}`,
	"union-wordpiece": `{merge_method: slerp, base_model: ./word, models: [{model: ./word}, {model: ./word-chat}], parameters: {t: 0.3}, tokenizer_source: union}`,
	"union-tied":      `{merge_method: linear, base_model: ./tied, models: [{model: ./tied, parameters: {weight: 1}}, {model: ./tied-chat, parameters: {weight: 1}}], tokenizer_source: union}`,
	"union-slices":    `{merge_method: linear, base_model: ./base, tokenizer_source: union, parameters: {weight: 1}, slices: [{sources: [{model: ./base, layer_range: [0, 1]}, {model: ./chat, layer_range: [0, 1]}]}, {sources: [{model: ./base, layer_range: [0, 2]}, {model: ./shuffled, layer_range: [0, 2]}]}]}`,
	"model":           `{merge_method: task_arithmetic, base_model: ./base, models: [{model: ./shuffled, parameters: {weight: 0.5}}, {model: ./chat, parameters: {weight: 0.5}}], tokenizer_source: ./shuffled}`,
	"tokens-model":    `{merge_method: linear, base_model: ./base, models: [{model: ./base, parameters: {weight: 1}}, {model: ./chat, parameters: {weight: 1}}, {model: ./tool, parameters: {weight: 1}}], tokenizer: {source: union, tokens: {<|im_end|>: {source: ./tool}}}}`,
	"tokens-force":    `{merge_method: linear, base_model: ./base, models: [{model: ./base, parameters: {weight: 1}}, {model: ./chat, parameters: {weight: 1}}, {model: ./tool, parameters: {weight: 1}}], tokenizer: {source: union, tokens: {<|im_end|>: {source: ./chat, force: true}, ab: {source: ./tool, force: true}}}}`,
	"tokens-zero":     `{merge_method: linear, base_model: ./base, models: [{model: ./base, parameters: {weight: 1}}, {model: ./chat, parameters: {weight: 1}}], tokenizer: {source: union, tokens: {<new>: {source: {kind: zero}}, <|im_start|>: {source: {kind: zero}}}}}`,
	"tokens-token":    `{merge_method: linear, base_model: ./base, models: [{model: ./base, parameters: {weight: 1}}, {model: ./chat, parameters: {weight: 1}}], tokenizer: {source: union, tokens: {<|later|>: {source: {kind: model_token, model: ./chat, token: <|im_end|>}}, <|first|>: {source: {kind: model_token, model: ./base, token: abcd}}}}}`,
	"tokens-id":       `{merge_method: linear, base_model: ./base, models: [{model: ./base, parameters: {weight: 1}}, {model: ./chat, parameters: {weight: 1}}], tokenizer: {source: union, tokens: {<|new|>: {source: {kind: model_token, model: ./chat, token_id: 4}}, ab: {source: {kind: model_token, model: ./base, token_id: 5}, force: true}}}}`,
	"pad":             `{merge_method: task_arithmetic, base_model: ./base, models: [{model: ./chat, parameters: {weight: 0.7}}, {model: ./tool, parameters: {weight: 0.5}}], tokenizer: {source: union, pad_to_multiple_of: 64}}`,
	"pad-tied":        `{merge_method: nuslerp, models: [{model: ./tied, parameters: {weight: 1}}, {model: ./tied-chat, parameters: {weight: 2}}], tokenizer: {source: ./tied, pad_to_multiple_of: 8}}`,
}

// ownRecipes are those that mergekit cannot be asked for: it fails where a token is left out that a merge leads to, and
// its files of some names of chat templates put other blanks between the turns.
var ownRecipes = func() map[string]string {
	const head = `merge_method: linear, models: [{model: ./base, parameters: {weight: 1}}, {model: ./chat, parameters: {weight: 1}}, {model: ./tool, parameters: {weight: 1}}], tokenizer_source: union, chat_template: `
	out := map[string]string{
		"template-alone": `{merge_method: passthrough, models: [{model: ./shuffled}], chat_template: chatml}`,
		"base-over":      `{merge_method: linear, base_model: ./over, models: [{model: ./over, parameters: {weight: 0.6}}, {model: ./chat, parameters: {weight: 0.4}}], tokenizer_source: base}`,
	}
	for _, name := range []string{"auto", "alpaca", "chatml", "llama3", "mistral", "exaone"} {
		out["template-"+name] = "{" + head + name + "}"
	}
	return out
}()

// vocabTexts are encoded by the results' tokenizers.
var vocabTexts = []string{"ab cd", "abcd abc", "<|im_start|>ab<|im_end|>cd<tool>a", "a b <|new|><|later|>"}

// vocabResult is what mergekit made of a recipe.
type vocabResult struct {
	Vocab map[string]int         `json:"vocab"`
	Size  int                    `json:"vocab_size"`
	Rows  map[string][][]float32 `json:"rows"`
}

// vocabLoaded is what transformers reads of a folder of ours, whose files have these hashes.
type vocabLoaded struct {
	Files map[string]string `json:"files"`
	Vocab map[string]int    `json:"vocab"`
	IDs   [][]int           `json:"ids"`
	Talk  []string          `json:"talk,omitempty"`
}

func vocabGold(name string) string { return filepath.Join("golden", "tokenizers", name+".json") }

func hashOfBytes(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TestVocabularies compares rows and tokens with what mergekit and transformers said.
func TestVocabularies(t *testing.T) {
	if *update {
		t.Skip("the golden files are being made")
	}
	var theirs map[string]vocabResult
	readJSON(t, vocabGold("mergekit"), &theirs)
	var loaded map[string]vocabLoaded
	readJSON(t, vocabGold("transformers"), &loaded)
	likeVocabularies(t, theirs, loaded, nil)
}

// TestMergekitVocabularies runs mergekit on the recipes and transformers on our results.
func TestMergekitVocabularies(t *testing.T) {
	peers(t)
	b, work := newBench(t), t.TempDir()
	writeVocabModels(t, filepath.Join(work, "models"))
	var theirs map[string]vocabResult
	b.script(t, "vocabularies.py", map[string]any{"models": filepath.Join(work, "models"), "recipes": vocabRecipes, "work": work, "texts": vocabTexts}, &theirs)
	folders := map[string]string{}
	likeVocabularies(t, theirs, nil, folders)
	var loaded map[string]vocabLoaded
	b.script(t, "vocabularies.py", map[string]any{"folders": folders, "texts": vocabTexts}, &loaded)
	for name, dir := range folders {
		l := loaded[name]
		l.Files = fileHashes(t, dir)
		loaded[name] = l
		if want, ok := theirs[name]; ok && !maps.Equal(l.Vocab, want.Vocab) {
			t.Errorf("%s: transformers finds %v in our files, and %v in mergekit's", name, l.Vocab, want.Vocab)
		}
	}
	if *update {
		writeJSON(t, vocabGold("mergekit"), theirs)
		writeJSON(t, vocabGold("transformers"), loaded)
		return
	}
	var keptTheirs map[string]vocabResult
	readJSON(t, vocabGold("mergekit"), &keptTheirs)
	var kept map[string]vocabLoaded
	readJSON(t, vocabGold("transformers"), &kept)
	if !reflect.DeepEqual(theirs, keptTheirs) || !reflect.DeepEqual(loaded, kept) {
		t.Error("mergekit's and transformers' words are no longer those of the golden files")
	}
}

// likeVocabularies merges every recipe and compares it with mergekit's result, and with what transformers reads. The
// results' folders are put into folders, where it is given; they live as long as the test.
func likeVocabularies(t *testing.T, theirs map[string]vocabResult, loaded map[string]vocabLoaded, folders map[string]string) {
	models := filepath.Join(t.TempDir(), "models")
	writeVocabModels(t, models)
	if len(theirs) != len(vocabRecipes) {
		t.Errorf("%d recipes, the golden file has %d", len(vocabRecipes), len(theirs))
	}
	all := maps.Clone(vocabRecipes)
	maps.Copy(all, ownRecipes)
	for name, text := range all {
		t.Run(name, func(t *testing.T) {
			dir := mergeVocabulary(t, text, models)
			if folders != nil {
				folders[name] = dir
			}
			if want, ok := theirs[name]; ok {
				likeRows(t, dir, want)
			}
			if loaded != nil {
				if got := fileHashes(t, dir); !maps.Equal(got, loaded[name].Files) {
					t.Errorf("tokenizer files are %v, and transformers read %v", got, loaded[name].Files)
				}
			}
		})
	}
}

func likeRows(t *testing.T, dir string, want vocabResult) {
	t.Helper()
	c := openCheckpoint(t, dir)
	config, err := c.Config()
	if err != nil || config["vocab_size"] != float64(want.Size) {
		t.Errorf("vocab_size %v (%v), mergekit's %d", config["vocab_size"], err, want.Size)
	}
	for name, rows := range want.Rows {
		x, ok := c.Tensor(name)
		if !ok || x.Shape[0] != int64(len(rows)) || x.Shape[1] != vocabHidden {
			if name == "lm_head.weight" && c.TiedEmbeddings() { // mergekit writes it out
				continue
			}
			t.Errorf("%s: shape %v, mergekit has %d rows", name, x.Shape, len(rows))
			continue
		}
		got := make([]float32, x.Elements())
		if err := c.Read(name, got); err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			for k, w := range row {
				if g := got[i*vocabHidden+k]; math.Abs(float64(g-w)) > 1e-6*max(0.3, math.Abs(float64(w))) {
					t.Fatalf("%s: row %d, column %d is %g, mergekit's %g", name, i, k, g, w)
				}
			}
		}
	}
}

// mergeVocabulary merges a recipe over the models in a folder.
func mergeVocabulary(t *testing.T, text, models string) string {
	t.Helper()
	r, err := configs.Parse("r.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	opened := map[string]*checkpoint.Checkpoint{}
	open := func(ref configs.ModelRef) merge.Model {
		name := filepath.Base(ref.Local)
		if opened[name] == nil {
			opened[name] = openCheckpoint(t, filepath.Join(models, name))
		}
		return merge.Model{Name: name, Checkpoint: opened[name]}
	}
	var base *merge.Model
	if !r.BaseModel.IsZero() {
		m := open(r.BaseModel)
		base = &m
	}
	var inputs []merge.Input
	for _, m := range r.Inputs() {
		inputs = append(inputs, merge.Input{Model: open(m.Model)})
	}
	m, err := merge.New(kernel.CPU(), r, base, inputs)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs(filepath.Join(filepath.Dir(models), "merged", t.Name()))
	if err != nil {
		t.Fatal(err)
	}
	w, err := m.Write(t.Context(), dir, merge.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return w.Dir
}

package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mergebot/eval/engine/gguf"
	"mergebot/merge/checkpoint"
	"mergebot/merge/tokenizer"
)

// TestVocabularyMerge: a plan knows the tokens from small files, and what is written is what it said, with the tokenizer
// that it says, which engines read.
func TestVocabularyMerge(t *testing.T) {
	t.Parallel()
	family := openFamily(t, func(models string) { // tiny/law has a token of its own
		edit := func(name, old, fresh string) {
			t.Helper()
			path := filepath.Join(models, "tiny", "law", name)
			b, err := os.ReadFile(path)
			if err != nil || !strings.Contains(string(b), old) {
				t.Fatalf("%s: %v", path, err)
			}
			if err := os.WriteFile(path, []byte(strings.Replace(string(b), old, fresh, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		edit("tokenizer_config.json", `"add_bos_token"`, `"chat_template": "law {{ bos_token }}", "add_bos_token"`)
	})
	env := family.env(t)
	r := parse(t, `merge_method: task_arithmetic
base_model: tiny/base
models:
  - {model: tiny/math, parameters: {weight: 0.5}}
  - {model: tiny/law, parameters: {weight: 0.5}}
tokenizer:
  tokens:
    <|im_end|>: {source: {kind: model_token, model: tiny/law, token: </s>}}
    <|pad|>: {source: {kind: zero}}
  pad_to_multiple_of: 64
chat_template: auto
dtype: bfloat16
`)
	plan, err := Resolve(t.Context(), env, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range plan.Lock.parts() {
		if m.tokenizer != nil {
			t.Errorf("the plan keeps the tokenizer of %s", m)
		}
		if env.missing(m) < m.Bytes/2 {
			t.Errorf("the plan fetched the weights of %s", m)
		}
	}
	dir := filepath.Join(t.TempDir(), "model")
	m, err := Merge(t.Context(), env, r, dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rows := c.Shape("model.embed_tokens.weight")[0]
	config, err := c.Config()
	if o := plan.Output; err != nil || o.Bytes != m.Bytes || int64(o.Vocabulary) != rows || config["vocab_size"] != float64(rows) || rows%64 != 0 {
		t.Errorf("the plan says %+v; written are %d rows, %d bytes, vocab_size %v (%v)", o, rows, m.Bytes, config["vocab_size"], err)
	}
	files, err := tokenizer.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := tokenizer.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	end, ok := tokens.ID("<|im_end|>")
	if pad, also := tokens.ID("<|pad|>"); !ok || !also || pad != end+1 || tokens.Len() != int(pad)+1 {
		t.Errorf("of %d tokens <|im_end|> has id %d and <|pad|> %d", tokens.Len(), end, pad)
	}
	if !strings.Contains(string(files["tokenizer_config.json"]), "law {{ bos_token }}") {
		t.Errorf("no chat template in %s", files["tokenizer_config.json"])
	}
	width := c.Shape("model.embed_tokens.weight")[1]
	row := func(id int32) []float32 {
		x := make([]float32, width)
		if err := c.Floats("model.embed_tokens.weight", x, int64(id)*width); err != nil {
			t.Fatal(err)
		}
		return x
	}
	for k, x := range row(end + 1) {
		if x != 0 {
			t.Fatalf("column %d of <|pad|> is %g", k, x)
		}
	}
	model, err := gguf.Read(dir)
	if err != nil {
		t.Fatalf("the embedded engine cannot read the result: %v", err)
	}
	if _, err := model.Layout(c.Names(), c.Shape); err != nil {
		t.Errorf("the embedded engine cannot lay out the result: %v", err)
	}
	card, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil || !strings.Contains(string(card), "Its embeddings have ") {
		t.Errorf("card: %v\n%s", err, card)
	}
	// A torn tokenizer is told on the recipe's line, by the plan.
	torn := openFamily(t, func(models string) {
		if err := os.WriteFile(filepath.Join(models, "tiny", "law", "tokenizer.json"), []byte("{"), 0o644); err != nil {
			t.Fatal(err)
		}
	})
	_, err = Resolve(t.Context(), torn.env(t), r, nil)
	problems, outage := Problems(r, err)
	if outage || len(problems) != 1 || problems[0].Line != 5 || !strings.Contains(problems[0].Message, "tiny/law") || !strings.Contains(problems[0].Message, "damaged tokenizer: tokenizer.json") {
		t.Errorf("%v, %v", problems, err)
	}
}

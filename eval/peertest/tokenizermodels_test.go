package peertest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
)

// vocabModel is a made-up LLaMA of two layers with a made-up tokenizer.
type vocabModel struct {
	kind   string   // BPE, Unigram, WordPiece
	tokens []string // of the tokenizer's model, by id
	added  []string // by id from there on; those with | or [ are special
	rows   int      // of the embeddings, where it is not the number of tokens
	pad    string   // a pad_token that only tokenizer_config.json knows
	tied   bool
	chat   string // chat template
}

var (
	bpeTokens   = []string{"<unk>", "<s>", "</s>", "Ġ", "a", "b", "c", "d", "ab", "Ġa", "cd", "abcd"}
	pieceTokens = []string{"<unk>", "<s>", "</s>", "▁", "a", "b", "c", "d", "ab", "▁a", "cd"}
	wordTokens  = []string{"<unk>", "<s>", "</s>", "a", "b", "##a", "##b", "##c", "ab", "##cd", "abcd"}
)

func shuffled(tokens []string, more ...string) []string {
	out := slices.Clone(tokens[:3]) // special tokens keep their places
	for i := len(tokens) - 1; i >= 3; i-- {
		out = append(out, tokens[i])
	}
	return append(out, more...)
}

// vocabModels are those of the recipes in vocabRecipes.
var vocabModels = map[string]vocabModel{
	"base":      {kind: "BPE", tokens: bpeTokens, chat: "plain: {{ messages[0]['content'] }}"},
	"chat":      {kind: "BPE", tokens: bpeTokens, added: []string{"<|im_start|>", "<|im_end|>"}, chat: "most: {{ messages[0]['content'] }}"},
	"tool":      {kind: "BPE", tokens: bpeTokens, added: []string{"<tool>", "<|im_end|>"}, chat: "most: {{ messages[0]['content'] }}\n"},
	"shuffled":  {kind: "BPE", tokens: shuffled(bpeTokens, "bc"), added: []string{"<|im_end|>"}},
	"padded":    {kind: "BPE", tokens: bpeTokens, rows: 16},
	"over":      {kind: "BPE", tokens: append(slices.Clone(bpeTokens), "Ġab"), added: []string{"[PAD]"}, rows: 12},
	"over-pad":  {kind: "BPE", tokens: bpeTokens, added: []string{"[PAD]"}, rows: 12},
	"pad":       {kind: "BPE", tokens: bpeTokens, pad: "[PAD]", rows: 13},
	"tied":      {kind: "BPE", tokens: bpeTokens, tied: true},
	"tied-chat": {kind: "BPE", tokens: bpeTokens, added: []string{"<|im_start|>"}, tied: true},
	"uni":       {kind: "Unigram", tokens: pieceTokens},
	"uni-other": {kind: "Unigram", tokens: shuffled(pieceTokens, "▁b"), added: []string{"<|im_end|>"}},
	"word":      {kind: "WordPiece", tokens: wordTokens},
	"word-chat": {kind: "WordPiece", tokens: shuffled(wordTokens), added: []string{"<|im_end|>", "<tool>"}},
}

const (
	vocabHidden = 4
	vocabFFN    = 6
)

func (m vocabModel) size() int {
	if m.rows > 0 {
		return m.rows
	}
	return len(m.tokens) + len(m.added)
}

func writeVocabModels(t *testing.T, dir string) {
	t.Helper()
	for name, m := range vocabModels {
		m.write(t, name, filepath.Join(dir, name))
	}
}

func (m vocabModel) write(t *testing.T, name, dir string) {
	t.Helper()
	var outputs []checkpoint.Output
	add := func(name string, shape ...int64) {
		outputs = append(outputs, checkpoint.Output{Name: name, DType: checkpoint.F32, Shape: shape})
	}
	const h, f = vocabHidden, vocabFFN
	add("model.embed_tokens.weight", int64(m.size()), h)
	add("model.norm.weight", h)
	if !m.tied {
		add("lm_head.weight", int64(m.size()), h)
	}
	for l := range 2 {
		at := fmt.Sprintf("model.layers.%d.", l)
		for _, q := range []string{"q", "k", "v", "o"} {
			add(at+"self_attn."+q+"_proj.weight", h, h)
		}
		add(at+"mlp.gate_proj.weight", f, h)
		add(at+"mlp.up_proj.weight", f, h)
		add(at+"mlp.down_proj.weight", h, f)
		add(at+"input_layernorm.weight", h)
		add(at+"post_attention_layernorm.weight", h)
	}
	w, err := checkpoint.Create(dir, outputs, checkpoint.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.WriteShard(t.Context(), 0, func(o checkpoint.Output, put func([]byte) error) error {
		x, b := make([]float32, o.Size()/4), make([]byte, o.Size())
		for i := range x {
			x[i] = float32(kernel.Uniform(kernel.Stream(3, name+"/"+o.Name), int64(i)) - 0.5)
		}
		if err := kernel.CPU().Encode(b, x, kernel.F32); err != nil {
			return err
		}
		return put(b)
	})
	if err != nil {
		t.Fatal(err)
	}
	config := map[string]any{"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_size": h, "intermediate_size": f,
		"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": m.size(), "max_position_embeddings": 16, "tie_word_embeddings": m.tied,
		"bos_token_id": 1, "eos_token_id": 2}
	writeJSON(t, filepath.Join(dir, "config.json"), config)
	writeJSON(t, filepath.Join(dir, "tokenizer.json"), m.tokenizer())
	own := map[string]any{"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
	if m.pad != "" {
		own["pad_token"] = m.pad
	}
	if m.chat != "" {
		own["chat_template"] = m.chat
	}
	writeJSON(t, filepath.Join(dir, "tokenizer_config.json"), own)
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
}

func (m vocabModel) tokenizer() map[string]any {
	type added struct {
		ID         int    `json:"id"`
		Content    string `json:"content"`
		SingleWord bool   `json:"single_word"`
		LStrip     bool   `json:"lstrip"`
		RStrip     bool   `json:"rstrip"`
		Normalized bool   `json:"normalized"`
		Special    bool   `json:"special"`
	}
	var list []added
	for i, text := range m.tokens[:3] {
		list = append(list, added{ID: i, Content: text, Special: true})
	}
	for i, text := range m.added {
		special := strings.ContainsAny(text, "|[")
		list = append(list, added{ID: len(m.tokens) + i, Content: text, Special: special, Normalized: !special})
	}
	ids := map[string]int{}
	for i, text := range m.tokens {
		ids[text] = i
	}
	out := map[string]any{"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": list, "normalizer": nil, "post_processor": nil}
	switch m.kind {
	case "BPE":
		merges := [][]string{{"a", "b"}, {"Ġ", "a"}, {"c", "d"}, {"ab", "cd"}}
		if slices.Contains(m.tokens, "bc") {
			merges = append(merges, []string{"b", "c"})
		}
		if slices.Contains(m.tokens, "Ġab") {
			merges = append(merges, []string{"Ġa", "b"})
		}
		bytes := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
		out["pre_tokenizer"], out["decoder"] = bytes, bytes
		out["model"] = map[string]any{"type": "BPE", "dropout": nil, "unk_token": "<unk>", "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": ids, "merges": merges}
	case "Unigram":
		var pieces [][]any
		for i, text := range m.tokens {
			pieces = append(pieces, []any{text, -float64(len(m.tokens)-i) / 4})
		}
		meta := map[string]any{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}
		out["pre_tokenizer"], out["decoder"] = meta, meta
		out["model"] = map[string]any{"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": false}
	case "WordPiece":
		out["pre_tokenizer"] = map[string]any{"type": "Whitespace"}
		out["decoder"] = map[string]any{"type": "WordPiece", "prefix": "##", "cleanup": true}
		out["model"] = map[string]any{"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": ids}
	}
	return out
}

// fileHashes are those of a folder's tokenizer files.
func fileHashes(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"*token*.json", "*.jinja", "vocab.json"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid(b) && filepath.Ext(f) == ".json" {
				t.Errorf("%s is not JSON", f)
			}
			out[filepath.Base(f)] = hashOfBytes(b)
		}
	}
	return out
}

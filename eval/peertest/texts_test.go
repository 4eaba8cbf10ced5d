package peertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mergebot/eval/engine"
	"mergebot/testdata/family"
)

// texts is golden/dppa-DTYPE.json: a merged checkpoint, and what transformers writes with it.
type texts struct {
	Command  string
	Versions map[string]string
	Files    map[string]string // weights → SHA-256
	Cases    []textCase
}

// textCase is a prompt, its tokens, and the greedy continuation without the end token.
type textCase struct {
	Task      string  `json:"task"`
	Prompt    string  `json:"prompt"`
	MaxTokens int     `json:"max_tokens"`
	IDs       []int32 `json:"ids"`
	Greedy    []int32 `json:"greedy"`
	Text      string  `json:"text"`
}

const updateCommand = "MERGEBOT_PEERS_HEAVY=DIR go test ./eval/peertest -update"

func goldenPath(name string) string { return filepath.Join("golden", name+".json") }

// TestTexts holds the merged bytes, and the embedded engine's texts, to the golden files.
func TestTexts(t *testing.T) {
	if *update {
		t.Skip("the golden files are being made")
	}
	b := newBench(t)
	for _, name := range []string{"dppa-float16", "dppa-bfloat16"} {
		t.Run(name, func(t *testing.T) {
			var want texts
			readJSON(t, goldenPath(name), &want)
			dir := b.merge(t, name)
			if got := weightFiles(t, openCheckpoint(t, dir)); !maps.Equal(got, want.Files) {
				t.Errorf("merged files %v, want %v", got, want.Files)
			}
			b.checkTexts(t, dir, want.Cases)
		})
	}
}

// checkTexts has the embedded engine continue the prompts of what a peer wrote.
func (b *bench) checkTexts(t *testing.T, dir string, want []textCase) {
	t.Helper()
	requireEngine(t, b.env.Engines.Llama.LibDir)
	c := openCheckpoint(t, dir)
	s, err := engine.OpenLlama(t.Context(), dir, c, b.env.Engines.Llama)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var requests []engine.Request
	for i, x := range want {
		requests = append(requests, engine.Request{ID: fmt.Sprint(i), Prompt: x.Prompt, MaxTokens: x.MaxTokens})
	}
	got, err := s.Generate(t.Context(), requests, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) != 30 {
		t.Errorf("%d prompts, want 30", len(want))
	}
	for i, x := range want {
		if got[i].PromptTokens != len(x.IDs) || !slices.Equal(got[i].Tokens, x.Greedy) || got[i].Text != x.Text {
			t.Errorf("%s, prompt %d: %d tokens, then %v %q;\ntransformers has %d, then %v %q", x.Task, i,
				got[i].PromptTokens, got[i].Tokens, got[i].Text, len(x.IDs), x.Greedy, x.Text)
		}
	}
}

// requireEngine skips a test where the inference library is missing, unless it must not be.
func requireEngine(t *testing.T, dir string) {
	t.Helper()
	_, err := engine.Installed(dir)
	switch {
	case err == nil:
	case os.Getenv("MERGEBOT_REQUIRE_ENGINE") == "1":
		t.Fatal(err)
	case errors.Is(err, engine.ErrNotInstalled), errors.Is(err, engine.ErrUnsupportedPlatform):
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

// prompts are the first five test rows of every task of the family, asked as its experts were taught.
func prompts(t *testing.T) []textCase {
	t.Helper()
	var out []textCase
	for _, k := range []struct {
		task, field string
		max         int
	}{{"gsm8k", "question", 64}, {"MATH", "problem", 64}, {"FiQA_SA", "input", 12}, {"FPB", "input", 12}, {"SCOTUS", "input", 16}, {"UNFAIR_ToS", "input", 16}} {
		data, err := family.Files.ReadFile("datasets/" + k.task + "/test.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		for n := 0; n < 5 && lines.Scan(); n++ {
			var row map[string]any
			if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
				t.Fatal(err)
			}
			prompt := row[k.field].(string)
			if k.field != "input" {
				prompt = "Question:\n" + prompt + "\nAnswer:\nLet's think step by step.\n"
			}
			out = append(out, textCase{Task: k.task, Prompt: prompt, MaxTokens: k.max})
		}
	}
	return out
}

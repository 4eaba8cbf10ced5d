//go:build linux

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"mergebot/bot/run"
)

// vllmRecipe searches, merges and scores in every kind of engine.
const vllmRecipe = `
merge_method: dppa
base_model: tiny/base
models:
  - {model: tiny/math, parameters: {density: 0.2}}
  - {model: tiny/finance, parameters: {density: 0.2}}
dtype: float16
mergebot:
  search: {methods: [1], ratios: [1, 2, 3], coefficient: common, coefficients: [0.7, 1], limit: 10}
  domains:
    math:    {expert: tiny/math, tasks: [gsm8k]}
    finance: {expert: tiny/finance, tasks: [fpb]}
  evaluate: {limit: 12, tasks: {gsm8k: {revision: main, max_tokens: 48}, fpb: {revision: main, max_tokens: 12}}}
`

// TestRunWithVLLM: a run whose prompts are answered by a vLLM that mergebot starts, and whose weights it changes while
// that runs, finds the ratios, the bytes and the scores of one in the embedded engine.
func TestRunWithVLLM(t *testing.T) {
	t.Parallel()
	needEngine(t)
	h := serveHub(t, familySeed(t), nil)
	own, theirs := newPlace(t, h, vllmRecipe), newPlace(t, h, vllmRecipe)
	own.do(t, nil, "run", "recipe.yaml", "--out", "out", "-q")

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// What starts the stand-in gives it its name and what its engine needs; mergebot hands on no MERGEBOT_* variables.
	starts := theirs.path("starts")
	script := fmt.Sprintf("#!/bin/sh\necho \"$1\" >> %s\nMERGEBOT_ENGINE_DIR=%s exec %s \"$@\"\n", starts, engineDir(t), theirs.path("bin", "vllm"))
	if err := os.Mkdir(theirs.path("bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, theirs.path("bin", "vllm")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(theirs.path("start-vllm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	theirs.do(t, nil, "run", "recipe.yaml", "--out", "out", "-q", "--engine-use", "vllm", "--engine-vllm-command", theirs.path("start-vllm"),
		"--engine-vllm-dtype", "float32", "--engine-vllm-dir", theirs.path("tmp"), "--engine-vllm-log", theirs.path("vllm.log"))

	same(t, "model/", weightsOnly(sums(t, own.path("work", "out", "model"))), weightsOnly(sums(t, theirs.path("work", "out", "model"))))
	want, got := items(t, own.path("work", "out")), items(t, theirs.path("work", "out"))
	if len(want) != 24 {
		t.Fatalf("%d items, want 24", len(want))
	}
	same(t, "items", want, got)
	began, err := os.ReadFile(starts)
	if err != nil {
		t.Fatal(err)
	}
	// Once for the whole run, and once for the proof that it computes with what it was told to reload.
	if n := strings.Count(string(began), "serve"); n != 2 {
		t.Errorf("vLLM was started %d times, want 2:\n%s", n, began)
	}
	if left := theirs.processes(); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	for name := range tree(t, theirs.path("tmp")) {
		if strings.HasSuffix(name, ".safetensors") {
			t.Errorf("weights are left in the folder for candidates: %s", name)
		}
	}
	if events := theirs.events(t); !slices.ContainsFunc(events, func(e runEvent) bool { return e.Step == "search" && e.Phase == run.Finished }) {
		t.Error("nothing was searched")
	}
}

func weightsOnly(sums map[string]string) map[string]string {
	out := map[string]string{}
	for name, sum := range sums {
		if strings.HasSuffix(name, ".safetensors") {
			out[name] = sum
		}
	}
	return out
}

package run

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"testing"

	"mergebot/configs"
	"mergebot/eval"
	"mergebot/eval/engine"
	"mergebot/eval/task"
	"mergebot/hub"
	"mergebot/hub/embedded"
	"mergebot/merge"
	"mergebot/merge/kernel"
	"mergebot/testdata/familyhub"
)

// oracleRecipe names the family's models and how its tasks are asked; nothing of it is merged.
const oracleRecipe = `
merge_method: task_arithmetic
base_model: tiny/base
models:
  - {model: tiny/math, parameters: {weight: 1}}
  - {model: tiny/finance, parameters: {weight: 1}}
  - {model: tiny/law, parameters: {weight: 1}}
mergebot:
  domains:
    math:    {expert: tiny/math, tasks: [gsm8k, math]}
    finance: {expert: tiny/finance, tasks: [fiqa_sa, fpb]}
    law:     {expert: tiny/law, tasks: [scotus, unfair_tos]}
  evaluate:
    tasks:
      gsm8k:      {revision: main, max_tokens: 64, grader: abel}
      math:       {revision: main, max_tokens: 64, grader: hendrycks}
      fiqa_sa:    {revision: main, max_tokens: 12, grader: contains}
      fpb:        {revision: main, max_tokens: 12, grader: contains}
      scotus:     {revision: main, max_tokens: 16, grader: contains}
      unfair_tos: {revision: main, max_tokens: 16, grader: contains}
`

// oracleBench is the family in a pipeline: fetched from a hub, opened, ready to be merged and scored.
type oracleBench struct {
	*pipeline
	models map[string]merge.Model // by the oracle's names, which seed its random masks
}

// openOracleBench starts a hub and takes the family from it, as far as a run goes before it merges.
func openOracleBench(t *testing.T) *oracleBench {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	env := &Env{Device: kernel.CPU(), Engines: Engines{Llama: engine.Options{LibDir: engineDir(t)}}}

	seed := filepath.Join(dir, "seed")
	if err := familyhub.WriteSeed(seed); err != nil {
		t.Fatal(err)
	}
	server, err := embedded.Listen(ctx, embedded.Options{Root: filepath.Join(dir, "hub")}, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	if err := server.Server.Seed(ctx, seed); err != nil {
		t.Fatal(err)
	}
	if env.Hub, err = hub.New(hub.Options{Endpoint: server.URL, Cache: filepath.Join(dir, "cache"), Anonymous: true}); err != nil {
		t.Fatal(err)
	}
	if env.Storage, err = OpenStorage(filepath.Join(dir, "storage")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Storage.Close() })

	recipe, err := configs.Parse("oracle.yaml", []byte(oracleRecipe))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := Resolve(ctx, env, recipe, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := newPipeline(env, recipe, plan, Options{Out: dir})
	t.Cleanup(p.close)
	if err := p.start(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if err := p.prepare(ctx); err != nil {
		t.Fatal(err)
	}
	b := &oracleBench{p, map[string]merge.Model{}}
	for _, m := range p.models {
		m.Name = path.Base(m.Name)
		b.models[m.Name] = m
	}
	return b
}

// engineDir is the engine's folder. Without an engine there the test is skipped, or fails where one is required.
func engineDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("MERGEBOT_ENGINE_DIR")
	_, err := engine.Installed(dir)
	switch {
	case err == nil:
	case os.Getenv("MERGEBOT_REQUIRE_ENGINE") != "1" && (errors.Is(err, engine.ErrNotInstalled) || errors.Is(err, engine.ErrUnsupportedPlatform)):
		t.Skip(err)
	default:
		t.Fatal(err)
	}
	return dir
}

// evaluate scores on the test rows. Every model goes into the one session that holds the base: they differ in
// their weights alone.
func (b *oracleBench) evaluate(t *testing.T, w weighed, name string) eval.Result {
	t.Helper()
	w.tokenizer, w.dir = b.plan.Lock.Base.Digest, b.baseDir.dir
	session := b.scorer.session
	r, err := b.scorer.evaluate(t.Context(), w, name, task.Test, 0)
	if err != nil {
		t.Fatal(err)
	}
	if session != nil && session != b.scorer.session || !r.Engine.LiveSwap {
		t.Fatal("the weights were not swapped live")
	}
	return r
}

// candidate is what the merger computes, as something to score.
func (b *oracleBench) candidate(name string, m *merge.Merger) weighed {
	return weighed{name: name, digest: m.Digest(),
		open: func() (engine.Weights, func() error, error) { return m, func() error { return nil }, nil }}
}

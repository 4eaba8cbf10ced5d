package run

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"mergebot/eval"
	"mergebot/eval/engine/vllm"
	"mergebot/eval/task"
)

// TestVRAM holds the estimate to models whose needs are known: of Llama-2-7b at 4096 tokens 2 GiB, of Llama-3-8B at 8192
// tokens, with 8 heads of keys and values, 1 GiB.
func TestVRAM(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config string
		o      vllm.Options
		want   PlannedVRAM
	}{
		"llama2": {`{"num_hidden_layers": 32, "num_attention_heads": 32, "hidden_size": 4096, "max_position_embeddings": 4096}`, vllm.Options{},
			PlannedVRAM{DType: "bfloat16", Weights: 14e9, KV: 2 << 30, Context: 4096}},
		"llama3": {`{"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096, "max_position_embeddings": 131072}`,
			vllm.Options{Context: 8192, DType: "float16"}, PlannedVRAM{DType: "float16", Weights: 14e9, KV: 1 << 30, Context: 8192}},
		"inner config": {`{"text_config": {"num_hidden_layers": 1, "num_key_value_heads": 1, "head_dim": 2, "max_position_embeddings": 10}}`, vllm.Options{DType: "float32"},
			PlannedVRAM{DType: "float32", Weights: 28e9, KV: 160, Context: 10}},
		"nothing known": {`{}`, vllm.Options{}, PlannedVRAM{DType: "bfloat16", Weights: 14e9}},
		"nonsense": {`{"num_hidden_layers": 1e9, "num_attention_heads": 1e9, "head_dim": 1e9, "max_position_embeddings": 1e9, "num_key_value_heads": -4}`, vllm.Options{},
			PlannedVRAM{DType: "bfloat16", Weights: 14e9, Context: 1e9}},
	} {
		var config map[string]any
		if err := json.Unmarshal([]byte(c.config), &config); err != nil {
			t.Fatal(err)
		}
		p := &Plan{Lock: Lock{Models: []LockedModel{{attention: attentionOf(config)}}}, Output: PlannedOutput{Parameters: 7e9}}
		if got := p.vram(c.o); *got != c.want {
			t.Errorf("%s: %+v, want %+v", name, *got, c.want)
		}
	}
}

func FuzzAttention(f *testing.F) {
	f.Add([]byte(`{"num_hidden_layers": 32, "text_config": {"head_dim": 1e300}, "num_attention_heads": 0.5}`), int64(4096))
	f.Fuzz(func(t *testing.T, b []byte, tokens int64) {
		var config map[string]any
		if json.Unmarshal(b, &config) != nil {
			return
		}
		if kv := attentionOf(config).kv(max(tokens, 0), 4); kv < 0 {
			t.Errorf("%d bytes", kv)
		}
	})
}

// TestDisk: too little free space is said with numbers, for each disk that is written to.
func TestDisk(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	here := t.TempDir()
	for _, c := range []struct {
		work string
		free uint64
		want string
	}{
		{here, 31 * gib, ""},
		{here, 29 * gib, "the run needs 30 GiB, 29 GiB is free"},
		{"/dev/shm", 19 * gib, "what is to be fetched needs 20 GiB, 19 GiB is free"},
		{"/dev/shm", 9 * gib, "/dev/shm: the merged model needs 10 GiB"},
	} {
		if c.work != here && sameDisk(here, c.work) {
			continue
		}
		p := &Plan{Download: PlannedDownload{Missing: 20 * gib, DiskBytes: 30 * gib}, Output: PlannedOutput{Bytes: 10 * gib}}
		p.disk(here, c.work, func(string) (uint64, error) { return c.free, nil })
		if said := strings.Join(p.Warnings, "\n"); (said == "") != (c.want == "") || !strings.Contains(said, c.want) {
			t.Errorf("%+v: %q", c, said)
		}
	}
	p := &Plan{Output: PlannedOutput{Bytes: gib}, Download: PlannedDownload{DiskBytes: gib}}
	if p.disk(here, here, func(string) (uint64, error) { return 0, errors.New("unknown") }); len(p.Warnings) > 0 {
		t.Error(p.Warnings)
	}
}

// TestEvaluationTime: a plan says how long scoring takes once the engine has scored these tasks here, and not before.
func TestEvaluationTime(t *testing.T) {
	t.Parallel()
	env := openFamily(t, nil).env(t)
	const text = "merge_method: linear\nmodels:\n  - {model: tiny/math, parameters: {weight: 1}}\nmergebot:\n" +
		"  domains: {m: {expert: tiny/math, tasks: [gsm8k]}}\n  evaluate: {limit: 50, tasks: {gsm8k: {revision: main}}}\n"
	plan := func(text string) *Plan {
		p, err := Resolve(t.Context(), env, parse(t, text), nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := plan(text)
	if e := p.Download.Evaluation; e == nil || e.Items != 100 || e.Seconds != 0 { // the expert and the merged model
		t.Fatalf("%+v", e)
	}
	if e := plan(strings.Replace(text, "limit: 50, ", "", 1)).Download.Evaluation; *e != (PlannedEvaluation{}) {
		t.Errorf("rows of another revision are not known: %+v", e)
	}
	s := &scorer{x: &execution{env: env}, plan: p, sets: map[setKey]*task.Set{}}
	if err := s.keepPace(t.Context(), "gsm8k", eval.Result{N: 50, Recalled: 45, Seconds: 999}); err != nil {
		t.Fatal(err)
	}
	if e := plan(text).Download.Evaluation; e.Seconds != 0 {
		t.Errorf("five answers made a pace: %+v", e)
	}
	if err := s.keepPace(t.Context(), "gsm8k", eval.Result{N: 50, Recalled: 30, Seconds: 40}); err != nil {
		t.Fatal(err)
	}
	if e := plan(text).Download.Evaluation; e.Seconds != 201 {
		t.Errorf("2 s a prompt, 100 prompts: %+v", e)
	}
	if p.Download.VRAM != nil || p.Download.EngineBytes == 0 {
		t.Errorf("on the CPU: %+v", p.Download)
	}
	env.Engines.Use, env.Engines.VLLM.DType = "vllm", "bfloat16"
	if p := plan(text); p.Download.VRAM == nil || p.Download.VRAM.Weights != 2*p.Output.Parameters || p.Download.VRAM.KV == 0 || p.Download.EngineBytes != 0 || p.Download.Evaluation.Seconds != 0 {
		t.Errorf("on a GPU: %+v", p.Download)
	}
}

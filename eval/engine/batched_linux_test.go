//go:build amd64 || arm64

package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	benchPrompt = 16 // tokens of each prompt of the benchmark: decoding is most of the work
	benchEnd    = 2  // id of the end token
)

// BenchmarkBatched measures how many tokens a second B requests get together, prompts included, in one lane of one
// thread that has a slot for each, and by the default settings.
//
// "of_single" is that rate over B times the rate of one request alone: the share of perfect scaling. With the program
// named by LLAMA_BATCHED_BENCH, llama.cpp's own llama-batched-bench, "of_llama" is one lane's rate over that program's
// for the same GGUF file, threads, prompt length, number of tokens and batch size, and "of_llama_cpu" the same in
// tokens a second of processor time, which others on the machine disturb less. They are measured in turns; what is
// reported is the median over the turns (-benchtime 5x makes five).
func BenchmarkBatched(b *testing.B) {
	for _, m := range []shape{tinyShape, shape110M} {
		for _, n := range []int{1, 4, 8, 16, 32} {
			b.Run(fmt.Sprintf("%s/thread/B=%d", m.name, n), func(b *testing.B) {
				benchmarkBatch(b, m, Options{Lanes: 1, Threads: 1, Slots: n}, n, os.Getenv("LLAMA_BATCHED_BENCH"))
			})
			b.Run(fmt.Sprintf("%s/default/B=%d", m.name, n), func(b *testing.B) { benchmarkBatch(b, m, Options{}, n, "") })
		}
	}
}

func benchmarkBatch(b *testing.B, m shape, o Options, n int, peer string) {
	o.LibDir = library(b)
	s, err := open(b.Context(), m.dir(b), m, o, false)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	measure := func(n int) speed { return m.generate(b, s, n) }
	measure(n) // makes the contexts
	var start time.Duration
	if peer != "" {
		start = batchedBench(b, peer, s, n, 1, 1).cpu // two steps more than starting, in its favour
	}
	var rate, cpu, single, ofSingle, ofLlama, ofLlamaCPU []float64
	for b.Loop() {
		ours, one := measure(n), measure(1)
		tokens := float64(n * m.tokens)
		rate, cpu = append(rate, tokens/ours.wall.Seconds()), append(cpu, tokens/ours.cpu.Seconds())
		single = append(single, float64(m.tokens)/one.wall.Seconds())
		ofSingle = append(ofSingle, one.wall.Seconds()/ours.wall.Seconds())
		if peer != "" {
			theirs := batchedBench(b, peer, s, n, benchPrompt, m.tokens)
			ofLlama = append(ofLlama, theirs.wall.Seconds()/ours.wall.Seconds())
			ofLlamaCPU = append(ofLlamaCPU, (theirs.cpu-start).Seconds()/ours.cpu.Seconds())
		}
	}
	b.ReportMetric(0, "ns/op") // of a turn: of no interest
	b.ReportMetric(median(rate), "tok/s")
	b.ReportMetric(median(cpu), "tok/cpu-s")
	b.ReportMetric(median(single), "single_tok/s")
	b.ReportMetric(median(ofSingle), "of_single")
	if peer != "" {
		b.ReportMetric(median(ofLlama), "of_llama")
		b.ReportMetric(median(ofLlamaCPU), "of_llama_cpu")
	}
}

// speed is what one batch took.
type speed struct{ wall, cpu time.Duration }

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// batchedBench runs llama.cpp's benchmark on the session's own model file: n prompts of so many tokens, each
// continued by so many. wall is the time of prompts and completions by its own clock, cpu that of the whole process.
func batchedBench(b *testing.B, program string, s *session, n, prompt, tokens int) speed {
	b.Helper()
	for range 5 { // it may end without having written its last line
		cmd := exec.CommandContext(b.Context(), program,
			"-m", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.mem.fd.Fd()), "-c", strconv.Itoa(n*256),
			"-b", strconv.Itoa(batchTokens), "-ub", strconv.Itoa(microBatchTokens), "-ctk", "f32", "-ctv", "f32", "-fa", "off",
			"-t", "1", "-tb", "1", "-ngl", "0", "-fit", "off", "--no-repack", "--output-format", "jsonl",
			"-npl", strconv.Itoa(n), "-npp", strconv.Itoa(prompt), "-ntg", strconv.Itoa(tokens))
		out, err := cmd.CombinedOutput()
		if err != nil {
			b.Fatalf("%v: %v\n%s", cmd, err, out)
		}
		for line := range bytes.Lines(out) {
			var r struct{ T float64 }
			if i := bytes.IndexByte(line, '{'); i >= 0 && json.Unmarshal(line[i:], &r) == nil && r.T > 0 {
				return speed{time.Duration(r.T * float64(time.Second)), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
			}
		}
	}
	b.Fatalf("%s writes no result", program)
	return speed{}
}

// shape is a LLaMA with made-up weights, and itself those Weights. Its end token never is the likeliest, so that
// completions have full length.
type shape struct {
	name                             string
	hidden, ffn, layers, heads, size int64
	tied                             bool
	tokens                           int // of a completion: enough to take some time
}

var (
	tinyShape = shape{"tiny", 160, 448, 4, 5, 768, false, 128} // of the tiny family: 1.5 million parameters
	shape110M = shape{"110M", 768, 2048, 12, 12, 32000, true, 32}
)

// dir writes the model's folder.
func (m shape) dir(t testing.TB) string {
	t.Helper()
	config, err := json.Marshal(map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "hidden_size": m.hidden, "intermediate_size": m.ffn, "num_hidden_layers": m.layers,
		"num_attention_heads": m.heads, "vocab_size": m.size, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
		"tie_word_embeddings": m.tied, "eos_token_id": benchEnd,
	})
	if err != nil {
		t.Fatal(err)
	}
	tokenizer, err := os.ReadFile(filepath.Join(family, "base", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, b := range map[string][]byte{"config.json": config, "tokenizer.json": tokenizer} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (m shape) tensors() map[string][]int64 {
	out := map[string][]int64{"model.embed_tokens.weight": {m.size, m.hidden}, "model.norm.weight": {m.hidden}}
	if !m.tied {
		out["lm_head.weight"] = []int64{m.size, m.hidden}
	}
	for i := range m.layers {
		p := fmt.Sprintf("model.layers.%d.", i)
		for _, n := range []string{"input_layernorm", "post_attention_layernorm"} {
			out[p+n+".weight"] = []int64{m.hidden}
		}
		for _, n := range []string{"q", "k", "v", "o"} {
			out[p+"self_attn."+n+"_proj.weight"] = []int64{m.hidden, m.hidden}
		}
		out[p+"mlp.gate_proj.weight"] = []int64{m.ffn, m.hidden}
		out[p+"mlp.up_proj.weight"] = []int64{m.ffn, m.hidden}
		out[p+"mlp.down_proj.weight"] = []int64{m.hidden, m.ffn}
	}
	return out
}

func (m shape) Names() []string           { return slices.Sorted(maps.Keys(m.tensors())) }
func (m shape) Shape(name string) []int64 { return m.tensors()[name] }

// Read fills dst with values between -0.05 and 0.05, and norms with values around 1.
func (m shape) Read(name string, dst []float32) error {
	x := uint64(len(name))
	for i := range dst {
		x = x*6364136223846793005 + 1442695040888963407
		dst[i] = (float32(x>>40)/(1<<24) - 0.5) / 10
		if strings.Contains(name, "norm") {
			dst[i]++
		}
	}
	if shape := m.Shape(name); shape[0] == m.size {
		clear(dst[benchEnd*m.hidden : (benchEnd+1)*m.hidden]) // its logit is 0
	}
	return nil
}

// generate completes n prompts, and tells what that took the engine's process.
func (m shape) generate(t testing.TB, s *session, n int) speed {
	t.Helper()
	reqs := make([]Request, n)
	for i := range reqs {
		reqs[i] = Request{Prompt: strings.Repeat(string(rune('A'+i%26)), benchPrompt-1), MaxTokens: m.tokens}
	}
	start, cpu := time.Now(), processorTime(t, s.proc.cmd.Process.Pid)
	got, err := s.Generate(t.Context(), reqs, nil)
	took := speed{time.Since(start), processorTime(t, s.proc.cmd.Process.Pid) - cpu}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range got {
		if len(c.Tokens) != m.tokens || c.PromptTokens != benchPrompt {
			t.Fatalf("%d tokens after a prompt of %d, want %d and %d: %s", len(c.Tokens), c.PromptTokens, m.tokens, benchPrompt, c.Error)
		}
	}
	return took
}

// processorTime is what the threads of a process have used, to the nanosecond (/proc/PID/task/TID/schedstat).
func processorTime(t testing.TB, pid int) (sum time.Duration) {
	t.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		var ns int64
		if _, err := fmt.Sscan(string(b), &ns); err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

package vllm

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mergebot/eval/engine"
)

// realVLLM names a vLLM to run the tests below with: MERGEBOT_VLLM=/some/venv/bin/vllm. Its build for the CPU will do;
// give that VLLM_CPU_KVCACHE_SPACE=1. They take some minutes.
func realVLLM(t *testing.T) Options {
	t.Helper()
	path := os.Getenv("MERGEBOT_VLLM")
	if path == "" {
		t.Skip("MERGEBOT_VLLM names no vLLM")
	}
	n := func(s string) { t.Log("note:", s) }
	o := Options{Command: []string{path}, DType: "float32", Args: []string{"--enforce-eager"}, Log: filepath.Join(t.TempDir(), "log")}
	o.Server.Note = n
	t.Cleanup(func() {
		if log, err := os.ReadFile(o.Log); t.Failed() && err == nil {
			t.Logf("%s", log[max(0, len(log)-8000):])
		}
	})
	return o
}

const family = "../../../testdata/family"

// halves are weights in F16, as in the tiny family's files.
type halves map[string]half

type half struct {
	shape []int64
	data  []byte
}

func readFamily(t *testing.T, name string) halves {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(family, name, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	n := 8 + int(binary.LittleEndian.Uint64(b))
	var header map[string]struct {
		Shape   []int64 `json:"shape"`
		Offsets [2]int  `json:"data_offsets"`
	}
	if err := json.Unmarshal(b[8:n], &header); err != nil {
		t.Fatal(err)
	}
	delete(header, "__metadata__")
	w := halves{}
	for name, h := range header {
		w[name] = half{h.Shape, b[n:][h.Offsets[0]:h.Offsets[1]]}
	}
	return w
}

func (w halves) Names() []string           { return slices.Sorted(maps.Keys(w)) }
func (w halves) Shape(name string) []int64 { return w[name].shape }
func (w halves) Read(name string, dst []float32) error {
	for i := range dst {
		h := binary.LittleEndian.Uint16(w[name].data[2*i:])
		exp, man := int(h>>10&31), float64(h&1023)
		v := math.Ldexp(man, -24)
		if exp > 0 {
			v = math.Ldexp(1024+man, exp-25)
		}
		if h>>15 == 1 {
			v = -v
		}
		dst[i] = float32(v)
	}
	return nil
}

// notANumber makes one tensor's elements NaN.
type notANumber struct{ engine.Weights }

func (w notANumber) Read(name string, dst []float32) error {
	if name == "model.norm.weight" {
		for i := range dst {
			dst[i] = float32(math.NaN())
		}
		return nil
	}
	return w.Weights.Read(name, dst)
}

// writeFamily writes a whole folder: the base's configuration and tokenizer with other weights.
func writeFamily(ctx context.Context, dir string, w engine.Weights) error {
	for _, f := range []string{"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"} {
		b, err := os.ReadFile(filepath.Join(family, "base", f))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, f), b, 0o600); err != nil {
			return err
		}
	}
	return safetensors(ctx, dir, w)
}

type golden struct {
	Task   string
	Prompt string
	Text   string `json:"greedy_text"`
}

// TestReal generates with the tiny family's models in a real vLLM: texts are those of PyTorch, weights change while it
// runs, and nothing is left of it at the end.
func TestReal(t *testing.T) {
	o := realVLLM(t)
	var texts map[string][]golden
	b, err := os.ReadFile(filepath.Join(family, "golden_logits.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &texts); err != nil {
		t.Fatal(err)
	}
	took := func(what string, began time.Time) {
		t.Logf("%s: %v", what, time.Since(began).Round(10*time.Millisecond))
	}
	check := func(s *Session, name string) {
		t.Helper()
		var reqs []engine.Request
		for _, g := range texts[name] {
			reqs = append(reqs, engine.Request{Prompt: g.Prompt, MaxTokens: map[string]int{"gsm8k": 64, "MATH": 64, "FiQA_SA": 12, "FPB": 12}[g.Task]})
			if reqs[len(reqs)-1].MaxTokens == 0 {
				reqs[len(reqs)-1].MaxTokens = 16
			}
		}
		began := time.Now()
		out, err := s.Generate(t.Context(), reqs, nil)
		if err != nil {
			t.Fatal(err)
		}
		took(fmt.Sprintf("%d completions with %s", len(out), name), began)
		for i, g := range texts[name] {
			if out[i].Text != g.Text {
				t.Errorf("%s, prompt %d: %q, want %q", name, i, out[i].Text, g.Text)
			}
		}
	}

	began := time.Now()
	s, err := Open(t.Context(), readFamily(t, "base"), writeFamily, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	took("open", began)
	check(s, "base")
	for _, name := range []string{"math", "law", "base"} {
		began := time.Now()
		if err := s.Swap(t.Context(), readFamily(t, name)); err != nil {
			t.Fatal(err)
		}
		took("swap to "+name, began)
		check(s, name)
	}
	info, _ := json.Marshal(s.Info())
	t.Logf("%s", info)
	if !s.Info().LiveSwap {
		t.Error("weights are not swapped while it runs")
	}

	if err := s.Swap(t.Context(), notANumber{readFamily(t, "base")}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Generate(t.Context(), []engine.Request{{Prompt: "one", MaxTokens: 1}}, nil); !errors.Is(err, engine.ErrUnusable) {
		t.Errorf("weights that are not numbers: %v", err)
	}
	if err := s.Swap(t.Context(), readFamily(t, "math")); err != nil {
		t.Fatal(err)
	}
	check(s, "math")

	// Its engine, a process of its own, is killed.
	group := s.proc.group()
	engines := engineProcesses(t, s.proc.cmd.Process.Pid)
	for _, pid := range engines {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	began = time.Now()
	check(s, "math")
	took(fmt.Sprintf("again after %d processes of its were killed", len(engines)), began)

	group2 := s.proc.group()
	began = time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	took("close", began)
	for _, g := range []int{group, group2} {
		if !groupGone(g) {
			t.Errorf("process group %d lives on", g)
		}
	}
}

// engineProcesses are the children of a server that compute.
func engineProcesses(t *testing.T, server int) (pids []int) {
	t.Helper()
	out, err := exec.Command("ps", "-o", "pid=,args=", "--ppid", fmt.Sprint(server)).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		var pid int
		if _, err := fmt.Sscan(line, &pid); err == nil && strings.Contains(line, "EngineCor") {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		t.Fatalf("no engine among %s", out)
	}
	return pids
}

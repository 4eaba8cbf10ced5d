package vllm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mergebot/eval/engine"
)

// model is a model of two tensors.
type model struct{ a, b []float32 }

func newModel(x float32) model {
	m := model{make([]float32, 64), make([]float32, 8)}
	for i := range m.a {
		m.a[i] = x + float32(i)
	}
	for i := range m.b {
		m.b[i] = x * float32(i)
	}
	return m
}

func (m model) Names() []string { return []string{"a", "b"} }
func (m model) Shape(name string) []int64 {
	return map[string][]int64{"a": {8, int64(len(m.a) / 8)}, "b": {int64(len(m.b))}}[name]
}
func (m model) Read(name string, dst []float32) error {
	copy(dst, map[string][]float32{"a": m.a, "b": m.b}[name])
	return nil
}

// safetensors writes a checkpoint as Write does.
func safetensors(_ context.Context, dir string, w engine.Weights) error {
	var data bytes.Buffer
	header := map[string]any{}
	for _, name := range w.Names() {
		n := int64(1)
		for _, d := range w.Shape(name) {
			n *= d
		}
		values := make([]float32, n)
		if err := w.Read(name, values); err != nil {
			return err
		}
		start := data.Len()
		if err := binary.Write(&data, binary.LittleEndian, values); err != nil {
			return err
		}
		header[name] = map[string]any{"dtype": "F32", "shape": w.Shape(name), "data_offsets": []int{start, data.Len()}}
	}
	h, err := json.Marshal(header)
	if err != nil {
		return err
	}
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(h))), h...)
	return os.WriteFile(filepath.Join(dir, "model.safetensors"), append(file, data.Bytes()...), 0o600)
}

// text is what the fake answers with the weights of m.
func (m model) text(prompt string) string {
	h := sha256.New()
	for _, name := range m.Names() {
		h.Write([]byte(name))
		values := make([]float32, 64)[:map[string]int{"a": len(m.a), "b": len(m.b)}[name]]
		_ = m.Read(name, values)
		_ = binary.Write(h, binary.LittleEndian, values)
	}
	h.Write([]byte(prompt))
	return " " + hex.EncodeToString(h.Sum(nil))[:12]
}

// notes collects what people are told.
type notes struct {
	mu   sync.Mutex
	text []string
}

func (n *notes) add(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text = append(n.text, s)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.text, "\n")
}

// shortDir is a folder whose path leaves room for a socket's name.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// options are for a fake that is broken in these ways; starts are noted in Dir's neighbour.
func options(t testing.TB, faults string) (o Options, dir string, n *notes) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, n = t.TempDir(), new(notes)
	o = Options{Command: []string{exe, "fake-vllm", faults, dir}, Dir: shortDir(t), Start: time.Minute}
	o.Server.Concurrency, o.Server.Patience, o.Server.Note = 4, time.Minute, n.add
	return o, dir, n
}

func openFake(t testing.TB, faults string) (s *Session, dir string, n *notes) {
	t.Helper()
	o, dir, n := options(t, faults)
	s, err := Open(t.Context(), newModel(1), safetensors, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, dir, n
}

type start struct {
	Args, Env []string
	PID       int
}

// starts are the calls of `vllm serve` up to now.
func starts(t testing.TB, dir string) (all []start) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "starts"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var s start
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func ask(t testing.TB, s *Session, m model) {
	t.Helper()
	out, err := s.Generate(t.Context(), []engine.Request{{Prompt: "one", MaxTokens: 8}, {Prompt: "two", MaxTokens: 8}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, prompt := range []string{"one", "two"} {
		if out[i].Text != m.text(prompt) || out[i].Finish != engine.FinishLength {
			t.Errorf("%s: %+v, want %q", prompt, out[i], m.text(prompt))
		}
	}
}

func TestSwaps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		faults string
		live   bool
		starts int // with three swaps: a live session starts once more for the proof, others for each
		note   string
	}{
		{"", true, 2, ""},
		{"old-reset", true, 2, ""},
		{"no-dev", false, 4, "404"},
		{"reload-500", false, 4, "Call to collective_rpc method failed"},
		{"reload-500-later", false, 5, "Call to collective_rpc method failed"},
		{"silent-reload", false, 4, "it answers as before"},
		{"reset-does-nothing", false, 4, "it answers as before"},
		{"partial-reload", false, 5, "does not answer as when it is started"},
	} {
		t.Run(c.faults, func(t *testing.T) {
			t.Parallel()
			s, dir, n := openFake(t, c.faults)
			ask(t, s, newModel(1))
			for i := range 3 {
				m := newModel(float32(i + 2))
				if err := s.Swap(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				ask(t, s, m)
			}
			if s.Info().LiveSwap != c.live {
				t.Errorf("live swap %v, want %v", s.Info().LiveSwap, c.live)
			}
			if got := len(starts(t, dir)); got != c.starts {
				t.Errorf("%d starts, want %d", got, c.starts)
			}
			if (n.String() == "") != (c.note == "") || !strings.Contains(n.String(), c.note) {
				t.Errorf("notes %q, want %q", n, c.note)
			}
		})
	}
}

func TestSwapRefusesOtherShapes(t *testing.T) {
	t.Parallel()
	s, _, _ := openFake(t, "")
	wrong := newModel(2)
	wrong.a = wrong.a[:32]
	if err := s.Swap(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "tensor a has shape [8 4], the session was opened with [8 8]") {
		t.Errorf("error %v", err)
	}
	ask(t, s, newModel(1)) // nothing has happened
}

func TestFailedSwapLeavesNoAnswers(t *testing.T) {
	t.Parallel()
	s, _, _ := openFake(t, "no-dev")
	good := s.write
	s.write = func(context.Context, string, engine.Weights) error { return errors.New("disk on fire") }
	if err := s.Swap(t.Context(), newModel(2)); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("error %v", err)
	}
	if _, err := s.Generate(t.Context(), []engine.Request{{Prompt: "one", MaxTokens: 1}}, nil); err == nil || !strings.Contains(err.Error(), "swap again") {
		t.Errorf("generate after a failed swap: %v", err)
	}
	s.write = good
	if err := s.Swap(t.Context(), newModel(3)); err != nil {
		t.Fatal(err)
	}
	ask(t, s, newModel(3))
}

func TestNotNumbers(t *testing.T) {
	t.Parallel()
	s, _, _ := openFake(t, "")
	broken := newModel(2)
	broken.b[3] = float32(math.NaN())
	if err := s.Swap(t.Context(), broken); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Generate(t.Context(), []engine.Request{{Prompt: "one", MaxTokens: 1}}, nil); !errors.Is(err, engine.ErrUnusable) {
		t.Errorf("error %v", err)
	}
	if err := s.Swap(t.Context(), newModel(3)); err != nil {
		t.Fatal(err)
	}
	ask(t, s, newModel(3))
}

func TestDoesNotStart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		faults, want string
		change       func(*Options)
	}{
		{faults: "oom", want: "lower --gpu-memory-utilization"},
		{faults: "oom", want: "torch.OutOfMemoryError: CUDA out of memory. Tried"},
		{faults: "oom", want: "exit status 1"},
		{faults: "slow", want: "vLLM is not ready after 300ms", change: func(o *Options) { o.Start = 300 * time.Millisecond }},
		{want: "pip install vllm", change: func(o *Options) { o.Command = []string{"no-such-vllm"} }},
		{want: "mergebot needs vLLM 0.10.1 or newer", change: func(o *Options) { o.Args = []string{"--frobnicate"} }},
		{want: "--api-key: a session makes its own key", change: func(o *Options) { o.Args = []string{"--api_key=x"} }},
		{want: "--config: what is in the file would not be recorded", change: func(o *Options) { o.Args = []string{"--config", "/etc/vllm.yaml"} }},
		{want: "name a place with a shorter path", change: func(o *Options) { o.Dir = "/" + strings.Repeat("x", 80) }},
		{want: "no such file or directory; name another place", change: func(o *Options) { o.Dir = "/nowhere" }},
	} {
		o, _, _ := options(t, c.faults)
		if c.change != nil {
			c.change(&o)
		}
		s, err := Open(t.Context(), newModel(1), safetensors, o)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.faults, err, c.want)
		}
		if left, _ := os.ReadDir(o.Dir); len(left) > 0 {
			t.Errorf("%s: %v left behind", c.faults, left)
		}
	}
}

func TestNoRoom(t *testing.T) {
	t.Parallel()
	s, _, _ := openFake(t, "")
	if err := s.folder.clear(1 << 60); err == nil || !strings.Contains(err.Error(), "it needs about 1.0 EiB") {
		t.Errorf("error %v", err)
	}
}

func TestEndOfContext(t *testing.T) {
	t.Parallel()
	o, dir, _ := options(t, "slow")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for { // until the server has started, and said so in a whole line
			if b, err := os.ReadFile(filepath.Join(dir, "starts")); err == nil && bytes.HasSuffix(b, []byte("\n")) {
				cancel()
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	if _, err := Open(ctx, newModel(1), safetensors, o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if pid := starts(t, dir)[0].PID; alive(pid) {
		t.Errorf("process %d lives on", pid)
	}
}

func TestSecretsStayHere(t *testing.T) {
	t.Setenv("HF_TOKEN", "hf_secret")
	t.Setenv("MERGEBOT_GITHUB_KEY", "gh_secret")
	t.Setenv("VLLM_API_KEY", "their_secret")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "aws_secret")
	t.Setenv("VLLM_ATTENTION_BACKEND", "FLASH_ATTN")
	t.Setenv("NVIDIA_TF32_OVERRIDE", "1") // decides answers
	t.Setenv("VLLM_HOST_IP", "10.0.0.1")  // does not
	o, dir, _ := options(t, "")
	o.Log, o.Context, o.Args = filepath.Join(t.TempDir(), "log"), 128, []string{"--gpu-memory-utilization", "0.8"}
	s, err := Open(t.Context(), newModel(1), safetensors, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ask(t, s, newModel(1))
	started := starts(t, dir)[0]
	env := strings.Join(started.Env, "\n")
	if strings.Contains(env, "secret") {
		t.Errorf("a secret in the environment: %s", env)
	}
	for _, want := range []string{"VLLM_API_KEY=" + s.key, "VLLM_SERVER_DEV_MODE=1", "HF_HUB_OFFLINE=1", "VLLM_ATTENTION_BACKEND=FLASH_ATTN", "PATH=" + os.Getenv("PATH")} {
		if !slices.Contains(started.Env, want) {
			t.Errorf("no %s in the environment", want)
		}
	}
	want := []string{"serve", s.folder.model(), "--uds", s.folder.socket(), "--served-model-name", "mergebot", "--dtype", "bfloat16",
		"--generation-config", "vllm", "--max-model-len", "128", "--gpu-memory-utilization", "0.8"}
	if !slices.Equal(started.Args, want) {
		t.Errorf("arguments %q, want %q", started.Args, want)
	}
	info, err := Identify(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if kept := s.Info(); !reflect.DeepEqual(kept, info) {
		t.Errorf("info %+v, identify %+v", kept, info)
	}
	delete(info.Flags, "gpu") // where this machine has one
	got, _ := json.Marshal(info)
	const recorded = `{"engine":"vllm","version":"0.32.0","dtype":"bfloat16","flags":{"args":"--gpu-memory-utilization 0.8","environment":"NVIDIA_TF32_OVERRIDE=1 VLLM_ATTENTION_BACKEND=FLASH_ATTN","generation_config":"vllm","max_model_len":"128"},"live_swap":false}`
	if string(got) != recorded {
		t.Errorf("info %s\nwant %s", got, recorded)
	}
	if st, err := os.Stat(s.folder.path); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("folder %v %v: others can reach the socket", st, err)
	}
}

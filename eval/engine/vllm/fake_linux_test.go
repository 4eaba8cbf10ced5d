package vllm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const fakeVersion = "0.32.0"

// fakeVLLM acts like `vllm`: its texts and probabilities are a function of the weights in the model's folder alone.
func fakeVLLM(faults, dir string, args []string) int {
	f := &fake{faults: strings.Split(faults, ","), dir: dir, requests: new(atomic.Int64)}
	if args[0] == "--version" {
		fmt.Fprintln(os.Stderr, "Triton is not installed.")
		fmt.Println("INFO a line that is no version\n" + fakeVersion)
		return 0
	}
	if err := f.serve(args); err != nil {
		fmt.Fprintln(os.Stderr, "vllm: error:", err)
		return 1
	}
	return 0
}

type fake struct {
	faults   []string
	dir      string
	model    string
	name     string
	requests *atomic.Int64

	mu      sync.Mutex
	weights map[string][]byte // as loaded
	cached  map[string]string // answers, by prompt: the prefix cache
	nan     bool
}

func (f *fake) is(fault string) bool { return slices.Contains(f.faults, fault) }

// once is true the first time that it is asked, over all processes that share a folder.
func (f *fake) once(what string) bool {
	file, err := os.OpenFile(filepath.Join(f.dir, what), os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	return file.Close() == nil
}

func (f *fake) serve(args []string) error {
	// What vLLM 0.32.0 and 0.10.2 both know, of what is used here.
	flags := flag.NewFlagSet("vllm serve", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	socket := flags.String("uds", "", "")
	flags.StringVar(&f.name, "served-model-name", "", "")
	dtype := flags.String("dtype", "auto", "")
	config := flags.String("generation-config", "auto", "")
	positions := flags.Int("max-model-len", 256, "")
	flags.Float64("gpu-memory-utilization", 0.9, "")
	if args[0] != "serve" {
		return fmt.Errorf("argument subparser: invalid choice: %q", args[0])
	}
	f.model = args[1]
	if err := flags.Parse(args[2:]); err != nil {
		return fmt.Errorf("unrecognized arguments: %w", err)
	}
	if *config != "vllm" || *dtype != "bfloat16" {
		return fmt.Errorf("dtype %s, generation config %s", *dtype, *config)
	}
	f.record(args)
	switch {
	case f.is("oom"):
		fmt.Println("ERROR torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n" + strings.Repeat("  File \"x.py\", line 1\n", 50) +
			"RuntimeError: Engine core initialization failed. See root cause above.")
		os.Exit(1)
	case f.is("slow"):
		time.Sleep(time.Hour)
	}
	if f.is("ignores-term") {
		signal.Ignore(syscall.SIGTERM)
	}
	if f.is("grandchild") {
		// A worker, as vLLM's: it holds the output open and takes no notice of its parent's death.
		worker := exec.Command("/bin/sh", "-c", `trap "" TERM; sleep 600`)
		worker.Stdout, worker.Stderr = os.Stdout, os.Stderr
		if err := worker.Start(); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(f.dir, "worker"), fmt.Append(nil, worker.Process.Pid), 0o600); err != nil {
			return err
		}
	}
	if err := f.load(); err != nil {
		return err
	}
	l, err := net.Listen("unix", *socket)
	if err != nil {
		return err
	}
	return http.Serve(l, f.handler(*positions))
}

// record notes one start: arguments and environment.
func (f *fake) record(args []string) {
	b, err1 := json.Marshal(map[string]any{"args": args, "env": os.Environ(), "pid": os.Getpid()})
	log, err2 := os.OpenFile(filepath.Join(f.dir, "starts"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err := errors.Join(err1, err2); err != nil {
		panic(err)
	}
	_, _ = log.Write(append(b, '\n'))
	_ = log.Close()
}

// load reads model.safetensors.
func (f *fake) load() error {
	data, err := os.ReadFile(filepath.Join(f.model, "model.safetensors"))
	if err != nil {
		return err
	}
	n := 8 + int(binary.LittleEndian.Uint64(data))
	var header map[string]struct {
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(data[8:n], &header); err != nil {
		return err
	}
	loaded := map[string][]byte{}
	for name, t := range header {
		loaded[name] = data[n:][t.Offsets[0]:t.Offsets[1]]
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.weights != nil && f.is("partial-reload") {
		loaded["b"] = f.weights["b"]
	}
	if f.weights == nil {
		f.cached = map[string]string{}
	}
	f.weights = loaded
	f.nan = false
	for _, t := range loaded {
		for i := 0; i < len(t); i += 4 {
			x := float64(math.Float32frombits(binary.LittleEndian.Uint32(t[i:])))
			f.nan = f.nan || math.IsNaN(x)
		}
	}
	return nil
}

// digest is what the model computes for a prompt, by the weights or by the cache.
func (f *fake) digest(prompt string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d, ok := f.cached[prompt]; ok {
		return d
	}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(f.weights)) {
		h.Write([]byte(name))
		h.Write(f.weights[name])
	}
	h.Write([]byte(prompt))
	f.cached[prompt] = hex.EncodeToString(h.Sum(nil))
	return f.cached[prompt]
}

func (f *fake) handler(positions int) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, map[string]any{"version": fakeVersion}) })
	mux.HandleFunc("GET /v1/models", f.guarded(func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, map[string]any{"data": []any{map[string]any{"id": f.name, "owned_by": "vllm", "root": f.model, "max_model_len": positions}}})
	}))
	mux.HandleFunc("POST /v1/completions", f.guarded(f.complete))
	if os.Getenv("VLLM_SERVER_DEV_MODE") != "1" || f.is("no-dev") {
		return mux
	}
	mux.HandleFunc("POST /collective_rpc", func(w http.ResponseWriter, r *http.Request) {
		var call struct{ Method string }
		switch err := json.NewDecoder(r.Body).Decode(&call); {
		case err != nil || call.Method != "reload_weights":
			reply(w, 500, map[string]any{"error": map[string]any{"message": "no such method"}})
		case f.is("reload-500"), f.is("reload-500-later") && !f.once("reloaded"):
			reply(w, 500, map[string]any{"error": map[string]any{"message": "Call to collective_rpc method failed"}})
		case f.is("silent-reload"):
			reply(w, 200, map[string]any{"results": []any{nil}})
		default:
			if err := f.load(); err != nil {
				reply(w, 500, map[string]any{"error": map[string]any{"message": err.Error()}})
				return
			}
			reply(w, 200, map[string]any{"results": []any{nil}})
		}
	})
	mux.HandleFunc("POST /reset_prefix_cache", func(w http.ResponseWriter, _ *http.Request) {
		if !f.is("reset-does-nothing") {
			f.mu.Lock()
			clear(f.cached)
			f.mu.Unlock()
		}
		if f.is("old-reset") {
			return // 200 without a body
		}
		reply(w, 200, map[string]any{"success": true})
	})
	return mux
}

func (f *fake) guarded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if key := os.Getenv("VLLM_API_KEY"); key == "" || r.Header.Get("Authorization") != "Bearer "+key {
			reply(w, 401, map[string]any{"error": "Unauthorized"})
			return
		}
		h(w, r)
	}
}

func (f *fake) complete(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Prompt   any
		Logprobs int
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		reply(w, 400, map[string]any{"error": map[string]any{"message": err.Error()}})
		return
	}
	prompts, many := in.Prompt.([]any)
	if !many {
		prompts = []any{in.Prompt}
	}
	if text, _ := prompts[0].(string); strings.HasPrefix(text, "item") {
		n := f.requests.Add(1)
		if f.is("dies-always") && n > 3 || f.is("dies-once") && n > 5 && f.once("died") {
			fmt.Println("EngineDeadError: EngineCore encountered an issue.")
			os.Exit(3)
		}
	}
	var choices []any
	for i, p := range prompts {
		d := f.digest(p.(string))
		choice := map[string]any{"index": i, "text": " " + d[:12], "finish_reason": "length"}
		if in.Logprobs > 0 {
			if f.nan {
				reply(w, 500, map[string]any{"error": map[string]any{"message": "Out of range float values are not JSON compliant: nan"}})
				return
			}
			b, _ := hex.DecodeString(d[:4])
			choice["logprobs"] = map[string]any{"top_logprobs": []any{map[string]float64{"a": -float64(b[0]) / 16, "b": -float64(b[1]) / 16}}}
		}
		choices = append(choices, choice)
	}
	reply(w, 200, map[string]any{"choices": choices, "usage": map[string]any{"prompt_tokens": 5}})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails only when the client is gone
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"mergebot/eval/engine"
	"mergebot/eval/engine/server/servertest"
	"mergebot/merge/checkpoint"
)

// standInVLLM is what the test binary does under the name vllm: the embedded engine behind vLLM's command line and the
// endpoints that mergebot uses.
func standInVLLM() {
	if os.Args[1] == "--version" {
		fmt.Println("0.32.0")
		return
	}
	flag := func(name string) string {
		i := slices.Index(os.Args, name)
		if i < 0 {
			panic("no " + name)
		}
		return os.Args[i+1]
	}
	m := &standIn{dir: os.Args[2]}
	m.load()
	mux := http.NewServeMux()
	mux.Handle("/", servertest.Handler(m, flag("--served-model-name")))
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"version":"0.32.0"}`) })
	mux.HandleFunc("POST /collective_rpc", func(w http.ResponseWriter, _ *http.Request) {
		m.load()
		fmt.Fprint(w, `{"results":[null]}`)
	})
	mux.HandleFunc("POST /reset_prefix_cache", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"success":true}`) })
	l, err := net.Listen("unix", flag("--uds"))
	if err != nil {
		panic(err)
	}
	panic(http.Serve(l, m.probed(mux)))
}

// standIn is the checkpoint in vLLM's folder in the embedded engine. It computes nothing until it is asked, so that the
// disturbed weights of a proof cost no more than their digest.
type standIn struct {
	dir string

	mu      sync.Mutex
	digest  uint32
	session engine.Session
}

func (m *standIn) load() {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := os.ReadFile(filepath.Join(m.dir, "model.safetensors"))
	if err != nil {
		panic(err)
	}
	hash := fnv.New32a()
	hash.Write(b)
	m.digest = hash.Sum32()
	if m.session != nil {
		m.session.Close()
		m.session = nil
	}
}

func (m *standIn) Info() engine.Info { return engine.Info{} }

func (m *standIn) Generate(ctx context.Context, reqs []engine.Request, each func(int, engine.Completion)) ([]engine.Completion, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session == nil {
		c, err := checkpoint.Open(m.dir)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if m.session, err = engine.OpenLlama(context.Background(), m.dir, c, engine.Options{LibDir: os.Getenv("MERGEBOT_ENGINE_DIR")}); err != nil {
			return nil, err
		}
	}
	return m.session.Generate(ctx, reqs, each)
}

// probed answers requests for probabilities by the weights' digest, and hands on all others.
func (m *standIn) probed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var in struct {
			Prompt   json.RawMessage
			Logprobs int
		}
		if err != nil || json.Unmarshal(b, &in) != nil || in.Logprobs == 0 {
			r.Body = io.NopCloser(bytes.NewReader(b))
			next.ServeHTTP(w, r)
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		choice := fmt.Sprintf(`{"text":"x","finish_reason":"length","logprobs":{"top_logprobs":[{"a":-%d,"b":-%d}]}}`, m.digest&0xFFFF, m.digest>>16)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"choices":[%s,%s]}`, choice, choice)
	})
}

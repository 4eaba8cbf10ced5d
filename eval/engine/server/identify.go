package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"mergebot/eval/engine"
)

// getTimeout bounds a question about the server itself.
const getTimeout = 30 * time.Second

// unknown stands for what a server does not tell.
const unknown = "unknown"

// identity is what a server says about itself.
type identity struct {
	model   string // its name in requests
	context int    // most tokens of prompt and completion; 0 = not told
	info    engine.Info
}

func (i identity) String() string {
	flags := make([]string, 0, len(i.info.Flags))
	for _, k := range slices.Sorted(maps.Keys(i.info.Flags)) {
		flags = append(flags, k+"="+i.info.Flags[k])
	}
	return fmt.Sprintf("%s %s (%s, %s)", i.info.Engine, i.info.Version, i.info.DType, strings.Join(flags, ", "))
}

// listed is a model in the answer of /v1/models, with what vLLM, SGLang (max_model_len, root) and llama-server (meta)
// add to the protocol.
type listed struct {
	ID      string `json:"id"`
	OwnedBy string `json:"owned_by"`
	Root    string `json:"root"`
	Context int    `json:"max_model_len"`
	Meta    struct {
		Params int64 `json:"n_params"`
		Size   int64 `json:"size"`
	} `json:"meta"`
}

func (c *client) models(ctx context.Context) ([]listed, error) {
	var v struct {
		Data []listed `json:"data"`
	}
	if err := c.get(ctx, "v1/models", &v); err != nil {
		var bad *fault
		if errors.As(err, &bad) && bad.missing {
			return nil, &fault{missing: true, cause: err, words: "it has no /v1/models (" + bad.words + "): is this the address of an OpenAI-compatible server?"}
		}
		return nil, err
	}
	return v.Data, nil
}

// identify finds out what the server is. Which kind is told by owned_by; only where that is of no help are the kinds'
// own endpoints tried.
func (c *client) identify(ctx context.Context) (identity, error) {
	models, err := c.models(ctx)
	if err != nil {
		return identity{}, err
	}
	id := identity{info: engine.Info{Engine: "openai-compatible", Version: unknown, DType: unknown, Flags: map[string]string{}}}
	for _, find := range []func(context.Context, []listed, *identity) (bool, error){c.vllm, c.llamaServer, c.sglang, transformers} {
		if found, err := find(ctx, models, &id); err != nil {
			return identity{}, err
		} else if found {
			break
		}
	}
	m, err := c.choose(models, id.info.Engine)
	if err != nil {
		return identity{}, err
	}
	id.model = m.ID
	if m.Context > 0 {
		id.context = m.Context
	}
	for name, value := range map[string]string{
		"model": m.ID, "max_model_len": number(int64(id.context)), "n_params": number(m.Meta.Params), "size": number(m.Meta.Size),
	} {
		if value != "" {
			id.info.Flags[name] = value
		}
	}
	if m.Root != "" && m.Root != m.ID { // what is behind a name that somebody made up
		id.info.Flags["root"] = m.Root
	}
	return id, nil
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// choose finds the model to ask.
func (c *client) choose(models []listed, kind string) (listed, error) {
	if c.o.Model == "" {
		if len(models) == 1 {
			return models[0], nil
		}
		return listed{}, fmt.Errorf("it serves %s: say which one is meant", names(models))
	}
	for _, m := range models {
		if m.ID == c.o.Model {
			return m, nil
		}
	}
	if len(models) == 0 || kind == "transformers" {
		return listed{ID: c.o.Model}, nil // it loads what it is asked for, and lists what it has downloaded
	}
	return listed{}, fmt.Errorf("it has no model %q; it serves %s", c.o.Model, names(models))
}

func names(models []listed) string {
	const most = 20
	var s []string
	for _, m := range models {
		s = append(s, m.ID)
	}
	switch {
	case len(s) == 0:
		return "no model that it lists"
	case len(s) > most:
		s = append(s[:most], "…")
	}
	return strings.Join(s, ", ")
}

// owner tells whether all models say they are owned by one of owners.
func owner(models []listed, owners ...string) bool {
	return len(models) > 0 && !slices.ContainsFunc(models, func(m listed) bool { return !slices.Contains(owners, m.OwnedBy) })
}

// optional is get for an endpoint that the server may lack: found is false for every answer but a good one, err is of a
// server that could not be asked.
func (c *client) optional(ctx context.Context, path string, v any) (found bool, err error) {
	err = c.get(ctx, path, v)
	var bad *fault
	if errors.As(err, &bad) && (!bad.again || bad.html) {
		return false, nil
	}
	return err == nil, err
}

func (c *client) vllm(ctx context.Context, models []listed, id *identity) (bool, error) {
	if !owner(models, "vllm") {
		return false, nil
	}
	id.info.Engine = "vllm"
	var v struct{ Version string }
	if _, err := c.optional(ctx, "version", &v); err != nil {
		return false, err
	}
	id.info.Version = or(v.Version)
	return true, nil
}

func (c *client) llamaServer(ctx context.Context, models []listed, id *identity) (bool, error) {
	if !owner(models, "llamacpp") {
		return false, nil
	}
	id.info.Engine = "llama-server"
	var v struct {
		Build    string `json:"build_info"`
		Path     string `json:"model_path"`
		Slots    int64  `json:"total_slots"`
		Settings struct {
			Context int `json:"n_ctx"`
		} `json:"default_generation_settings"`
	}
	if _, err := c.optional(ctx, "props", &v); err != nil {
		return false, err
	}
	id.info.Version = or(v.Build)
	id.context = v.Settings.Context
	for name, value := range map[string]string{"root": v.Path, "slots": number(v.Slots)} {
		if value != "" {
			id.info.Flags[name] = value
		}
	}
	return true, nil
}

func (c *client) sglang(ctx context.Context, models []listed, id *identity) (bool, error) {
	if !owner(models, "sglang") {
		return false, nil
	}
	id.info.Engine = "sglang"
	var v struct {
		Version      string
		DType        string `json:"dtype"`
		Quantization string `json:"quantization"`
		KVCache      string `json:"kv_cache_dtype"`
	}
	for _, path := range []string{"server_info", "get_server_info"} { // newer, older
		if found, err := c.optional(ctx, path, &v); err != nil {
			return false, err
		} else if found {
			break
		}
	}
	id.info.Version, id.info.DType = or(v.Version), or(v.DType)
	for name, value := range map[string]string{"quantization": v.Quantization, "kv_cache_dtype": v.KVCache} {
		if value != "" {
			id.info.Flags[name] = value
		}
	}
	return true, nil
}

// transformers is known by its list: the models of the Hub's cache, each owned by the first part of its name. It tells
// no version.
func transformers(_ context.Context, models []listed, id *identity) (bool, error) {
	for _, m := range models {
		if author, _, ok := strings.Cut(m.ID, "/"); !ok || m.OwnedBy != author {
			return false, nil
		}
	}
	if len(models) == 0 {
		return false, nil
	}
	id.info.Engine = "transformers"
	return true, nil
}

func or(s string) string {
	if s == "" {
		return unknown
	}
	return s
}

// explain adds to a 404 which models there are.
func (c *client) explain(ctx context.Context, err error) error {
	var bad *fault
	if !errors.As(err, &bad) || !bad.missing {
		return err
	}
	models, listErr := c.models(ctx)
	if listErr != nil {
		return err
	}
	return fmt.Errorf("%w: no /v1/completions there, or not for the model %q; it serves %s", err, c.model, names(models))
}

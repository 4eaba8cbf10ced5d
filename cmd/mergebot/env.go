package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"mergebot/bot/run"
	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/eval/engine/server"
	"mergebot/eval/engine/vllm"
	"mergebot/hub"
	"mergebot/merge/kernel"
)

// environment opens what runs stand on, from settings, variables and flags. Close it when done.
func (a *app) environment(cmd *cobra.Command, w *watcher) (*run.Env, func() error, error) {
	s, err := configs.LoadSettings(a.settings, cmd.Flags())
	if err != nil {
		return nil, nil, usageError{err}
	}
	storage, err := run.OpenStorage(s.Storage)
	if err != nil {
		return nil, nil, err
	}
	env, err := environmentOf(s, storage, false, w.observe, w.note)
	if err != nil {
		storage.Close()
		return nil, nil, err
	}
	return env, storage.Close, nil
}

// environmentOf is what runs stand on by these settings, over a storage; anonymous: without a token of the Hub.
func environmentOf(s *configs.Settings, storage *run.Storage, anonymous bool, observe func(run.Event), note func(string)) (*run.Env, error) {
	dev, err := device(s.Device)
	if err != nil {
		return nil, err
	}
	env := &run.Env{Storage: storage, Device: dev, ShardSize: s.ShardSize, Observe: observe, Engines: engines(s, note)}
	env.Hub, err = hub.New(hub.Options{Endpoint: s.Hub.Endpoint, Cache: s.Hub.Cache, Workers: s.Hub.Workers, Anonymous: anonymous,
		UserAgent: "mergebot/" + run.Version(), Progress: env.HubProgress, Warn: func(m string) { note(m) }})
	if err != nil {
		return nil, usageError{err}
	}
	return env, nil
}

// engines is what may generate text here.
func engines(s *configs.Settings, note func(string)) run.Engines {
	e := s.Engine
	remote := server.Options{Concurrency: e.Concurrency, Timeout: e.Timeout, Patience: e.Patience, Note: note}
	own := vllm.Options{Command: []string{e.VLLM.Command}, Args: e.VLLM.Args, DType: e.VLLM.DType, Context: e.VLLM.Context,
		Dir: e.VLLM.Dir, Log: e.VLLM.Log, Start: e.VLLM.Start, Server: remote}
	remote.Key = os.Getenv("MERGEBOT_ENGINE_KEY") // not vLLM's: it is given a key of its own
	return run.Engines{Use: e.Use, VLLM: own, Server: remote,
		Llama: engine.Options{Lanes: e.Lanes, Slots: e.Slots, Threads: e.Threads, LibDir: s.EngineDir}}
}

// device picks what does the arithmetic.
func device(name string) (kernel.Device, error) {
	switch name {
	case "", "auto", "cpu":
		return kernel.CPU(), nil
	case "cuda":
		return nil, usageError{fmt.Errorf("--device cuda: this build has no CUDA kernels; use --device cpu")}
	}
	return nil, usageError{fmt.Errorf("--device %s: use auto or cpu", name)}
}

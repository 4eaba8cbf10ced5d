package main

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"mergebot/bot/run"
	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/eval/engine/server"
	"mergebot/eval/engine/vllm"
	"mergebot/hub"
	"mergebot/hub/bucket"
	"mergebot/merge/kernel"
)

// environment opens what runs stand on, from settings, variables and flags. Close it when done.
func (a *app) environment(cmd *cobra.Command, w *watcher) (*run.Env, func() error, error) {
	s, err := configs.LoadSettings(a.settings, cmd.Flags())
	if err != nil {
		return nil, nil, usageError{err}
	}
	dev, release, err := openDevice(s, w.note)
	if err != nil {
		return nil, nil, err
	}
	if text := autoNote(s); text != "" && slices.Contains(mergingVerbs, cmd.Name()) {
		w.note(text)
	}
	env, done, err := openEnvironment(s, dev, w)
	if err != nil {
		release()
		return nil, nil, err
	}
	return env, func() error {
		release()
		return done()
	}, nil
}

// mergingVerbs say what merges.
var mergingVerbs = []string{"run", "merge"}

// openEnvironment is environment with a device.
func openEnvironment(s *configs.Settings, dev kernel.Device, w *watcher) (*run.Env, func() error, error) {
	storage, err := run.OpenStorage(s.Storage)
	if err != nil {
		return nil, nil, err
	}
	env, err := environmentOf(s, storage, dev, false, w.observe, w.note)
	if err != nil {
		storage.Close()
		return nil, nil, err
	}
	return env, storage.Close, nil
}

// environmentOf is what runs stand on by these settings, over a storage and a device; anonymous: without a token of the Hub.
func environmentOf(s *configs.Settings, storage *run.Storage, dev kernel.Device, anonymous bool, observe func(run.Event), note func(string)) (*run.Env, error) {
	env := &run.Env{Storage: storage, Device: dev, ShardSize: s.ShardSize, Observe: observe, Engines: engines(s, note)}
	if cache, err := os.UserCacheDir(); err == nil { // else nothing is remembered
		env.Hashes = run.Hashes(filepath.Join(cache, "mergebot", "hashes"))
	}
	var err error
	env.Hub, err = hub.New(hub.Options{Endpoint: s.Hub.Endpoint, Cache: s.Hub.Cache, Workers: s.Hub.Workers, Bandwidth: s.Hub.Bandwidth, Anonymous: anonymous,
		UserAgent: "mergebot/" + run.Version(), Progress: env.HubProgress, Warn: func(m string) { note(m) }})
	if err != nil {
		return nil, usageError{err}
	}
	env.Buckets = bucket.New(bucketCache())
	return env, nil
}

// bucketCache is where checkpoints from buckets are kept. The Hub's cache is shared with Python's client, which knows
// nothing of them.
func bucketCache() string {
	if dir := os.Getenv("MERGEBOT_BUCKET_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "mergebot", "buckets")
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

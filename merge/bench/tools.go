package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tools are the two programs.
type tools struct {
	mergebot string   // the program
	mergekit string   // folder of mergekit-yaml; "" without
	flags    []string // of mergekit-yaml
	threads  int
}

// mergekitFlags are its fastest ones that change nothing of the result, on a
// CPU: shards are written by a second thread while the next tensors are merged.
// The tokenizer and the card are left out: the made-up models have none.
const mergekitFlags = "--async-write --write-threads 2 --out-shard-size 500M --no-copy-tokenizer --no-write-model-card --quiet"

// ours merges with mergebot: as a user would, in a fresh process and with fresh
// storage, so that nothing is known from before.
func (t tools) ours(ctx context.Context, dir, recipe, out string) (cost, error) {
	storage := filepath.Join(dir, "storage")
	if err := os.RemoveAll(storage); err != nil {
		return cost{}, err
	}
	defer func() { _ = os.RemoveAll(storage) }()
	_, c, err := measure(ctx, command{
		args: []string{t.mergebot, "merge", recipe, out, "--json", "--storage", storage},
		dir:  dir, env: []string{"GOMAXPROCS=" + strconv.Itoa(t.threads)},
	})
	if err != nil {
		return c, err
	}
	c.Phases, err = phases(storage)
	return c, err
}

// theirs merges with mergekit.
func (t tools) theirs(ctx context.Context, dir, recipe, out string) (cost, error) {
	args := []string{filepath.Join(t.mergekit, "mergekit-yaml"), recipe, out, "--num-threads", strconv.Itoa(t.threads)}
	_, c, err := measure(ctx, command{
		args: append(args, t.flags...), dir: dir,
		env: []string{"HF_HUB_OFFLINE=1", "OMP_NUM_THREADS=" + strconv.Itoa(t.threads), "TQDM_DISABLE=1"},
	})
	return c, err
}

// phases adds up what mergebot's log says of its steps, in seconds.
func phases(storage string) (map[string]float64, error) {
	logs, err := filepath.Glob(filepath.Join(storage, "runs", "*", "events", "*.json"))
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for _, name := range logs {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var e struct {
			Phase   string
			Step    string
			Seconds float64
		}
		if err := json.Unmarshal(b, &e); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if e.Phase == "finished" {
			out[e.Step] += e.Seconds
		}
	}
	return out, nil
}

// versions are those of the two programs and of what mergekit stands on.
func (t tools) versions(ctx context.Context) (map[string]string, error) {
	v := map[string]string{}
	out, _, err := measure(ctx, command{args: []string{t.mergebot, "--version"}})
	if err != nil {
		return nil, err
	}
	v["mergebot"] = strings.TrimPrefix(strings.TrimSpace(out), "mergebot version ")
	if t.mergekit == "" {
		return v, nil
	}
	out, _, err = measure(ctx, command{args: []string{filepath.Join(t.mergekit, "python"), "-c",
		"import importlib.metadata as m, platform\nprint('python', platform.python_version())\nfor p in 'mergekit', 'torch', 'safetensors': print(p, m.version(p))"}})
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		name, version, _ := strings.Cut(line, " ")
		v[name] = version
	}
	return v, nil
}

// settle brings a folder's files, or a file, to the disk and returns how long
// that took, in seconds.
func settle(path string) (float64, error) {
	start := time.Now()
	err := filepath.WalkDir(path, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		return f.Sync()
	})
	return time.Since(start).Seconds(), err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"mergebot/merge/checkpoint"
)

// models are a base and experts in a folder.
type models struct {
	dir     string
	experts int
	layers  int
	bytes   int64 // of one model's tensors
	largest int64 // of them all
}

// makeModels makes the base and the experts, or takes those that an earlier run
// made by the same flags. shape are flags of the synth command.
func makeModels(ctx context.Context, dir string, shape []string, experts int) (models, error) {
	m := models{dir: dir, experts: experts}
	synth := []string{"go", "run", "mergebot/merge/checkpoint/synth"}
	for i := -1; i < experts; i++ {
		name, args := "base", []string{"-seed", "1"}
		if i >= 0 {
			name, args = expert(i), []string{"-base", filepath.Join(dir, "base"), "-seed", fmt.Sprint(2 + i)}
		}
		args = append(args, shape...)
		out := filepath.Join(dir, name)
		made := filepath.Join(out, "made.txt") // written last: what it stands for is whole
		if b, err := os.ReadFile(made); err == nil && string(b) == strings.Join(args, " ") {
			continue
		}
		if err := os.RemoveAll(out); err != nil {
			return m, err
		}
		cmd := exec.CommandContext(ctx, synth[0], append(append(synth[1:], args...), "-out", out)...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return m, fmt.Errorf("make %s: %w", out, err)
		}
		if err := os.WriteFile(made, []byte(strings.Join(args, " ")), 0o644); err != nil {
			return m, err
		}
	}
	return m, m.look()
}

// look reads the base's headers.
func (m *models) look() error {
	c, err := checkpoint.Open(filepath.Join(m.dir, "base"))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for _, t := range c.Tensors() {
		m.bytes += t.Size
		m.largest = max(m.largest, t.Size)
	}
	config, err := c.Config()
	if err != nil {
		return err
	}
	layers, ok := config["num_hidden_layers"].(float64)
	if !ok {
		return errors.New("config.json of the base does not say num_hidden_layers")
	}
	m.layers = int(layers)
	return nil
}

// weights are the weights files of a checkpoint's folder.
func weights(dir string) ([]string, error) {
	c, err := checkpoint.Open(dir)
	if err != nil {
		return nil, err
	}
	return c.Files(), c.Close()
}

// read reads the weights of folders once, by read(2) in blocks of 1 MiB; after
// it they are in the page cache, where that is large enough.
func read(ctx context.Context, dirs ...string) error {
	buf := make([]byte, 1<<20)
	for _, dir := range dirs {
		files, err := weights(dir)
		if err != nil {
			return err
		}
		for _, name := range files {
			if err := readFile(ctx, name, buf); err != nil {
				return err
			}
		}
	}
	return nil
}

func readFile(ctx context.Context, name string, buf []byte) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := f.Read(buf); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

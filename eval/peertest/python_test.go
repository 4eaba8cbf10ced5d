package peertest

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// peers is the folder that setup.sh made, or skips the test.
func peers(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("MERGEBOT_PEERS_HEAVY")
	if dir == "" {
		t.Skip("MERGEBOT_PEERS_HEAVY is not set: run `make test-peers`, or `eval/peertest/setup.sh DIR` and set it to DIR")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "installed")); err != nil {
		t.Fatalf("MERGEBOT_PEERS_HEAVY: setup.sh has not finished there: %v", err)
	}
	return dir
}

// peer runs a program of the virtual environment, which finds this bench's hub and nothing else.
func (b *bench) peer(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(peers(t), "venv", "bin", name), args...)
	cmd.Env = b.environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// environment is what a peer sees: this bench's hub, a home of its own and no accelerator.
func (b *bench) environment() []string {
	home := filepath.Join(b.work, "home")
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8", "TMPDIR=" + os.TempDir(),
		"HF_ENDPOINT=" + b.URL, "HF_HOME=" + filepath.Join(home, "hf"),
		"HF_HUB_DISABLE_XET=1", "HF_HUB_DISABLE_TELEMETRY=1", "HF_HUB_DISABLE_PROGRESS_BARS=1", "HF_HUB_DISABLE_UPDATE_CHECK=1",
		"CUDA_VISIBLE_DEVICES=", "NO_COLOR=1", "PYTHONDONTWRITEBYTECODE=1", "no_proxy=*",
	}
}

// script runs one of our programs, which uses the peers' libraries: a JSON value goes in, one comes out.
func (b *bench) script(t *testing.T, name string, in, out any) {
	t.Helper()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "in.json"), filepath.Join(dir, "out.json")
	writeJSON(t, from, in)
	b.peer(t, "python", filepath.Join("testdata", name), from, to)
	readJSON(t, to, out)
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func writeJSON(t *testing.T, path string, v any) {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

package peertest

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mergebot/merge/checkpoint"
)

// adapterGold holds tiny models, LoRA adapters of every kind for them, and what PEFT makes of both.
const adapterGold = "../../merge/checkpoint/testdata/lora"

// seedAdapters puts the models and the adapters, by their folders' names, into a hub's seed.
func seedAdapters(t *testing.T, seed string) {
	t.Helper()
	for _, pattern := range []string{"llama*", "adapters/*"} {
		dirs, err := filepath.Glob(filepath.Join(adapterGold, pattern))
		if err != nil || len(dirs) == 0 {
			t.Fatalf("%s: %v, %d folders", pattern, err, len(dirs))
		}
		for _, dir := range dirs {
			if err := os.CopyFS(filepath.Join(seed, "models", "tiny", filepath.Base(dir)), os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestPEFT makes models and adapters anew, merges them by PEFT and holds the golden files to it; the tests of
// merge/checkpoint hold this program to these. It comes first, since -update makes what the others read.
func TestPEFT(t *testing.T) {
	peers(t)
	b := newBench(t)
	now := t.TempDir()
	b.peer(t, "python", filepath.Join("testdata", "adapters.py"), now)
	if *update {
		if err := os.RemoveAll(adapterGold); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(adapterGold, os.DirFS(now)); err != nil {
			t.Fatal(err)
		}
		return
	}
	sameFiles(t, now, adapterGold)
}

// adapted are recipes whose models have adapters.
var adapted = []comparison{{"adapters-linear", false}, {"adapters-task_arithmetic", false}, {"adapters-slerp", false}, {"adapters-bfloat16", false}}

// TestAdapted merges by mergekit's golden files, without mergekit.
func TestAdapted(t *testing.T) { likeGolden(t, "adapters", adapted) }

// TestMergekitAdapted runs mergekit on the recipes and compares every element.
func TestMergekitAdapted(t *testing.T) { likeMergekit(t, "adapters", adapted) }

// sameFiles says which files of two folders differ; PEFT's results may by what another processor rounds otherwise.
func sameFiles(t *testing.T, now, gold string) {
	t.Helper()
	paths := func(dir string) []string {
		all, err := filepath.Glob(filepath.Join(dir, "*", "*"))
		more, err2 := filepath.Glob(filepath.Join(dir, "*", "*", "*"))
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		var out []string
		for _, path := range append(all, more...) {
			rel, err := filepath.Rel(dir, path)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err == nil && !info.IsDir() {
				out = append(out, rel)
			}
		}
		slices.Sort(out)
		return out
	}
	list := paths(now)
	if !slices.Equal(list, paths(gold)) || len(list) == 0 {
		t.Fatalf("PEFT makes %v, the golden files are %v", list, paths(gold))
	}
	for _, name := range list {
		got, err := os.ReadFile(filepath.Join(now, name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(gold, name))
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(name) == "merged.safetensors" || filepath.Base(name) == "exact.safetensors" {
			x, y := openFile(t, got), openFile(t, want)
			sameLayout(t, x, y)
			for _, tensor := range y.Names() {
				a, b := floats(t, x, tensor), floats(t, y, tensor)
				for i := range b {
					if !(math.Abs(float64(a[i])-float64(b[i])) <= tolerance) {
						t.Fatalf("%s: %s[%d] is %v, was %v", name, tensor, i, a[i], b[i])
					}
				}
			}
		} else if string(got) != string(want) {
			t.Errorf("%s is not what PEFT writes now: make it anew by %s", name, updateCommand)
		}
	}
}

// openFile opens the bytes of a safetensors file.
func openFile(t *testing.T, data []byte) *checkpoint.Checkpoint {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return openCheckpoint(t, dir)
}

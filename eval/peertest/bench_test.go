package peertest

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"mergebot/bot/run"
	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/hub"
	"mergebot/hub/embedded"
	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
	"mergebot/testdata/familyhub"
)

var update = flag.Bool("update", false, "write the golden files anew from what the peers say")

func TestMain(m *testing.M) {
	if os.Getenv(engine.ChildEnv) == "1" {
		if err := engine.ServeChild(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// bench is the tiny family on a hub of two loopback origins, and what runs need to merge it.
type bench struct {
	*embedded.Running
	env  *run.Env
	work string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	work := t.TempDir()
	seed := filepath.Join(work, "seed")
	if err := familyhub.WriteSeed(seed); err != nil {
		t.Fatal(err)
	}
	seedAdapters(t, seed)
	server, err := embedded.Listen(t.Context(), embedded.Options{Root: filepath.Join(work, "hub")}, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	if err := server.Server.Seed(t.Context(), seed); err != nil {
		t.Fatal(err)
	}
	env := &run.Env{Device: kernel.CPU(), ShardSize: 5e9, Observe: func(run.Event) {}, Engines: run.Engines{Llama: engine.Options{LibDir: os.Getenv("MERGEBOT_ENGINE_DIR")}}}
	if env.Storage, err = run.OpenStorage(filepath.Join(work, "storage")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { env.Storage.Close() })
	if env.Hub, err = hub.New(hub.Options{Endpoint: server.URL, Cache: filepath.Join(work, "cache"), Anonymous: true}); err != nil {
		t.Fatal(err)
	}
	return &bench{server, env, work}
}

func recipePath(name string) string { return filepath.Join("recipes", name+".yaml") }

func loadRecipe(t *testing.T, name string) *configs.Recipe {
	t.Helper()
	r, err := configs.Load(recipePath(name))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// merge runs a recipe and returns the folder of the merged checkpoint.
func (b *bench) merge(t *testing.T, recipe string) string {
	t.Helper()
	m, err := run.Merge(t.Context(), b.env, loadRecipe(t, recipe), filepath.Join(b.work, "ours", recipe))
	if err != nil {
		t.Fatal(err)
	}
	return m.Dir
}

func openCheckpoint(t *testing.T, dir string) *checkpoint.Checkpoint {
	t.Helper()
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// floats are a tensor's elements.
func floats(t *testing.T, c *checkpoint.Checkpoint, name string) []float32 {
	t.Helper()
	info, ok := c.Tensor(name)
	if !ok {
		t.Fatalf("%s has no tensor %s", c.Dir(), name)
	}
	x := make([]float32, info.Elements())
	if err := c.Read(name, x); err != nil {
		t.Fatal(err)
	}
	return x
}

// weightFiles are the hashes of the checkpoint's weights.
func weightFiles(t *testing.T, c *checkpoint.Checkpoint) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, f := range c.Files() {
		b, err := os.ReadFile(filepath.Join(c.Dir(), filepath.Base(f)))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		out[filepath.Base(f)] = hex.EncodeToString(sum[:])
	}
	return out
}

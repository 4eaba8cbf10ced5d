package merge

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
	"mergebot/merge/method"
)

// The bytes of every built-in method over made-up models, in testdata/same.json: what amd64, arm64, assembly, plain Go,
// any number of threads and a merge that was killed must all write. `go test ./merge -run TestSameBytes -update` makes
// the file anew, after a change that is meant.
var update = flag.Bool("update", false, "record the digests of testdata/same.json anew")

const sameGolden = "testdata/same.json"

// sameRecipes are what follows merge_method, by method. a/0 is the base.
var sameRecipes = map[string]string{
	"linear":           "models: [{model: a/1, parameters: {weight: 0.3}}, {model: a/2, parameters: {weight: [0.2, 0.9]}}, {model: a/3, parameters: {weight: 0.1}}]",
	"slerp":            "base_model: a/0\nmodels: [{model: a/1}]\nparameters: {t: 0.37}",
	"nuslerp":          "base_model: a/0\nmodels: [{model: a/1, parameters: {weight: 0.3}}, {model: a/2, parameters: {weight: 0.6}}]\nparameters: {nuslerp_flatten: false}",
	"multislerp":       "base_model: a/0\n" + sameModels("weight: 0.4"),
	"karcher":          "models: [{model: a/1}, {model: a/2}, {model: a/3}]",
	"nearswap":         "base_model: a/0\nmodels: [{model: a/1}]\nparameters: {t: 0.001}",
	"model_stock":      "base_model: a/0\n" + sameModels("") + "\nparameters: {filter_wise: true}",
	"task_arithmetic":  "base_model: a/0\n" + sameModels("weight: 0.4") + "\nparameters: {lambda: 0.9}",
	"ties":             "base_model: a/0\n" + sameModels("weight: 0.4, density: 0.3"),
	"dare_linear":      "base_model: a/0\n" + sameModels("weight: 0.4, density: 0.3"),
	"dare_ties":        "base_model: a/0\n" + sameModels("weight: 0.4, density: 0.3"),
	"della":            "base_model: a/0\n" + sameModels("weight: 0.4, density: 0.3, epsilon: 0.2"),
	"della_linear":     "base_model: a/0\n" + sameModels("weight: 0.4, density: 0.3, epsilon: 0.2"),
	"breadcrumbs":      "base_model: a/0\n" + sameModels("weight: 0.4, density: 0.3, gamma: 0.02"),
	"breadcrumbs_ties": "base_model: a/0\n" + sameModels("weight: 0.4, density: 0.3, gamma: 0.02"),
	"sce":              "base_model: a/0\n" + sameModels("") + "\nparameters: {select_topk: 0.3}",
	"ram":              "base_model: a/0\n" + sameModels("") + "\nparameters: {epsilon: 0.0004}",
	"ramplus_tl":       "base_model: a/0\n" + sameModels("") + "\nparameters: {epsilon: 0.0004, r: 0.3, alpha: 1}",
	"passthrough":      "models: [{model: a/1, parameters: {scale: 0.7}}]",
	"magnitude":        "base_model: a/0\n" + sameModels("weight: 0.4, density: 0.3"),
	"owl":              "base_model: a/0\n" + sameModels("weight: 0.4, density: 0.3"),
	"dppa":             "base_model: a/0\n" + sameModels("weight: 0.4, density: 0.3, ratios: [1.7, 0.6, 1]"),

	// The papers' rules, where they are other code.
	"ties/paper":        "base_model: a/0\n" + sameModels("weight: 0.4, density: 0.3"),
	"dare_linear/paper": "base_model: a/0\n" + sameModels("weight: 0.4, density: 0.3"),
	"della/paper":       "base_model: a/0\n" + sameModels("weight: 0.4, density: 0.3, epsilon: 0.2"),
}

// sameModels is the list of the three experts, all with the same parameters.
func sameModels(parameters string) string {
	var all []string
	for i := 1; i <= 3; i++ {
		all = append(all, fmt.Sprintf("{model: a/%d, parameters: {%s}}", i, parameters))
	}
	return "models: [" + strings.Join(all, ", ") + "]"
}

// sameTensors have more than a block and odd ends, and are stored in every type, by each model in another.
var sameTensors = []struct {
	name  string
	shape []int64
}{
	{emb, []int64{131, 33}}, {lmHead, []int64{131, 33}}, {norm, []int64{33}},
	{"model.layers.0.mlp.up_proj.weight", []int64{509, 523}}, // 4063 elements beyond a block
	{"model.layers.0.self_attn.q_proj.weight", []int64{33, 65}}, {"model.layers.0.input_layernorm.weight", []int64{33}},
	{"model.layers.1.mlp.up_proj.weight", []int64{509, 523}},
	{"model.layers.1.self_attn.q_proj.weight", []int64{33, 65}}, {"model.layers.1.input_layernorm.weight", []int64{33}},
}

// sameShard makes files of about one large tensor each.
const sameShard = 1 << 19

// writeSame writes the models, a base and three experts, into folders of dir: numbers of a counter-based generator by
// exact operations, so that every processor makes the same.
func writeSame(t *testing.T, dir string) {
	t.Helper()
	types := []checkpoint.DType{checkpoint.BF16, checkpoint.F16, checkpoint.F32}
	for model := range 4 {
		place := map[string]checkpoint.DType{}
		var outputs []checkpoint.Output
		for i, x := range sameTensors {
			place[x.name] = types[(i+model)%len(types)]
			outputs = append(outputs, checkpoint.Output{Name: x.name, DType: place[x.name], Shape: x.shape})
		}
		at := filepath.Join(dir, fmt.Sprint(model))
		w, err := checkpoint.Create(at, outputs, checkpoint.WriterOptions{ShardSize: sameShard})
		if err != nil {
			t.Fatal(err)
		}
		for i := range w.Shards() {
			_, err := w.WriteShard(t.Context(), i, func(o checkpoint.Output, put func([]byte) error) error {
				f, _ := format(o.DType)
				b := make([]byte, o.Size())
				if err := kernel.Plain().Encode(b, sameNumbers(model, o.Name, volume(o.Shape)), f); err != nil {
					return err
				}
				return put(b)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(at, "config.json"), []byte(`{"num_hidden_layers": 2, "tie_word_embeddings": false}`), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Finish(); err != nil {
			t.Fatal(err)
		}
	}
}

// sameNumbers are the base's, or these and a delta, which is 0 for many elements and large for few.
func sameNumbers(model int, name string, n int64) []float32 {
	base, own := kernel.Stream(1, "0/"+name), kernel.Stream(1, fmt.Sprint(model, "/", name))
	out := make([]float32, n)
	for i := range out {
		x := (kernel.Uniform(base, int64(i)) - 0.5) / 16
		if u := kernel.Uniform(own, int64(i)) - 0.5; model > 0 && math.Abs(u) > 0.125 {
			d := u / 128
			if math.Abs(u) > 0.49 {
				d *= 8
			}
			x += d // powers of two: nothing is rounded that fusing would not round
		}
		out[i] = float32(x)
	}
	return out
}

// lanes is a device that so many goroutines keep busy.
type lanes struct {
	kernel.Device
	n int
}

func (l lanes) Lanes() int { return l.n }

// same merges and returns the digest of the files' digests.
func same(t *testing.T, dev kernel.Device, models, name, out string, progress func(done, total int64)) string {
	t.Helper()
	rule, semantics, _ := strings.Cut(name, "/")
	src := "merge_method: " + rule + "\n" + sameRecipes[name] + "\nmergebot: {seed: 7"
	if semantics != "" {
		src += ", semantics: " + semantics
	}
	r := recipe(t, src+"}\n")
	opened := func(ref string) Model { return openModel(t, ref, filepath.Join(models, filepath.Base(ref))) }
	var base *Model
	if !r.BaseModel.IsZero() {
		m := opened(r.BaseModel.Repo)
		base = &m
	}
	var inputs []Input
	for _, m := range r.Inputs() {
		inputs = append(inputs, Input{Model: opened(m.Model.Repo)})
	}
	m, err := New(dev, r, base, inputs)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	w, err := m.Write(t.Context(), out, WriteOptions{ShardSize: sameShard, Progress: progress})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(w.Files) < 4 {
		t.Fatalf("%s: files %v", name, w.Files)
	}
	h := sha256.New()
	for _, f := range slices.Sorted(maps.Keys(w.Files)) {
		stored, err := os.ReadFile(filepath.Join(out, f))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(stored); hex.EncodeToString(sum[:]) != w.Files[f] {
			t.Errorf("%s: %s is not what is said to be written", name, f)
		}
		fmt.Fprintln(h, f, w.Files[f])
	}
	return hex.EncodeToString(h.Sum(nil))
}

func sameDigests(t *testing.T) map[string]string {
	t.Helper()
	want := map[string]string{}
	b, err := os.ReadFile(sameGolden)
	if err == nil {
		err = json.Unmarshal(b, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// TestSameBytes: every method writes the recorded bytes with 1, 2 and 8 lanes, and on the reference device.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	for _, m := range method.All() {
		if sameRecipes[m.Name] == "" {
			t.Errorf("%s has no recipe here", m.Name)
		}
	}
	models := t.TempDir()
	writeSame(t, models)
	if *update {
		all := map[string]string{}
		for name := range sameRecipes {
			all[name] = same(t, kernel.Plain(), models, name, filepath.Join(t.TempDir(), "out"), nil)
		}
		b, err := json.MarshalIndent(all, "", "  ")
		if err == nil {
			err = os.WriteFile(sameGolden, append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want := sameDigests(t)
	devices := map[string]kernel.Device{"8 lanes": lanes{kernel.CPU(), 8}}
	if !testing.Short() { // which looks for races
		devices["1 lane"], devices["2 lanes"] = lanes{kernel.CPU(), 1}, lanes{kernel.CPU(), 2}
		devices["2 lanes, reference"] = lanes{kernel.Plain(), 2}
	}
	for name := range sameRecipes {
		for on, dev := range devices {
			t.Run(name+" "+on, func(t *testing.T) {
				t.Parallel()
				if got := same(t, dev, models, name, filepath.Join(t.TempDir(), "out"), nil); got != want[name] {
					t.Errorf("%s on %s, %s: %s, recorded is %s", name, dev.Name(), on, got, want[name])
				}
			})
		}
	}
	if len(want) != len(sameRecipes) {
		t.Errorf("%d methods are recorded, %d are here", len(want), len(sameRecipes))
	}
}

// Environment of a child process: what it is to merge.
const (
	sameOrder = "MERGEBOT_TEST_SAME" // JSON of sameJob
	sameReady = "killed here"
)

type sameJob struct {
	Models, Out string
	Names       []string
	Hang        string // "", "between" shards or "within" one: where to wait to be killed
}

// TestSameChild is the other process of the tests below.
func TestSameChild(t *testing.T) {
	order := os.Getenv(sameOrder)
	if order == "" {
		t.Skip("run by TestSameKilled and TestSameLevels")
	}
	var job sameJob
	if err := json.Unmarshal([]byte(order), &job); err != nil {
		t.Fatal(err)
	}
	fmt.Println("device", kernel.CPU().Name())
	for _, name := range job.Names {
		out := filepath.Join(job.Out, strings.ReplaceAll(name, "/", "-"))
		last := int64(0)
		fmt.Println("merged", name, same(t, kernel.CPU(), job.Models, name, out, func(done, _ int64) {
			largest := done-last >= 2*blockElements // the first block of a tensor that has a file of its own
			last = done
			if len(finishedShards(t, out)) > 0 && (job.Hang == "between" || job.Hang == "within" && largest) {
				fmt.Println(sameReady)
				select {}
			}
		}))
	}
}

func finishedShards(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "model-*.safetensors"))
	if err != nil {
		t.Error(err)
	}
	return files
}

// child starts TestSameChild and calls line with what it prints. It is killed when line says so, and waited for.
func (job sameJob) child(t *testing.T, environment []string, line func(string) (kill bool)) {
	t.Helper()
	order, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestSameChild$", "-test.v")
	cmd.Env = append(append(os.Environ(), sameOrder+"="+string(order)), environment...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines, killed, text := bufio.NewScanner(out), false, ""
	for lines.Scan() {
		text += lines.Text() + "\n"
		if !killed && line(lines.Text()) {
			killed = true
			if err := cmd.Process.Kill(); err != nil { // SIGKILL
				t.Error(err)
			}
		}
	}
	if _, err := io.Copy(io.Discard, out); err != nil && !killed {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil && !killed {
		t.Fatalf("%v: %s", err, text)
	}
}

// TestSameKilled: a merge killed within a shard, and after one, goes on to the recorded bytes, with other threads than
// it was begun with.
func TestSameKilled(t *testing.T) {
	t.Parallel()
	models, want := t.TempDir(), sameDigests(t)
	writeSame(t, models)
	for i, name := range slices.Sorted(maps.Keys(sameRecipes)) {
		for k, hang := range []string{"between", "within"} {
			if testing.Short() && (i+k)%8 != 0 {
				continue
			}
			t.Run(name+" "+hang, func(t *testing.T) {
				t.Parallel()
				job := sameJob{Models: models, Out: t.TempDir(), Names: []string{name}, Hang: hang}
				killed := false
				job.child(t, []string{"GOMAXPROCS=1"}, func(line string) bool {
					killed = killed || line == sameReady
					return killed
				})
				if !killed {
					t.Fatal("it came to its end")
				}
				out := filepath.Join(job.Out, strings.ReplaceAll(name, "/", "-"))
				done := finishedShards(t, out)
				if len(done) == 0 {
					t.Fatal("nothing was finished")
				}
				before, err := os.Stat(done[0])
				if err != nil {
					t.Fatal(err)
				}
				if got := same(t, lanes{kernel.CPU(), 8}, models, name, out, nil); got != want[name] {
					t.Errorf("%s: %s after it was killed, recorded is %s", name, got, want[name])
				}
				if after, err := os.Stat(done[0]); err != nil || !os.SameFile(before, after) {
					t.Errorf("the finished shard was written again, %v", err)
				}
			})
		}
	}
}

// TestSameLevels: every method writes the recorded bytes on each set of instructions that this processor has, and on a
// single thread.
func TestSameLevels(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("without -short")
	}
	models, want := t.TempDir(), sameDigests(t)
	writeSame(t, models)
	seen := map[string]bool{}
	for _, environment := range []string{"GOMAXPROCS=1", "GODEBUG=cpu.avx512f=off", "GODEBUG=cpu.avx512f=off,cpu.avx2=off"} {
		job, merged := sameJob{Models: models, Out: t.TempDir(), Names: slices.Sorted(maps.Keys(sameRecipes))}, 0
		job.child(t, []string{environment}, func(line string) bool {
			if device, ok := strings.CutPrefix(line, "device "); ok && environment != "GOMAXPROCS=1" {
				t.Log(environment, device)
				if seen[device] {
					return true // this processor has no more
				}
				seen[device] = true
			}
			if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "merged" {
				merged++
				if fields[2] != want[fields[1]] {
					t.Errorf("%s with %s: %s, recorded is %s", fields[1], environment, fields[2], want[fields[1]])
				}
			}
			return false
		})
		if merged != len(sameRecipes) && merged != 0 {
			t.Errorf("%s: %d of %d were merged", environment, merged, len(sameRecipes))
		}
	}
}

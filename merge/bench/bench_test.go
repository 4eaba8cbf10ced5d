package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mergebot/merge/checkpoint"
)

// program builds mergebot.
func program(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs the program")
	}
	bin := filepath.Join(t.TempDir(), "mergebot")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "mergebot/cmd/mergebot")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// Every recipe is merged by mergebot, and a document comes of it; then memory is
// measured and joins the same document.
func TestBench(t *testing.T) {
	t.Parallel()
	bin, dir := program(t), t.TempDir()
	doc := filepath.Join(dir, "performance.md")
	common := []string{"-dir", filepath.Join(dir, "models"), "-threads", "2", "-mergebot", bin, "-doc", doc, "-json"}
	var got, both report
	into := func(r *report, args ...string) {
		t.Helper()
		var out strings.Builder
		// This program measures memory copies in processes of its own; the test binary has TestMain for that.
		if err := run(t.Context(), append(args, common...), &out, io.Discard); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(out.String()), r); err != nil {
			t.Fatal(err)
		}
	}
	into(&got, "-shape", "-preset tiny", "-rounds", "1", "-rest", "0s")
	if len(got.Speed.Timings) != len(recipes) {
		t.Fatalf("%d recipes were timed, not %d", len(got.Speed.Timings), len(recipes))
	}
	for _, x := range got.Speed.Timings {
		if len(x.Ours) != 1 || len(x.Copies) != 1 || x.Theirs != nil || len(x.SHA256) != 64 {
			t.Fatalf("%s: %+v", x.Recipe, x)
		}
		for _, c := range x.Ours {
			if c.Wall <= 0 || c.CPU <= 0 || c.RSS <= 0 || c.Phases["resolve"] <= 0 || c.Phases["merge"] <= 0 {
				t.Errorf("%s: %+v", x.Recipe, c)
			}
			if measured := c.Phases["measure"] > 0; measured != (x.Recipe == "dppa" || x.Recipe == "magnitude") {
				t.Errorf("%s: measured is %v", x.Recipe, measured)
			}
		}
	}
	if s := got.Speed.Before; s.Copy <= 0 || s.CopyAll <= 0 || s.Read <= 0 || s.Write <= 0 {
		t.Errorf("speeds %+v", s)
	}
	into(&both, "-shape", "-preset tiny -sparse 8", "-memory", "-memory-experts", "2,3")
	if both.Speed == nil || !slices.Equal(counted(both.Memory), []string{"linear 2", "linear 3", "ties 2", "ties 3", "dppa 2", "dppa 3"}) {
		t.Fatalf("the report has %v, %v", both.Speed != nil, counted(both.Memory))
	}
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## Against mergekit", "| dppa |", "## Memory", "synth -preset tiny -sparse 8"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the document has no %q", want)
		}
	}
	if strings.Contains(string(text), dir) {
		t.Error("the document names folders of this machine")
	}
	left, err := filepath.Glob(filepath.Join(dir, "models", "out-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("results were left: %v, %v", left, err)
	}
}

func counted(m *memoryReport) []string {
	var out []string
	for _, f := range m.Footprints {
		out = append(out, f.Recipe+" "+string(rune('0'+f.Experts)))
	}
	return out
}

// TestMain lets the test binary stand in for the program where that starts
// itself.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == copyVerb {
		if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// written makes a checkpoint of one tensor.
func written(t *testing.T, values []byte) string {
	t.Helper()
	dir := t.TempDir()
	w, err := checkpoint.Create(dir, []checkpoint.Output{{Name: "x", DType: checkpoint.F32, Shape: []int64{int64(len(values) / 4)}}}, checkpoint.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteShard(t.Context(), 0, func(_ checkpoint.Output, put func([]byte) error) error { return put(values) }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// floats are fp32 numbers, little-endian: 0, 1, 2 and 1.5.
var zero, one, two, onePlus = []byte{0, 0, 0, 0}, []byte{0, 0, 0x80, 0x3f}, []byte{0, 0, 0, 0x40}, []byte{0, 0, 0xc0, 0x3f}

func TestCompare(t *testing.T) {
	t.Parallel()
	base := written(t, slices.Concat(zero, zero, one, one))
	result := written(t, slices.Concat(one, zero, one, two))
	other := written(t, slices.Concat(one, zero, onePlus, two))
	moved := written(t, slices.Concat(zero, one, two, one)) // as large a delta, elsewhere
	for name, c := range map[string]struct {
		theirs string
		random bool
		want   difference
		agrees bool
	}{
		"itself":            {result, false, difference{Tensors: 1, Elements: 4, Ours: 0.5, Theirs: 0.5, Base: 0.5}, true},
		"one element off":   {other, false, difference{Tensors: 1, Elements: 4, Unequal: 0.25, Max: 0.5, Mean: 0.125, Ours: 0.5, Theirs: 0.625, Base: 0.5}, false},
		"elsewhere":         {moved, false, difference{Tensors: 1, Elements: 4, Unequal: 1, Max: 1, Mean: 1, Ours: 0.5, Theirs: 0.5, Base: 0.5}, false},
		"elsewhere, random": {moved, true, difference{Tensors: 1, Elements: 4, Unequal: 1, Max: 1, Mean: 1, Ours: 0.5, Theirs: 0.5, Base: 0.5, Random: true}, true},
		"larger, random":    {other, true, difference{Tensors: 1, Elements: 4, Unequal: 0.25, Max: 0.5, Mean: 0.125, Ours: 0.5, Theirs: 0.625, Base: 0.5, Random: true}, false},
	} {
		got, err := compare(base, result, c.theirs, c.random)
		if err != nil || got != c.want || got.agrees() != c.agrees {
			t.Errorf("%s: %+v, agrees %v, %v; want %+v", name, got, got.agrees(), err, c.want)
		}
	}
}

func TestSameNoticesOtherBytes(t *testing.T) {
	t.Parallel()
	x := timing{Recipe: "x"}
	for i, dir := range []string{written(t, one), written(t, one), written(t, two)} {
		if err := x.same(t.Context(), dir); (err != nil) != (i == 2) {
			t.Errorf("round %d: %v", i, err)
		}
	}
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	out, c, err := measure(t.Context(), command{args: []string{"sh", "-c", "echo $X; i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"}, env: []string{"X=said"}})
	if err != nil || out != "said\n" || c.CPU <= 0 || c.Wall <= 0 {
		t.Errorf("%q, %+v, %v", out, c, err)
	}
	if _, _, err := measure(t.Context(), command{args: []string{"sh", "-c", "echo the reason >&2; exit 3"}}); err == nil || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("a failure: %v", err)
	}
}

// A process's memory is its own: neither the arrays that it holds are missed,
// nor does it count what this one holds.
func TestMeasureMemory(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	held := make([]byte, 64<<20)
	_, large, err := measure(t.Context(), command{args: []string{self, copyVerb, "1", strconv.Itoa(len(held))}})
	if err != nil || large.RSS < int64(2*len(held)) {
		t.Errorf("a process with two arrays of %d bytes: %+v, %v", len(held), large, err)
	}
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	_, small, err := measure(t.Context(), command{args: []string{"sleep", "0.1"}})
	if err != nil || small.RSS > int64(len(held)) {
		t.Errorf("a small process: %+v, %v", small, err)
	}
	if own := residentOf(os.Getpid()); own.anonymous < int64(len(held)) || own.peak < own.anonymous {
		t.Errorf("this process: %+v", own)
	}
	runtime.KeepAlive(held)
}

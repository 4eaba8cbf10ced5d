package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	rounds := []cost{{Wall: 3, Sync: 1}, {Wall: 1}, {Wall: 8}, {Wall: 2}}
	if got := over(rounds, wall); got != (spread{2.5, 1, 8}) {
		t.Errorf("%+v", got)
	}
	if got := over(rounds, durable).String(); got != "3.00 (1.00–8.00)" {
		t.Error(got)
	}
	if got := over(nil, wall); got != (spread{}) || got.String() != "" {
		t.Errorf("%+v", got)
	}
}

func TestParseKernels(t *testing.T) {
	t.Parallel()
	got, err := parseKernels(`goos: linux
BenchmarkDevices/decode_bf16/cpu_(avx512)/cached-2         	    1189	     48608 ns/op	        59.79 %memcpy	        53.25 GB/s
BenchmarkDevices/stats/cpu_(go)/memory         	       2	  40673414 ns/op	         5.154 %memcpy	         2.356 GB/s
PASS`)
	want := []kernelRate{{"decode bf16", "avx512", "cached", 53.25e9, 0.5979}, {"stats", "go", "memory", 2.356e9, 0.05154}}
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range want {
		if g := got[i]; g.Operation != want[i].Operation || g.Device != want[i].Device || g.Size != want[i].Size ||
			!near(g.Rate, want[i].Rate) || !near(g.OfCopy, want[i].OfCopy) {
			t.Errorf("%+v, want %+v", g, want[i])
		}
	}
	for _, bad := range []string{"BenchmarkDevices/stats 1 2 ns/op", "BenchmarkDevices/a/b/c-2 1 x ns/op"} {
		if _, err := parseKernels(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func near(a, b float64) bool { return a-b < 1e-6*b && b-a < 1e-6*b }

// made is a run in which mergebot takes so many seconds for ties and dare_ties.
func made(seconds float64) *speedReport {
	s := &speedReport{}
	for _, name := range []string{"linear", "task_arithmetic", "ties", "dare_ties", "dppa"} {
		x := timing{Recipe: name, Ours: []cost{{Wall: 1, RSS: 1e9}}, Theirs: []cost{{Wall: 10, RSS: 4e9}}, Copies: []cost{{Wall: 0.4, Sync: 0.3}}}
		if strings.HasSuffix(name, "ties") {
			x.Ours[0].Wall = seconds
		}
		s.Timings = append(s.Timings, x)
	}
	return s
}

func TestTargets(t *testing.T) {
	t.Parallel()
	kernels := []kernelRate{{"stats", "avx512", "memory", 1e9, 0.59}, {"stats", "avx512", "cached", 1e9, 0.9}, {"stats", "avx2", "memory", 1e9, 0.46}}
	missed := func(s *speedReport, k []kernelRate) (names []string, known int) {
		for _, x := range targets(s, k) {
			if x.Known {
				known++
				if !x.Met {
					names = append(names, x.What)
				}
			}
		}
		return names, known
	}
	if names, known := missed(made(1), nil); len(names) > 0 || known != 7 {
		t.Errorf("missed %v of %d", names, known)
	}
	if names, _ := missed(made(2), kernels); len(names) != 3 {
		t.Errorf("missed %v", names)
	}
	if _, known := missed(&speedReport{}, nil); known != 0 {
		t.Errorf("%d targets are judged without figures", known)
	}
	var text strings.Builder
	report{Speed: made(2)}.document(&text)
	first, _, _ := strings.Cut(text.String()[strings.Index(text.String(), "| target"):], "| met |")
	if strings.Count(first, "**missed**") != 2 {
		t.Errorf("what is missed does not come first:\n%s", text.String())
	}
}

func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	s := made(1)
	s.Timings[0].Difference = &difference{Mean: 0.001, Theirs: 0.1}
	s.Timings[2].Difference = &difference{Mean: 0.05, Theirs: 0.1}
	err := report{Speed: s}.deliver(options{}, &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "ties") || strings.Contains(err.Error(), "linear") {
		t.Errorf("%v", err)
	}
}

func TestRecipes(t *testing.T) {
	t.Parallel()
	m := models{experts: 3, layers: 5, bytes: 10}
	for _, r := range recipes {
		if want := map[string]int64{"linear": 40, "slerp": 30, "passthrough": 20}[r.name]; r.moved(m) != want && (want != 0 || r.moved(m) != 50) {
			t.Errorf("%s moves %d bytes", r.name, r.moved(m))
		}
	}
	if got := halves(m); !strings.Contains(got, "[0, 2]") || !strings.Contains(got, "[2, 5]") {
		t.Error(got)
	}
	if _, err := choose([]string{"ties", "tise"}); err == nil || !strings.Contains(err.Error(), `"tise"`) {
		t.Errorf("%v", err)
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "performance.md")
	if err := os.WriteFile(figuresOf(broken), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-rounds", "0"}, {"-experts", "1"}, {"-threads", "0"}, {"extra"}, {"-nonsense"}, {"-recipes", "tise"},
		{"-memory", "-memory-experts", "3,x"}, {"-doc", broken}, {copyVerb, "0", "1"}, {copyVerb, "2", "x"},
	} {
		if err := run(t.Context(), args, &strings.Builder{}, &strings.Builder{}); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

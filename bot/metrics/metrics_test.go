package metrics_test

import (
	"errors"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"mergebot/bot/metrics"
	"mergebot/bot/run"
)

var update = flag.Bool("update", false, "rewrite metrics.md")

// used is a Metrics that has counted something of everything.
func used() *metrics.Metrics {
	m := metrics.New()
	for _, e := range []run.Event{
		{Phase: run.Finished, Step: "fetch", Seconds: 3, Done: 1000, Total: 1000, Unit: "bytes"},
		{Phase: run.Finished, Step: "merge", Seconds: 2, Done: 50, Unit: "bytes"},
		{Phase: run.Failed, Step: "evaluate", Seconds: 4},
		{Phase: run.Cached, Step: "evaluate", Seconds: 99},
		{Phase: run.Progress, Step: "fetch", Done: 77, Unit: "bytes"},
		{Phase: run.Started, Step: "fetch", Done: 77, Unit: "bytes"},
		{Phase: run.Finished, Step: "search", Seconds: 8, Done: 40, Unit: "candidates"},
	} {
		m.Observe("cuda (NVIDIA H100)", e)
	}
	m.Observe("cpu", run.Event{Phase: run.Finished, Step: "merge", Seconds: 7})
	m.Ended(run.Try, run.Succeeded)
	m.Ended("", run.RunFailed)
	m.Queue(3, 1)
	m.Quota("core", 5000, 4321)
	m.Delivery("accepted")
	m.Delivery("bad\xffutf")
	m.Reconciled("change 17", 0.2, nil)
	m.Reconciled("change 18", 0.2, errors.New("no"))
	return m
}

func page(m *metrics.Metrics) string {
	r := httptest.NewRecorder()
	m.Handler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	return r.Body.String()
}

func TestCounts(t *testing.T) {
	t.Parallel()
	text := page(used())
	for _, want := range []string{
		`mergebot_step_seconds_total{device="cuda (NVIDIA H100)",step="fetch"} 3`,
		`mergebot_step_seconds_total{device="cuda (NVIDIA H100)",step="evaluate"} 4`,
		`mergebot_step_seconds_total{device="cpu",step="merge"} 7`,
		`mergebot_bytes_total{step="fetch"} 1000`,
		`mergebot_gpu_seconds_total 14`, // merge 2, evaluate 4, search 8; not the fetch, not the CPU's
		`mergebot_runs_total{kind="try",state="succeeded"} 1`,
		`mergebot_runs_total{kind="terminal",state="failed"} 1`,
		`mergebot_queue{state="waiting"} 3`, `mergebot_queue{state="running"} 1`,
		`mergebot_github_quota{resource="core",value="limit"} 5000`, `mergebot_github_quota{resource="core",value="remaining"} 4321`,
		`mergebot_deliveries_total{outcome="accepted"} 1`, `mergebot_deliveries_total{outcome="duplicate"} 0`,
		`mergebot_reconcile_seconds_count{outcome="ok",what="change"} 1`, `mergebot_reconcile_seconds_count{outcome="error",what="change"} 1`,
		"go_goroutines ",
	} {
		if !strings.Contains(text, want+"\n") && !strings.Contains(text, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if strings.Contains(text, "bytes_total{step=\"search\"}") {
		t.Error("candidates count as bytes")
	}
}

// The table that people read says what is served: no more, no less.
func TestTable(t *testing.T) {
	t.Parallel()
	kinds, helps, labels := map[string]string{}, map[string]string{}, map[string][]string{}
	for line := range strings.Lines(page(used())) {
		line = strings.TrimSpace(line)
		name, rest, _ := strings.Cut(line, " ")
		switch {
		case strings.HasPrefix(line, "# TYPE mergebot_"):
			f := strings.Fields(line)
			kinds[f[2]] = f[3]
		case strings.HasPrefix(line, "# HELP mergebot_"):
			_, help, _ := strings.Cut(strings.TrimPrefix(line, "# HELP "), " ")
			helps[strings.Fields(line)[2]] = help
		case strings.HasPrefix(name, "mergebot_"):
			name, pairs, _ := strings.Cut(line[:len(line)-len(rest)], "{")
			name = strings.TrimSpace(name)
			for _, end := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, end)
			}
			for _, p := range strings.Split(pairs, ",") {
				if l, _, ok := strings.Cut(p, "="); ok && l != "le" && !slices.Contains(labels[name], l) {
					labels[name] = append(labels[name], l)
				}
			}
		}
	}
	var names []string
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString("| metric | kind | labels | what |\n|---|---|---|---|\n")
	for _, name := range names {
		slices.Sort(labels[name])
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kinds[name], strings.Join(labels[name], ", "), helps[name])
	}
	if *update {
		if err := os.WriteFile("metrics.md", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for file, whole := range map[string]bool{"metrics.md": true, "../../docs/bot.md": false} {
		text, err := os.ReadFile(file)
		if err != nil && !whole {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if whole && string(text) != b.String() || strings.Contains(string(text), "mergebot_") && !strings.Contains(string(text), b.String()) {
			t.Errorf("%s is not what is served; run go test ./bot/metrics -update and copy metrics.md. Served:\n%s", file, b.String())
		}
	}
}

func TestNamesAreInStyle(t *testing.T) {
	t.Parallel()
	problems, err := promlint.New(strings.NewReader(page(used()))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "mergebot_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				m.Observe("cpu", run.Event{Phase: run.Finished, Step: "merge", Seconds: 1})
				m.Queue(1, 1)
			}
		})
	}
	all.Wait()
	if !strings.Contains(page(m), `mergebot_step_seconds_total{device="cpu",step="merge"} 800`) {
		t.Error("some are lost")
	}
}

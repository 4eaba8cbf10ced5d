// Package metrics counts what the bot does, for Prometheus. The registry is its own; names end in their unit.
// metrics.md lists them all, and a test holds it to the registry.
package metrics

import (
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mergebot/bot/run"
)

// Metrics are the bot's counters. They may be used by many goroutines.
type Metrics struct {
	registry *prometheus.Registry

	steps, bytes, gpu, runs, deliveries *prometheus.CounterVec
	queue, quota                        *prometheus.GaugeVec
	reconcile                           *prometheus.HistogramVec
}

// New makes counters at zero.
func New() *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{registry: prometheus.NewRegistry(),
		steps:      counter("mergebot_step_seconds_total", "Wall time of finished and failed steps, in seconds; steps found in the ledger take none.", "step", "device"),
		bytes:      counter("mergebot_bytes_total", "Bytes that finished steps fetched, read, wrote or uploaded.", "step"),
		gpu:        counter("mergebot_gpu_seconds_total", "Wall time of the steps that compute (measure, search, merge, evaluate) while the device is a GPU, in seconds."),
		runs:       counter("mergebot_runs_total", "Runs that have ended.", "kind", "state"),
		deliveries: counter("mergebot_deliveries_total", "Webhook deliveries: accepted, duplicate, bad_signature, ignored, failed.", "outcome"),
		queue:      gauge("mergebot_queue", "Runs that wait for their turn, and that go on.", "state"),
		quota:      gauge("mergebot_github_quota", "GitHub's rate limit: requests in a window, and those left in this one.", "resource", "value"),
		reconcile: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "mergebot_reconcile_seconds", Help: "Time to bring a change, or the default branch, to what its state says, in seconds.",
			Buckets: []float64{0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300}}, []string{"what", "outcome"}),
	}
	m.registry.MustRegister(m.steps, m.bytes, m.gpu, m.runs, m.deliveries, m.queue, m.quota, m.reconcile,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, outcome := range []string{"accepted", "duplicate", "bad_signature", "ignored", "failed"} {
		m.deliveries.WithLabelValues(outcome) // 0 from the start: a rate needs a first value
	}
	m.gpu.WithLabelValues()
	m.Queue(0, 0)
	return m
}

// Handler serves the counters.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// computing are the steps that keep a device busy.
var computing = []string{"measure", "search", "merge", "evaluate"}

// Observe takes an event of a run on a device (kernel.Device.Name).
func (m *Metrics) Observe(device string, e run.Event) {
	if e.Phase != run.Finished && e.Phase != run.Failed || e.Seconds < 0 {
		return
	}
	step := label(e.Step)
	m.steps.WithLabelValues(step, label(device)).Add(e.Seconds)
	if slices.Contains(computing, e.Step) && strings.HasPrefix(device, "cuda") {
		m.gpu.WithLabelValues().Add(e.Seconds)
	}
	if e.Phase == run.Finished && e.Unit == "bytes" && e.Done > 0 {
		m.bytes.WithLabelValues(step).Add(float64(e.Done))
	}
}

// Ended counts a run.
func (m *Metrics) Ended(kind run.Kind, s run.State) {
	if kind == "" {
		kind = "terminal"
	}
	m.runs.WithLabelValues(label(string(kind)), label(string(s))).Inc()
}

// Queue sets how many runs wait, and go on.
func (m *Metrics) Queue(waiting, running int) {
	m.queue.WithLabelValues("waiting").Set(float64(waiting))
	m.queue.WithLabelValues("running").Set(float64(running))
}

// Quota sets what GitHub last said of a rate limit.
func (m *Metrics) Quota(resource string, limit, remaining int) {
	m.quota.WithLabelValues(label(resource), "limit").Set(float64(limit))
	m.quota.WithLabelValues(label(resource), "remaining").Set(float64(remaining))
}

// Delivery counts a webhook delivery: accepted, duplicate, bad_signature, ignored or failed.
func (m *Metrics) Delivery(outcome string) { m.deliveries.WithLabelValues(label(outcome)).Inc() }

// Reconciled takes the time of one reconciliation. what is a kind, such as change or main: of more words the first
// counts, so that no id makes a series of its own.
func (m *Metrics) Reconciled(what string, seconds float64, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "error"
	}
	if i := strings.IndexAny(what, " :/#"); i > 0 {
		what = what[:i]
	}
	m.reconcile.WithLabelValues(label(what), outcome).Observe(seconds)
}

// label makes a value that Prometheus takes.
func label(s string) string { return strings.ToValidUTF8(s, "?") }

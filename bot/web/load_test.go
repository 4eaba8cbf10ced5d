package web_test

import (
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"mergebot/bot/run"
	"mergebot/bot/web"
)

// BenchmarkList asks for the list of 10,000 runs; the first request reads what the later ones remember.
func BenchmarkList(b *testing.B) {
	w := newWorld(b)
	for n := range 10_000 {
		begin := today.Add(-time.Duration(n) * time.Hour)
		id := begin.Format("20060102-150405.000") + "-41cf10ee"
		w.record(run.Record{ID: id, Recipe: "r", State: run.RunFailed, Created: begin, Started: begin, Ended: begin.Add(time.Minute)})
		if n < 100 {
			w.keep(id, log(begin)...)
		}
	}
	for _, path := range []string{"/", "/?state=gated", "/runs/" + today.Format("20060102-150405.000") + "-41cf10ee"} {
		b.Run(path, func(b *testing.B) {
			h := web.New(w.options)
			begin := time.Now()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
			first := time.Since(begin)
			for b.Loop() {
				r := httptest.NewRecorder()
				h.ServeHTTP(r, httptest.NewRequest("GET", path, nil))
				if r.Code != 200 {
					b.Fatal(r.Code)
				}
			}
			b.ReportMetric(float64(first.Microseconds())/1000, "ms/first")
		})
	}
}

// TestManyReaders lets 200 look at one run: each gets its events, from one subscription.
func TestManyReaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t).fill().open()
	readers := make([]*reader, 200)
	for i := range readers {
		readers[i] = w.listen("/runs/"+running+"/events", fmt.Sprint(len(log(today))))
		readers[i].until("progress")
	}
	if n := w.live.watchers(running); n != 1 {
		t.Errorf("%d subscriptions", n)
	}
	begin := time.Now()
	e := run.Event{Time: today, Phase: run.Finished, Step: "search", Subject: "ratios of tiny/finance", Seconds: 9}
	w.keep(running, e)
	w.live.show(running, e)
	var all sync.WaitGroup
	for _, r := range readers {
		all.Go(func() { r.until("kept") })
	}
	all.Wait()
	t.Logf("%d readers had the event after %v", len(readers), time.Since(begin).Round(time.Millisecond))
}

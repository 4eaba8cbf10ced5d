package run

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"mergebot/hub"
)

// far is a way to the Hub that takes a while and counts what goes over it.
type far struct {
	delay    time.Duration
	requests atomic.Int64
}

func (f *far) RoundTrip(r *http.Request) (*http.Response, error) {
	f.requests.Add(1)
	select {
	case <-time.After(f.delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return http.DefaultTransport.RoundTrip(r)
}

// BenchmarkResolve plans over the tiny family with an empty cache and with a known one, near and far from the Hub.
// On two cores and 200 ms away it takes 1.0 s and 0.6 s, five and three answers one after another (2.2 s and 1.4 s when a
// model's questions, and the data sets, waited for each other); next to the Hub hundredths of a second.
func BenchmarkResolve(b *testing.B) {
	family, recipe := openFamily(b, nil), parse(b, familyRecipe)
	for name, delay := range map[string]time.Duration{"near": 0, "200ms": 200 * time.Millisecond} {
		for _, again := range []bool{false, true} {
			b.Run(name+map[bool]string{true: "/again", false: "/first"}[again], func(b *testing.B) {
				way := &far{delay: delay}
				cache := b.TempDir()
				env := family.env(b)
				resolve := func() {
					var err error
					if env.Hub, err = hub.New(hub.Options{Endpoint: family.URL, Cache: cache, Anonymous: true, HTTP: &http.Client{Transport: way}}); err != nil {
						b.Fatal(err)
					}
					if _, err := Resolve(b.Context(), env, recipe, nil); err != nil {
						b.Fatal(err)
					}
				}
				if again {
					resolve()
					way.requests.Store(0)
				}
				n := 0
				for b.Loop() {
					if !again {
						cache = b.TempDir()
					}
					n++
					resolve()
				}
				b.ReportMetric(float64(way.requests.Load())/float64(n), "requests/op")
			})
		}
	}
}

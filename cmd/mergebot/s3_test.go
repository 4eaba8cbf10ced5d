//go:build linux

package main

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mergebot/bot/run"
	"mergebot/hub/bucket"
	"mergebot/hub/bucket/buckettest"
	"mergebot/hub/embedded"
)

// s3Recipe has its models in a bucket.
const s3Recipe = `
merge_method: dppa
base_model: s3://models/tiny/base
models:
  - {model: s3://models/tiny/math, parameters: {density: 0.2, ratios: [1.5, 1.1]}}
  - {model: s3://models/tiny/finance, parameters: {density: 0.2, ratios: [1.2, 0.8]}}
  - {model: s3://models/tiny/law, parameters: {density: 0.2, ratios: [1.3, 0.9]}}
dtype: float16
`

// TestS3KilledAndRunAgain runs with models and storage on a real S3 server, which answers badly, and is killed again and
// again: what it leaves is what a run left that nobody disturbed.
func TestS3KilledAndRunAgain(t *testing.T) {
	server := buckettest.Start(t)
	for _, v := range buckettest.Env(server.Endpoint) {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	l, err := bucket.Parse("s3://models")
	if err != nil {
		t.Fatal(err)
	}
	models, err := bucket.Open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	defer models.Close()
	seed := familySeed(t)
	for _, name := range []string{"base", "math", "finance", "law"} {
		buckettest.PutFolder(t, models, "tiny/"+name+"/", filepath.Join(seed, "models", "tiny", name))
	}
	far := func(p *buckettest.Proxy, prefix string) place {
		at := newPlace(t, &embedded.Running{URL: "http://127.0.0.1:1"}, s3Recipe) // no hub is needed
		at.env = append(at.env, buckettest.Env(p.URL)...)
		at.env = append(at.env, "MERGEBOT_STORAGE=s3://storage/"+prefix+"?endpoint="+url.QueryEscape(p.URL), "MERGEBOT_BUCKET_CACHE="+at.path("buckets"))
		return at
	}
	args := []string{"run", "recipe.yaml", "--out", "out", "--shard-size", "200000", "-q"}

	calm := buckettest.Before(t, server.Endpoint)
	quiet := far(calm, "quiet")
	quiet.do(t, nil, args...)
	total := calm.Requests.Load()

	storm := buckettest.Before(t, server.Endpoint)
	storm.Busy.Store(11)
	storm.Cut.Store(5)
	storm.Lost.Store(6)
	rough := far(storm, "rough")
	kills := 0
	var said strings.Builder
	for _, after := range []int64{3, 9, total / 4, total / 3, total / 2, 0} {
		begin := storm.Requests.Load()
		reached := make(chan struct{})
		seen := func(n int64) {
			if n == begin+after {
				close(reached)
			}
		}
		storm.Seen.Store(&seen)
		c := rough.start(t, nil, args...)
		select {
		case <-reached:
			_ = c.Process.Kill()
			<-c.ended
			kills++
		case <-c.ended:
			if !c.ProcessState.Success() {
				t.Fatalf("%v\n%s", c.ProcessState, &c.out)
			}
		}
		said.WriteString(c.out.String())
	}
	t.Logf("%d kills, %d of %d requests harmed; undisturbed it took %d", kills, storm.Harmed.Load(), storm.Requests.Load(), total)
	if kills < 4 || storm.Harmed.Load() < 10 {
		t.Error("there was little trouble")
	}
	same(t, "model/", sums(t, quiet.path("work", "out", "model")), sums(t, rough.path("work", "out", "model")))
	sameWork(t, s3Ledger(t, "s3://storage/quiet"), s3Ledger(t, "s3://storage/rough"))
	if left, _ := filepath.Glob(rough.path("buckets", "parts", "*.part")); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}

	// The key that the server knows is nowhere.
	for dir, files := range map[string]map[string][]byte{"out": tree(t, rough.path("work")), "storage": tree(t, server.Folder("storage")), "cache": tree(t, rough.path("buckets"))} {
		for name, b := range files {
			if strings.Contains(string(b), buckettest.SecretKey) {
				t.Errorf("%s/%s holds the secret key", dir, name)
			}
		}
	}
	if strings.Contains(said.String(), buckettest.SecretKey) {
		t.Error("the secret key was printed")
	}

	// What was locked says where the models came from, and binds the next run to it.
	provenance := rough.path("work", "out", "model", "provenance.json")
	b, err := os.ReadFile(provenance)
	if err != nil || !strings.Contains(string(b), `"s3://models/tiny/math"`) {
		t.Errorf("provenance.json: %v\n%s", err, b)
	}
	locked := []string{"run", "recipe.yaml", "--lock", provenance, "--out", "again", "-q"}
	rough.do(t, nil, locked...)
	if err := models.WriteAll(t.Context(), "tiny/math/config.json", []byte(`{"model_type": "llama", "hidden_size": 1}`), nil); err != nil {
		t.Fatal(err)
	}
	c := rough.start(t, nil, locked...)
	<-c.ended
	if out := c.out.String(); c.ProcessState.Success() || !strings.Contains(out, "holds other files") {
		t.Errorf("%v\n%s", c.ProcessState, out)
	}
}

// s3Ledger reads the ledger of a storage.
func s3Ledger(t *testing.T, location string) map[string]string {
	t.Helper()
	s, err := run.OpenStorage(location)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	names, err := s.List(t.Context(), "ledger/")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range slices.Sorted(slices.Values(names)) {
		b, _, err := s.ReadBytes(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(strings.TrimPrefix(name, "ledger/"), ".json")] = string(b)
	}
	return out
}

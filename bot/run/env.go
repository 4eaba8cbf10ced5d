// Package run takes a recipe through the steps of a merge: resolve, fetch, measure, search, merge,
// evaluate, gate, publish, report. Each step is one function from plain data to plain data; a ledger
// in blob storage remembers what is done, so that a killed run goes on where it was and no step is
// ever done twice.
package run

import (
	"runtime/debug"
	"sync"

	"mergebot/hub"
	"mergebot/hub/bucket"
	"mergebot/merge/kernel"
)

// Env is what runs stand on: the Hub, storage, a device, an engine.
type Env struct {
	Hub     *hub.Client
	Buckets *bucket.Client // of checkpoints; nil: none are read
	Storage *Storage
	Device  kernel.Device
	// Engines that answer the tasks' prompts.
	Engines Engines
	// ShardSize is the largest size of an output file, in bytes.
	ShardSize int64
	// Observe sees every event as it happens. It must not block.
	Observe func(Event)
	// Redact takes secrets out of a text: every text of events and records goes through it before it is kept or shown.
	// nil changes nothing.
	Redact func(string) string
	// Work is where output folders are made, for a plan's look at the free disk; "" is the current folder.
	Work string

	// Hashes of local checkpoints.
	Hashes Hashes

	downloads downloads
}

// downloads passes the Hub client's progress on to the step that waits for it.
type downloads struct {
	mu       sync.Mutex
	watchers map[hub.Repo]func(done, total int64)
}

// HubProgress is to be given to the Hub client as its Progress option.
func (e *Env) HubProgress(p hub.Progress) {
	if p.Path != "" {
		return
	}
	e.downloads.mu.Lock()
	watch := e.downloads.watchers[p.Repo]
	e.downloads.mu.Unlock()
	if watch != nil {
		watch(p.Done, p.Total)
	}
}

// watchHub sends the progress of one repo's transfer to watch, until the returned function is called.
func (e *Env) watchHub(r hub.Repo, watch func(done, total int64)) (stop func()) {
	e.downloads.mu.Lock()
	defer e.downloads.mu.Unlock()
	if e.downloads.watchers == nil {
		e.downloads.watchers = map[hub.Repo]func(int64, int64){}
	}
	e.downloads.watchers[r] = watch
	return func() {
		e.downloads.mu.Lock()
		defer e.downloads.mu.Unlock()
		delete(e.downloads.watchers, r)
	}
}

// Version of this program: the module's version, with the commit where the build knows it.
func Version() string {
	b, ok := debug.ReadBuildInfo()
	if !ok || b.Main.Version == "" || b.Main.Version == "(devel)" {
		return "0.1.0-dev"
	}
	return b.Main.Version
}

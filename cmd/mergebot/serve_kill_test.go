//go:build linux

package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"mergebot/bot/github/githubtest"
)

// TestServeKilled tells the story to a daemon that is killed again and again: it ends the same.
func TestServeKilled(t *testing.T) {
	t.Parallel()
	m := newTeam(t, teamOptions{})
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("MERGEBOT_TEST_SEED"); v != "" {
		fmt.Sscan(v, &seed)
	}
	kills := randomKills
	if testing.Short() {
		kills = 5
	}
	t.Logf("kills: MERGEBOT_TEST_SEED=%d", seed)
	m.up()
	killer := newDaemonKiller(m, seed)
	m.gh.BeforeAnswer(killer.write)
	go killer.work(kills)
	t.Cleanup(killer.stop)
	m.story()
	killer.stop()
	m.gh.BeforeAnswer(nil)
	again := 0
	for _, r := range m.records() {
		again += max(0, r.Begun-1)
	}
	t.Logf("%d kills in %d pieces of work, %d of them before the answer to a write; runs were taken up again %d times",
		killer.struck, killer.done(), killer.unheard, again)
	if killer.struck < kills {
		t.Errorf("the story was over after %d kills of %d", killer.struck, kills)
	}
	m.ended()
}

// daemonKiller kills the daemon at random moments and starts it again.
type daemonKiller struct {
	team    *team
	rand    *rand.Rand
	struck  int
	unheard int // kills that struck between a write and its answer
	over    chan struct{}
	stopped chan struct{}
	written chan chan struct{} // a write that waits for the kill; closed, it goes on

	mu    sync.Mutex
	armed bool            // the next write to GitHub waits
	first map[string]bool // so does the first of each of these
}

func newDaemonKiller(m *team, seed uint64) *daemonKiller {
	return &daemonKiller{
		team: m, rand: rand.New(rand.NewPCG(seed, 0)), over: make(chan struct{}), stopped: make(chan struct{}), written: make(chan chan struct{}),
		first: map[string]bool{"POST comments": true, "POST check-runs": true, "POST reactions": true},
	}
}

// write keeps the answer to a write back until the daemon that wrote is no more, when that is to be killed so: what was
// done and not heard of is what is easily done twice.
func (k *daemonKiller) write(r githubtest.Request) {
	kind := r.Method + " " + path.Base(r.Path)
	k.mu.Lock()
	wanted := k.armed || k.first[kind]
	delete(k.first, kind)
	k.armed = k.armed && !wanted
	k.mu.Unlock()
	if !wanted {
		return
	}
	killed := make(chan struct{})
	select {
	case k.written <- killed:
		<-killed
	case <-k.over:
	case <-k.stopped:
	}
}

// stop lets the daemon live.
func (k *daemonKiller) stop() {
	select {
	case <-k.over:
	default:
		close(k.over)
	}
	<-k.stopped
}

func (k *daemonKiller) work(kills int) {
	defer close(k.stopped)
	for k.struck < kills {
		killed, ok := k.wait()
		if !ok {
			return
		}
		k.team.down(os.Kill)
		k.struck++
		if killed != nil {
			k.unheard++
			close(killed)
		}
		k.alone()
		k.team.up()
	}
}

// wait waits for a random moment: now and then while the daemon starts, or before it hears of the next write, else after
// some more has been done. What is done are writes to GitHub and events of runs: their number hardly depends on the
// machine and on the kills, so that these lie all over the story. It is false when the story is over; killed is of the
// write that is not heard of.
func (k *daemonKiller) wait() (killed chan struct{}, ok bool) {
	gap := 1 + k.rand.IntN(2*storyLength/randomKills-2)
	late := time.Duration(k.rand.Int64N(int64(300 * time.Millisecond)))
	switch k.rand.IntN(6) {
	case 0:
		gap = 0
	case 1, 2:
		k.mu.Lock()
		k.armed = true
		k.mu.Unlock()
		gap = math.MaxInt
	}
	done := k.done()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for k.done()-done < gap {
		select {
		case <-tick.C:
		case killed := <-k.written:
			return killed, true
		case <-k.over:
			return nil, false
		}
	}
	select {
	case <-time.After(late):
		return nil, true
	case killed := <-k.written:
		return killed, true
	case <-k.over:
		return nil, false
	}
}

// storyLength is how much is done in the story, at least.
const storyLength = 80

func (k *daemonKiller) done() int { return k.team.gh.Written() + k.events() }

func (k *daemonKiller) events() int {
	files, _ := filepath.Glob(k.team.path("storage", "runs", "*", "events", "*.json"))
	return len(files)
}

// alone makes sure that what the daemon had started ends with it.
func (k *daemonKiller) alone() {
	for until := time.Now().Add(10 * time.Second); len(k.team.processes()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			k.team.t.Errorf("processes %v outlive the daemon", k.team.processes())
			return
		}
	}
}

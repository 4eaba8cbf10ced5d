package bot

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A poll of hundreds of open changes asks the forge for their list, and nothing about those that stand still.
func TestManyOpenChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.still, b.poll = 0, 200*time.Millisecond
	const open, recipes = 300, 20
	var ids []string
	for i := range open {
		path := fmt.Sprintf("docs/%d.md", i)
		if i < recipes {
			path = fmt.Sprintf("recipes/%d.yaml", i)
		}
		ids = append(ids, b.forge.Propose("author", false, map[string]string{path: recipeFor(fmt.Sprint("m", i), "0.5")}))
	}
	b.start()
	for _, id := range ids[:recipes] {
		b.planned(id)
		b.says(id, "/mergebot run")
	}
	b.eventually("all stand still", func() bool {
		for _, id := range ids {
			if _, still := b.daemon.sight.still(id); !still {
				return false
			}
		}
		return b.daemon.queue.length() == 0
	})
	b.polls(2) // what was in line by then
	before, asked, writes := b.forge.Reads(), b.requests(), b.forge.Writes("comment")
	b.polls(4)
	after := b.forge.Reads()
	polls := after["Open"] - before["Open"]
	for method, n := range after {
		most := 0
		if method == "Open" || method == "Head" { // of all changes, of the default branch
			most = polls + 1
		}
		if n-before[method] > most {
			t.Errorf("%d calls of %s in %d polls of %d changes that stand still", n-before[method], method, polls, open)
		}
	}
	if n := b.requests() - asked; n != 0 {
		t.Errorf("%d requests to the Hub", n)
	}
	if n := b.forge.Writes("comment") - writes; n != 0 {
		t.Errorf("%d writes of comments", n)
	}
	if k := b.answered(ids[3], b.forge.Say(ids[3], "maintainer", "/mergebot help")); k.Refused { // the list says that it moved
		t.Errorf("%+v", k)
	}
	if n := b.forge.Reads()["Comments"] - before["Comments"]; n > 3 {
		t.Errorf("one comment had %d changes read", n)
	}
}

// polls waits for that many more polls.
func (b *bench) polls(n int) {
	b.t.Helper()
	goal := b.forge.Reads()["Open"] + n
	b.eventually("polls", func() bool { return b.forge.Reads()["Open"] >= goal && b.daemon.queue.length() == 0 })
}

// requests is how often the Hub was asked.
func (b *bench) requests() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

// Daemons that come and go leave nothing behind. Not parallel: it counts what the process has.
func TestNothingLeaks(t *testing.T) {
	b := newBench(t, map[string]string{"README.md": "recipes"})
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	b.start()
	k := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot run "+b.planned(id)))
	b.over(k.Run)
	b.stop()
	settled := func() (int, int) {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		return runtime.NumGoroutine(), descriptors()
	}
	time.Sleep(100 * time.Millisecond)
	goroutines, files := settled()
	for range 50 {
		b.start()
		b.eventually("it looks", func() bool { return b.daemon.ready(t.Context()) == nil && b.forge.Reads()["Open"] > 0 })
		b.stop()
	}
	b.eventually("all goroutines end", func() bool { n, f := settled(); return n <= goroutines+3 && f <= files+3 })
}

// descriptors is how many files are open; 0 where that is not told.
func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// What fails in between is not what a scheduled run is set beside.
func TestPreviousHasScores(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	b.eventually("the first look", func() bool { return b.main().Head != "" })
	scheduled := recipeFor("nightly", "0.5") + "  schedule: \"0 2 * * *\"\n"
	first := b.release("recipes/n.yaml", b.forge.Push(map[string]string{"recipes/n.yaml": scheduled}))
	rewind := func() {
		b.stop()
		m := b.main()
		m.Recipes[0].Ticked = time.Now().Add(-48 * time.Hour)
		if err := b.storage.Put(t.Context(), "bot/main.json", m); err != nil {
			t.Fatal(err)
		}
		b.start()
	}
	b.deleteModel("tiny/math")
	rewind()
	b.eventually("a scheduled run that cannot be planned", func() bool { return b.main().Recipes[0].Run != first.ID })
	failed := b.over(b.main().Recipes[0].Run)
	if !strings.Contains(failed.Error, "tiny/math") {
		t.Errorf("ended as %s: %s", failed.State, failed.Error)
	}
	b.deleteModel("")
	rewind()
	b.eventually("the next one", func() bool { r := b.main().Recipes[0].Run; return r != first.ID && r != failed.ID })
	if r := b.over(b.main().Recipes[0].Run); r.State != "succeeded" {
		t.Errorf("ended as %s: %s", r.State, r.Error)
	}
	if r := b.main().Recipes[0]; r.Previous != first.ID {
		t.Errorf("the run is set beside %s, not %s", r.Previous, first.ID)
	}
}

// deleteModel makes the Hub deny a model; "" none.
func (b *bench) deleteModel(repo string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = repo
}

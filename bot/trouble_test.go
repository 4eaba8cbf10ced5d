package bot

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mergebot/bot/forge"
	"mergebot/bot/lease"
	"mergebot/bot/run"
)

// killed leaves storage as it is at this moment to a daemon of its own: what a kill would leave. The daemon that goes on
// is stopped; release lets its runs go.
func (b *bench) killed(release func()) {
	b.t.Helper()
	copied := filepath.Join(b.t.TempDir(), "storage")
	if err := os.CopyFS(copied, os.DirFS(strings.TrimPrefix(b.storage.URL(), "file://"))); err != nil {
		b.t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(copied, "bot", "leases", "daemon")); err != nil {
		b.t.Fatal(err)
	}
	if release != nil {
		time.AfterFunc(50*time.Millisecond, release)
	}
	b.stop()
	var err error
	if b.storage, err = run.OpenStorage(copied); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.storage.Close() })
}

// edit changes what the bot knows while no daemon runs.
func (b *bench) edit(key string, v any, change func()) {
	b.t.Helper()
	if ok, err := b.storage.Get(b.t.Context(), key, v); err != nil || !ok {
		b.t.Fatalf("%s: %v, %v", key, ok, err)
	}
	change()
	if err := b.storage.Put(b.t.Context(), key, v); err != nil {
		b.t.Fatal(err)
	}
}

// A branch goes on after it was merged: what the merge releases is none of its business.
func TestPushAfterMerge(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	b.planned(id)
	release := b.hold()
	defer release()
	commit := b.forge.Merge(id)
	b.eventually("the release goes on, and the change knows", func() bool {
		c := b.change(id)
		return len(c.Runs) == 1 && b.record(c.Runs[0]).State == run.Running
	})
	b.forge.Reopen(id, map[string]string{"recipes/a.yaml": recipeFor("one", "0.6")})
	b.planned(id)
	release()
	if r := b.release("recipes/a.yaml", commit); r.State != run.Succeeded || r.Result == nil {
		t.Errorf("the release ended as %s: %s", r.State, r.Error)
	}
}

// A cancel that was answered holds, whatever comes after.
func TestCancelIsKept(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	plan := b.planned(id)
	release := b.hold()
	defer release()
	k := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot run "+plan))
	b.eventually("the run goes on", func() bool { return b.record(k.Run).State == run.Running })
	if c := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot cancel")); c.Refused {
		t.Fatalf("%+v", c)
	}
	b.killed(release)
	b.start()
	if r := b.over(k.Run); r.State != run.Cancelled || !strings.Contains(r.Error, "maintainer") {
		t.Errorf("the cancelled run ended as %s: %s", r.State, r.Error)
	}
	again := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot run "+plan))
	if again.Refused {
		t.Fatalf("a cancelled run cannot be asked for again: %+v", again)
	}
	if r := b.over(again.Run); r.State != run.Succeeded {
		t.Errorf("ended as %s: %s", r.State, r.Error)
	}
}

// Who cancels and asks again in the same breath gets a run.
func TestRunAfterCancel(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	plan := b.planned(id)
	release := b.hold()
	defer release()
	first := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot run "+plan))
	b.eventually("the run goes on", func() bool { return b.record(first.Run).State == run.Running })
	twice := b.forge.Say(id, "maintainer", "/mergebot run "+plan)
	cancel := b.forge.Say(id, "maintainer", "/mergebot cancel")
	again := b.forge.Say(id, "maintainer", "/mergebot run "+plan)
	if k := b.answered(id, twice); !k.Refused {
		t.Errorf("the same twice: %+v", k)
	}
	if k := b.answered(id, cancel); k.Refused {
		t.Errorf("cancel: %+v", k)
	}
	k := b.answered(id, again)
	release()
	if k.Refused {
		t.Fatalf("run after cancel: %+v", k)
	}
	if r := b.over(first.Run); r.State != run.Cancelled {
		t.Errorf("the first ended as %s: %s", r.State, r.Error)
	}
	if r := b.over(k.Run); r.State != run.Succeeded {
		t.Errorf("the second ended as %s: %s", r.State, r.Error)
	}
}

// A queued run is cancelled at once.
func TestCancelQueued(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	plan := b.planned(id)
	release := b.hold()
	defer release()
	first := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot run "+plan))
	b.eventually("the run goes on", func() bool { return b.record(first.Run).State == run.Running })
	second := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot try "+plan))
	if second.Refused {
		t.Fatalf("%+v", second)
	}
	b.answered(id, b.forge.Say(id, "maintainer", "/mergebot cancel"))
	if r := b.record(second.Run); r.State != run.Cancelled {
		t.Errorf("the queued run is %s", r.State)
	}
	release()
	if r := b.over(first.Run); r.State != run.Cancelled {
		t.Errorf("the other ended as %s", r.State)
	}
}

// What unlock gives back is not said to be held.
func TestUnlock(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	plan := b.planned(id)
	k := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot run "+plan))
	b.over(k.Run)
	b.says(id, "Holds the lock of")
	if k := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot unlock")); k.Refused {
		t.Errorf("%+v", k)
	}
	if held, err := lease.Peek(t.Context(), b.storage, lockName("acme/one")); err != nil || held != nil {
		t.Errorf("held: %v, %v", held, err)
	}
	b.eventually("the comment does not say that it holds the lock", func() bool {
		return len(b.forge.Living(id)) == 1 && !strings.Contains(b.forge.Living(id)[0], "Holds the lock of")
	})
}

// How it ended is told, whatever happened between the end and the telling.
func TestEndIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	b.says(id, b.planned(id))
	b.forge.Fail("comment", &forge.Later{Until: time.Now().Add(time.Hour), Err: errors.New("bad gateway")})
	commit := b.forge.Merge(id)
	b.release("recipes/a.yaml", commit)
	b.eventually("the change knows its run", func() bool { return len(b.change(id).Runs) == 1 })
	b.eventually("the queue is idle", func() bool { return b.record(b.change(id).Runs[0]).State.Over() })
	time.Sleep(200 * time.Millisecond) // looks that might forget it
	b.killed(nil)
	b.forge.Fail("comment", nil)
	b.start()
	b.says(id, "Published as")
	b.eventually("final", func() bool { return b.change(id).Final })
}

// What cannot be written for good does not keep the rest from being told.
func TestLockedConversation(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.forge.Fail("comment", fmt.Errorf("%w: the conversation is locked", forge.ErrForbidden))
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	b.planned(id)
	if c := b.check(b.head(id), "mergebot/plan: recipes/a.yaml"); c.State != forge.Success {
		t.Errorf("%+v", c)
	}
}

// A merge overtaken by another: its commit's check does not go on for ever, and each commit is told once.
func TestOvertakenMerge(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	b.eventually("the first look", func() bool { return b.main().Head != "" })
	release := b.hold()
	defer release()
	first := b.forge.Push(map[string]string{"recipes/a.yaml": recipeFor("one", "0.5"), "recipes/b.yaml": recipeFor("two", "0.5")})
	b.eventually("it is pending", func() bool {
		c, ok := b.forge.CheckAt(first, "mergebot/run")
		return ok && c.State == forge.Pending
	})
	second := b.forge.Push(map[string]string{"recipes/a.yaml": recipeFor("one", "0.6"), "recipes/b.yaml": ""})
	b.eventually("the second is taken", func() bool { return b.main().Head == second })
	release()
	if r := b.release("recipes/a.yaml", second); r.State != run.Succeeded {
		t.Errorf("ended as %s: %s", r.State, r.Error)
	}
	if c := b.check(second, "mergebot/run"); c.State != forge.Success {
		t.Errorf("the second commit's check: %+v", c)
	}
	if c := b.check(first, "mergebot/run"); c.State == forge.Success {
		t.Errorf("the first commit's check: %+v", c)
	}
}

// A plan that was reviewed is what is released, also when the Hub went away after it.
func TestOutageAfterReview(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	b.planned(id)
	reviewed := b.change(id).Plans[0].Plan
	b.unplug(http.StatusUnauthorized) // an outage, too, and one that is not waited for
	b.forge.Push(map[string]string{"README.md": "the base moves, so it is planned again"})
	b.eventually("the outage is seen", func() bool { return b.change(id).Plans[0].Outage != "" })
	commit := b.forge.Merge(id)
	b.eventually("the merge is seen", func() bool { return b.main().Head == commit && b.change(id).State == forge.Merged })
	b.unplug(0)
	b.moveModel("tiny/math")
	r := b.release("recipes/a.yaml", commit)
	if r.State != run.Succeeded || r.Plan != reviewed.ID {
		t.Errorf("released plan %s as %s: %s; reviewed was %s", r.Plan, r.State, r.Error, reviewed.ID)
	}
	if r.Origin.Change != id {
		t.Errorf("it is not known that #%s brought it: %+v", id, r.Origin)
	}
	b.says(id, "Published as")
}

// A merge whose recipe cannot be planned is told, too.
func TestMergedButUnusable(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": strings.Replace(recipeFor("one", "0.5"), "tiny/law", "tiny/nobody", 1)})
	b.says(id, "cannot be planned")
	commit := b.forge.Merge(id)
	b.eventually("final", func() bool { return b.change(id).Final })
	if c := b.check(commit, "mergebot/run"); c.State != forge.Failure || !strings.Contains(c.Title+c.Summary, "tiny/nobody") {
		t.Errorf("the merge commit's check: %+v", c)
	}
	b.says(id, "Nothing was published")
	page, err := http.Get("http://" + b.daemon.o.Listener.Addr().String() + "/runs/" + b.main().Recipes[0].Run)
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	if text, err := io.ReadAll(page.Body); err != nil || page.StatusCode != http.StatusOK || !strings.Contains(string(text), "tiny/nobody") {
		t.Errorf("the page of a run without a plan: %s, %v", page.Status, err)
	}
}

// A comment that comes into sight after a later one is heard.
func TestLateComment(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	b.planned(id)
	b.answered(id, b.forge.Say(id, "maintainer", "/mergebot help"))
	late := b.forge.SayAt(id, "maintainer", "/mergebot unlock", b.change(id).Seen.Add(-2*time.Second))
	if k := b.answered(id, late); k.Refused {
		t.Errorf("%+v", k)
	}
	b.forge.SayAt(id, "maintainer", "the same second", b.change(id).Seen)
	same := b.forge.SayAt(id, "maintainer", "/mergebot help", b.change(id).Seen)
	b.answered(id, same)
	if n := len(b.change(id).Commands); n != 3 {
		t.Errorf("%d commands were heard, want 3", n)
	}
}

// A change that is deleted with all that was said under it comes to its end.
func TestDeletedChange(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	b.says(id, b.planned(id))
	b.forge.Fail("comment", fmt.Errorf("%w: comment", forge.ErrNotFound))
	b.forge.Delete(id)
	b.eventually("final", func() bool { return b.change(id).Final })
}

// A release that was queued before the program was updated is no stale plan: its commits are what counts.
func TestReleaseAfterUpdate(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	b.eventually("the first look", func() bool { return b.main().Head != "" })
	release := b.hold()
	defer release()
	commit := b.forge.Push(map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	b.eventually("the release goes on", func() bool {
		m := b.main()
		return len(m.Recipes) == 1 && m.Recipes[0].Run != "" && b.record(m.Recipes[0].Run).State == run.Running
	})
	id := b.main().Recipes[0].Run
	time.AfterFunc(50*time.Millisecond, release)
	b.stop()
	var plan map[string]any
	b.edit("runs/"+id+"/plan.json", &plan, func() { plan["id"] = strings.Repeat("5", 64) }) // another engine makes another id
	b.start()
	if r := b.release("recipes/a.yaml", commit); r.State != run.Succeeded || r.Result == nil {
		t.Errorf("ended as %s: %s", r.State, r.Error)
	}
}

// Killed between a failure for want of the network and the next try of it.
func TestKilledBeforeRetry(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	b.eventually("the first look", func() bool { return b.main().Head != "" })
	release := b.hold()
	defer release()
	commit := b.forge.Push(map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	b.eventually("the release goes on", func() bool {
		m := b.main()
		return len(m.Recipes) == 1 && m.Recipes[0].Run != "" && b.record(m.Recipes[0].Run).State == run.Running
	})
	id := b.main().Recipes[0].Run
	b.killed(release)
	if err := run.SetState(t.Context(), b.storage, id, run.RunFailed, "the hub could not be reached"); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.eventually("it is tried again", func() bool { return b.record(id).State == run.Succeeded })
	if r := b.release("recipes/a.yaml", commit); r.Result == nil {
		t.Errorf("%+v", r)
	}
}

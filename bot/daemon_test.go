package bot

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/bot/run"
	"mergebot/hub"
)

// A pull request from its first plan to the published model.
func TestPullRequest(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	plan := b.planned(id)
	head := b.change(id).Head
	b.says(id, plan)
	check := b.check(head, "mergebot/plan: recipes/a.yaml")
	if check.State != forge.Success {
		t.Errorf("the plan's check is %s: %s", check.State, check.Title)
	}

	stranger := b.forge.Say(id, "stranger", "/mergebot run "+plan)
	if k := b.answered(id, stranger); !k.Refused || k.Run != "" || k.React != forge.ThumbsDown {
		t.Errorf("a stranger's run: %+v", k)
	}
	nonsense := b.forge.Say(id, "maintainer", "/mergebot rnu "+plan)
	if k := b.answered(id, nonsense); !k.Refused || k.React != forge.Confused {
		t.Errorf("nonsense: %+v", k)
	}
	wrong := b.forge.Say(id, "maintainer", "/mergebot run 000000000000-000000000000")
	if k := b.answered(id, wrong); !k.Refused || !strings.Contains(k.Answer, "no plan") {
		t.Errorf("an unknown plan: %+v", k)
	}
	asked := b.forge.Say(id, "maintainer", "/mergebot run "+plan)
	k := b.answered(id, asked)
	if k.Refused || k.Run == "" {
		t.Fatalf("the run: %+v", k)
	}
	if r := b.over(k.Run); r.State != run.Succeeded || r.Result != nil || r.Publish {
		t.Fatalf("the run ended as %+v", r)
	}
	if n := b.published("acme/one"); n != 0 {
		t.Fatalf("a run of a pull request published %d commits", n)
	}
	b.eventually("the run's check", func() bool {
		c, ok := b.forge.CheckAt(head, "mergebot/run")
		return ok && c.State == forge.Success
	})
	again := b.forge.Say(id, "maintainer", "/mergebot run "+plan)
	if k := b.answered(id, again); !k.Refused || !strings.Contains(k.Answer, "has done that") {
		t.Errorf("the same run again: %+v", k)
	}

	commit := b.forge.Merge(id)
	r := b.release("recipes/a.yaml", commit)
	if r.State != run.Succeeded || r.Kind != run.Release || r.Origin.Change != id || r.Result == nil {
		t.Fatalf("the release ended as %+v", r)
	}
	if n := b.published("acme/one"); n != 1 {
		t.Errorf("%d commits are published, want 1", n)
	}
	b.says(id, "acme/one")
	b.eventually("the change is final", func() bool { return b.change(id).Final })
	if c := b.check(commit, "mergebot/run"); c.State != forge.Success {
		t.Errorf("the merge commit's check is %s: %s", c.State, c.Title)
	}
	b.nothingTwice()
}

func TestRecipesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	good := recipeFor("one", "0.5")
	for _, c := range []struct {
		name, text, want string
		line             int
	}{
		{"key", strings.Replace(good, "dtype:", "dtpye:", 1), `unknown key "dtpye"`, 6},
		{"local", strings.Replace(good, "tiny/law", "./law", 1), "a folder of one machine", 5},
		{"target", strings.Replace(good, "acme/one", "other/one", 1), "publishing to other/one is not allowed", 8},
		{"model", strings.Replace(good, "tiny/law", "tiny/nobody", 1), "tiny/nobody", 5},
		{"YAML", "merge_method: [", "not YAML", 1},
	} {
		id := b.forge.Propose("author", false, map[string]string{"recipes/" + c.name + ".yaml": c.text})
		head := b.head(id)
		var check forge.Check
		b.eventually(c.name, func() bool {
			var ok bool
			check, ok = b.forge.CheckAt(head, "mergebot/plan: recipes/"+c.name+".yaml")
			return ok && check.State != forge.Pending
		})
		if check.State != forge.Failure || len(check.Annotations) == 0 {
			t.Errorf("%s: %+v", c.name, check)
			continue
		}
		if a := check.Annotations[0]; a.Line != c.line || !strings.Contains(a.Message+a.Title, c.want) {
			t.Errorf("%s: annotated at %d: %s; want %d: %s", c.name, a.Line, a.Message, c.line, c.want)
		}
	}
	id := b.forge.Propose("author", false, map[string]string{"docs/notes.md": "no recipe"})
	b.forge.Say(id, "maintainer", "/mergebot help")
	other := b.forge.Propose("author", false, map[string]string{"recipes/z.yaml": good})
	b.planned(other) // by then the other has been looked at, too, or will be at the next poll
	time.Sleep(200 * time.Millisecond)
	if n := len(b.forge.Living(id)); n != 0 {
		t.Errorf("a change without recipes got %d comments", n)
	}
}

// What was approved is what is run, or nothing.
func TestStale(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	old := b.planned(id)
	b.forge.Amend(id, map[string]string{"recipes/a.yaml": recipeFor("one", "0.6")})
	now := b.planned(id)
	if now == old {
		t.Fatal("another recipe has the same plan id")
	}
	if k := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot run "+old)); !k.Refused || !strings.Contains(k.Answer, "stale") {
		t.Errorf("the old plan: %+v", k)
	}
	edited := b.forge.Say(id, "maintainer", "looks good")
	b.forge.Edit(id, edited, "/mergebot run "+now)

	release := b.hold()
	defer release()
	k := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot run "+now))
	b.eventually("the run goes on", func() bool { return b.record(k.Run).State == run.Running })
	b.forge.Amend(id, map[string]string{"README.md": "a push that changes no recipe"})
	third := b.planned(id)
	if third == now || third[:12] != now[:12] {
		t.Errorf("the same recipe at another commit: %s after %s", third, now)
	}
	release()
	if r := b.over(k.Run); r.State != run.Cancelled || !strings.Contains(r.Error, "superseded") {
		t.Errorf("the run of an old commit ended as %s: %s", r.State, r.Error)
	}
	if k := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot try "+now)); !k.Refused {
		t.Errorf("the stale plan: %+v", k)
	}
	for _, k := range b.change(id).Commands {
		if k.Comment == edited {
			t.Errorf("an edited comment was heard: %+v", k)
		}
	}
	// Another pull request is merged: the base is another one, and so is the plan.
	b.forge.Push(map[string]string{"README.md": "main moves on"})
	b.eventually("planned on the new base", func() bool { return b.change(id).Plans[0].ID != third })
}

func TestLocks(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	first := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	second := b.forge.Propose("author", false, map[string]string{"recipes/b.yaml": recipeFor("One", "0.7")}) // the Hub's names know no case
	planA, planB := b.planned(first), b.planned(second)
	release := b.hold()
	defer release()
	k := b.answered(first, b.forge.Say(first, "maintainer", "/mergebot run "+planA))
	if k.Refused {
		t.Fatalf("%+v", k)
	}
	if k := b.answered(second, b.forge.Say(second, "maintainer", "/mergebot run "+planB)); !k.Refused || !strings.Contains(k.Answer, "#"+first) {
		t.Errorf("a second claim on the target: %+v", k)
	}
	b.forge.Close(first)
	release()
	if r := b.over(k.Run); r.State != run.Cancelled || !strings.Contains(r.Error, "closed") {
		t.Errorf("the run of a closed change ended as %s: %s", r.State, r.Error)
	}
	b.eventually("the first change is final", func() bool { return b.change(first).Final })
	k = b.answered(second, b.forge.Say(second, "maintainer", "/mergebot run "+planB))
	if k.Refused {
		t.Fatalf("after the first was closed: %+v", k)
	}
	if r := b.over(k.Run); r.State != run.Succeeded {
		t.Errorf("ended as %s: %s", r.State, r.Error)
	}
}

// What people wait for is told when the forge is back, and said once.
func TestOutage(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	plan := b.planned(id)
	release := b.hold()
	defer release()
	k := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot run "+plan))
	b.eventually("the run goes on", func() bool { return b.record(k.Run).State == run.Running })
	b.forge.Down(&forge.Later{Until: time.Now().Add(time.Second), Err: errors.New("bad gateway")})
	release()
	if r := b.over(k.Run); r.State != run.Succeeded {
		t.Fatalf("without the forge the run ended as %s: %s", r.State, r.Error)
	}
	head := b.head0(id)
	b.forge.Down(nil)
	b.eventually("the result is told", func() bool {
		c, ok := b.forge.CheckAt(head, "mergebot/run")
		return ok && c.State == forge.Success
	})
	if n := len(b.forge.Living(id)); n != 1 {
		t.Errorf("%d comments", n)
	}
}

// A daemon that is stopped in the middle of a run goes on with it when it is started again.
func TestRestart(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	plan := b.planned(id)
	release := b.hold()
	k := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot run "+plan))
	b.eventually("the run goes on", func() bool { return b.record(k.Run).State == run.Running })
	time.AfterFunc(100*time.Millisecond, release) // a step in progress is waited for
	b.stop()
	if r := b.record(k.Run); r.State != run.Queued {
		t.Fatalf("after the stop the run is %s: %s", r.State, r.Error)
	}
	commit := b.forge.Merge(id) // meanwhile
	b.start()
	if r := b.release("recipes/a.yaml", commit); r.State != run.Succeeded || r.Result == nil {
		t.Fatalf("ended as %s: %s", r.State, r.Error)
	}
	if r := b.over(k.Run); r.State != run.Cancelled && r.State != run.Succeeded {
		t.Errorf("the run before the merge ended as %s: %s", r.State, r.Error)
	}
	if n := b.published("acme/one"); n != 1 {
		t.Errorf("%d commits published", n)
	}
	b.eventually("final", func() bool { return b.change(id).Final })
	b.nothingTwice()
}

func TestForks(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("stranger", true, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	plan := b.planned(id)
	if c := b.change(id); c.Trusted != "" {
		t.Errorf("a fork is trusted at once: %+v", c)
	}
	if k := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot plan deadbeefdeadbeefdeadbeefdeadbeefdeadbeef")); !k.Refused {
		t.Errorf("vouched for another commit: %+v", k)
	}
	head := b.head(id)
	if k := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot plan "+head)); k.Refused {
		t.Errorf("vouching: %+v", k)
	}
	if c := b.change(id); c.Trusted != head {
		t.Errorf("trusted is %q", c.Trusted)
	}
	b.forge.Amend(id, map[string]string{"recipes/a.yaml": recipeFor("one", "0.9")})
	if b.planned(id) == plan {
		t.Error("same plan")
	}
	if c := b.change(id); c.Trusted == c.Head {
		t.Error("the next commit of the fork is trusted, too")
	}
}

// A schedule looks whether anything has moved, and runs only then.
func TestSchedule(t *testing.T) {
	t.Parallel()
	scheduled := recipeFor("nightly", "0.5") + "  schedule: \"0 2 * * *\"\n"
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	b.eventually("the first look", func() bool { return b.main().Head != "" }) // what is there at the first look is not run
	first := b.release("recipes/n.yaml", b.forge.Push(map[string]string{"recipes/n.yaml": scheduled}))
	if first.State != run.Succeeded {
		t.Fatalf("ended as %s: %s", first.State, first.Error)
	}
	rewind := func() { // as if the last look had been two days ago
		t.Helper()
		b.stop()
		m, _, err := change.ReadMain(t.Context(), b.storage)
		if err != nil {
			t.Fatal(err)
		}
		m.Recipes[0].Ticked = time.Now().Add(-48 * time.Hour)
		if err := change.WriteMain(t.Context(), b.storage, m); err != nil {
			t.Fatal(err)
		}
		b.start()
	}
	rewind()
	b.eventually("skipped, and said so", func() bool {
		return strings.Contains(b.main().Recipes[0].Note, "nothing has moved since run "+first.ID)
	})
	if r := b.main().Recipes[0]; r.Run != first.ID {
		t.Errorf("it ran although nothing moved: %+v", r)
	}
	repo := hub.Repo{Type: hub.Model, ID: "tiny/math"}
	if _, err := b.client.Upload(t.Context(), repo, hub.Upload{Message: "card", Files: []hub.LocalFile{{Path: "README.md", Data: []byte("---\nlicense: apache-2.0\n---\nmoved\n")}}}); err != nil {
		t.Fatal(err)
	}
	rewind()
	b.eventually("a scheduled run", func() bool { return b.main().Recipes[0].Run != first.ID })
	r := b.over(b.main().Recipes[0].Run)
	if r.Kind != run.Scheduled || r.State != run.Succeeded || r.Plan == first.Plan {
		t.Errorf("ended as %+v", r)
	}
}

// Two daemons on one storage: the second waits until the first has ended.
func TestOneDaemon(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	first := b.stop
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	b.planned(id)
	b.start()
	writes := b.forge.Writes("comment")
	other := b.forge.Propose("author", false, map[string]string{"recipes/b.yaml": recipeFor("two", "0.5")})
	b.planned(other)
	b.says(other, "mergebot")
	first()
	third := b.forge.Propose("author", false, map[string]string{"recipes/c.yaml": recipeFor("three", "0.5")})
	b.planned(third)
	b.says(third, "mergebot")
	if got := b.forge.Writes("comment"); got <= writes {
		t.Errorf("%d writes after %d", got, writes)
	}
	b.stop()
}

func (b *bench) main() *change.Main {
	b.t.Helper()
	m, _, err := change.ReadMain(b.t.Context(), b.storage)
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

// check waits for a check.
func (b *bench) check(sha, name string) forge.Check {
	b.t.Helper()
	var c forge.Check
	b.eventually("check "+name, func() bool {
		var ok bool
		c, ok = b.forge.CheckAt(sha, name)
		return ok && c.State != forge.Pending
	})
	return c
}

func (b *bench) head(id string) string {
	b.t.Helper()
	c, err := b.forge.Change(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return c.Head
}

// head0 is what the bot knows as the head.
func (b *bench) head0(id string) string { return b.change(id).Head }

// nothingTwice holds the ledger to its promise.
func (b *bench) nothingTwice() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for step, n := range b.finished {
		if n > 1 {
			b.t.Errorf("%s was done %d times", step, n)
		}
	}
}

// published counts the commits that a run has made in a repository.
func (b *bench) published(repo string) int {
	b.t.Helper()
	records, err := run.Records(b.t.Context(), b.storage, "", 0)
	if err != nil {
		b.t.Fatal(err)
	}
	commits := map[string]bool{}
	for _, r := range records {
		if r.Result != nil && strings.EqualFold(r.Result.Repo, repo) {
			commits[r.Result.Commit] = true
		}
	}
	if _, err := b.client.Info(b.t.Context(), hub.Repo{Type: hub.Model, ID: repo}, ""); (err == nil) != (len(commits) > 0) {
		b.t.Errorf("%s: on the hub: %v; by the records %d commits", repo, err, len(commits))
	}
	return len(commits)
}

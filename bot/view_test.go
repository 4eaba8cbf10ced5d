package bot

import (
	"strings"
	"testing"
	"time"

	"mergebot/bot/change"
	"mergebot/bot/run"
)

// A storage that belongs to another repository is not taken for this one's.
func TestStorageOfAnotherRepository(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	b.start()
	b.eventually("the first look", func() bool { return b.main().Head != "" })
	b.stop()
	var m change.Main
	b.edit("bot/main.json", &m, func() { m.Repo, m.Head, m.Recipes = "acme/others", "0000", nil })
	err := b.startError()
	if err == nil || !strings.Contains(err.Error(), "acme/others") {
		t.Errorf("started with %v", err)
	}
	b.edit("bot/main.json", &m, func() { m.Repo = "Acme/Recipes" })
	b.start() // GitHub's names know no case
	b.eventually("it is taken up", func() bool { return b.main().Head != "0000" })
}

// What a wider setting, or another default branch, brings into view was there before: it is not run.
func TestNewlyInView(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5"), "more/b.yaml": recipeFor("two", "0.5")})
	b.start()
	b.eventually("the first look", func() bool { return len(b.main().Recipes) == 1 })
	b.stop()
	b.recipes = []string{"recipes/**", "more/**"}
	c := b.forge.Push(map[string]string{"recipes/c.yaml": recipeFor("three", "0.5")})
	b.start()
	b.release("recipes/c.yaml", c)
	m := b.main()
	if len(m.Recipes) != 3 || m.Recipes[0].Path != "more/b.yaml" || m.Recipes[0].Run != "" || m.Recipes[0].Wanted.Run != "" {
		t.Errorf("%+v", m.Recipes)
	}
	b.stop()
	var main change.Main
	b.edit("bot/main.json", &main, func() { main.Branch, main.Head, main.Recipes = "trunk", "0000", main.Recipes[1:] })
	b.start()
	b.eventually("the branch is looked at", func() bool { return b.main().Branch == "main" && len(b.main().Recipes) == 3 })
	if r := b.main().Recipes[0]; r.Run != "" || r.Wanted.Run != "" {
		t.Errorf("what was on another branch is run: %+v", r)
	}
}

// A clock that was wrong for a while does not end a schedule.
func TestClockThatJumped(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"recipes/n.yaml": recipeFor("nightly", "0.5") + "  schedule: \"* * * * *\"\n"})
	b.start()
	b.eventually("the first look", func() bool { return len(b.main().Recipes) == 1 && !b.main().Recipes[0].Ticked.IsZero() })
	b.stop()
	var m change.Main
	b.edit("bot/main.json", &m, func() { m.Recipes[0].Ticked = time.Now().AddDate(1, 0, 0) })
	b.start()
	b.eventually("the schedule counts from now", func() bool { return b.main().Recipes[0].Ticked.Before(time.Now().Add(time.Minute)) })
}

// A check that somebody asks for again is written again, though it says the same.
func TestCheckAskedForAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	b.planned(id)
	b.check(b.head(id), "mergebot/plan: recipes/a.yaml")
	b.eventually("told", func() bool { return len(b.change(id).Told.Checks) == 1 })
	before := b.forge.Writes("check")
	if err := b.daemon.planAgain(t.Context(), rerequested(id)); err != nil {
		t.Fatal(err)
	}
	b.eventually("the check is written again", func() bool { return b.forge.Writes("check") > before })
}

// A pull request that goes elsewhere says so; back again, it goes on.
func TestRetargeted(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	plan := b.planned(id)
	release := b.hold()
	defer release()
	k := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot run "+plan))
	b.eventually("the run goes on", func() bool { return b.record(k.Run).State == run.Running })
	b.forge.Retarget(id, "next")
	b.says(id, "Goes to `next`")
	release()
	if r := b.over(k.Run); r.State != run.Cancelled || !strings.Contains(r.Error, "next") {
		t.Errorf("ended as %s: %s", r.State, r.Error)
	}
	b.forge.Retarget(id, "main")
	b.eventually("it is seen to be back", func() bool { return !strings.Contains(b.forge.Living(id)[0], "Goes to") })
	if k := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot run "+plan)); k.Refused {
		t.Errorf("%+v", k)
	}
}

// Closed and opened again: what was said meanwhile is answered, and nothing of it is done later.
func TestReopened(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"README.md": "recipes"})
	b.start()
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5")})
	plan := b.planned(id)
	b.says(id, plan)
	b.forge.Close(id)
	b.says(id, "Closed without being merged")
	b.eventually("final", func() bool { return b.change(id).Final })
	comment := b.forge.Say(id, "maintainer", "/mergebot run "+plan)
	b.daemon.heardOf(id) // as a webhook does
	if k := b.answered(id, comment); !k.Refused || !strings.Contains(k.Answer, "closed") {
		t.Errorf("a command under a closed pull request: %+v", k)
	}
	b.forge.Reopen(id, nil)
	b.says(id, "/mergebot run")
	if k := b.answered(id, b.forge.Say(id, "maintainer", "/mergebot run "+plan)); k.Refused || b.over(k.Run).State != run.Succeeded {
		t.Errorf("%+v", k)
	}
}

// Two recipes that publish to one repository replace each other: the plan warns.
func TestOneTargetTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"recipes/z.yaml": recipeFor("Three", "0.5")})
	b.start()
	b.eventually("the first look", func() bool { return b.main().Head != "" })
	id := b.forge.Propose("author", false, map[string]string{"recipes/a.yaml": recipeFor("one", "0.5"), "recipes/b.yaml": recipeFor("One", "0.6"),
		"recipes/c.yaml": recipeFor("three", "0.7")})
	b.planned(id)
	for i, other := range []string{"recipes/b.yaml", "recipes/a.yaml", "recipes/z.yaml"} {
		if w := strings.Join(b.change(id).Plans[i].Plan.Warnings, "\n"); !strings.Contains(w, other+" publishes to") {
			t.Errorf("recipe %d: warnings %q do not name %s", i, w, other)
		}
	}
	renamed := b.forge.Propose("author", false, map[string]string{"recipes/z.yaml": "", "recipes/y.yaml": recipeFor("three", "0.5")})
	b.eventually("the renamed one is planned", func() bool { return len(b.change(renamed).Plans) == 2 })
	for _, p := range b.change(renamed).Plans {
		if p.Plan != nil && len(p.Plan.Warnings) > 0 {
			t.Errorf("a renamed recipe: %q", p.Plan.Warnings)
		}
	}
}

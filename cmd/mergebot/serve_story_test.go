//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mergebot/bot/github/githubtest"
	"mergebot/bot/lease"
	"mergebot/bot/run"
	"mergebot/hub/embedded"
)

// TestServeStory is a day in the life of a team, told once from the first pull request to the published model.
func TestServeStory(t *testing.T) {
	t.Parallel()
	m := newTeam(t, teamOptions{})
	m.up()
	m.ready()
	m.story()
	m.ended()
}

// story tells it. It waits for what must come and never for time to pass: the daemon may be killed at any moment of it.
func (m *team) story() {
	t, gh := m.t, m.gh
	t.Helper()
	scene := func(name string) { t.Logf("%s  %s", time.Now().Format("05.000"), name) }

	scene("a pull request with a good recipe gets a plan, in a comment and in a check")
	begin := time.Now()
	head := gh.Push("maria", "good", map[string]string{"recipes/good.yaml": goodRecipe("acme/merged", 10)})
	good := gh.Open("maria", "good", "A merge")
	first := m.planID(good)
	m.check(head, "mergebot/plan: recipes/good.yaml", "success")
	t.Logf("planned and told in %.1f s", time.Since(begin).Seconds())

	scene("one with a bad key, and one with a foreign target, get their errors on the line")
	recipe := strings.Replace(goodRecipe("acme/bad", 10), "dtype:", "dtypo:", 1) +
		"  engine: http://bot:" + urlPassword + "@127.0.0.1:1/v1\n"
	head = gh.Push("ola", "bad", map[string]string{"recipes/bad.yaml": recipe})
	bad := gh.Open("ola", "bad", "A slip")
	c := m.check(head, "mergebot/plan: recipes/bad.yaml", "failure")
	if len(c.Annotations) == 0 || c.Annotations[0].Path != "recipes/bad.yaml" || c.Annotations[0].Line != lineOf(recipe, "dtypo") || !strings.Contains(c.Annotations[0].Message, "dtypo") {
		t.Errorf("the annotations are %+v", c.Annotations)
	}
	recipe = goodRecipe("evil/merged", 10)
	head = gh.Push("ola", "outside", map[string]string{"recipes/outside.yaml": recipe})
	outside := gh.Open("ola", "outside", "Elsewhere")
	c = m.check(head, "mergebot/plan: recipes/outside.yaml", "failure")
	if len(c.Annotations) != 1 || c.Annotations[0].Line != lineOf(recipe, "publish:") || !strings.Contains(c.Annotations[0].Message, "serve.publish_to") {
		t.Errorf("the annotations are %+v", c.Annotations)
	}

	scene("a stranger is refused, an edited comment ignored, a maintainer heard")
	refused := gh.Comment("eve", good, "/mergebot try "+first)
	m.reaction(refused, "-1")
	m.says(good, "eve", "only people who may write")
	edited := gh.Comment("maria", good, "Nice.")
	gh.EditComment("maria", edited, "/mergebot run "+first)
	asked := gh.Comment("ola", good, "/mergebot try "+first)
	m.reaction(asked, "+1")
	if r := m.ran(good, run.Try, first, run.Succeeded); r.Limit != 4 || r.Publish {
		t.Errorf("the trial is %+v", r)
	}

	scene("a push makes a plan stale")
	gh.Push("maria", "good", map[string]string{"recipes/good.yaml": goodRecipe("acme/merged", 12)})
	second := m.planID(good, first)
	stale := gh.Comment("maria", good, "/mergebot run "+first)
	m.reaction(stale, "-1")
	m.says(good, "is stale")

	scene("GitHub is down while the run goes on: nothing is lost")
	m.reaction(gh.Comment("maria", good, "/mergebot run "+second), "+1")
	gh.Down(true)
	m.ran(good, run.Full, second, run.Succeeded)
	gh.Down(false)
	m.check(gh.Branch("good"), "mergebot/run", "success")

	scene("a push after the run makes it stale; the lock is still held")
	head = gh.Push("maria", "good", map[string]string{"README.md": "# Recipes\n\nAnd a word.\n"})
	third := m.planID(good, first, second)
	m.reaction(gh.Comment("ola", good, "/mergebot run "+second), "-1")
	gh.Push("ola", "rival", map[string]string{"recipes/rival.yaml": goodRecipe("acme/merged", 11)})
	rival := gh.Open("ola", "rival", "The same target")
	m.reaction(gh.Comment("ola", rival, "/mergebot run "+m.planID(rival)), "-1")
	m.says(rival, fmt.Sprintf("#%d", good))
	m.reaction(gh.Comment("ola", good, "/mergebot run "+third), "+1")
	m.ran(good, run.Full, third, run.Succeeded)
	m.check(head, "mergebot/run", "success")

	scene("a fork is planned without the bot's token, until a maintainer vouches for its commit")
	private := strings.ReplaceAll(goodRecipe("acme/fork", 10), "tiny/finance", "tiny/law")
	private = strings.NewReplacer("finance:", "law:", "fpb", "scotus", "domain: finance", "domain: law").Replace(private)
	fork := gh.OpenFork("eve", "mine", "From outside", map[string]string{"recipes/fork.yaml": private})
	forked := gh.Pull(fork).Head.SHA
	m.check(forked, "mergebot/plan: recipes/fork.yaml", "failure")
	m.reaction(gh.Comment("eve", fork, "/mergebot plan "+forked), "-1")
	m.reaction(gh.Comment("maria", fork, "/mergebot plan "+forked), "+1")
	m.check(forked, "mergebot/plan: recipes/fork.yaml", "success")

	scene("closing ends a run and gives its lock back")
	m.faults.Add(embedded.Fault{Kind: embedded.FaultStall, Path: "/lfs/*", After: 1 << 10, Delay: time.Hour, Count: -1})
	bound := m.planID(fork)
	m.reaction(gh.Comment("maria", fork, "/mergebot run "+bound), "+1")
	m.ran(fork, run.Full, bound, run.Running)
	gh.Close("maria", fork)
	m.ran(fork, run.Full, bound, run.Cancelled)
	m.faults.Clear()
	m.unlocked("acme/fork")
	m.says(fork, "losed")

	scene("what is merged is published, once, and everybody hears of it")
	merged := gh.Merge("maria", good, githubtest.Squash)
	m.says(good, "Published as", "acme/merged")
	m.check(merged, "mergebot/run", "success")
	m.unlocked("acme/merged")
	if got := gh.Reactions(edited); len(got) > 0 {
		t.Errorf("an edited comment got %q", got)
	}
	for n, login := range map[int]string{bad: "ola", outside: "ola", rival: "ola"} {
		gh.Close(login, n)
		m.says(n, "losed")
	}
}

func lineOf(text, part string) int {
	return 1 + slices.IndexFunc(strings.Split(text, "\n"), func(line string) bool { return strings.Contains(line, part) })
}

// unlocked waits until nobody has a lock on a target.
func (m *team) unlocked(target string) {
	m.t.Helper()
	s, err := run.OpenStorage(m.path("storage"))
	if err != nil {
		m.t.Fatal(err)
	}
	defer s.Close()
	m.until("the lock on "+target, func() string {
		held, err := lease.Peek(m.t.Context(), s, "target/"+target)
		if err != nil || held != nil {
			return fmt.Sprintf("held: %+v, %v", held, err)
		}
		return ""
	})
}

// ended looks at what the story has left behind, however it came to its end.
func (m *team) ended() {
	t := m.t
	t.Helper()
	pages := m.pages()
	m.down(os.Interrupt)
	if titles := m.history("acme/merged"); len(titles) != 2 { // the repository's own, and the model
		t.Errorf("the history on the hub is %q", titles)
	}
	for _, target := range []string{"acme/old", "acme/bad", "acme/fork", "evil/merged"} {
		if titles := m.history(target); len(titles) > 0 {
			t.Errorf("%s was published: %q", target, titles)
		}
	}
	var kinds []string
	for _, r := range m.records() {
		kinds = append(kinds, fmt.Sprintf("#%s %s %s", r.Origin.Change, r.Kind, r.State))
	}
	slices.Sort(kinds)
	want := []string{"#1 publish succeeded", "#1 run succeeded", "#1 run succeeded", "#1 try succeeded", "#5 run cancelled"}
	if !slices.Equal(kinds, want) {
		t.Errorf("the runs are %q, want %q", kinds, want)
	}
	m.finishedOnce()
	for n := 1; n <= 5; n++ {
		if all := m.gh.CommentsBy(m.bot(), n); len(all) != 1 {
			t.Errorf("#%d has %d comments of the bot", n, len(all))
		}
		names := map[string]int{}
		for _, c := range m.gh.AllChecks(m.gh.Pull(n).Head.SHA) {
			names[c.Name]++
		}
		// A check that had annotations is followed by another of its name when the plan becomes good: the fork's.
		for name, count := range names {
			if n != 5 && count > 1 || count > 2 {
				t.Errorf("#%d has %d checks %s", n, count, name)
			}
		}
	}
	m.secrets(pages)
}

// finishedOnce counts how often each piece of work was finished, over all runs. A merged model lies in a folder of its
// plan: another plan with the same model makes it there.
func (m *team) finishedOnce() {
	m.t.Helper()
	where := map[string][]string{}
	for _, e := range m.events(m.t) {
		if e.Phase != run.Finished || e.Key == "" || e.Step == "resolve" || e.Step == "report" { // these belong to every run
			continue
		}
		work := e.Step + " " + e.Key
		if e.Step == "merge" {
			_, plan, _ := strings.Cut(filepath.Base(filepath.Dir(filepath.Dir(e.file))), "-")
			_, plan, _ = strings.Cut(plan, "-")
			work += " of plan " + plan
		}
		where[work] = append(where[work], e.file)
	}
	if len(where) < 6 {
		m.t.Errorf("only %d pieces of work in the logs", len(where))
	}
	for work, files := range where {
		if len(files) > 1 {
			m.t.Errorf("%s was finished %d times:\n%s", work, len(files), strings.Join(files, "\n"))
		}
	}
}

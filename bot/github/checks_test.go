package github

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	gh "github.com/google/go-github/v60/github"

	"mergebot/bot/forge"
)

// board is the check runs of a repository, as GitHub keeps them: annotations are added, never taken away.
type board struct {
	mu   sync.Mutex
	runs []*gh.CheckRun
	loseAfter,
	loseBefore bool
	largest int // number of annotations that came in one request
}

func (b *board) merge(run *gh.CheckRun, o gh.UpdateCheckRunOptions) {
	if o.Status != nil {
		run.Status, run.Conclusion = o.Status, o.Conclusion
	}
	if o.DetailsURL != nil {
		run.DetailsURL = o.DetailsURL
	}
	if o.Output == nil {
		return
	}
	some := o.Output.Annotations
	b.largest = max(b.largest, len(some))
	if run.Output != nil {
		some = append(run.Output.Annotations[:len(run.Output.Annotations):len(run.Output.Annotations)], some...)
	}
	run.Output = &gh.CheckRunOutput{Title: o.Output.Title, Summary: o.Output.Summary, Annotations: some, AnnotationsCount: gh.Int(len(some))}
}

func (b *board) add(app int64, name, sha, status string, annotations ...*gh.CheckRunAnnotation) *gh.CheckRun {
	run := &gh.CheckRun{ID: gh.Int64(int64(len(b.runs) + 1)), Name: &name, HeadSHA: &sha, Status: &status, App: &gh.App{ID: &app},
		Output: &gh.CheckRunOutput{Annotations: annotations, AnnotationsCount: gh.Int(len(annotations))}}
	b.runs = append(b.runs, run)
	return run
}

// serve it as app 12 sees it.
func (b *board) serve(f *fake) {
	locked := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			b.mu.Lock()
			defer b.mu.Unlock()
			h(w, r)
		}
	}
	show := func(run *gh.CheckRun) *gh.CheckRun { // the annotations themselves have a route of their own
		c, o := *run, *run.Output
		o.Annotations = nil
		c.Output = &o
		return &c
	}
	byID := func(w http.ResponseWriter, r *http.Request) *gh.CheckRun {
		for _, run := range b.runs {
			if strconv.FormatInt(run.GetID(), 10) == r.PathValue("id") {
				return run
			}
		}
		write(w, 404, obj{"message": "Not Found"})
		return nil
	}
	f.on("GET", "commits/{sha}/check-runs", locked(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("filter") != "all" || q.Get("app_id") != "12" {
			f.t.Errorf("asked for %s", r.URL.RawQuery)
		}
		found := []*gh.CheckRun{}
		for _, run := range b.runs {
			if run.GetHeadSHA() == r.PathValue("sha") && run.GetName() == q.Get("check_name") {
				found = append(found, show(run))
			}
		}
		write(w, 200, obj{"total_count": len(found), "check_runs": found})
	}))
	f.on("POST", "check-runs", locked(func(w http.ResponseWriter, r *http.Request) {
		o := read[gh.CreateCheckRunOptions](f.t, r)
		if b.loseBefore {
			b.loseBefore = false
			hangUp(w, r)
		}
		run := b.add(12, o.Name, o.HeadSHA, o.GetStatus())
		run.ExternalID, run.StartedAt, run.CompletedAt = o.ExternalID, o.StartedAt, o.CompletedAt
		b.merge(run, gh.UpdateCheckRunOptions{Status: o.Status, Conclusion: o.Conclusion, DetailsURL: o.DetailsURL, Output: o.Output})
		if b.loseAfter {
			b.loseAfter = false
			hangUp(w, r)
		}
		write(w, 201, show(run))
	}))
	f.on("GET", "check-runs/{id}", locked(func(w http.ResponseWriter, r *http.Request) {
		if run := byID(w, r); run != nil {
			write(w, 200, show(run))
		}
	}))
	f.on("PATCH", "check-runs/{id}", locked(func(w http.ResponseWriter, r *http.Request) {
		if run := byID(w, r); run != nil {
			b.merge(run, read[gh.UpdateCheckRunOptions](f.t, r))
			write(w, 200, show(run))
		}
	}))
	f.on("GET", "check-runs/{id}/annotations", locked(func(w http.ResponseWriter, r *http.Request) {
		if run := byID(w, r); run != nil {
			page, _ := strconv.Atoi(r.URL.Query().Get("page"))
			all := run.Output.Annotations
			first := min((page-1)*perPage, len(all))
			write(w, 200, append([]*gh.CheckRunAnnotation{}, all[first:min(first+perPage, len(all))]...))
		}
	}))
}

func newBoard(t *testing.T) (*fake, *board, *Client) {
	f, b := newFake(t), &board{}
	f.installed(time.Hour)
	b.serve(f)
	return f, b, f.client(asApp)
}

func remarks(n int) []forge.Annotation {
	out := make([]forge.Annotation, n)
	for i := range out {
		out[i] = forge.Annotation{Path: "recipes/a.yaml", Line: i + 1, Column: 3, Title: "unknown key", Message: fmt.Sprintf("remark %d", i), Warning: i%2 == 1}
	}
	return out
}

func check(state forge.CheckState, annotations ...forge.Annotation) forge.Check {
	return forge.Check{Commit: shaA, Name: "mergebot/plan: recipes/a.yaml", State: state, Title: "a title", Summary: "a *summary*", URL: "https://bot.example/x", Annotations: annotations}
}

func TestSetCheck(t *testing.T) {
	f, b, c := newBoard(t)
	n, err := c.SetCheck(bg, 0, check(forge.Pending))
	ok(t, err)
	if run := b.runs[0]; run.GetStatus() != "in_progress" || run.Conclusion != nil || run.StartedAt == nil || run.CompletedAt != nil ||
		run.GetExternalID() != check("").Name || run.GetDetailsURL() != "https://bot.example/x" || run.Output.GetTitle() != "a title" || run.Output.GetSummary() != "a *summary*" {
		t.Errorf("%v", run)
	}
	for state, want := range map[forge.CheckState]string{forge.Success: "success", forge.Failure: "failure", forge.Neutral: "cancelled"} {
		m, err := c.SetCheck(bg, n, check(state))
		if ok(t, err); m != n || b.runs[0].GetStatus() != "completed" || b.runs[0].GetConclusion() != want {
			t.Errorf("check %d: %v", m, b.runs[0])
		}
	}
	if m, err := c.SetCheck(bg, 0, check(forge.Success)); err != nil || m != n || len(b.runs) != 1 { // found by its name
		t.Errorf("check %d, %v", m, err)
	}
	if m, err := c.SetCheck(bg, 99, check(forge.Success)); err != nil || m != n || len(b.runs) != 1 { // no such id
		t.Errorf("check %d, %v", m, err)
	}
	m, err := c.SetCheck(bg, n, check(forge.Pending)) // again: one that has ended stays ended
	if ok(t, err); m == n || len(b.runs) != 2 || b.runs[0].GetStatus() != "completed" {
		t.Errorf("check %d", m)
	}
	if again, err := c.SetCheck(bg, n, check(forge.Pending)); err != nil || again != m || len(b.runs) != 2 { // told twice, with the old id
		t.Errorf("check %d, %v", again, err)
	}
	other := check(forge.Success)
	other.Commit = shaB
	if m, err := c.SetCheck(bg, n, other); err != nil || m != 3 { // the id is of another commit
		t.Errorf("check %d, %v", m, err)
	}
	other.Commit = "main"
	_, err = c.SetCheck(bg, 0, other)
	wantErr(t, err, forge.ErrNotFound)
	if n := f.count("POST " + repoPath + "/check-runs"); n != 3 {
		t.Errorf("%d made", n)
	}
}

func TestSetCheckLeavesOthersAlone(t *testing.T) {
	_, b, c := newBoard(t)
	b.add(99, check("").Name, shaA, "in_progress") // of another app, should GitHub list it all the same
	n, err := c.SetCheck(bg, 0, check(forge.Success))
	ok(t, err)
	if n != 2 || b.runs[0].GetStatus() != "in_progress" {
		t.Errorf("check %d: %v", n, b.runs[0])
	}
}

func TestAnnotations(t *testing.T) {
	for _, n := range []int{1, 50, 51, 100, 101, 230} {
		_, b, c := newBoard(t)
		bad := check(forge.Failure, remarks(n)...)
		id, err := c.SetCheck(bg, 0, bad)
		ok(t, err)
		for _, known := range []int64{0, id} { // told again: nothing twice
			if again, err := c.SetCheck(bg, known, bad); err != nil || again != id {
				t.Errorf("check %d, %v", again, err)
			}
		}
		if len(b.runs) != 1 || len(b.runs[0].Output.Annotations) != n || b.largest > 50 {
			t.Fatalf("%d: %d checks, %d annotations, up to %d at once", n, len(b.runs), len(b.runs[0].Output.Annotations), b.largest)
		}
		for i, a := range b.runs[0].Output.Annotations {
			level := "failure"
			if i%2 == 1 {
				level = "warning"
			}
			if a.GetStartLine() != i+1 || a.GetEndLine() != i+1 || a.GetStartColumn() != 3 || a.GetEndColumn() != 3 || a.GetAnnotationLevel() != level ||
				a.GetMessage() != fmt.Sprintf("remark %d", i) || a.GetTitle() != "unknown key" || a.GetPath() != "recipes/a.yaml" {
				t.Fatalf("%d: %v", i, a)
			}
		}
	}
}

func TestAnnotationsThatNoLongerHold(t *testing.T) {
	_, b, c := newBoard(t)
	id, err := c.SetCheck(bg, 0, check(forge.Failure, remarks(3)...))
	ok(t, err)
	grown, err := c.SetCheck(bg, id, check(forge.Failure, remarks(5)...))
	if ok(t, err); grown != id || len(b.runs[0].Output.Annotations) != 5 {
		t.Errorf("check %d: %v", grown, b.runs)
	}
	fixed, err := c.SetCheck(bg, id, check(forge.Success)) // annotations cannot be taken away: a new one
	if ok(t, err); fixed == id || len(b.runs) != 2 || b.runs[1].GetConclusion() != "success" || len(b.runs[1].Output.Annotations) != 0 {
		t.Errorf("check %d: %v", fixed, b.runs)
	}
	if again, err := c.SetCheck(bg, id, check(forge.Success)); err != nil || again != fixed || len(b.runs) != 2 {
		t.Errorf("check %d, %v", again, err)
	}
}

func TestSetCheckAfterALostAnswer(t *testing.T) {
	for _, arrived := range []bool{true, false} {
		_, b, c := newBoard(t)
		b.loseAfter, b.loseBefore = arrived, !arrived
		bad := check(forge.Failure, remarks(60)...)
		_, err := c.SetCheck(bg, 0, bad)
		wantLater(t, err)
		_, err = c.SetCheck(bg, 0, bad)
		ok(t, err)
		if len(b.runs) != 1 || len(b.runs[0].Output.Annotations) != 60 {
			t.Errorf("%d checks, %d annotations", len(b.runs), len(b.runs[0].Output.Annotations))
		}
	}
}

func TestCheckTextsFit(t *testing.T) {
	_, b, c := newBoard(t)
	long := check(forge.Failure, forge.Annotation{Path: "a", Title: strings.Repeat("ü", 300), Message: strings.Repeat("ü", 60000)}, forge.Annotation{Path: "a", Line: 2})
	long.Summary, long.URL, long.Title = strings.Repeat("ü", 40000)+"x", "page/x", ""
	_, err := c.SetCheck(bg, 0, long)
	ok(t, err)
	out := b.runs[0].Output
	if s := out.GetSummary(); len(s) > maxSummary || len(s) < maxSummary-10 || !utf8.ValidString(s) || !strings.HasSuffix(s, "…") {
		t.Errorf("a summary of %d bytes", len(s))
	}
	if a := out.Annotations[0]; len(a.GetTitle()) > 255 || len(a.GetMessage()) > 64<<10 || !utf8.ValidString(a.GetTitle()+a.GetMessage()) || a.GetStartLine() != 1 || a.StartColumn != nil {
		t.Errorf("a title of %d, a message of %d bytes", len(a.GetTitle()), len(a.GetMessage()))
	}
	if out.Annotations[1].GetMessage() == "" || out.GetTitle() != long.Name || b.runs[0].DetailsURL != nil {
		t.Errorf("%v", b.runs[0])
	}
}

func TestAppWithoutTheRightToChecks(t *testing.T) {
	f := newFake(t)
	f.installed(time.Hour)
	f.json("GET", "commits/"+shaA+"/check-runs", obj{"check_runs": []obj{}})
	f.fails("POST", "check-runs", 403)
	_, err := f.client(asApp).SetCheck(bg, 0, check(forge.Success)) // no status: the app should be given the right
	wantErr(t, err, forge.ErrForbidden, "write check")
}

// statuses of a commit as GitHub keeps them.
func serveStatuses(f *fake) *[]obj {
	all := &[]obj{}
	f.json("GET", "commits/"+shaA+"/check-runs", obj{"check_runs": []obj{}})
	f.fails("GET", "check-runs/5", 404)
	f.on("POST", "check-runs", answers(403, obj{"message": "You must authenticate via a GitHub App."}))
	f.on("GET", "commits/"+shaA+"/status", func(w http.ResponseWriter, _ *http.Request) {
		newest := map[any]obj{}
		for _, s := range *all {
			newest[s["context"]] = s
		}
		out := []obj{}
		for _, s := range newest {
			out = append(out, s)
		}
		write(w, 200, obj{"statuses": out})
	})
	f.on("POST", "statuses/"+shaA, func(w http.ResponseWriter, r *http.Request) {
		s := read[obj](f.t, r)
		*all = append(*all, s)
		write(w, 201, s)
	})
	return all
}

func TestStatusesTakeThePlaceOfChecks(t *testing.T) {
	f := newFake(t)
	all := serveStatuses(f)
	c := f.client()
	for i, state := range []forge.CheckState{forge.Pending, forge.Success, forge.Failure, forge.Neutral} {
		for range 2 { // told twice
			k := check(state, remarks(2)...)
			k.Title = strings.Repeat("ü", 139) + "xyz"
			id, err := c.SetCheck(bg, 5, k)
			if ok(t, err); id != 0 {
				t.Errorf("id %d", id)
			}
		}
		want := []string{"pending", "success", "failure", "error"}[i]
		if len(*all) != i+1 {
			t.Fatalf("%d statuses", len(*all))
		}
		s := (*all)[i]
		if s["state"] != want || s["context"] != check("").Name || s["target_url"] != "https://bot.example/x" || utf8.RuneCountInString(s["description"].(string)) != 140 {
			t.Errorf("%v", s)
		}
	}
	if n := f.count("POST " + repoPath + "/check-runs"); n != 1 {
		t.Errorf("%d tries to write a check", n)
	}
}

func TestTokenThatIsRefusedWritesNoStatus(t *testing.T) {
	f := newFake(t)
	f.fails("GET", "commits/"+shaA+"/check-runs", 401)
	_, err := f.client().SetCheck(bg, 0, check(forge.Success))
	wantErr(t, err, forge.ErrForbidden, "not accepted")
	f = newFake(t)
	f.fails("GET", "commits/"+shaA+"/check-runs", 502)
	_, err = f.client().SetCheck(bg, 0, check(forge.Success))
	wantLater(t, err)
	if f.writes() != 0 || errors.Is(err, forge.ErrForbidden) {
		t.Errorf("%q, %v", f.requests(), err)
	}
}

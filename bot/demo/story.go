package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/go-git/go-git/v5/plumbing"

	"mergebot/bot/change"
	"mergebot/bot/run"
	"mergebot/eval/report"
)

// one takes a recipe from its branch to the published model, or finds that done.
func one(ctx context.Context, o Options, t *team, d *daemon, name string) (run.Record, *report.Report, error) {
	text, err := recipes.ReadFile(path.Join("recipes", name+".yaml"))
	if err != nil {
		return run.Record{}, nil, err
	}
	if o.Full {
		text = []byte(strings.Replace(string(text), "    limit: 100\n", "    limit: 0\n", 1))
	}
	file := "recipes/" + name + ".yaml"
	rec, err := d.done(ctx, t, file, text)
	if err != nil {
		return rec, nil, err
	}
	if rec.State == run.Succeeded {
		o.Log("merged and published before, by run %s: nothing to do", rec.ID)
	} else if rec, err = d.tell(ctx, o, t, name, file, text, rec); err != nil {
		return rec, nil, err
	}
	r, ok, err := run.ReadReport(ctx, d.storage, rec.ID)
	if err != nil || !ok {
		return rec, nil, errors.Join(fmt.Errorf("run %s has no report", rec.ID), err)
	}
	return rec, r, link(filepath.Join(o.Out, "models", name), filepath.Join(rec.Out, "model"))
}

// done finds the run of a recipe that is merged as it is, and waits for its end; an empty record when it is to be
// merged yet. After a run that failed the recipe counts as it is, too: its last line says how often.
func (d *daemon) done(ctx context.Context, t *team, file string, text []byte) (run.Record, error) {
	now, err := t.read(mainBranch, file)
	if err != nil || !strings.HasPrefix(now, string(text)) {
		return run.Record{}, err
	}
	return d.released(ctx, file, blobOf([]byte(now)))
}

// tell is the story of a recipe: a branch, its plan, the merge, the run. last is the run that failed before.
func (d *daemon) tell(ctx context.Context, o Options, t *team, name, file string, text []byte, last run.Record) (run.Record, error) {
	if last.ID != "" {
		o.Log("run %s ended as %s: proposed again", last.ID, last.State)
		text = fmt.Appendf(text, "# again, after run %s\n", last.ID)
	}
	branch := "add-" + name
	head, err := t.propose(branch, file, text, "Merge models by "+name)
	if err != nil {
		return last, err
	}
	plan, err := d.planned(ctx, branch, head)
	if err != nil {
		return last, err
	}
	o.Log("pushed on branch %s: %s", branch, summary(plan))
	commit, err := t.merge(branch)
	if err != nil {
		return last, err
	}
	o.Log("merged as %s", commit[:12])
	rec, err := d.released(ctx, file, blobOf(text))
	if err == nil && rec.State != run.Succeeded {
		err = fmt.Errorf("run %s ended as %s: %s", rec.ID, rec.State, rec.Error)
	}
	if err == nil && rec.Result != nil {
		o.Log("published %s at %.12s", rec.Result.Repo, rec.Result.Commit)
	}
	return rec, err
}

// summary is a plan in short.
func summary(p *change.Plan) string {
	var names []string
	for _, m := range p.Plan.Lock.Models {
		names = append(names, m.Repo+"@"+m.SHA[:7])
	}
	s := fmt.Sprintf("plan %s in %.1f s\n  %s of %s", p.ID, p.Seconds, p.Plan.Recipe.Method, strings.Join(names, " + "))
	if b := p.Plan.Lock.Base; b != nil {
		s += fmt.Sprintf(" upon %s@%s", b.Repo, b.SHA[:7])
	}
	s += fmt.Sprintf("; %d data sets; ", len(p.Plan.Lock.Datasets))
	if missing := p.Plan.Download.Missing; missing > 0 {
		s += humanize.Bytes(uint64(missing)) + " to fetch"
	} else {
		s += "nothing to fetch"
	}
	return s + fmt.Sprintf(", %s to write; %s", humanize.Bytes(uint64(p.Plan.Output.Bytes)), p.Plan.License.ID)
}

func blobOf(text []byte) string { return plumbing.ComputeHash(plumbing.BlobObject, text).String() }

// link names a model's folder by its recipe. The demo's folder may be moved.
func link(name, target string) error {
	target, err := filepath.Rel(filepath.Dir(name), target)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if old, err := os.Readlink(name); err == nil && old == target {
		return nil
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(target, name)
}

// conclude writes the last run's report with the tables of all, and returns the path of its page.
func conclude(ctx context.Context, o Options, s *run.Storage, id string, tables []report.Comparison) (string, error) {
	r, ok, err := run.ReadReport(ctx, s, id)
	if err != nil || !ok {
		return "", errors.Join(fmt.Errorf("run %s has no report", id), err)
	}
	r.Comparisons = tables
	r.Notes = append(r.Notes, caveats...)
	folder := run.Record{ID: id}.Path() + "report/"
	names, err := s.List(ctx, folder)
	if err != nil {
		return "", err
	}
	for _, name := range names { // the pages of items that the report links to
		b, ok, err := s.ReadBytes(ctx, name)
		if err != nil {
			return "", err
		}
		if ok {
			if err := write(filepath.Join(o.Out, filepath.FromSlash(strings.TrimPrefix(name, folder))), b); err != nil {
				return "", err
			}
		}
	}
	for _, f := range []struct {
		name   string
		render func(io.Writer, report.Report) error
	}{{"report.md", report.Markdown}, {"report.json", report.JSON}, {"report.html", report.HTML}} {
		var b bytes.Buffer
		if err := f.render(&b, *r); err != nil {
			return "", err
		}
		if err := write(filepath.Join(o.Out, f.name), b.Bytes()); err != nil {
			return "", err
		}
	}
	return filepath.Join(o.Out, "report.html"), nil
}

// write puts a whole file in place.
func write(name string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name+".tmp", b, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".tmp", name)
}

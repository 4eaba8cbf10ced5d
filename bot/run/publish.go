package run

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mergebot/configs"
	"mergebot/eval/report"
	"mergebot/hub"
)

// provenanceFile says in a model's folder what it was made of. It holds no time: equal merges have equal files.
const provenanceFile = "provenance.json"

// publish uploads the model with its card and report in one commit. A repo that has this very provenance
// already is left as it is, so that publishing twice makes one commit.
func (p *pipeline) publish(ctx context.Context) error {
	target := p.recipe.Mergebot.Publish
	repo := hub.Repo{Type: hub.Model, ID: target.Repo}
	private := target.Private == nil || *target.Private
	if err := p.x.journal.emit(ctx, Event{Phase: Started, Step: stepPublish.Name, Subject: target.Repo}); err != nil {
		return err
	}
	begin := now()
	c, err := p.upload(ctx, repo, private)
	if err != nil {
		err = fmt.Errorf("publish %s: %w", target.Repo, err)
		p.x.journal.emit(context.WithoutCancel(ctx), Event{Phase: Failed, Step: stepPublish.Name, Subject: target.Repo, Text: err.Error()})
		return err
	}
	p.commit = c
	p.published = &report.Published{Repo: target.Repo, URL: c.URL, Commit: c.OID, Private: private}
	if err := p.x.journal.write(ctx, func(r *Record) { r.Result = p.published }); err != nil {
		return err
	}
	phase := Finished
	if c.Unchanged {
		phase = Cached
	}
	return p.x.journal.emit(ctx, Event{Phase: phase, Step: stepPublish.Name, Subject: target.Repo, Seconds: now().Sub(begin).Seconds(),
		Done: p.merged.Bytes, Total: p.merged.Bytes, Unit: "bytes"})
}

func (p *pipeline) upload(ctx context.Context, repo hub.Repo, private bool) (*hub.Commit, error) {
	env := p.x.env
	if err := p.fence(ctx); err != nil {
		return nil, err
	}
	url, err := env.Hub.CreateRepo(ctx, repo, private)
	if err != nil {
		return nil, err
	}
	mine, err := os.ReadFile(filepath.Join(p.modelDir(), provenanceFile))
	if err != nil {
		return nil, err
	}
	head, err := env.Hub.Info(ctx, repo, "")
	if err != nil {
		return nil, err
	}
	if theirs, err := env.Hub.Read(ctx, repo, head.SHA, provenanceFile); err == nil && string(theirs) == string(mine) {
		return &hub.Commit{OID: head.SHA, URL: url, Unchanged: true}, nil
	}
	files, err := uploadable(p.modelDir())
	if err != nil {
		return nil, err
	}
	pages, err := rendered(p.report()) // without the items' pages, which would be hundreds of files with the data sets' texts
	if err != nil {
		return nil, err
	}
	for _, f := range pages {
		files = append(files, hub.LocalFile{Path: "report/" + f.Path, Data: f.Data})
	}
	stop := env.watchHub(repo, p.x.progress(stepPublish, repo.ID, "bytes"))
	defer stop()
	if err := p.fence(ctx); err != nil { // time has passed since
		return nil, err
	}
	return env.Hub.Upload(ctx, repo, hub.Upload{Files: files, Delete: noLonger(files), Parent: head.SHA,
		Message: "Merge by " + p.plan.Recipe.Method, Description: "mergebot " + Version() + ", plan " + p.plan.ID})
}

// fence asks whether this run may still publish.
func (p *pipeline) fence(ctx context.Context) error {
	if p.opts.Fence == nil {
		return nil
	}
	return p.opts.Fence(ctx)
}

// MayPublish refuses a recipe that publishes to an organisation which is not one of those; nil allows any.
func MayPublish(r *configs.Recipe, organisations []string) error {
	if r.Mergebot.Publish == nil || organisations == nil {
		return nil
	}
	org, _, named := strings.Cut(r.Mergebot.Publish.Repo, "/")
	if named && slices.ContainsFunc(organisations, func(o string) bool { return strings.EqualFold(o, org) }) {
		return nil
	}
	allowed := "it names none"
	if len(organisations) > 0 {
		allowed = "it allows " + strings.Join(organisations, ", ")
	}
	return at(r.Locate("mergebot", "publish", "repo"), refuse("publishing to %s is not allowed by the setting serve.publish_to: %s", r.Mergebot.Publish.Repo, allowed))
}

// PublishOptions say where a folder goes.
type PublishOptions struct {
	Repo     string
	Public   bool // a repo that is made is private otherwise
	CreatePR bool
	Message  string
}

// Publish uploads a folder that holds a checkpoint and its card.
func Publish(ctx context.Context, env *Env, dir string, o PublishOptions) (*hub.Commit, error) {
	repo := hub.Repo{Type: hub.Model, ID: o.Repo}
	if err := repo.Validate(); err != nil {
		return nil, refuse("--repo: %w", err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, refuse("%s is not a folder; give the one that mergebot run or merge wrote", dir)
	}
	files, err := uploadable(dir)
	if err != nil {
		return nil, err
	}
	for _, need := range []struct{ name, why string }{
		{"README.md", "the card; mergebot run and merge write one"}, {"config.json", "is this a checkpoint's folder?"},
	} {
		if !slices.ContainsFunc(files, func(f hub.LocalFile) bool { return f.Path == need.name }) {
			return nil, refuse("%s has no %s (%s)", dir, need.name, need.why)
		}
	}
	if _, err := env.Hub.CreateRepo(ctx, repo, !o.Public); err != nil {
		return nil, err
	}
	if o.Message == "" {
		o.Message = "Upload with mergebot"
	}
	stop := env.watchHub(repo, func(done, total int64) {
		env.Observe(Event{Time: time.Now(), Phase: Progress, Step: stepPublish.Name, Subject: o.Repo, Done: done, Total: total, Unit: "bytes"})
	})
	defer stop()
	return env.Hub.Upload(ctx, repo, hub.Upload{Files: files, Delete: noLonger(files), Message: o.Message, CreatePR: o.CreatePR})
}

// noLonger are the scores for leaderboards that the files do not have: those of the weights that were there before.
func noLonger(files []hub.LocalFile) []string {
	return slices.DeleteFunc(hub.EvalResultPaths(), func(path string) bool {
		return slices.ContainsFunc(files, func(f hub.LocalFile) bool { return f.Path == path })
	})
}

// uploadable lists a folder's files, hidden ones and folders left out except for the Hub's own.
func uploadable(dir string) ([]hub.LocalFile, error) {
	var out []hub.LocalFile
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") && path != dir && path != filepath.Join(dir, hub.EvalResultsDir) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", path)
		}
		rel, err := filepath.Rel(dir, path)
		out = append(out, hub.LocalFile{Path: filepath.ToSlash(rel), Local: path})
		return err
	})
	return out, err
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(b, '\n'))
}

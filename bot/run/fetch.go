package run

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"mergebot/hub"
)

// fetch brings a checkpoint, and its adapter, into the Hub cache and returns their folders. The cache itself remembers
// what is complete, so this step is not in the ledger: a folder is a fact about one machine.
func (x *execution) fetch(ctx context.Context, m *LockedModel) (p place, err error) {
	parts := m.parts()
	if p.dir, err = x.fetchPart(ctx, &parts[0]); err == nil && len(parts) > 1 {
		p.adapter, err = x.fetchPart(ctx, &parts[1])
	}
	return p, err
}

// fetchPart is fetch for one repository or folder.
func (x *execution) fetchPart(ctx context.Context, m *LockedModel) (string, error) {
	if m.Path != "" {
		return m.Path, m.unchanged()
	}
	if m.Bucket != "" {
		return x.fromBucket(ctx, m)
	}
	repo := hub.Repo{Type: hub.Model, ID: m.Repo}
	return x.snapshot(ctx, repo, m.String(), m.found, m.SHA, m.hubFiles())
}

// snapshot downloads files of one commit, and says so unless all were there. asked is the revision that the
// commit was found by, for runs without a network.
func (x *execution) snapshot(ctx context.Context, repo hub.Repo, subject, asked, sha string, files []hub.File) (string, error) {
	if x.env.Hub.Missing(repo, files) == 0 {
		dir, err := x.env.Hub.Snapshot(ctx, repo, sha, files)
		if err == nil {
			err = x.env.Hub.Remember(repo, asked, sha)
		}
		if err != nil {
			return "", err
		}
		return dir, x.journal.emit(ctx, Event{Phase: Cached, Step: stepFetch.Name, Subject: subject})
	}
	if err := x.journal.emit(ctx, Event{Phase: Started, Step: stepFetch.Name, Subject: subject}); err != nil {
		return "", err
	}
	begin := time.Now()
	stop := x.env.watchHub(repo, x.progress(stepFetch, subject, "bytes"))
	dir, err := x.env.Hub.Snapshot(ctx, repo, sha, files)
	stop()
	if err == nil {
		err = x.env.Hub.Remember(repo, asked, sha)
	}
	if err != nil {
		x.journal.emit(context.WithoutCancel(ctx), Event{Phase: Failed, Step: stepFetch.Name, Subject: subject, Text: err.Error()})
		return "", err
	}
	var size int64
	for _, f := range files {
		size += f.Size
	}
	return dir, x.journal.emit(ctx, Event{Phase: Finished, Step: stepFetch.Name, Subject: subject, Done: size, Total: size, Unit: "bytes", Seconds: time.Since(begin).Seconds()})
}

// fetchAll fetches the recipe's models and base, a few at a time, each repository once. The base's place is empty where
// the recipe has none.
func (x *execution) fetchAll(ctx context.Context, p *Plan) (models []place, base place, err error) {
	parts := p.Lock.parts()
	dirs := make([]string, len(parts))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(2) // each fetches several files at once
	for i := range parts {
		g.Go(func() (err error) {
			dirs[i], err = x.fetchPart(gctx, &parts[i])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, place{}, err
	}
	of := func(m LockedModel) (at place) {
		where := map[string]string{}
		for i, part := range parts {
			where[part.String()] = dirs[i]
		}
		own := m.parts()
		if at.dir = where[own[0].String()]; len(own) > 1 {
			at.adapter = where[own[1].String()]
		}
		return at
	}
	for _, m := range p.Lock.Models {
		models = append(models, of(m))
	}
	if p.Lock.Base != nil {
		base = of(*p.Lock.Base)
	}
	return models, base, nil
}

// unchanged makes sure that a local checkpoint is still what the plan hashed, by size and time: it was read a
// moment ago, and reading it all again would take as long as the merge.
func (m *LockedModel) unchanged() error {
	for _, f := range m.Files {
		info, err := os.Stat(filepath.Join(m.Path, f.Path))
		if err != nil {
			return err
		}
		if info.Size() != f.Size || !info.ModTime().Equal(f.modified) {
			return fmt.Errorf("%s in %s has changed since the plan: run again", f.Path, m.Path)
		}
	}
	return nil
}

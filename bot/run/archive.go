package run

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"

	"mergebot/eval/report"
)

// reportFolder is where a run's report lies in storage, with a slash at the end.
func reportFolder(id string) string { return Record{ID: id}.Path() + "report/" }

// archive puts the report and the items' pages, as they lie in the output folder, into storage: there they stay when the
// next run takes the folder. What is there unchanged is not written again.
func (p *pipeline) archive(ctx context.Context, items []report.TaskItems) error {
	folder, storage := reportFolder(p.x.journal.record.ID), p.x.env.Storage
	files, err := reportPaths(p.opts.Out, len(items) > 0)
	if err != nil {
		return err
	}
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(p.opts.Out, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		old, ok, err := storage.ReadBytes(ctx, folder+name)
		if err != nil {
			return err
		}
		if ok && bytes.Equal(old, b) {
			continue
		}
		if err := storage.WriteBytes(ctx, folder+name, b); err != nil {
			return err
		}
	}
	there, err := storage.List(ctx, folder)
	if err != nil {
		return err
	}
	for _, key := range there {
		if !slices.Contains(files, key[len(folder):]) {
			if err := storage.Delete(ctx, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// reportPaths are the files of a report in an output folder, with slashes.
func reportPaths(dir string, items bool) ([]string, error) {
	out := []string{"report.html", "report.md", "report.json"}
	if !items {
		return out, nil
	}
	pages, err := os.ReadDir(filepath.Join(dir, "items"))
	if err != nil {
		return nil, err
	}
	out = append(out, report.ItemsPage)
	for _, e := range pages {
		if ext := filepath.Ext(e.Name()); e.Type().IsRegular() && (ext == ".html" || ext == ".jsonl") {
			out = append(out, "items/"+e.Name())
		}
	}
	return out, nil
}

// ReadReport reads the report of a run; false where there is none, or none yet.
func ReadReport(ctx context.Context, s *Storage, id string) (*report.Report, bool, error) {
	b, ok, err := s.ReadBytes(ctx, reportFolder(id)+"report.json")
	if err != nil || !ok {
		return nil, false, err
	}
	r, err := report.Read(bytes.NewReader(b))
	return &r, err == nil, err
}

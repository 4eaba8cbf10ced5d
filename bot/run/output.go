package run

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mergebot/eval/report"
	"mergebot/hub"
)

// WriteReport writes the report again, to dir, and returns the path of the page.
func (o *Outcome) WriteReport(dir string) (string, error) {
	return writeReport(dir, *o.Report, o.items)
}

// writeReport writes report.html, report.md, report.json and the items' pages to dir, and returns the path of the page.
func writeReport(dir string, r report.Report, items []report.TaskItems) (string, error) {
	for _, t := range items {
		r.Items += len(t.Items)
	}
	if err := report.WriteItems(dir, r, items); err != nil {
		return "", err
	}
	files, err := rendered(r)
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(dir, f.Path), f.Data); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, files[0].Path), nil
}

// rendered are a report's files, the page first.
func rendered(r report.Report) ([]hub.LocalFile, error) {
	var out []hub.LocalFile
	for _, f := range []struct {
		name  string
		write func(io.Writer, report.Report) error
	}{{"report.html", report.HTML}, {"report.md", report.Markdown}, {"report.json", report.JSON}} {
		var b bytes.Buffer
		if err := f.write(&b, r); err != nil {
			return nil, err
		}
		out = append(out, hub.LocalFile{Path: f.name, Data: b.Bytes()})
	}
	return out, nil
}

// halfWritten begins the names of files that are not whole yet.
const halfWritten = ".mergebot-tmp-"

// sweep removes what a killed run left half-written in its folders. The caller holds their lock.
func sweep(dirs ...string) error {
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), halfWritten) {
				if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// writeFile puts a whole file in place: temporary file, sync, rename. One that holds b already is left alone.
func writeFile(path string, b []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), halfWritten+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}

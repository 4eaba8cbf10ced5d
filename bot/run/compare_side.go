package run

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"mergebot/eval/report"
)

// side is one of the two, with what its folder holds.
type side struct {
	report.Side
	files  reportFiles
	dir    string // of files on disk, else ""
	report report.Report
	order  []string // tasks
	tasks  map[string]*sideTask
}

// sideTask is how a side did on a task.
type sideTask struct {
	domain   string
	protocol report.Protocol
	score    report.Score
	items    map[string]sideItem
	order    []string
	stem     string // of the item pages
}

// sideItem is what must be known of an answer; the texts stay on disk.
type sideItem struct {
	gold, whole [sha256.Size]byte // whole: prompt and right answer
	correct     bool
	at          int // its line, from 0
}

// openSide reads FOLDER or FOLDER:ROLE.
func openSide(ctx context.Context, arg string) (*side, error) {
	dir, role := arg, report.Role("")
	if i := strings.LastIndexByte(arg, ':'); i > 0 {
		if r := report.Role(arg[i+1:]); slices.Contains(roles, r) {
			dir, role = arg[:i], r
		}
	}
	return readSide(ctx, dir, role, onDisk(dir))
}

// readSide reads the report and the items of a side; role "" is the main one.
func readSide(ctx context.Context, where string, role report.Role, files reportFiles) (*side, error) {
	f, err := files.open(ctx, "report.json")
	if err != nil {
		return nil, fmt.Errorf("%w: %w: give a folder that mergebot run or eval wrote, with :base, :expert or :merged after it for another model", ErrNotARun, err)
	}
	defer f.Close()
	r, err := report.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	s := &side{files: files, report: r, tasks: map[string]*sideTask{}}
	if dir, ok := files.(onDisk); ok {
		s.dir = string(dir)
	}
	s.Folder, s.Title, s.Plan = where, r.Title, r.Plan.ID
	if s.Title == "" {
		s.Title = r.Recipe.Name
	}
	if s.Role = role; role == "" {
		s.Role = s.mainRole()
	}
	for _, d := range r.Domains {
		for _, t := range d.Tasks {
			if score, ok := t.Score(s.Role); ok && s.tasks[t.Name] == nil { // of two domains with one task, the first counts
				s.tasks[t.Name] = &sideTask{domain: d.Name, protocol: t.Protocol, score: score, items: map[string]sideItem{}}
				s.order = append(s.order, t.Name)
			}
		}
	}
	if len(s.order) == 0 {
		return nil, fmt.Errorf("%w: %s has no scores of a model in the role %q", ErrNotARun, where, s.Role)
	}
	return s, s.readItems(ctx)
}

var roles = []report.Role{report.Base, report.Expert, report.Merged, report.Single}

// mainRole is merged, or else the only model's.
func (s *side) mainRole() report.Role {
	for _, d := range s.report.Domains {
		for _, t := range d.Tasks {
			if _, ok := t.Score(report.Merged); ok {
				return report.Merged
			}
		}
	}
	return report.Single
}

// readItems reads what the run kept of every item.
func (s *side) readItems(ctx context.Context) error {
	names, err := s.files.items(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.readFile(ctx, name); err != nil {
			return fmt.Errorf("%s: %w", path.Join(filepath.ToSlash(s.Folder), name), err)
		}
	}
	for _, name := range s.order {
		if len(s.tasks[name].items) == 0 {
			return fmt.Errorf("%w: %s keeps no items of %s: run or evaluate it again with this mergebot, what is in the ledger is not scored anew", ErrNotARun, s.Folder, name)
		}
	}
	return nil
}

func (s *side) readFile(ctx context.Context, name string) error {
	f, err := s.files.open(ctx, name)
	if err != nil {
		return err
	}
	defer f.Close()
	line := -1
	return report.ReadItems(f, func(domain, task string, it report.Item) error {
		line++
		t := s.tasks[task]
		if t == nil || t.domain != domain {
			return nil
		}
		a, ok := it.Answer(s.Role)
		if !ok {
			return nil
		}
		if _, twice := t.items[it.ID]; twice {
			return fmt.Errorf("item %s of %s is there twice", it.ID, task)
		}
		t.stem = strings.TrimSuffix(path.Base(name), ".jsonl")
		t.order = append(t.order, it.ID)
		t.items[it.ID] = sideItem{gold: sha256.Sum256([]byte(it.Gold)), whole: sha256.Sum256([]byte(it.Prompt + "\x00" + it.Gold)), correct: a.Correct, at: line}
		return nil
	})
}

// reportFiles is where a run's report lies, with its items in items/*.jsonl.
type reportFiles interface {
	open(ctx context.Context, name string) (io.ReadCloser, error)
	items(ctx context.Context) ([]string, error)
}

// onDisk is a run's output folder.
type onDisk string

func (d onDisk) open(_ context.Context, name string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(string(d), filepath.FromSlash(name)))
}

func (d onDisk) items(context.Context) ([]string, error) {
	all, err := os.ReadDir(filepath.Join(string(d), "items"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range all {
		if strings.HasSuffix(e.Name(), ".jsonl") {
			out = append(out, "items/"+e.Name())
		}
	}
	return out, err
}

// inStorage is what storage keeps of a run's report.
type inStorage struct {
	storage *Storage
	folder  string
}

func (i inStorage) open(ctx context.Context, name string) (io.ReadCloser, error) {
	b, ok, err := i.storage.ReadBytes(ctx, i.folder+name)
	if err == nil && !ok {
		err = fmt.Errorf("%s%s is not there", i.folder, name)
	}
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (i inStorage) items(ctx context.Context) ([]string, error) {
	all, err := i.storage.List(ctx, i.folder+"items/")
	var out []string
	for _, name := range all {
		if strings.HasSuffix(name, ".jsonl") {
			out = append(out, strings.TrimPrefix(name, i.folder))
		}
	}
	return out, err
}

package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"mergebot/configs"
	"mergebot/eval/task"
	"mergebot/hub"
)

// lockDatasets finds the commits of the tasks' data sets.
func lockDatasets(ctx context.Context, env *Env, r *configs.Recipe, pins *Pins) ([]LockedDataset, error) {
	return newResolver(env, r, pins).datasets(ctx, r)
}

// datasets finds the commits of the tasks' data sets, all at once.
func (s *resolver) datasets(ctx context.Context, r *configs.Recipe) ([]LockedDataset, error) {
	var out []LockedDataset
	var jobs []func(context.Context) error
	for _, d := range r.Mergebot.Domains {
		for i, name := range d.Tasks {
			if slices.ContainsFunc(out, func(l LockedDataset) bool { return l.Task == name }) {
				continue
			}
			k := len(out)
			out = append(out, LockedDataset{Task: name})
			where := []string{"mergebot", "domains", d.Name, "tasks", strconv.Itoa(i)}
			jobs = append(jobs, func(ctx context.Context) (err error) {
				out[k], err = s.dataset(ctx, r, name)
				if err != nil {
					err = at(r.Locate(blamed(r, name, where, err)...), err)
				}
				return err
			})
		}
	}
	return out, together(ctx, jobs...).err()
}

// blamed is the path of what names the data set that could not be had: the task's own options, or its place in a domain.
func blamed(r *configs.Recipe, name string, domain []string, err error) []string {
	o, ok := r.Mergebot.Evaluate.Tasks[name]
	options := []string{"mergebot", "evaluate", "tasks", name}
	switch {
	case ok && o.Revision != "" && errors.Is(err, hub.ErrRevisionNotFound):
		return append(options, "revision")
	case ok && o.Dataset != "":
		return append(options, "dataset")
	case ok && errors.Is(err, task.ErrOption):
		return options
	}
	return domain
}

// dataset finds the commit of one task's data set.
func (s *resolver) dataset(ctx context.Context, r *configs.Recipe, name string) (LockedDataset, error) {
	none := LockedDataset{Task: name}
	t, err := task.Get(name)
	if err == nil {
		options := r.Mergebot.Evaluate.Tasks[name]
		options.Split = cmp.Or(options.Split, r.Mergebot.Evaluate.Split)
		t, err = t.With(options)
	}
	if err != nil {
		return none, refuse("%w", err)
	}
	switch chosen := r.Mergebot.Search != nil || len(r.Mergebot.Gates) > 0; {
	case !chosen && t.Select == task.SelectAuto:
		t.Select = task.SelectNone // nothing is chosen by rows: all may be reported
	case chosen && r.Mergebot.Selection == configs.SelectionTest:
		t.Select = task.SelectReported
	}
	revision, err := s.pins.revision("dataset", t.Dataset, t.Revision)
	if err != nil {
		return none, err
	}
	info, err := s.info(ctx, hub.Repo{Type: hub.Dataset, ID: t.Dataset}, revision)
	if err != nil {
		return none, fmt.Errorf("task %s: %w", name, err)
	}
	return LockedDataset{Task: name, Repo: t.Dataset, Asked: t.Revision, SHA: info.SHA, Reported: t.Rows(), task: t, found: revision}, nil
}

package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"mergebot/configs"
	"mergebot/eval"
	"mergebot/eval/engine"
	"mergebot/eval/task"
	"mergebot/hub"
)

// weighed is something that can be scored: a checkpoint, or a candidate that exists only as numbers.
type weighed struct {
	name string
	// digest decides the weights, tokenizer what is beside them: config and tokenizer. Models that have these alike
	// can take each other's place in a running engine.
	digest, tokenizer string
	dir               string // with config.json and tokenizer.json
	// open gives the weights; it is called only when something must really be scored.
	open func() (engine.Weights, func() error, error)
}

// checkpointWeights is a weighed over a checkpoint's files.
func checkpointWeights(name, digest string, at place) (weighed, error) {
	tokenizer, err := sidecars(at.dir)
	return weighed{name: name, digest: digest, tokenizer: tokenizer, dir: at.dir, open: func() (engine.Weights, func() error, error) {
		c, err := at.open()
		if err != nil {
			return nil, nil, err
		}
		return c, c.Close, nil
	}}, err
}

// scorer scores models one after another. It keeps one engine session and changes its weights in place
// as long as the tokenizer stays; a search thus never loads a model twice.
type scorer struct {
	x    *execution
	plan *Plan
	opts configs.Evaluate
	sets map[setKey]*task.Set

	backend   backend
	engine    engine.Info // what the backend is, see identify
	session   engine.Session
	tokenizer string // of the session
	weights   string // digest of what the session holds
	last      author // whose answers are at hand
	answers   *completions
}

// identify makes sure that the engine is there and finds out what it is.
func (s *scorer) identify(ctx context.Context) (err error) {
	if s.plan.Lock.Engine == nil {
		return nil // nothing is scored
	}
	s.engine, err = s.backend.identify(ctx)
	return err
}

type setKey struct {
	task    string
	purpose task.Purpose
	limit   int
}

func (s *scorer) close() error {
	if s.session == nil {
		return nil
	}
	err := s.session.Close()
	s.session, s.weights = nil, ""
	return err
}

// set loads a task's items, once.
func (s *scorer) set(ctx context.Context, name string, purpose task.Purpose, limit int) (*task.Set, error) {
	key := setKey{name, purpose, limit}
	if set := s.sets[key]; set != nil {
		return set, nil
	}
	d, err := s.plan.dataset(name)
	if err != nil {
		return nil, err
	}
	files := &datasetFiles{x: s.x, repo: hub.Repo{Type: hub.Dataset, ID: d.Repo}, asked: d.found, sha: d.SHA}
	t := d.task
	t.Revision = d.SHA
	if err := files.fetch(ctx, t, purpose); err != nil {
		return nil, fmt.Errorf("task %s: %w", name, err)
	}
	set, err := task.Load(ctx, t, files, purpose, limit, s.seed(purpose))
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", name, err)
	}
	for _, text := range append([]string{set.Describe()}, set.Warnings()...) {
		if err := s.x.note(ctx, stepEvaluate.Name, text); err != nil {
			return nil, err
		}
	}
	s.sets[key] = set
	return set, nil
}

// seed draws the rows where a limit is set: the search's own for what it is judged on.
func (s *scorer) seed(purpose task.Purpose) uint64 {
	if search := s.plan.recipe.Mergebot.Search; search != nil && purpose == task.Select {
		return search.Seed
	}
	return s.opts.Seed
}

// hold makes the session answer with w's weights.
func (s *scorer) hold(ctx context.Context, w weighed) error {
	if s.session != nil && s.weights == w.digest {
		return nil
	}
	weights, done, err := w.open()
	if err != nil {
		return err
	}
	defer done()
	if s.session != nil && s.tokenizer == w.tokenizer {
		s.weights = ""
		if err := s.session.Swap(ctx, weights); err != nil {
			return fmt.Errorf("putting %s into the engine: %w", w.name, err)
		}
		s.weights = w.digest
		return nil
	}
	if err := s.close(); err != nil {
		return err
	}
	session, err := s.backend.open(ctx, w, weights)
	if err != nil {
		return fmt.Errorf("loading %s into the engine: %w", w.name, err)
	}
	s.session, s.tokenizer, s.weights = session, w.tokenizer, w.digest
	return nil
}

// evaluateIn is all that decides a score.
type evaluateIn struct {
	Weights   string
	Tokenizer string
	Task      string
	Grader    string
	MaxTokens int
	Items     string // hash of ids, prompts and golds
	Engine    engine.Info
}

func (s *scorer) in(w weighed, set *task.Set) evaluateIn {
	return evaluateIn{Weights: w.digest, Tokenizer: w.tokenizer, Task: set.Task.Name, Grader: set.Task.Grader,
		MaxTokens: set.Task.MaxTokens, Items: set.ItemsHash, Engine: s.engine}
}

// generator answers with w's weights, and asks the engine only what these weights never answered.
func (s *scorer) generator(ctx context.Context, w weighed) (*remembering, error) {
	a := author{Weights: w.digest, Tokenizer: w.tokenizer, Engine: s.engine}
	if s.answers == nil || !reflect.DeepEqual(s.last, a) {
		c, err := s.x.env.Storage.recall(ctx, a)
		if err != nil {
			return nil, err
		}
		s.last, s.answers = a, c
	}
	return &remembering{known: s.answers, info: s.engine, open: func(ctx context.Context) (engine.Generator, error) {
		err := s.hold(ctx, w)
		return s.session, err
	}}, nil
}

// evaluate scores a model on one task; a score that was ever made is not made again.
func (s *scorer) evaluate(ctx context.Context, w weighed, name string, purpose task.Purpose, limit int) (eval.Result, error) {
	set, err := s.set(ctx, name, purpose, limit)
	if err != nil {
		return eval.Result{}, err
	}
	subject := w.name + " on " + name
	if purpose == task.Select {
		subject += " (selection)"
	}
	r, err := do(ctx, s.x, stepEvaluate, subject, s.in(w, set), nil, func(ctx context.Context, _ evaluateIn) (eval.Result, error) {
		g, err := s.generator(ctx, w)
		if err != nil {
			return eval.Result{}, err
		}
		show := s.x.progress(stepEvaluate, subject, "items")
		r, err := eval.Run(ctx, g, set, func(n int) { show(int64(n), int64(len(set.Items))) })
		if err != nil {
			return eval.Result{}, err
		}
		r.Recalled = g.recalled
		return *r, s.keepPace(ctx, name, *r)
	})
	if errors.Is(err, engine.ErrUnusable) {
		err = fmt.Errorf("%w: %s cannot be scored; look at its checkpoint for NaN or infinite weights", err, w.name)
	}
	r.Describe(set) // the ledger may know the items from another commit, split or purpose
	return r, err
}

// count scores a candidate on one task and keeps the count alone: a search makes hundreds of these.
// A candidate whose logits are not numbers gets 0.
func (s *scorer) count(ctx context.Context, w weighed, set *task.Set) (int, error) {
	type out struct{ Correct int }
	in := s.in(w, set)
	key, err := s.x.ledger.key(stepProbe, in)
	if err != nil {
		return 0, err
	}
	var o out
	if _, known, err := s.x.ledger.get(ctx, stepProbe, key, &o); err != nil || known {
		return o.Correct, err
	}
	g, err := s.generator(ctx, w)
	if err != nil {
		return 0, err
	}
	began := now()
	r, err := eval.Run(ctx, g, set, nil)
	if err != nil && !errors.Is(err, engine.ErrUnusable) {
		return 0, err
	}
	if err == nil {
		o.Correct = r.Correct
	}
	return o.Correct, s.x.ledger.put(ctx, stepProbe, key, in, o, now().Sub(began))
}

// datasetFiles is a data set at one commit.
type datasetFiles struct {
	x     *execution
	repo  hub.Repo
	asked string // the revision that the commit was found by
	sha   string
	tree  []hub.File
	dir   string // of the snapshot, once fetched
}

// List names the files of the commit.
func (d *datasetFiles) List(ctx context.Context) ([]string, error) {
	if d.tree == nil {
		tree, err := d.x.env.Hub.Tree(ctx, d.repo, d.sha)
		if err != nil {
			return nil, err
		}
		d.tree = tree
	}
	var names []string
	for _, f := range d.tree {
		names = append(names, f.Path)
	}
	return names, nil
}

// fetch brings the files of a task's split into the cache.
func (d *datasetFiles) fetch(ctx context.Context, t task.Task, purpose task.Purpose) error {
	names, err := d.List(ctx)
	if err != nil {
		return err
	}
	paths, err := t.Paths(names, purpose)
	if err != nil {
		return err
	}
	var files []hub.File
	for _, f := range d.tree {
		if slices.Contains(paths, f.Path) {
			files = append(files, f)
		}
	}
	d.dir, err = d.x.snapshot(ctx, d.repo, fmt.Sprintf("%s (%s, %s)", d.repo.ID, t.Name, purpose), d.asked, d.sha, files)
	return err
}

// Open opens a fetched file.
func (d *datasetFiles) Open(_ context.Context, path string) (io.ReaderAt, int64, error) {
	f, err := os.Open(filepath.Join(d.dir, filepath.FromSlash(path)))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"mergebot/configs"
	"mergebot/hub"
	"mergebot/merge"
	"mergebot/merge/checkpoint"
)

// mergeIn is all that decides the merged bytes.
type mergeIn struct {
	Recipe       string // hash of what the recipe says about merging
	Base         string
	Models       []string // name and digest of each
	Measurements []string
	Ratios       [][]float64
	Coefficients []float64
	ShardSize    int64
	Vocabulary   int `json:",omitempty"` // see pipeline.vocabularyVersion
}

// mergeOut is a merged checkpoint.
type mergeOut struct {
	Digest  string            `json:"digest"` // of Files
	Files   map[string]string `json:"files"`  // weights and index → SHA-256
	Sizes   map[string]int64  `json:"sizes"`
	Tensors int               `json:"tensors"`
	Bytes   int64             `json:"bytes"`
}

func (o mergeOut) moved() int64 { return o.Bytes }

// modelDir is where a run's merged checkpoint goes.
func (p *pipeline) modelDir() string {
	if p.opts.model != "" {
		return p.opts.model
	}
	return filepath.Join(p.opts.Out, "model")
}

// merger binds the recipe to the measurements, ratios and coefficients.
func (p *pipeline) merger() (*merge.Merger, error) {
	var inputs []merge.Input
	for k, i := range p.experts() {
		inputs = append(inputs, merge.Input{Model: p.models[i], Measurement: p.measurements[i], Ratios: p.ratios[i], Coefficient: p.coefficientOf(k)})
	}
	return merge.New(p.x.env.Device, p.recipe, p.base, inputs)
}

// mergeAll writes the merged checkpoint, unless this very merge is there already.
func (p *pipeline) mergeAll(ctx context.Context) error {
	in, dir := p.mergeIn(), p.modelDir()
	stamp, err := hashOf(in)
	if err != nil {
		return err
	}
	p.merged, err = do(ctx, p.x, stepMerge, p.plan.Recipe.Name, in, func(o mergeOut) bool { m, ok := readMark(dir); return ok && m.Stamp == stamp && o.in(dir) },
		func(ctx context.Context, in mergeIn) (mergeOut, error) { return p.write(ctx, stamp, dir) })
	return err
}

func (p *pipeline) mergeIn() mergeIn {
	in := mergeIn{Recipe: mergeHash(p.recipe), Measurements: p.measured, Ratios: p.ratios, Coefficients: p.coefficients, ShardSize: p.x.env.ShardSize, Vocabulary: p.vocabularyVersion()}
	if p.plan.Lock.Base != nil {
		in.Base = p.plan.Lock.Base.Digest
	}
	for _, m := range p.plan.Lock.Models {
		in.Models = append(in.Models, m.Name+" "+m.Digest)
	}
	return in
}

// mergeHash hashes what a recipe says about merging, and leaves out how it is searched, judged and published.
func mergeHash(r *configs.Recipe) string {
	only := *r
	only.Name, only.Mergebot.Selection = "", ""
	only.Mergebot.Search, only.Mergebot.Domains, only.Mergebot.Gates = nil, nil, nil
	only.Mergebot.Evaluate, only.Mergebot.Publish, only.Mergebot.Schedule = configs.Evaluate{}, nil, ""
	return only.Hash()
}

// write merges into a staging folder beside dir and puts it in dir's place when it is whole. Staging left
// by a killed run of the same merge is gone on with, shard by shard.
func (p *pipeline) write(ctx context.Context, stamp, dir string) (mergeOut, error) {
	if done, ok := readMark(dir); ok && done.Stamp == stamp && done.Out.in(dir) {
		return done.Out, nil // killed after the rename, before the ledger heard of it
	}
	if err := errors.Join(replaceable(dir), noneForeign(dir)); err != nil {
		return mergeOut{}, err
	}
	m, err := p.merger()
	if err != nil {
		return mergeOut{}, err
	}
	staging := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".merging")
	options := merge.WriteOptions{ShardSize: p.x.env.ShardSize, OutDType: p.plan.Output.DType, Stamp: stamp,
		Progress: p.x.progress(stepMerge, p.plan.Recipe.Name, "bytes")}
	w, err := m.Write(ctx, staging, options)
	if errors.Is(err, checkpoint.ErrNotEmpty) { // killed between the last shard and the rename
		if err := os.RemoveAll(staging); err != nil {
			return mergeOut{}, err
		}
		w, err = m.Write(ctx, staging, options)
	}
	if err != nil {
		return mergeOut{}, errors.Join(err, dropEmpty(staging))
	}
	out := mergeOut{Files: w.Files, Sizes: map[string]int64{}, Tensors: w.Tensors, Bytes: w.Bytes}
	if out.Digest, err = hashOf(w.Files); err != nil {
		return mergeOut{}, err
	}
	for name := range w.Files {
		info, err := os.Stat(filepath.Join(staging, name))
		if err != nil {
			return mergeOut{}, err
		}
		out.Sizes[name] = info.Size()
	}
	ours, err := uploadable(staging)
	if err != nil {
		return mergeOut{}, err
	}
	done := mark{Stamp: stamp, Out: out, Names: append([]string{"README.md", "recipe.yaml", provenanceFile}, hub.EvalResultPaths()...)}
	for _, f := range ours {
		done.Names = append(done.Names, f.Path)
	}
	if err := writeJSON(filepath.Join(staging, markFile), done); err != nil {
		return mergeOut{}, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return mergeOut{}, err
	}
	return out, os.Rename(staging, dir)
}

// dropEmpty removes staging that holds no finished shard: there is nothing to go on with.
func dropEmpty(staging string) error {
	done, err := filepath.Glob(filepath.Join(staging, "*.safetensors"))
	if err != nil || len(done) > 0 {
		return err
	}
	return os.RemoveAll(staging)
}

// markFile says in a merged folder which merge it is. Hidden files are not published.
const markFile = ".mergebot.json"

type mark struct {
	Stamp string   `json:"stamp"`
	Out   mergeOut `json:"out"`
	Names []string `json:"names"` // all that mergebot puts into the folder
}

func readMark(dir string) (mark, bool) {
	var m mark
	b, err := os.ReadFile(filepath.Join(dir, markFile))
	return m, err == nil && json.Unmarshal(b, &m) == nil
}

// replaceable makes sure that dir can be given up: it is not there, empty, or mergebot's own.
func replaceable(dir string) error {
	if _, ok := readMark(dir); ok {
		return nil
	}
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(files) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return refuse("%s is not empty and mergebot did not write it: give another folder, or empty this one", dir)
}

// noneForeign makes sure that giving up a merged folder takes nothing away that somebody else put there.
func noneForeign(dir string) error {
	m, ok := readMark(dir)
	if !ok {
		return nil
	}
	files, err := uploadable(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if !slices.Contains(m.Names, f.Path) {
			return refuse("%s holds %s, which mergebot did not write and another merge would take away: move it, or give another output folder", dir, f.Path)
		}
	}
	return nil
}

// in says whether the files lie in dir, by name and size: they were put there whole, by rename.
func (o mergeOut) in(dir string) bool {
	for name, size := range o.Sizes {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Size() != size {
			return false
		}
	}
	return len(o.Sizes) > 0
}

// Merged is what Merge wrote.
type Merged struct {
	Plan    string            `json:"plan"`
	Dir     string            `json:"dir"`
	Files   map[string]string `json:"files"` // → SHA-256
	Tensors int               `json:"tensors"`
	Bytes   int64             `json:"bytes"`
	// PeakMemory is the most memory that this process has held so far, in bytes; 0 where the system does not tell.
	PeakMemory int64 `json:"peak_memory"`
}

// Merge only merges: it writes the checkpoint with its card to dir and runs no task. Ratios and
// coefficients are those in the recipe.
func Merge(ctx context.Context, env *Env, r *configs.Recipe, dir string) (*Merged, error) {
	begin := now()
	only := *r
	only.Mergebot.Domains, only.Mergebot.Search, only.Mergebot.Gates = nil, nil, nil
	plan, err := Resolve(ctx, env, &only, nil)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("output folder: %w", err)
	}
	unlock, err := flock(filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".mergebot.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	p := newPipeline(env, &only, plan, Options{Out: dir, model: dir})
	defer p.close()
	if err := replaceable(dir); err != nil {
		return nil, err
	}
	if err := sweep(dir); err != nil {
		return nil, err
	}
	if err := p.start(ctx, now().Sub(begin)); err != nil {
		return nil, err
	}
	if r.Mergebot.Search != nil {
		p.x.note(ctx, stepMerge.Name, "merge searches nothing: ratios and coefficients are those in the recipe, else 1; use run to search them")
	}
	out, err := p.mergeOnly(ctx)
	_, err = p.x.journal.end(ctx, err, false)
	return out, err
}

func (p *pipeline) mergeOnly(ctx context.Context) (*Merged, error) {
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	if err := p.searchAll(ctx); err != nil { // only takes the recipe's ratios: there is no search section
		return nil, err
	}
	if err := p.mergeAll(ctx); err != nil {
		return nil, err
	}
	if err := p.describe(); err != nil {
		return nil, err
	}
	return &Merged{Plan: p.plan.ID, Dir: p.modelDir(), Files: p.merged.Files, Tensors: p.merged.Tensors, Bytes: p.merged.Bytes, PeakMemory: peakMemory()}, nil
}

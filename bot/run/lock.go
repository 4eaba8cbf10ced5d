package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"mergebot/configs"
	"mergebot/hub"
	"mergebot/merge/checkpoint"
)

// lockModel finds a model's commit, files and headers.
func lockModel(ctx context.Context, env *Env, ref configs.ModelRef, pins *Pins) (LockedModel, []checkpoint.Tensor, error) {
	return newResolver(env, &configs.Recipe{}, pins).model(ctx, ref)
}

// model finds a model's commit, files, headers and descent.
func (s *resolver) model(ctx context.Context, ref configs.ModelRef) (LockedModel, []checkpoint.Tensor, error) {
	if ref.Lora != nil {
		return s.adapted(ctx, ref)
	}
	if ref.Bucket != "" {
		return s.inBucket(ctx, ref)
	}
	if ref.Local != "" {
		return s.env.Hashes.lockLocal(ctx, ref)
	}
	repo := hub.Repo{Type: hub.Model, ID: ref.Repo}
	revision, err := s.pins.revision("model", ref.Repo, ref.Revision)
	if err != nil {
		return LockedModel{}, nil, err
	}
	info, err := s.info(ctx, repo, revision)
	if err != nil {
		return LockedModel{}, nil, err
	}
	m := LockedModel{Name: ref.Repo, Repo: ref.Repo, Asked: ref.Revision, SHA: info.SHA, found: revision, License: info.License, parent: parentLicense(info)}
	from := s.repository(m)
	var tensors []checkpoint.Tensor
	err = together(ctx, func(ctx context.Context) (err error) {
		tensors, err = s.files(ctx, ref, from, &m)
		return err
	}, func(ctx context.Context) (err error) {
		if s.descent {
			m.Lineage, err = s.lineage(ctx, info)
		}
		return err
	}).first()
	return m, tensors, err
}

// files finds a checkpoint's files and reads their headers.
func (s *resolver) files(ctx context.Context, ref configs.ModelRef, from source, m *LockedModel) ([]checkpoint.Tensor, error) {
	all, err := asked(ctx, s, func() ([]hub.File, error) { return from.tree(ctx) })
	if err != nil {
		return nil, err
	}
	there := names(all)
	if slices.Contains(there, checkpoint.AdapterConfigName) && !slices.Contains(there, "config.json") {
		return nil, refuse("%s is an adapter, not a whole model; name it after its base: BASE+%s", ref, ref)
	}
	files := hub.SelectCheckpoint(all)
	for _, f := range files {
		m.Files = append(m.Files, from.lock(f))
	}
	if err := m.seal(); err != nil {
		return nil, err
	}
	jobs := []func(context.Context) error{func(ctx context.Context) error { return s.config(ctx, ref, from, m) }}
	if s.tokenizers {
		jobs = append(jobs, func(ctx context.Context) (err error) {
			m.tokenizer, err = s.tokenizer(ctx, from, files)
			return err
		})
	}
	headers := make([][]checkpoint.Tensor, len(files))
	for i, f := range files {
		whole, isIndex := strings.CutSuffix(f.Path, ".index.json")
		switch {
		case isIndex && !strings.Contains(whole, "/") && !slices.Contains(there, whole): // beside the whole it is not read
			jobs = append(jobs, func(ctx context.Context) error { return damagedThere(ref, s.index(ctx, from, f, files)) })
		case strings.HasSuffix(f.Path, ".safetensors"):
			jobs = append(jobs, func(ctx context.Context) (err error) {
				headers[i], err = s.header(ctx, from, f)
				return damagedThere(ref, err)
			})
		}
	}
	if err := together(ctx, jobs...).first(); err != nil {
		return nil, err
	}
	if err := checkpoint.CheckNames(there); err != nil { // last: what the headers say goes deeper
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	tensors := slices.Concat(headers...)
	m.count(tensors)
	return tensors, nil
}

// config reads what a model's config.json says of its form; a model may have none.
func (s *resolver) config(ctx context.Context, ref configs.ModelRef, from source, m *LockedModel) error {
	b, err := asked(ctx, s, func() ([]byte, error) { return from.read(ctx, "config.json") })
	if errors.Is(err, hub.ErrEntryNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	c := map[string]any{}
	if err := json.Unmarshal(b, &c); err != nil {
		return refuse("%s: config.json: %w", ref, err)
	}
	if err := checkpoint.RefuseQuantised(c); err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	m.tied, _ = c["tie_word_embeddings"].(bool)
	m.attention, m.config = attentionOf(c), c
	return nil
}

// header reads the tensors that a file of weights says it holds.
func (s *resolver) header(ctx context.Context, from source, f hub.File) ([]checkpoint.Tensor, error) {
	header, err := asked(ctx, s, func() ([]byte, error) { return from.header(ctx, f) })
	if err != nil {
		return nil, err
	}
	tensors, _, err := checkpoint.ParseHeader(header, f.Size-8-int64(len(header)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	return tensors, nil
}

// damagedThere adds the remedy to what is wrong with a file itself, not with its way here.
func damagedThere(ref configs.ModelRef, err error) error {
	var failed *hub.Error
	switch {
	case err == nil, errors.As(err, &failed), errors.Is(err, errGivenUp):
		return err
	case errors.Is(err, checkpoint.ErrCorrupt), errors.Is(err, checkpoint.ErrMissingShard), errors.Is(err, hub.ErrIntegrity):
		if ref.Bucket != "" {
			return fmt.Errorf("%s: %w; the bucket has it like that: upload it again", ref, err)
		}
		return fmt.Errorf("%s: %w; the Hub has it like that: use another revision, or tell the owner", ref, err)
	}
	return fmt.Errorf("%s: %w", ref, err)
}

func names(files []hub.File) []string {
	out := make([]string, len(files))
	for i, f := range files {
		out[i] = f.Path
	}
	return out
}

// index makes sure that the repo holds every file that its index names.
func (s *resolver) index(ctx context.Context, from source, f hub.File, files []hub.File) error {
	b, err := asked(ctx, s, func() ([]byte, error) { return from.read(ctx, f.Path) })
	if err != nil {
		return err
	}
	place, err := checkpoint.ParseIndex(b, path.Ext(strings.TrimSuffix(f.Path, ".index.json")))
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	for _, shard := range slices.Sorted(maps.Values(place)) {
		if !slices.ContainsFunc(files, func(f hub.File) bool { return f.Path == shard }) {
			return fmt.Errorf("%w: %s names %s, which is not there", checkpoint.ErrMissingShard, f.Path, shard)
		}
	}
	return nil
}

// lockLocal reads a checkpoint's folder; its content hash stands for the commit.
func (h Hashes) lockLocal(ctx context.Context, ref configs.ModelRef) (LockedModel, []checkpoint.Tensor, error) {
	c, err := checkpoint.Open(ref.Local)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return LockedModel{}, nil, refuse("%s: there is no such folder; give the folder that holds config.json, or org/name for a repo of the Hub", ref.Local)
		}
		return LockedModel{}, nil, err
	}
	defer c.Close()
	path, err := filepath.Abs(ref.Local)
	if err != nil {
		return LockedModel{}, nil, err
	}
	m := LockedModel{Name: filepath.Base(path), Path: path}
	dirents, err := os.ReadDir(path)
	if err != nil {
		return LockedModel{}, nil, err
	}
	var files []hub.File
	for _, d := range dirents {
		info, err := os.Stat(filepath.Join(path, d.Name())) // follows the cache's links
		if err != nil {
			return LockedModel{}, nil, err
		}
		if info.Mode().IsRegular() {
			files = append(files, hub.File{Path: d.Name(), Size: info.Size()})
		}
	}
	for _, f := range hub.SelectCheckpoint(files) {
		file := filepath.Join(path, f.Path)
		info, err := os.Stat(file)
		if err != nil {
			return LockedModel{}, nil, err
		}
		sum, err := h.of(ctx, file)
		if err != nil {
			return LockedModel{}, nil, err
		}
		m.Files = append(m.Files, LockedFile{Path: f.Path, Size: f.Size, SHA256: sum, modified: info.ModTime()})
	}
	if err := m.seal(); err != nil {
		return LockedModel{}, nil, err
	}
	var tensors []checkpoint.Tensor
	for _, name := range c.Names() {
		t, _ := c.Tensor(name)
		tensors = append(tensors, t)
	}
	m.count(tensors)
	m.tied = c.TiedEmbeddings()
	if config, err := c.Config(); err == nil {
		m.attention, m.config = attentionOf(config), config
	}
	return m, tensors, nil
}

// seal sorts the files and computes the digest of those that decide weights and text. A card that was edited
// makes a new commit and so a new plan, but costs no step.
func (m *LockedModel) seal() error {
	slices.SortFunc(m.Files, func(a, b LockedFile) int { return strings.Compare(a.Path, b.Path) })
	m.Bytes = 0
	var decide []LockedFile
	for _, f := range m.Files {
		m.Bytes += f.Size
		if decides(f.Path) {
			decide = append(decide, f.content())
		}
	}
	var err error
	m.Digest, err = hashOf(decide)
	return err
}

// decides says whether a file has a part in the merged bytes or in what an engine generates.
func decides(file string) bool {
	switch path.Ext(file) {
	case ".safetensors", ".bin", ".json", ".jinja", ".model", ".tiktoken":
		return true
	}
	return slices.Contains([]string{"merges.txt", "vocab.txt"}, path.Base(file))
}

func (m *LockedModel) count(tensors []checkpoint.Tensor) {
	m.Tensors, m.Parameters = len(tensors), 0
	for _, t := range tensors {
		m.Parameters += elements(t.Shape)
	}
}

func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// String names a locked model for people.
func (m LockedModel) String() string {
	name := m.where()
	if m.Path == "" {
		name += "@" + short(m.SHA)
	}
	if m.Adapter != nil {
		name += "+" + m.Adapter.String()
	}
	return name
}

func short(sha string) string { return sha[:min(len(sha), 12)] }

func (m LockedModel) hubFiles() []hub.File {
	var out []hub.File
	for _, f := range m.Files {
		out = append(out, hub.File{Path: f.Path, Size: f.Size, SHA256: f.SHA256, OID: f.OID})
	}
	return out
}

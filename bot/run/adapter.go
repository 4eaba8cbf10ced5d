package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mergebot/configs"
	"mergebot/hub"
	"mergebot/merge/checkpoint"
)

// adapterFiles are all that is read of an adapter's repository. It may hold a tokenizer and checkpoints of its training
// as well: the tokenizer is the model's.
var adapterFiles = []string{checkpoint.AdapterConfigName, checkpoint.AdapterWeights, checkpoint.AdapterTorch}

// adapted finds a model with an adapter, and checks from headers that the one is for the other.
func (s *resolver) adapted(ctx context.Context, ref configs.ModelRef) (LockedModel, []checkpoint.Tensor, error) {
	plain, lora := ref, *ref.Lora
	plain.Lora = nil
	var model, adapter LockedModel
	var tensors, changes []checkpoint.Tensor
	var config *checkpoint.AdapterConfig
	err := together(ctx, func(ctx context.Context) (err error) {
		model, tensors, err = s.model(ctx, plain)
		return err
	}, func(ctx context.Context) (err error) {
		adapter, config, changes, err = s.adapter(ctx, lora)
		return err
	}).first()
	if err != nil {
		return LockedModel{}, nil, err
	}
	if len(changes) == 0 {
		model.warnings = append(model.warnings, fmt.Sprintf("%s is a torch .bin file: whether it fits %s can only be checked once it is here", adapter, model))
	}
	if len(tensors) > 0 && len(changes) > 0 {
		if tensors, err = config.Adapt(tensors, changes, model.tied); err != nil {
			return LockedModel{}, nil, refuse("%s: %w", ref, err)
		}
	}
	if was := config.Base; was != "" && !strings.EqualFold(was, model.Repo) && was != model.Path {
		model.warnings = append(model.warnings, fmt.Sprintf("%s was trained upon %s and is applied to %s", adapter.Name, printable(was), model.Name))
	}
	model.Name += "+" + adapter.Name
	if model.Digest, err = hashOf([]string{model.Digest, adapter.Digest}); err != nil {
		return LockedModel{}, nil, err
	}
	model.Adapter = &adapter
	return model, tensors, nil
}

// adapter finds an adapter's commit, configuration, headers and descent.
func (s *resolver) adapter(ctx context.Context, ref configs.ModelRef) (LockedModel, *checkpoint.AdapterConfig, []checkpoint.Tensor, error) {
	fail := func(err error) (LockedModel, *checkpoint.AdapterConfig, []checkpoint.Tensor, error) {
		return LockedModel{}, nil, nil, err
	}
	if ref.Local != "" {
		m, config, tensors, err := s.env.Hashes.localAdapter(ctx, ref)
		if err != nil {
			return fail(err)
		}
		return m, config, tensors, nil
	}
	if ref.Bucket != "" {
		from, err := s.bucket(ctx, ref)
		if err != nil {
			return fail(err)
		}
		m := LockedModel{Name: ref.Bucket, Bucket: ref.Bucket}
		config, tensors, err := s.adapterFiles(ctx, ref, from, &m)
		if err == nil {
			err = s.bind(&m)
		}
		return m, config, tensors, err
	}
	repo := hub.Repo{Type: hub.Model, ID: ref.Repo}
	revision, err := s.pins.revision("model", ref.Repo, ref.Revision)
	if err != nil {
		return fail(err)
	}
	info, err := s.info(ctx, repo, revision)
	if err != nil {
		return fail(err)
	}
	m := LockedModel{Name: ref.Repo, Repo: ref.Repo, Asked: ref.Revision, SHA: info.SHA, found: revision, License: info.License, parent: parentLicense(info)}
	if s.descent {
		if m.Lineage, err = s.lineage(ctx, info); err != nil {
			return fail(err)
		}
	}
	config, tensors, err := s.adapterFiles(ctx, ref, s.repository(m), &m)
	return m, config, tensors, err
}

// adapterFiles finds an adapter's files and reads its configuration and headers.
func (s *resolver) adapterFiles(ctx context.Context, ref configs.ModelRef, from source, m *LockedModel) (*checkpoint.AdapterConfig, []checkpoint.Tensor, error) {
	fail := func(err error) (*checkpoint.AdapterConfig, []checkpoint.Tensor, error) { return nil, nil, err }
	all, err := asked(ctx, s, func() ([]hub.File, error) { return from.tree(ctx) })
	if err != nil {
		return fail(err)
	}
	files := selectAdapter(all)
	for _, f := range files {
		m.Files = append(m.Files, from.lock(f))
	}
	if err := complete(ref, m.Files); err != nil {
		return fail(err)
	}
	b, err := asked(ctx, s, func() ([]byte, error) { return from.read(ctx, checkpoint.AdapterConfigName) })
	if err != nil {
		return fail(err)
	}
	config, err := checkpoint.ParseAdapterConfig(b)
	if err != nil {
		return fail(damagedThere(ref, fmt.Errorf("%s: %w", checkpoint.AdapterConfigName, err)))
	}
	var tensors []checkpoint.Tensor
	for _, f := range files {
		if f.Path == checkpoint.AdapterWeights {
			if tensors, err = s.header(ctx, from, f); err != nil {
				return fail(damagedThere(ref, err))
			}
		}
	}
	m.count(tensors)
	return config, tensors, m.seal()
}

// selectAdapter picks an adapter's configuration and weights, safetensors before torch .bin.
func selectAdapter(all []hub.File) []hub.File {
	var out []hub.File
	for _, name := range adapterFiles {
		i := slices.IndexFunc(all, func(f hub.File) bool { return f.Path == name })
		if i < 0 || name == checkpoint.AdapterTorch && slices.ContainsFunc(out, func(f hub.File) bool { return f.Path == checkpoint.AdapterWeights }) {
			continue
		}
		out = append(out, all[i])
	}
	return out
}

// complete makes sure that both the configuration and the weights of an adapter are there.
func complete(ref configs.ModelRef, files []LockedFile) error {
	has := func(name string) bool {
		return slices.ContainsFunc(files, func(f LockedFile) bool { return f.Path == name })
	}
	switch {
	case !has(checkpoint.AdapterConfigName):
		return refuse("%s is no adapter: it has no %s; what follows the + is a LoRA adapter in PEFT's layout", ref, checkpoint.AdapterConfigName)
	case len(files) < 2:
		return refuse("%s has neither %s nor %s", ref, checkpoint.AdapterWeights, checkpoint.AdapterTorch)
	}
	return nil
}

// localAdapter reads an adapter's folder; its content hash stands for the commit.
func (h Hashes) localAdapter(ctx context.Context, ref configs.ModelRef) (LockedModel, *checkpoint.AdapterConfig, []checkpoint.Tensor, error) {
	fail := func(err error) (LockedModel, *checkpoint.AdapterConfig, []checkpoint.Tensor, error) {
		return LockedModel{}, nil, nil, err
	}
	path, err := filepath.Abs(ref.Local)
	if err != nil {
		return fail(err)
	}
	m := LockedModel{Name: filepath.Base(path), Path: path}
	var files []hub.File
	for _, name := range adapterFiles {
		info, err := os.Stat(filepath.Join(path, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fail(err)
		}
		files = append(files, hub.File{Path: name, Size: info.Size()})
	}
	for _, f := range selectAdapter(files) {
		info, err := os.Stat(filepath.Join(path, f.Path))
		if err != nil {
			return fail(err)
		}
		sum, err := h.of(ctx, filepath.Join(path, f.Path))
		if err != nil {
			return fail(err)
		}
		m.Files = append(m.Files, LockedFile{Path: f.Path, Size: f.Size, SHA256: sum, modified: info.ModTime()})
	}
	if err := complete(ref, m.Files); err != nil {
		return fail(err)
	}
	config, tensors, err := checkpoint.ReadAdapter(path)
	if err != nil {
		return fail(err)
	}
	m.count(tensors)
	return m, config, tensors, m.seal()
}

// parts are the repositories or folders that a model is made of: itself, and its adapter's.
func (m LockedModel) parts() []LockedModel {
	plain := m
	plain.Adapter = nil
	if m.Adapter == nil {
		return []LockedModel{plain}
	}
	return []LockedModel{plain, *m.Adapter}
}

// size is the bytes of the model and its adapter.
func (m LockedModel) size() (n int64) {
	for _, part := range m.parts() {
		n += part.Bytes
	}
	return n
}

// parts are all repositories and folders of a lock, each once, the base's first.
func (l Lock) parts() []LockedModel {
	var out []LockedModel
	for _, m := range append(deref(l.Base), l.Models...) {
		for _, part := range m.parts() {
			if !slices.ContainsFunc(out, func(o LockedModel) bool { return o.String() == part.String() }) {
				out = append(out, part)
			}
		}
	}
	return out
}

// place is where a model's files lie on this machine.
type place struct {
	dir     string // config, tokenizer, weights
	adapter string // "" without one
}

// open maps the model's weights.
func (p place) open() (*checkpoint.Checkpoint, error) {
	if p.adapter == "" {
		return checkpoint.Open(p.dir)
	}
	return checkpoint.OpenAdapted(p.dir, p.adapter)
}

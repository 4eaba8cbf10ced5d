package run

import (
	"cmp"
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
	"mergebot/eval/task"
	"mergebot/hub"
	"mergebot/merge/checkpoint"
)

// lockModel finds a model's commit, files and headers.
func lockModel(ctx context.Context, env *Env, ref configs.ModelRef, pins *Pins) (LockedModel, []checkpoint.Tensor, error) {
	if ref.Lora != nil {
		return LockedModel{}, nil, refuse("%s: LoRA adapters are not built in; merge the adapter into its base first", ref)
	}
	if ref.S3 != "" {
		return LockedModel{}, nil, refuse("%s: s3:// checkpoints are not built in; give a Hub repo or a folder", ref)
	}
	if ref.Local != "" {
		return lockLocal(ctx, ref)
	}
	repo := hub.Repo{Type: hub.Model, ID: ref.Repo}
	revision, err := pins.revision("model", ref.Repo, ref.Revision)
	if err != nil {
		return LockedModel{}, nil, err
	}
	info, err := env.Hub.Info(ctx, repo, revision)
	if err != nil {
		return LockedModel{}, nil, err
	}
	all, err := env.Hub.Tree(ctx, repo, info.SHA)
	if err != nil {
		return LockedModel{}, nil, err
	}
	files := hub.SelectCheckpoint(all)
	m := LockedModel{Name: ref.Repo, Repo: ref.Repo, Asked: ref.Revision, SHA: info.SHA, found: revision, License: info.License, parent: parentLicense(info)}
	for _, f := range files {
		m.Files = append(m.Files, LockedFile{Path: f.Path, Size: f.Size, SHA256: f.SHA256, OID: f.OID})
	}
	if err := m.seal(); err != nil {
		return LockedModel{}, nil, err
	}
	if config, err := env.Hub.Read(ctx, repo, info.SHA, "config.json"); err == nil {
		c := map[string]any{}
		if err := json.Unmarshal(config, &c); err != nil {
			return LockedModel{}, nil, fmt.Errorf("%s: config.json: %w", ref, err)
		}
		if err := checkpoint.RefuseQuantised(c); err != nil {
			return LockedModel{}, nil, fmt.Errorf("%s: %w", ref, err)
		}
		m.tied, _ = c["tie_word_embeddings"].(bool)
	} else if !errors.Is(err, hub.ErrEntryNotFound) {
		return LockedModel{}, nil, err
	}
	if err := checkShards(ctx, env, repo, info.SHA, files); err != nil {
		return LockedModel{}, nil, damagedThere(ref, err)
	}
	var tensors []checkpoint.Tensor
	for _, f := range files {
		if !strings.HasSuffix(f.Path, ".safetensors") {
			continue
		}
		header, err := env.Hub.SafetensorsHeader(ctx, repo, info.SHA, f)
		if err != nil {
			return LockedModel{}, nil, damagedThere(ref, err)
		}
		ts, _, err := checkpoint.ParseHeader(header, f.Size-8-int64(len(header)))
		if err != nil {
			return LockedModel{}, nil, damagedThere(ref, fmt.Errorf("%s: %w", f.Path, err))
		}
		tensors = append(tensors, ts...)
	}
	m.count(tensors)
	return m, tensors, nil
}

// damagedThere adds the remedy to what is wrong with a file itself, not with its way here.
func damagedThere(ref configs.ModelRef, err error) error {
	var failed *hub.Error
	switch {
	case errors.As(err, &failed):
		return err
	case errors.Is(err, checkpoint.ErrCorrupt), errors.Is(err, checkpoint.ErrMissingShard), errors.Is(err, hub.ErrIntegrity):
		return fmt.Errorf("%s: %w; the Hub has it like that: use another revision, or tell the owner", ref, err)
	}
	return fmt.Errorf("%s: %w", ref, err)
}

// checkShards makes sure that the repo holds every file that its index names.
func checkShards(ctx context.Context, env *Env, repo hub.Repo, sha string, files []hub.File) error {
	const suffix = ".safetensors.index.json"
	has := func(name string) bool {
		return slices.ContainsFunc(files, func(f hub.File) bool { return f.Path == name })
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Path, suffix) {
			continue
		}
		index, err := env.Hub.Read(ctx, repo, sha, f.Path)
		if err != nil {
			return err
		}
		place, err := checkpoint.ParseIndex(index, ".safetensors")
		if err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		for _, shard := range slices.Sorted(maps.Values(place)) {
			if !has(shard) {
				return fmt.Errorf("%w: %s names %s, which is not there", checkpoint.ErrMissingShard, f.Path, shard)
			}
		}
	}
	return nil
}

// lockLocal reads a checkpoint's folder; its content hash stands for the commit.
func lockLocal(ctx context.Context, ref configs.ModelRef) (LockedModel, []checkpoint.Tensor, error) {
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
		sum, err := hashFile(ctx, file)
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
			decide = append(decide, f)
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
	if m.Path != "" {
		return m.Path
	}
	return m.Repo + "@" + short(m.SHA)
}

func short(sha string) string { return sha[:min(len(sha), 12)] }

// lockDatasets finds the commits of the tasks' data sets.
func lockDatasets(ctx context.Context, env *Env, r *configs.Recipe, pins *Pins) ([]LockedDataset, error) {
	var out []LockedDataset
	shas := map[string]string{}
	for _, d := range r.Mergebot.Domains {
		for _, name := range d.Tasks {
			if slices.ContainsFunc(out, func(l LockedDataset) bool { return l.Task == name }) {
				continue
			}
			t, err := task.Get(name)
			if err == nil {
				options := r.Mergebot.Evaluate.Tasks[name]
				options.Split = cmp.Or(options.Split, r.Mergebot.Evaluate.Split)
				t, err = t.With(options)
			}
			if err != nil {
				return nil, refuse("%w", err)
			}
			switch chosen := r.Mergebot.Search != nil || len(r.Mergebot.Gates) > 0; {
			case !chosen && t.Select == task.SelectAuto:
				t.Select = task.SelectNone // nothing is chosen by rows: all may be reported
			case chosen && r.Mergebot.Selection == configs.SelectionTest:
				t.Select = task.SelectReported
			}
			revision, err := pins.revision("dataset", t.Dataset, t.Revision)
			if err != nil {
				return nil, err
			}
			at := t.Dataset + "@" + revision
			if shas[at] == "" {
				info, err := env.Hub.Info(ctx, hub.Repo{Type: hub.Dataset, ID: t.Dataset}, revision)
				if err != nil {
					return nil, fmt.Errorf("task %s: %w", name, err)
				}
				shas[at] = info.SHA
			}
			out = append(out, LockedDataset{Task: name, Repo: t.Dataset, Asked: t.Revision, SHA: shas[at], task: t, found: revision})
		}
	}
	return out, nil
}

func (m LockedModel) hubFiles() []hub.File {
	var out []hub.File
	for _, f := range m.Files {
		out = append(out, hub.File{Path: f.Path, Size: f.Size, SHA256: f.SHA256, OID: f.OID})
	}
	return out
}

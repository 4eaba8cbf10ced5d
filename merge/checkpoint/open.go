package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// The names under which the Hub's libraries keep weights, in the order in
// which they are looked for.
const (
	singleSafetensors = "model.safetensors"
	indexSafetensors  = "model.safetensors.index.json"
	singleTorch       = "pytorch_model.bin"
	indexTorch        = "pytorch_model.bin.index.json"
)

// maxJSON bounds index and config files; the largest real index is about 10 MB.
const maxJSON = 64 << 20

// Open opens the checkpoint in dir: model.safetensors, or its shards by
// model.safetensors.index.json, or pytorch_model.bin and its shards likewise.
// Only headers are read. Files may be links, as they are in the Hub's cache;
// names in an index must stay in dir. Where an index and a shard disagree the
// index decides which shard a tensor is read from, and a tensor it names must
// be there.
//
// Errors are ErrCorrupt, ErrMissingShard, ErrUnsupported or from the system.
func Open(dir string) (*Checkpoint, error) {
	layout, err := findWeights(dir)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{dir: dir, tensors: map[string]entry{}}
	if err := c.openAll(layout); err != nil {
		_ = c.Close()
		return nil, err
	}
	if err := c.refuseQuantised(); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// weightsLayout lists the files of a checkpoint and, where there is an index,
// the file of each tensor.
type weightsLayout struct {
	files []string          // names in dir
	index string            // path of the index; "" without one
	place map[string]string // tensor → file; nil without an index
}

func findWeights(dir string) (weightsLayout, error) {
	if st, err := os.Stat(dir); err != nil {
		return weightsLayout{}, fmt.Errorf("open checkpoint: %w", err)
	} else if !st.IsDir() {
		return weightsLayout{}, fmt.Errorf("open checkpoint: %s is not a folder; give the folder that holds config.json", dir)
	}
	for _, kind := range [][2]string{{singleSafetensors, indexSafetensors}, {singleTorch, indexTorch}} {
		if exists(filepath.Join(dir, kind[0])) {
			return weightsLayout{files: []string{kind[0]}}, nil
		}
		index := filepath.Join(dir, kind[1])
		if exists(index) {
			place, err := readIndex(index, filepath.Ext(kind[0]))
			if err != nil {
				return weightsLayout{}, inFile(index, err)
			}
			var files []string
			for _, f := range place {
				files = append(files, f)
			}
			slices.Sort(files)
			return weightsLayout{files: slices.Compact(files), index: index, place: place}, nil
		}
	}
	return weightsLayout{}, explainNothing(dir)
}

// exists also finds a link whose target is gone, so that the error names it.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// explainNothing says why a folder without the usual names is no checkpoint.
func explainNothing(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("open checkpoint: %w", err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return fmt.Errorf("%s: %w", dir, noWeights(names))
}

func readIndex(path, ext string) (map[string]string, error) {
	data, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	return ParseIndex(data, ext)
}

// ParseIndex returns the weight_map of an index: the file, with extension ext, of each tensor. Errors are ErrCorrupt.
func ParseIndex(data []byte, ext string) (map[string]string, error) {
	if !utf8.Valid(data) {
		return nil, corrupt("the index is not UTF-8")
	}
	place := map[string]string{}
	err := members(data, func(name string, raw json.RawMessage) error {
		if name != "weight_map" {
			return nil
		}
		return members(raw, func(tensor string, raw json.RawMessage) error {
			var file string
			if err := json.Unmarshal(raw, &file); err != nil {
				return corrupt("weight_map: tensor %q has no file name", tensor)
			}
			if file != filepath.Base(file) || !filepath.IsLocal(file) || strings.ContainsAny(file, `/\`) || filepath.Ext(file) != ext {
				return corrupt("weight_map: tensor %q is said to be in %q, which is not a %s file of this folder", tensor, file, ext)
			}
			place[tensor] = file
			return nil
		})
	})
	if err == nil && len(place) == 0 {
		err = corrupt("the index names no tensor")
	}
	return place, err
}

// readSmall reads a JSON file whole, within a bound.
func readSmall(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxJSON {
		return nil, corrupt("it has %d bytes, too many for such a file", st.Size())
	}
	return os.ReadFile(path)
}

func (c *Checkpoint) openAll(l weightsLayout) error {
	for _, name := range l.files {
		path := filepath.Join(c.dir, name)
		entries, err := c.openFile(path, l)
		if err != nil {
			return err
		}
		for _, e := range entries {
			e.File = path
			if l.place != nil && l.place[e.Name] != name {
				continue
			}
			c.tensors[e.Name] = e
			c.names = append(c.names, e.Name)
		}
	}
	for tensor, file := range l.place {
		if _, ok := c.tensors[tensor]; !ok {
			return inFile(filepath.Join(c.dir, file), corrupt("%s says that it holds tensor %q, and it does not", filepath.Base(l.index), tensor))
		}
	}
	if len(c.names) == 0 {
		return inFile(filepath.Join(c.dir, l.files[0]), corrupt("it holds no tensors"))
	}
	slices.Sort(c.names)
	return nil
}

// openFile opens one weights file and reads its table of tensors.
func (c *Checkpoint) openFile(path string, l weightsLayout) ([]entry, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		why := "it is not there"
		if exists(path) {
			why = "it is a link to a file that is gone"
		}
		if l.index != "" {
			why += ", and " + filepath.Base(l.index) + " names it"
		}
		return nil, fmt.Errorf("%s: %w: %s; download it again", path, ErrMissingShard, why)
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	w := &weights{path: path, file: f, size: st.Size()}
	c.files = append(c.files, w) // closed with the checkpoint from here on
	if filepath.Ext(path) == ".bin" {
		entries, err := readTorch(w)
		return entries, inFile(path, err)
	}
	tensors, metadata, err := readHeader(f, w.size)
	if err != nil {
		return nil, inFile(path, err)
	}
	if c.metadata == nil {
		c.metadata = metadata
	}
	entries := make([]entry, len(tensors))
	for i, t := range tensors {
		entries[i] = entry{Tensor: t, in: w}
	}
	return entries, nil
}

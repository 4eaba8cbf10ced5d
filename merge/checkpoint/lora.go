package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// OpenAdapted opens the model in dir with the LoRA adapter in adapter applied to
// it. Weights are computed as they are read, a few rows at a time, and nothing is
// written:
//
//	W' = W + s·B·A            s = α/r, or α/√r (rank-stabilised)
//	W' = m·(W + s·B·A)/‖·‖    DoRA: m and the length for each output
//
// (Hu et al. 2021, Kalajdzievski 2023, Liu et al. 2024; names and shapes as
// PEFT 0.21 writes them). B·A is summed over the rank in order, in fp64, and the
// result is rounded once, to fp32. It does not depend on how the tensor is cut
// into blocks or on who else reads it.
//
// Config and tokenizer are the model's. Errors are as of [Open]; ErrUnsupported
// also where the adapter is of a kind that is not built in or of another model.
func OpenAdapted(dir, adapter string) (*Checkpoint, error) {
	c, err := Open(dir)
	if err != nil {
		return nil, err
	}
	if err := c.adapt(adapter); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// ReadAdapter reads an adapter's configuration and the table of its tensors.
func ReadAdapter(dir string) (*AdapterConfig, []Tensor, error) {
	c := &Checkpoint{dir: dir, tensors: map[string]entry{}}
	defer c.Close()
	config, err := c.openAdapter(dir)
	if err != nil {
		return nil, nil, err
	}
	return config, c.Tensors(), nil
}

// openAdapter opens an adapter's files as if they were a checkpoint's.
func (c *Checkpoint) openAdapter(dir string) (*AdapterConfig, error) {
	path := filepath.Join(dir, AdapterConfigName)
	data, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: no adapter lies there: it has no %s", dir, ErrMissingShard, AdapterConfigName)
	}
	if err != nil {
		return nil, inFile(path, err)
	}
	config, err := ParseAdapterConfig(data)
	if err != nil {
		return nil, inFile(path, err)
	}
	file := AdapterWeights
	if !exists(filepath.Join(dir, file)) && exists(filepath.Join(dir, AdapterTorch)) {
		file = AdapterTorch
	}
	if err := c.openAll(weightsLayout{files: []string{file}}); err != nil {
		return nil, err
	}
	if err := refusePacked(c.Tensors()); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return config, nil
}

// adapt lays the adapter in dir over the tensors of an open model.
func (c *Checkpoint) adapt(dir string) error {
	a := &Checkpoint{dir: dir, tensors: map[string]entry{}}
	config, err := a.openAdapter(dir)
	c.files = append(c.files, a.files...) // closed with the model from here on
	if err != nil {
		return err
	}
	changes, err := config.plan(c.Tensors(), a.Tensors(), c.TiedEmbeddings())
	if err != nil {
		return fmt.Errorf("%s: applied to %s: %w", dir, c.dir, err)
	}
	for name, ch := range changes {
		e := c.tensors[name]
		e.Adapted = true
		e.patch = newPatch(ch, e, a.tensors)
		c.tensors[name] = e
	}
	return nil
}

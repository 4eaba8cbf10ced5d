// Package method holds the merge methods, one file each, and the registry that
// also generates docs/methods.md.
//
// Every method works in two phases. It first measures: reductions over a tensor
// (or the model) that end in a few scalars and cuts. It then applies: an
// elementwise function on blocks of fp32. So no method ever holds a tensor, and
// all stream at the same cost in memory. Results are fp32; rounding to the
// output format is the caller's, once.
//
// The formulas are mergekit's (v0.1.4) unless the recipe says `semantics:
// paper`; random masks are always drawn from the counter-based generator of
// package kernel, so that they do not depend on threads, devices or order.
package method

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"mergebot/merge/kernel"
)

// ErrNotBuiltIn marks a method that recipes may name but that is not built in.
var ErrNotBuiltIn = errors.New("merge method is not built in")

// Method is one entry of the registry.
type Method struct {
	Name       string
	Summary    string // one line
	Formula    string
	Paper      string // what differs under `semantics: paper`; "" where nothing does
	Source     string // paper, peer and version
	Base       bool   // a base model is required
	Deltas     bool   // no base model is required, but where one is given deltas are taken from it
	Takes      int    // models besides the base; 0 is any number
	Treated    bool   // experts are pruned and amplified first: Problem.Treatment must be set
	Parameters []Parameter

	begin func(p *Problem) measure
}

// Parameter is one that a recipe may give, globally or per model.
type Parameter struct {
	Name     string
	PerModel bool
	Default  string // "required" where there is none
	Doc      string
}

// measure reads what a tensor's reductions need and returns its second phase.
type measure func(ctx context.Context, t Tensor) (Elementwise, error)

// Elementwise merges one block. It may be called from several goroutines, with
// different blocks.
type Elementwise func(b *Block) error

// Block is a run of elements of one tensor: the base's (empty without base) and
// every model's, fp32. The function may overwrite them all; the result goes to
// Out.
type Block struct {
	First  int64
	Base   []float32
	Models [][]float32
	Out    []float32
	Key    []float32 // scratch of the same length
}

// Tensor is one to be merged.
type Tensor struct {
	Name  string
	Count int64
	Shape []int64 // of the result; its last dimension is a row
}

// row is the number of elements that are next to each other in the last
// dimension: all of a vector's.
func (t Tensor) row() int64 {
	if len(t.Shape) == 0 {
		return max(1, t.Count)
	}
	return max(1, t.Shape[len(t.Shape)-1])
}

// Problem is what a method may look at.
type Problem struct {
	Device  kernel.Device
	Tensors []Tensor
	Models  []string // names
	Base    bool
	Seed    uint64
	Paper   bool // semantics: paper

	// Read widens elements [from, from+len(dst)) of a model's tensor; −1 is the base.
	Read func(model int, tensor string, dst []float32, from int64) error
	// Release says that a tensor was read for now.
	Release func(tensor string)
	// Number and Bool resolve a parameter of the recipe; model −1 is the global one.
	Number func(model int, name, tensor string, def float64) float64
	Bool   func(model int, name, tensor string, def bool) bool
	// Stream names a model's tensor for random masks, "name/tensor" by default: where layers are stacked anew, the tensor
	// has the name that the model itself gives it.
	Stream func(model int, tensor string) string
	// Treatment says how a model's tensor is pruned and amplified.
	Treatment func(ctx context.Context, model int, tensor string) (Treatment, error)
}

// stream is the random numbers of a model's tensor.
func (p *Problem) stream(model int, tensor string) uint64 {
	name := p.Models[model] + "/" + tensor
	if p.Stream != nil {
		name = p.Stream(model, tensor)
	}
	return kernel.Stream(p.Seed, name)
}

// Treatment is what DP and DPA (or a baseline's pruning) do to one expert's
// delta of one tensor: kept sets, smallest first, each containing the one
// before it, and a ratio for the elements that each adds.
type Treatment struct {
	Cuts        []kernel.Cut  // kept sets by rank, or
	Rates       []float64     // kept sets by chance: u ≥ rate, with
	Stream      uint64        // the tensor's stream of random numbers
	Ratios      []float32     // one per kept set; with neither Cuts nor Rates one for all elements
	Coefficient float32       // multiplies the treated delta in the sum
	Stored      kernel.Format // round the delta to this format first; 0: do not
	RankBF16    bool          // the cuts rank the delta rounded to bfloat16
}

// All returns the methods that are built in, in the order of the docs table.
func All() []Method {
	return []Method{linear(), slerp(), nuslerp(), multislerp(), karcher(), nearswap(), modelStock(), taskArithmetic(), ties(), dareLinear(), dareTies(), della(), dellaLinear(), breadcrumbs(), breadcrumbsTies(), sce(), ram(), ramplusTL(), passthrough(), magnitude(), owl(), dppa()}
}

// known are methods of mergekit's that are not built in: package configs says why.
var known = []string{"arcee_fusion"}

// Get returns a method by name: ErrNotBuiltIn for one that is known but not
// built in, another error for one that nobody knows.
func Get(name string) (Method, error) {
	var names []string
	for _, m := range All() {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	have := strings.Join(names, ", ")
	if slices.Contains(known, name) {
		return Method{}, fmt.Errorf("%w: %s (built in: %s)", ErrNotBuiltIn, name, have)
	}
	return Method{}, fmt.Errorf("unknown merge method %q (built in: %s)", name, have)
}

// Plan is a method bound to a problem. Its measurements are made when first
// asked for, and kept: they are small.
type Plan struct {
	measure measure
	tensors map[string]*planned
}

// planned is a tensor and, once it is measured, its second phase.
type planned struct {
	Tensor
	mu    sync.Mutex // held while it is measured
	apply Elementwise
}

// Begin binds the method to a problem. It reads nothing.
func (m Method) Begin(p *Problem) (*Plan, error) {
	if m.Base && !p.Base {
		return nil, fmt.Errorf("%s needs a base model: give base_model", m.Name)
	}
	if len(p.Models) == 0 {
		return nil, fmt.Errorf("%s needs at least one model", m.Name)
	}
	if m.Takes != 0 && len(p.Models) != m.Takes {
		return nil, fmt.Errorf("%s takes %d models besides the base, not %d", m.Name, m.Takes, len(p.Models))
	}
	pl := &Plan{measure: m.begin(p), tensors: map[string]*planned{}}
	for _, t := range p.Tensors {
		pl.tensors[t.Name] = &planned{Tensor: t}
	}
	return pl, nil
}

// Tensor returns the second phase for one tensor, measuring it first if need be.
// Who asks while it is being measured waits; what failed is tried again.
func (pl *Plan) Tensor(ctx context.Context, name string) (Elementwise, error) {
	t, ok := pl.tensors[name]
	if !ok {
		return nil, fmt.Errorf("no tensor %s in this merge", name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.apply != nil {
		return t.apply, nil
	}
	f, err := pl.measure(ctx, t.Tensor)
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", name, err)
	}
	t.apply = f
	return f, nil
}

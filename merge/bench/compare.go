package main

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"mergebot/merge/checkpoint"
)

// difference says how far two results are from each other, on a sample of
// tensors.
type difference struct {
	Tensors  int     `json:"tensors"`
	Elements int64   `json:"elements"`
	Unequal  float64 `json:"unequal_share"` // share of elements that differ at all
	Max      float64 `json:"max"`           // largest |ours − theirs|
	Mean     float64 `json:"mean"`          // mean |ours − theirs|
	Ours     float64 `json:"mean_ours"`     // mean |ours − base|
	Theirs   float64 `json:"mean_theirs"`   // mean |theirs − base|
	Base     float64 `json:"mean_base"`     // mean |base|
	Random   bool    `json:"random"`        // the two draw other elements
}

// sampled is how many tensors are compared, spread over the model.
const sampled = 24

// tolerance is how far results may be apart on average, as a share of the mean
// merged delta: mergekit computes in bfloat16, and takes others of equal
// elements at a cut. grain is that format's rounding, as a share of an element:
// where methods leave little of a delta (model_stock, of experts that have
// nothing in common) it is all that remains.
const (
	tolerance = 0.1
	grain     = 1.0 / 512
)

// agrees reports whether the two computed the same thing. Of random methods only
// the size of the merged delta can be the same.
func (d difference) agrees() bool {
	if d.Random {
		return math.Abs(d.Ours-d.Theirs) <= tolerance*d.Theirs+grain*d.Base
	}
	return d.Mean <= tolerance*d.Theirs+grain*d.Base
}

func (d difference) String() string {
	verdict := "agree"
	if !d.agrees() {
		verdict = "DISAGREE"
	}
	if d.Random {
		return fmt.Sprintf("%s: mean |merged − base| is %.3g of mergebot's, %.3g of mergekit's (they draw differently)", verdict, d.Ours, d.Theirs)
	}
	return fmt.Sprintf("%s: %.2g %% of elements differ, by %.2g on average over all and %.2g at most; mean |merged − base| is %.3g", verdict, 100*d.Unequal, d.Mean, d.Max, d.Theirs)
}

// compare reads sampled tensors of two results, and of the base.
func compare(base, ours, theirs string, random bool) (d difference, err error) {
	var open []*checkpoint.Checkpoint
	defer func() {
		for _, c := range open {
			err = errors.Join(err, c.Close())
		}
	}()
	for _, dir := range []string{base, ours, theirs} {
		c, err := checkpoint.Open(dir)
		if err != nil {
			return d, err
		}
		open = append(open, c)
	}
	names := open[1].Names()
	if !slices.Equal(names, open[2].Names()) {
		return d, fmt.Errorf("%s and %s have other tensors", ours, theirs)
	}
	d.Random = random
	for i := 0; i < len(names); i += max(1, len(names)/sampled) {
		if err := d.add(open, names[i]); err != nil {
			return d, err
		}
	}
	n := float64(max(d.Elements, 1))
	for _, sum := range []*float64{&d.Unequal, &d.Mean, &d.Ours, &d.Theirs, &d.Base} {
		*sum /= n
	}
	return d, nil
}

// add sums up one tensor.
func (d *difference) add(open []*checkpoint.Checkpoint, name string) error {
	t, _ := open[1].Tensor(name)
	d.Tensors++
	var values [3][]float32
	for i := range values {
		values[i] = make([]float32, 1<<18)
	}
	for first := int64(0); first < t.Elements(); {
		n := min(t.Elements()-first, int64(len(values[0])))
		for i, c := range open {
			if err := c.Floats(name, values[i][:n], first); err != nil {
				return err
			}
			c.Release(name) // this program stays small: see peakResident
		}
		for i := range n {
			base, ours, theirs := float64(values[0][i]), float64(values[1][i]), float64(values[2][i])
			off := math.Abs(ours - theirs)
			if off != 0 {
				d.Unequal++
			}
			d.Max = max(d.Max, off)
			d.Mean += off
			d.Base += math.Abs(base)
			d.Ours += math.Abs(ours - base)
			d.Theirs += math.Abs(theirs - base)
		}
		d.Elements += n
		first += n
	}
	return nil
}

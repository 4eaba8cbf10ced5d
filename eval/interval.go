package eval

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"mergebot/eval/grade"
)

// ErrUnpaired is returned when two results are not about the same items.
var ErrUnpaired = errors.New("results are not about the same items")

// Wilson is the 95 % score interval of a share, see grade.Wilson.
func Wilson(correct, n int) (lo, hi float64) { return grade.Wilson(correct, n) }

// StandardError is that of a share of n items, sqrt(p(1-p)/n) with p = correct/n; 0 without items. Near 0 and 1 it is
// too small to be believed: there Wilson's interval is the one to read.
func StandardError(correct, n int) float64 {
	if n == 0 {
		return 0
	}
	p := float64(correct) / float64(n)
	return math.Sqrt(p * (1 - p) / float64(n))
}

// Interval is a 95 % interval of a ratio or of a difference.
type Interval struct {
	Lo, Hi float64
	// Undefined is the share of resamples in which a dense accuracy was 0. They are left out; where it is more than a
	// few percent the interval means little.
	Undefined float64
}

// intervalJSON writes undefined bounds as null, for JSON has no NaN.
type intervalJSON struct {
	Lo        *float64 `json:"lo"`
	Hi        *float64 `json:"hi"`
	Undefined float64  `json:"undefined,omitempty"`
}

// MarshalJSON writes undefined bounds as null.
func (i Interval) MarshalJSON() ([]byte, error) {
	out := intervalJSON{Undefined: i.Undefined}
	if !math.IsNaN(i.Lo) && !math.IsNaN(i.Hi) {
		out.Lo, out.Hi = &i.Lo, &i.Hi
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads null as NaN.
func (i *Interval) UnmarshalJSON(b []byte) error {
	var in intervalJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return fmt.Errorf("interval: %w", err)
	}
	*i = Interval{math.NaN(), math.NaN(), in.Undefined}
	if in.Lo != nil && in.Hi != nil {
		i.Lo, i.Hi = *in.Lo, *in.Hi
	}
	return nil
}

// Contains tells whether x is inside.
func (i Interval) Contains(x float64) bool { return i.Lo <= x && x <= i.Hi }

// Pair is a merged model's and a dense expert's result on the same items.
type Pair struct{ Merged, Dense Result }

// Resamples and bootstrapSeed make every interval reproducible.
const (
	Resamples     = 2000
	bootstrapSeed = 20240213
)

// TaskRatioInterval is the paired bootstrap interval of a Task-Ratio.
func TaskRatioInterval(merged, dense Result) (Interval, error) {
	return DomainRatioInterval([]Pair{{merged, dense}})
}

// DomainRatioInterval is the paired percentile bootstrap of a Domain-Ratio over item ids: each resample draws items
// with replacement within each task, the same for both models, so that what makes an item easy for both cancels. Both
// results of a pair must be about the same items (ErrUnpaired). The interval is NaN where the ratio never is defined.
func DomainRatioInterval(pairs []Pair) (Interval, error) {
	outcomes := make([][]outcome, len(pairs))
	for i, p := range pairs {
		o, err := p.outcomes()
		if err != nil {
			return Interval{}, err
		}
		outcomes[i] = o
	}
	ratios := make([]float64, len(pairs))
	return bootstrap(outcomes, func(sums []outcome) float64 {
		for t, x := range sums {
			ratios[t] = ratio(float64(x.merged), float64(x.dense))
		}
		return DomainRatio(ratios)
	}), nil
}

// bootstrap is the percentile interval of a statistic over resamples. It is told, per task, how many items of the
// resample each model has right, and may answer NaN for undefined.
func bootstrap(tasks [][]outcome, statistic func(sums []outcome) float64) Interval {
	rng := rand.New(rand.NewPCG(bootstrapSeed, Resamples))
	var values []float64
	sums := make([]outcome, len(tasks))
	for range Resamples {
		for t, o := range tasks {
			sums[t] = outcome{}
			for range o {
				x := o[rng.IntN(len(o))]
				sums[t].merged += x.merged
				sums[t].dense += x.dense
			}
		}
		if v := statistic(sums); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	undefined := 1 - float64(len(values))/Resamples
	if len(values) == 0 {
		return Interval{math.NaN(), math.NaN(), undefined}
	}
	slices.Sort(values)
	at := func(q float64) float64 { return values[int(q*float64(len(values)-1)+0.5)] }
	return Interval{at(0.025), at(0.975), undefined}
}

// outcome is 1 where a model was right; summed, the number of items that it has right.
type outcome struct{ merged, dense int }

func (p Pair) outcomes() ([]outcome, error) {
	m, d := p.Merged, p.Dense
	if len(m.Items) != len(d.Items) || len(m.Items) == 0 {
		return nil, fmt.Errorf("%w: task %s: %d and %d items", ErrUnpaired, m.Task, len(m.Items), len(d.Items))
	}
	dense := make(map[string]int, len(d.Items))
	for _, it := range d.Items {
		dense[it.ID] = one(it.Correct)
	}
	out := make([]outcome, len(m.Items))
	for i, it := range m.Items {
		right, ok := dense[it.ID]
		if !ok {
			return nil, fmt.Errorf("%w: task %s: item %s is in one only", ErrUnpaired, m.Task, it.ID)
		}
		out[i] = outcome{one(it.Correct), right}
	}
	return out, nil
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// McNemar is the exact two-sided test of whether two models differ on the same items: Gained counts the items that
// only the merged model has right, Lost those that only the dense one has. P is the chance of a split at least so
// uneven if the two were equally good.
type McNemar struct {
	Gained int     `json:"gained"`
	Lost   int     `json:"lost"`
	P      float64 `json:"p"`
}

// CompareMcNemar runs the test.
func CompareMcNemar(merged, dense Result) (McNemar, error) {
	o, err := Pair{merged, dense}.outcomes()
	if err != nil {
		return McNemar{}, err
	}
	var m McNemar
	for _, x := range o {
		switch {
		case x.merged > x.dense:
			m.Gained++
		case x.merged < x.dense:
			m.Lost++
		}
	}
	m.P = signTest(m.Gained, m.Lost)
	return m, nil
}

// PooledMcNemar is CompareMcNemar on the items of several tasks together.
func PooledMcNemar(pairs []Pair) (McNemar, error) {
	var all McNemar
	for _, p := range pairs {
		m, err := CompareMcNemar(p.Merged, p.Dense)
		if err != nil {
			return McNemar{}, err
		}
		all.Gained, all.Lost = all.Gained+m.Gained, all.Lost+m.Lost
	}
	all.P = signTest(all.Gained, all.Lost)
	return all, nil
}

// signTest is the two-sided exact binomial test with probability 1/2.
func signTest(a, b int) float64 {
	n, k := a+b, min(a, b)
	if n == 0 {
		return 1
	}
	lgN, _ := math.Lgamma(float64(n + 1))
	tail := 0.0
	for i := 0; i <= k; i++ {
		x, _ := math.Lgamma(float64(i + 1))
		y, _ := math.Lgamma(float64(n - i + 1))
		tail += math.Exp(lgN - x - y - float64(n)*math.Ln2)
	}
	return min(1, 2*tail)
}

// Words says in a sentence what the test allows to be said.
func (m McNemar) Words() string {
	switch {
	case m.P >= 0.05:
		return fmt.Sprintf("inside the noise: %d items gained, %d lost (p = %.2g)", m.Gained, m.Lost, m.P)
	case m.Gained > m.Lost:
		return fmt.Sprintf("better, outside the noise: %d items gained, %d lost (p = %.2g)", m.Gained, m.Lost, m.P)
	default:
		return fmt.Sprintf("worse, outside the noise: %d items gained, %d lost (p = %.2g)", m.Gained, m.Lost, m.P)
	}
}

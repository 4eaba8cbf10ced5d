package run

import (
	"context"
	"fmt"
	"math"

	"mergebot/configs"
	"mergebot/eval"
	"mergebot/eval/engine"
	"mergebot/eval/task"
	"mergebot/merge"
	"mergebot/merge/search"
)

// searchIn is all that decides the outcome of a search: the models, what was measured of them, the tasks'
// items and the line to search.
type searchIn struct {
	Base         string
	Experts      []string // digests
	Measurements []string // keys of the measure steps
	Tasks        []string
	Items        []string // hashes of the selection items
	Graders      []string
	MaxTokens    []int
	Dense        []int // the experts' own counts, which the ratios divide by
	Engine       engine.Info
	Recipe       string      // of a coefficient search: hash of what the recipe says about merging
	Ratios       [][]float64 // of a coefficient search: those already chosen
	Options      configs.Search
}

// denominator is a task's selection items and what the domain's own expert gets on them.
type denominator struct {
	set   *task.Set
	dense int
}

// denominators scores the experts on the selection items of their domains.
func (p *pipeline) denominators(ctx context.Context, d configs.Domain) ([]denominator, error) {
	expert, err := p.plan.indexOf(d.Expert)
	if err != nil {
		return nil, err
	}
	dense, err := p.dense(expert)
	if err != nil {
		return nil, err
	}
	var out []denominator
	for _, name := range d.Tasks {
		set, err := p.scorer.set(ctx, name, task.Select, p.recipe.Mergebot.Search.Limit)
		if err != nil {
			return nil, err
		}
		r, err := p.scorer.evaluate(ctx, dense, name, task.Select, p.recipe.Mergebot.Search.Limit)
		if err != nil {
			return nil, err
		}
		if r.Correct == 0 {
			return nil, refuse("%s has none of %d selection items of %s right: ratios to it mean nothing; choose another expert, prompt or grader",
				d.Expert, r.N, name)
		}
		out = append(out, denominator{set, r.Correct})
	}
	return out, nil
}

// score judges a candidate on one domain: its Domain-Ratio and the sum of its accuracies.
func (p *pipeline) score(ctx context.Context, w weighed, den []denominator) (search.Score, error) {
	var s search.Score
	var ratios []float64
	for _, d := range den {
		n, err := p.scorer.count(ctx, w, d.set)
		if err != nil {
			return search.Score{}, err
		}
		ratio := float64(n) / float64(d.dense)
		ratios = append(ratios, ratio)
		s.Tie += float64(n) / float64(len(d.set.Items))
		s.Tasks = append(s.Tasks, search.TaskScore{Task: d.set.Task.Name, Correct: n, N: len(d.set.Items), Ratio: ratio})
	}
	s.Value = eval.DomainRatio(ratios)
	return s, nil
}

// amplify finds the ratios of one expert's partitions, judged on its own domains alone.
func (p *pipeline) amplify(ctx context.Context, i int) (search.AmplifyResult, error) {
	o := *p.recipe.Mergebot.Search
	var den []denominator
	for _, d := range p.recipe.Mergebot.Domains {
		if k, err := p.plan.indexOf(d.Expert); err != nil || k != i {
			continue
		}
		more, err := p.denominators(ctx, d)
		if err != nil {
			return search.AmplifyResult{}, err
		}
		den = append(den, more...)
	}
	m := p.measurements[i]
	in := p.searchIn([]int{i}, den, o)
	name := p.plan.Lock.Models[i].String()
	return do(ctx, p.x, stepSearch, "ratios of "+name, in, nil, func(ctx context.Context, _ searchIn) (search.AmplifyResult, error) {
		treated, err := merge.NewTreated(p.x.env.Device, *p.base, []merge.Input{{Model: p.models[i], Measurement: m, Ratios: ones(m.Partitions()), Coefficient: 1}})
		if err != nil {
			return search.AmplifyResult{}, err
		}
		// What is kept at random is already amplified by 1/density: its ratios are sought downward from there.
		start, down := m.DefaultRatios()[0], m.Pruning.Kind == merge.PruneDARE
		grid := o.Ratios.Grid()
		if down {
			grid = nil // shares of start
		}
		show := p.probes("ratios of " + name)
		r, err := search.Amplify(ctx, search.AmplifyOptions{Partitions: m.Partitions(), Methods: o.Methods, Grid: grid, Patience: o.Patience,
			Start: start, Down: down},
			func(ctx context.Context, c search.Candidate) (search.Score, error) {
				show()
				return p.score(ctx, p.candidate(in, c, treated.With([][]float64{c.Ratios}, nil)), den)
			})
		if err != nil {
			return search.AmplifyResult{}, err
		}
		return *r, nil
	})
}

// coefficients finds c of the whole merge, judged on all domains: the geometric mean of their ratios.
func (p *pipeline) searchCoefficients(ctx context.Context) (search.CoefficientResult, error) {
	o := *p.recipe.Mergebot.Search
	var dens [][]denominator
	var flat []denominator
	all := p.experts()
	for _, d := range p.recipe.Mergebot.Domains {
		den, err := p.denominators(ctx, d)
		if err != nil {
			return search.CoefficientResult{}, err
		}
		dens, flat = append(dens, den), append(flat, den...)
	}
	in := p.coefficientIn(flat)
	return do(ctx, p.x, stepSearch, "coefficient", in, nil, func(ctx context.Context, _ searchIn) (search.CoefficientResult, error) {
		m, err := p.merger()
		if err != nil {
			return search.CoefficientResult{}, err
		}
		show := p.probes("coefficient")
		r, err := search.Coefficient(ctx, search.CoefficientOptions{Mode: o.Coefficient, Experts: len(all), Grid: o.Coefficients.Grid(), Patience: o.Patience},
			func(ctx context.Context, c search.Candidate) (search.Score, error) {
				show()
				w := p.candidate(in, c, m.With(nil, c.Coefficients))
				var s search.Score
				product := 1.0
				for _, den := range dens {
					one, err := p.score(ctx, w, den)
					if err != nil {
						return search.Score{}, err
					}
					product *= one.Value
					s.Tie += one.Value / float64(len(dens))
					s.Tasks = append(s.Tasks, one.Tasks...)
				}
				s.Value = math.Pow(product, 1/float64(len(dens)))
				return s, nil
			})
		if err != nil {
			return search.CoefficientResult{}, err
		}
		return *r, nil
	})
}

func (p *pipeline) searchIn(experts []int, den []denominator, o configs.Search) searchIn {
	in := searchIn{Base: p.plan.Lock.Base.Digest, Engine: p.scorer.engine, Options: o}
	for _, i := range experts {
		in.Experts = append(in.Experts, p.plan.Lock.Models[i].Name+" "+p.plan.Lock.Models[i].Digest)
		in.Measurements = append(in.Measurements, p.measured[i])
	}
	for _, d := range den {
		in.Tasks, in.Items = append(in.Tasks, d.set.Task.Name), append(in.Items, d.set.ItemsHash)
		in.Graders, in.MaxTokens = append(in.Graders, d.set.Task.Grader), append(in.MaxTokens, d.set.Task.MaxTokens)
		in.Dense = append(in.Dense, d.dense)
	}
	return in
}

// coefficientIn is what decides the search of the whole merge's coefficients: here the recipe's method and parameters count too.
func (p *pipeline) coefficientIn(den []denominator) searchIn {
	in := p.searchIn(p.experts(), den, *p.recipe.Mergebot.Search)
	in.Ratios, in.Recipe = p.ratios, mergeHash(p.recipe)
	return in
}

// candidate is a set of ratios and coefficients as something to score. Nothing is written: the engine
// takes the weights as the merger computes them.
func (p *pipeline) candidate(in searchIn, c search.Candidate, m *merge.Merger) weighed {
	// What is hashed decides the weights: the models, how they are treated, and the candidate's numbers.
	digest, err := hashOf(struct {
		Base, Recipe string
		Experts      []string
		Measurements []string
		Fixed        [][]float64
		Candidate    search.Candidate
	}{in.Base, in.Recipe, in.Experts, in.Measurements, in.Ratios, c})
	if err != nil {
		digest = fmt.Sprint("unhashable candidate: ", err) // only NaN does this, and a grid has none
	}
	return weighed{name: "a candidate", digest: digest, tokenizer: p.baseSidecars, dir: p.baseDir.dir,
		open: func() (engine.Weights, func() error, error) { return m, func() error { return nil }, nil }}
}

// probes shows how many candidates a search has tried.
func (p *pipeline) probes(subject string) func() {
	var n int64
	show := p.x.progress(stepSearch, subject, "candidates")
	return func() { n++; show(n, 0) }
}

func ones(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 1
	}
	return out
}

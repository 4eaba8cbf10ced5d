package run

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"

	"mergebot/eval"
	"mergebot/eval/engine"
	"mergebot/eval/report"
	"mergebot/eval/task"
	"mergebot/merge"
	"mergebot/merge/dppa"
	"mergebot/merge/search"
)

// report gathers what the run found into a report.
func (p *pipeline) report() report.Report {
	r := report.Report{GeneratedAt: now().UTC(), Tool: tool(p.x.env), Status: report.Succeeded,
		Recipe: report.Recipe{Name: p.plan.Recipe.Name, Method: p.plan.Recipe.Method, YAML: p.plan.Recipe.Text, SHA256: hashBytes([]byte(p.plan.Recipe.Text))},
		Plan:   report.Plan{ID: p.plan.ID, Lock: p.locked(), Warnings: p.plan.Warnings},
		Gates:  p.gates, Domains: p.domains(), Search: p.searched(), Measurements: p.deltas(), Steps: steps(p.x.journal.events()),
		Files: p.files(), Reproduce: p.reproduce(), Environment: environment(p.x.env)}
	if p.recipe.Mergebot.Search != nil && p.opts.Pins.treated() {
		r.Notes = append(r.Notes, "Ratios and coefficients are those of the earlier merge that --lock names; nothing was searched.")
	}
	if text := p.plan.Output.stacked(); text != "" {
		r.Notes = append(r.Notes, strings.TrimSpace(text))
	}
	r.Notes = append(r.Notes, p.taskWarnings()...)
	if p.tuned() {
		r.Selection = report.SelectionTest
	}
	if !p.passed() {
		r.Status = report.Gated
	}
	if p.published != nil {
		r.Published = p.published
	}
	return r
}

func tool(env *Env) report.Tool {
	return report.Tool{Version: Version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Device: env.Device.Name()}
}

func environment(env *Env) []report.Setting {
	return []report.Setting{{Name: "hub", Value: env.Hub.Endpoint()}, {Name: "GOMAXPROCS", Value: fmt.Sprint(runtime.GOMAXPROCS(0))}}
}

// taskWarnings are what a reader should know of the rows that are reported.
func (p *pipeline) taskWarnings() []string {
	var out []string
	for _, d := range p.plan.Lock.Datasets {
		if set := p.scorer.sets[setKey{d.Task, task.Test, p.opts.Limit}]; set != nil {
			out = append(out, set.Warnings()...)
		}
	}
	return out
}

// locked lists the inputs.
func (p *pipeline) locked() []report.Locked {
	var out []report.Locked
	add := func(role string, m *LockedModel) {
		l := report.Locked{Kind: "model", Role: role, Repo: m.where(), Revision: m.Asked, SHA: m.SHA, License: m.License, Bytes: m.Bytes}
		if m.Path != "" {
			l.SHA = m.Digest
		}
		for _, f := range m.Files {
			l.Files = append(l.Files, report.File{Path: f.Path, Size: f.Size, SHA256: f.SHA256})
		}
		out = append(out, l)
	}
	both := func(role string, m *LockedModel) {
		if add(role, m); m.Adapter != nil {
			add("adapter", m.Adapter)
		}
	}
	if p.plan.Lock.Base != nil {
		both("base", p.plan.Lock.Base)
	}
	for i := range p.plan.Lock.Models {
		both("expert", &p.plan.Lock.Models[i])
	}
	for _, d := range p.plan.Lock.Datasets {
		out = append(out, report.Locked{Kind: "dataset", Role: d.Task, Repo: d.Repo, Revision: d.Asked, SHA: d.SHA})
	}
	return out
}

// domains turns the scores into the report's table.
func (p *pipeline) domains() []report.Domain {
	var out []report.Domain
	for _, d := range p.recipe.Mergebot.Domains {
		rd := report.Domain{Name: d.Name, Expert: d.Expert.String()}
		var pairs []eval.Pair
		var ratios []float64
		for _, s := range p.scores {
			if s.domain != d.Name {
				continue
			}
			rd.Tasks = append(rd.Tasks, p.task(s))
			pairs = append(pairs, eval.Pair{Merged: *s.merged, Dense: *s.expert})
			ratios = append(ratios, eval.TaskRatio(*s.merged, *s.expert))
		}
		i, err := eval.DomainRatioInterval(pairs)
		rd.Ratio = interval(eval.DomainRatio(ratios), i, err)
		if m, err := eval.PooledMcNemar(pairs); err == nil && rd.Ratio != nil {
			rd.Ratio.P = m.P
		}
		out = append(out, rd)
	}
	return out
}

func (p *pipeline) task(s *taskScores) report.Task {
	t := report.Task{Name: s.task, Protocol: p.protocol(*s.merged, s.task)}
	if s.base != nil {
		t.Scores = append(t.Scores, score(report.Base, p.plan.Lock.Base.String(), *s.base))
	}
	t.Scores = append(t.Scores, score(report.Expert, p.expertOf(s.domain), *s.expert), score(report.Merged, p.plan.Recipe.Name, *s.merged))
	ratio := eval.TaskRatio(*s.merged, *s.expert)
	i, err := eval.TaskRatioInterval(*s.merged, *s.expert)
	t.Ratio = interval(ratio, i, err)
	if m, err := eval.CompareMcNemar(*s.merged, *s.expert); err == nil {
		t.McNemar = &report.McNemar{OnlyExpert: m.Lost, OnlyMerged: m.Gained, P: m.P}
	}
	t.Samples = p.samples(s)
	return t
}

// expertOf names a domain's expert at its commit.
func (p *pipeline) expertOf(domain string) string {
	for _, d := range p.recipe.Mergebot.Domains {
		if i, err := p.plan.indexOf(d.Expert); err == nil && d.Name == domain {
			return p.plan.Lock.Models[i].String()
		}
	}
	return ""
}

// protocol is how a task was put and judged.
func (p *pipeline) protocol(r eval.Result, name string) report.Protocol {
	out := report.Protocol{Dataset: r.Dataset, Revision: r.Revision, Split: r.Split, Source: r.Source, ItemsHash: r.ItemsHash,
		Prompt: r.Prompt, PromptHash: r.PromptHash, Grader: r.Grader, MaxTokens: r.MaxTokens}
	if d, err := p.plan.dataset(name); err == nil {
		out.Config = d.task.Config
	}
	out.PromptText, _ = task.PromptText(r.Prompt) // a preset, since it was asked
	return out
}

func score(role report.Role, model string, r eval.Result) report.Score {
	low, high := eval.Wilson(r.Correct, r.N)
	return report.Score{Role: role, Model: model, N: r.N, Total: r.Total, Correct: r.Correct, Accuracy: r.Accuracy(), Low: low, High: high,
		NoAnswer: r.NoAnswer, Truncated: r.Truncated, Several: r.Several, Seconds: r.Seconds, Engine: engineOf(r.Engine)}
}

func engineOf(i engine.Info) report.Engine {
	return report.Engine{Name: i.Engine, Version: i.Version, DType: i.DType, Flags: i.Flags}
}

// interval is nil where the ratio is undefined.
func interval(value float64, i eval.Interval, err error) *report.Interval {
	if err != nil || math.IsNaN(value) || math.IsNaN(i.Lo) || math.IsNaN(i.Hi) {
		return nil
	}
	return &report.Interval{Value: value, Low: i.Lo, High: i.Hi}
}

// samples shows a reader some rows of the merged model, wrong ones first.
func (p *pipeline) samples(s *taskScores) []report.Sample {
	const most, tail = 6, 600
	set := p.scorer.sets[setKey{s.task, task.Test, p.opts.Limit}]
	if set == nil {
		return nil
	}
	var right, wrong []report.Sample
	for i, it := range s.merged.Items {
		q := set.Items[i]
		prompt := q.Prompt
		if len(prompt) > tail {
			prompt = strings.ToValidUTF8(prompt[len(prompt)-tail:], "")
		}
		x := report.Sample{ID: it.ID, PromptTail: prompt, Output: it.Output, Extracted: it.Extracted, Gold: gold(q), Correct: it.Correct}
		if it.Correct {
			right = append(right, x)
		} else {
			wrong = append(wrong, x)
		}
	}
	n := min(len(wrong), most/2)
	return append(slices.Clone(wrong[:n]), right[:min(len(right), most-n)]...)
}

func gold(it task.Item) string {
	if len(it.Options) == 0 {
		return it.Gold
	}
	var names []string
	for _, g := range it.GoldIndex {
		names = append(names, it.Options[g])
	}
	return strings.Join(names, ", ")
}

// searched tells how ratios and coefficients were found.
func (p *pipeline) searched() *report.Search {
	s := p.recipe.Mergebot.Search
	if s == nil || p.opts.Pins.treated() {
		return nil
	}
	out := &report.Search{Limit: s.Limit, Seed: s.Seed, Source: p.judgedOn(s.Limit)}
	for i := range p.models {
		r, ok := p.amplified[i]
		if !ok {
			continue
		}
		a := report.Amplification{Expert: p.plan.Lock.Models[i].Name, Domain: p.domainOf(i), Method: r.Method, Ratios: r.Ratios, Score: r.Score.Value}
		a.Probes = probes(r.Probes)
		out.Experts = append(out.Experts, a)
	}
	if c := p.coefficient; c != nil {
		out.Coefficient = &report.Coefficients{Mode: s.Coefficient, Chosen: c.Coefficients, Score: c.Score.Value, Probes: probes(c.Probes)}
	}
	return out
}

// judgedOn says of every task which rows the search was judged on.
func (p *pipeline) judgedOn(limit int) string {
	var rows []string
	for _, d := range p.plan.Lock.Datasets {
		if set := p.scorer.sets[setKey{d.Task, task.Select, limit}]; set != nil {
			rows = append(rows, d.Task+": "+set.Source)
		}
	}
	return strings.Join(rows, "; ")
}

func probes(list []search.Probe) []report.Probe {
	var out []report.Probe
	for _, x := range list {
		q := report.Probe{Phase: x.Phase, Method: x.Method, Partition: x.Partition, Ratios: x.Candidate.Ratios, Coefficients: x.Candidate.Coefficients,
			Value: x.Score.Value, Tie: x.Score.Tie, Best: x.Best}
		for _, t := range x.Score.Tasks {
			q.Tasks = append(q.Tasks, report.TaskScore{Task: t.Task, Correct: t.Correct, N: t.N, Ratio: t.Ratio})
		}
		out = append(out, q)
	}
	return out
}

func (p *pipeline) domainOf(i int) string {
	for _, d := range p.recipe.Mergebot.Domains {
		if k, err := p.plan.indexOf(d.Expert); err == nil && k == i {
			return d.Name
		}
	}
	return ""
}

// deltas turns measurements into the report's heat maps: layers by linears.
func (p *pipeline) deltas() []report.Measurement {
	var out []report.Measurement
	for i, m := range p.measurements {
		if m != nil {
			out = append(out, delta(p.plan.Lock.Models[i].Name, m))
		}
	}
	return out
}

func delta(expert string, m *merge.Measurement) report.Measurement {
	out := report.Measurement{Expert: expert, Pruning: m.Pruning.Kind, Density: density(m)}
	column := map[string]int{}
	for _, t := range m.Tensors {
		if t.Kind == dppa.LinearKind {
			column[linear(t.Name)] = 0
		}
	}
	for name := range column {
		out.Linears = append(out.Linears, name)
	}
	slices.SortFunc(out.Linears, byForward)
	for j, name := range out.Linears {
		column[name] = j
	}
	grid := func() [][]float64 {
		g := make([][]float64, len(m.Layers))
		for l := range g {
			g[l] = make([]float64, len(out.Linears))
		}
		return g
	}
	out.Rates, out.Significance = grid(), grid()
	var n, sumAbs, sumSq, zeros, maxAbs, outliers float64
	for _, t := range m.Tensors {
		switch {
		case t.Kind == dppa.LinearKind:
			j := column[linear(t.Name)]
			if len(t.Rates) > 0 {
				out.Rates[t.Layer][j] = t.Rates[len(t.Rates)-1]
			}
			out.Significance[t.Layer][j] = t.Significance
			n += float64(t.Stats.Count)
			sumAbs, sumSq, zeros = sumAbs+t.Stats.SumAbs, sumSq+t.Stats.SumSq, zeros+float64(t.Stats.Zeros)
			maxAbs = max(maxAbs, math.Abs(float64(t.Stats.Min)), math.Abs(float64(t.Stats.Max)))
			if t.Outliers != nil {
				outliers += float64(t.Outliers.Count)
			}
		case len(t.Rates) > 0:
			out.Others = append(out.Others, report.Rate{Tensor: t.Name, Rate: t.Rates[len(t.Rates)-1]})
		}
	}
	for _, l := range m.Layers {
		out.LayerSignificance = append(out.LayerSignificance, l.Significance)
	}
	if n > 0 {
		out.Delta = report.DeltaStats{Parameters: int64(n), RMS: math.Sqrt(sumSq / n), MeanAbs: sumAbs / n, MaxAbs: maxAbs, Outliers: outliers / n, Zeros: zeros / n}
	}
	return out
}

// density is the share of the delta that the last partition's rates keep, over all tensors that are pruned.
func density(m *merge.Measurement) float64 {
	var kept, all int64
	for _, t := range m.Tensors {
		if len(t.Rates) > 0 {
			kept, all = kept+t.Stats.Count-dppa.Pruned(t.Stats.Count, t.Rates[len(t.Rates)-1]), all+t.Stats.Count
		}
	}
	if all == 0 {
		return 1
	}
	return float64(kept) / float64(all)
}

// linear is a linear's short name: q_proj of model.layers.3.self_attn.q_proj.weight.
func linear(tensor string) string {
	parts := strings.Split(strings.TrimSuffix(tensor, ".weight"), ".")
	return parts[len(parts)-1]
}

// byForward orders linears as a forward pass meets them, unknown ones by name after these.
func byForward(a, b string) int {
	order := []string{"q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj", "gate_proj", "up_proj", "gate_up_proj", "down_proj"}
	rank := func(s string) int {
		if i := slices.Index(order, s); i >= 0 {
			return i
		}
		return len(order)
	}
	if d := rank(a) - rank(b); d != 0 {
		return d
	}
	return strings.Compare(a, b)
}

// steps pairs the log's events into lines.
func steps(events []Event) []report.Step {
	var out []report.Step
	for k, e := range events {
		switch e.Phase {
		case Finished:
			s := report.Step{Name: e.Step, Subject: e.Subject, Finished: e.Time, Seconds: e.Seconds}
			s.Started = e.Time.Add(-seconds(e.Seconds))
			if e.Unit == "bytes" {
				s.Bytes = e.Done
			}
			out = append(out, s)
		case Cached:
			if slices.ContainsFunc(events[:k], func(o Event) bool {
				return o.Phase == Finished && o.Step == e.Step && o.Subject == e.Subject && o.Key == e.Key
			}) {
				continue // done earlier in this very run
			}
			out = append(out, report.Step{Name: e.Step, Subject: e.Subject, Started: e.Time, Finished: e.Time, Seconds: 0, Cached: true})
		}
	}
	return out
}

// files lists what the run wrote into model/.
func (p *pipeline) files() []report.File {
	var out []report.File
	for name, sum := range p.merged.Files {
		out = append(out, report.File{Path: name, Size: p.merged.Sizes[name], SHA256: sum})
	}
	slices.SortFunc(out, func(a, b report.File) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// reproduce says how anyone gets the same bytes: the recipe, at the commits that the provenance holds.
func (p *pipeline) reproduce() []string {
	return []string{"mergebot engine install", "mergebot run recipe.yaml --lock provenance.json --out again", "sha256sum again/model/*.safetensors"}
}

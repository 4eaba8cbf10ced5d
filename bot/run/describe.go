package run

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mergebot/configs"
	"mergebot/eval"
	"mergebot/hub"
)

// describe writes what goes with the weights: the card, the scores for the Hub's leaderboards, the recipe and the
// provenance.
func (p *pipeline) describe() error {
	dir := p.modelDir()
	if err := writeFile(filepath.Join(dir, "recipe.yaml"), []byte(p.plan.Recipe.Text)); err != nil {
		return err
	}
	c := p.card()
	if err := writeEvalResults(dir, c); err != nil {
		return err
	}
	provenance, err := p.provenance()
	if err != nil {
		return err
	}
	b, err := provenance.JSON()
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, provenanceFile), b); err != nil {
		return err
	}
	card, err := c.Markdown()
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "README.md"), card)
}

// writeEvalResults writes the card's scores for leaderboards, and takes away those that an earlier run of the same
// merge left and this one does not have.
func writeEvalResults(dir string, c hub.Card) error {
	files, err := c.EvalResults()
	if err != nil {
		return err
	}
	for _, name := range hub.EvalResultPaths() {
		path := filepath.Join(dir, filepath.FromSlash(name))
		b, ok := files[name]
		if !ok {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := writeFile(path, b); err != nil {
			return err
		}
	}
	os.Remove(filepath.Join(dir, hub.EvalResultsDir)) // only if it is empty
	return nil
}

// taskTitles are the tasks' names as readers know them.
var taskTitles = map[string]string{"gsm8k": "GSM8K", "math": "MATH", "fiqa_sa": "FiQA_SA", "fpb": "FPB", "scotus": "SCOTUS", "unfair_tos": "UNFAIR_ToS"}

func (p *pipeline) card() hub.Card {
	c := hub.Card{Name: p.plan.Recipe.Name, Method: p.plan.Recipe.Method, License: p.plan.License, Recipe: p.plan.Recipe.Text, PlanID: p.plan.ID,
		Reproduce: p.reproduce(), Version: Version(), Language: []string{"en"}, Seeds: []hub.CardSeed{{Name: "random masks", Value: p.recipe.Mergebot.Seed}}}
	if len(p.recipe.Mergebot.Domains) > 0 {
		c.Seeds = append(c.Seeds, hub.CardSeed{Name: "rows that are scored, where a limit is set", Value: p.recipe.Mergebot.Evaluate.Seed})
	}
	if s := p.recipe.Mergebot.Search; s != nil {
		c.Seeds = append(c.Seeds, hub.CardSeed{Name: "rows that judge the search, where a limit is set", Value: s.Seed})
	}
	if pub := p.recipe.Mergebot.Publish; pub != nil {
		c.Name, c.Repo = filepath.Base(pub.Repo), pub.Repo
	}
	parent := func(role string, m *LockedModel) {
		if m.Repo != "" && !slices.Contains(c.BaseModels, m.Repo) { // that of several adapters
			c.BaseModels = append(c.BaseModels, m.Repo)
		}
		c.Parents = append(c.Parents, hub.CardParent{Role: role, Repo: m.where(), Revision: m.Asked, SHA: m.SHA, License: m.License})
	}
	both := func(role string, m *LockedModel) {
		if parent(role, m); m.Adapter != nil {
			parent("adapter", m.Adapter)
		}
	}
	if p.plan.Lock.Base != nil {
		both("base", p.plan.Lock.Base)
	}
	for _, i := range p.experts() {
		both("expert", &p.plan.Lock.Models[i])
	}
	c.Description = fmt.Sprintf("A merge of %d models by `%s`, made and scored by mergebot.", len(p.plan.Lock.Models), p.plan.Recipe.Method) + p.plan.Output.stacked() + p.plan.Output.vocabulary()
	for _, d := range p.plan.Lock.Datasets {
		if !slices.Contains(c.Datasets, d.Repo) {
			c.Datasets = append(c.Datasets, d.Repo)
		}
	}
	for _, s := range p.scores {
		r := s.merged
		lo, hi := eval.Wilson(r.Correct, r.N)
		x := hub.CardResult{Task: taskTitles[s.task], Dataset: r.Dataset, Split: r.Split, Revision: r.Revision, N: r.N, Total: r.Total, Value: r.Accuracy(), Low: lo, High: hi,
			StandardError: eval.StandardError(r.Correct, r.N), Prompt: r.Prompt, Grader: r.Grader, Tuned: p.tuned()}
		if d, err := p.plan.dataset(s.task); err == nil {
			x.Config = d.task.HubConfig
		}
		expert := s.expert.Accuracy()
		x.Expert = &expert
		if m, err := eval.CompareMcNemar(*r, *s.expert); err == nil {
			x.Against = m.Words()
		}
		if s.base != nil {
			base := s.base.Accuracy()
			x.Base = &base
		}
		c.Results = append(c.Results, x)
	}
	for _, d := range p.domains() {
		if d.Ratio != nil {
			c.Ratios = append(c.Ratios, hub.CardRatio{Domain: d.Name, Expert: d.Expert, Value: d.Ratio.Value, Low: d.Ratio.Low, High: d.Ratio.High,
				Against: [...]string{"below, outside the noise", "inside the noise", "above, outside the noise"}[1+d.Ratio.Side()]})
		}
	}
	if len(p.scores) == 0 {
		c.Limitations = append(c.Limitations, "This model was merged without being scored on any task.")
	} else {
		c.Limitations = append(c.Limitations, "The scores are of the tasks, prompts and graders named here and of nothing else; look at n and the intervals before comparing.")
	}
	return c
}

// tuned says whether something was chosen by the very rows that are reported.
func (p *pipeline) tuned() bool {
	m := p.recipe.Mergebot
	return m.Selection == configs.SelectionTest && (m.Search != nil || len(m.Gates) > 0)
}

func (p *pipeline) provenance() (hub.Provenance, error) {
	out := hub.Provenance{Tool: "mergebot " + Version(), PlanID: p.plan.ID, Recipe: hub.ProvenanceRecipe{SHA256: hashBytes([]byte(p.plan.Recipe.Text)), Text: p.plan.Recipe.Text},
		Seeds: map[string]uint64{"masks": p.recipe.Mergebot.Seed, "rows": p.recipe.Mergebot.Evaluate.Seed}}
	if s := p.recipe.Mergebot.Search; s != nil {
		out.Seeds["search_rows"] = s.Seed
	}
	for _, l := range p.locked() {
		in := hub.ProvenanceInput{Kind: l.Kind, Role: l.Role, Repo: l.Repo, Revision: l.Revision, SHA: l.SHA, License: l.License}
		for _, f := range l.Files {
			in.Files = append(in.Files, hub.ProvenanceFile{Path: f.Path, Size: f.Size, SHA256: f.SHA256})
		}
		out.Inputs = append(out.Inputs, in)
	}
	for k, i := range p.experts() {
		t := hub.ProvenanceTreated{Expert: p.plan.Lock.Models[i].Name, Density: p.recipe.ParameterNumber(i, "density", "", 0, 1), Ratios: p.ratios[i], Method: p.methods[i], Coefficient: p.coefficientOf(k)}
		if p.measurements[i] != nil {
			t.Pruning = p.measurements[i].Pruning.Kind
		}
		out.Treatments = append(out.Treatments, t)
	}
	files, err := p.outputs()
	if err != nil {
		return hub.Provenance{}, err
	}
	out.Outputs = files
	if p.plan.Lock.Engine != nil { // not the scores' own: lanes and kernels are a machine's
		e := p.scorer.engine
		out.Engine = &hub.ProvenanceEngine{Name: e.Engine, Version: e.Version, DType: e.DType, Flags: e.Flags}
	}
	for _, s := range p.scores {
		for _, r := range []struct {
			model  string
			result *eval.Result
		}{{"base", s.base}, {"expert", s.expert}, {"merged", s.merged}} {
			if r.result == nil {
				continue
			}
			out.Scores = append(out.Scores, hub.ProvenanceScore{Task: s.task, Model: r.model, Correct: r.result.Correct, N: r.result.N, Dataset: r.result.Dataset,
				Revision: r.result.Revision, Split: r.result.Split, Grader: r.result.Grader, PromptHash: r.result.PromptHash, ItemsHash: r.result.ItemsHash})
		}
	}
	for _, d := range p.domains() {
		if d.Ratio != nil {
			if out.Ratios == nil {
				out.Ratios = map[string][]float64{}
			}
			out.Ratios[d.Name] = []float64{d.Ratio.Value, d.Ratio.Low, d.Ratio.High}
		}
	}
	return out, nil
}

// outputs lists the model's files with their hashes: the weights' as they were written, the small ones' now.
func (p *pipeline) outputs() ([]hub.ProvenanceFile, error) {
	files, err := uploadable(p.modelDir())
	if err != nil {
		return nil, err
	}
	var out []hub.ProvenanceFile
	for _, f := range files {
		if f.Path == "README.md" || f.Path == provenanceFile { // what describes cannot hold its own hash
			continue
		}
		if sum, ok := p.merged.Files[f.Path]; ok {
			out = append(out, hub.ProvenanceFile{Path: f.Path, Size: p.merged.Sizes[f.Path], SHA256: sum})
			continue
		}
		b, err := os.ReadFile(f.Local)
		if err != nil {
			return nil, err
		}
		out = append(out, hub.ProvenanceFile{Path: f.Path, Size: int64(len(b)), SHA256: hashBytes(b)})
	}
	return out, nil
}

func hashBytes(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

package report

import (
	"fmt"
	"strings"
)

// Where a caution begins. A Wilson interval of 100 items is up to 19 points wide.
const (
	fewItems   = 100
	manyFailed = 0.05 // share of items cut off or unanswered
	noise      = 0.05 // two-sided p under which a difference counts
)

func (r Report) title() string {
	if r.Title != "" {
		return r.Title
	}
	if r.Recipe.Name != "" {
		return r.Recipe.Name
	}
	return "Evaluation"
}

func (i Interval) insideNoise() bool { return i.Side() == 0 }

// comparison says how a ratio lies to 1: the reader's first question.
func (i Interval) comparison() string {
	return [...]string{"below its expert", "inside the noise", "above its expert"}[1+i.Side()]
}

// verdict is one sentence fragment on merged against expert.
func (t Task) verdict() string {
	if t.Verdict != "" {
		return t.Verdict
	}
	if t.McNemar == nil {
		return ""
	}
	m := *t.McNemar
	if m.OnlyExpert == 0 && m.OnlyMerged == 0 {
		return "inside the noise (no item differs from the expert)"
	}
	what := "inside the noise"
	if m.P < noise {
		what = "below the expert"
		if m.OnlyMerged > m.OnlyExpert {
			what = "above the expert"
		}
	}
	return fmt.Sprintf("%s (%s; %d lost, %d gained)", what, probability(m.P), m.OnlyExpert, m.OnlyMerged)
}

// selection is the warning that comes before everything else; "" where selection and reporting are
// apart.
func (r Report) selection() string {
	if r.Selection == "" {
		return ""
	}
	what := "This run was allowed to tune and to judge"
	switch {
	case r.Search != nil && len(r.Gates) > 0:
		what = "Ratios and coefficients were tuned, and the gates judged,"
	case r.Search != nil:
		what = "Ratios and coefficients were tuned"
	case len(r.Gates) > 0:
		what = "The gates were judged"
	}
	return what + " on the very items that are reported here (selection: " + r.Selection + "). The scores are too good by an unknown amount and cannot be compared with others."
}

// headline is the outcome in words: what was merged, whether it holds up, gates, publication.
func headline(r Report) []string {
	var out []string
	if r.Status == Failed {
		s := "The run failed"
		if r.Failure != "" {
			s += ": " + strings.TrimSuffix(r.Failure, ".")
		}
		out = append(out, s+".")
	}
	out = append(out, ratiosInWords(r)...)
	out = append(out, singleInWords(r)...)
	out = append(out, gatesInWords(r)...)
	if p := r.Published; p != nil {
		out = append(out, fmt.Sprintf("Published as %s at commit %s.", p.Repo, short(p.Commit)))
	}
	return out
}

func ratiosInWords(r Report) []string {
	var kept, below, above, same []string
	for _, d := range r.Domains {
		if d.Ratio == nil {
			continue
		}
		kept = append(kept, fmt.Sprintf("%s in %s", withInterval(*d.Ratio), d.Name))
		switch d.Ratio.Side() {
		case -1:
			below = append(below, d.Name)
		case 1:
			above = append(above, d.Name)
		default:
			same = append(same, d.Name)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	out := []string{"Of its experts’ scores the merge keeps " + list(kept) + "."}
	var parts []string
	if len(same) > 0 {
		parts = append(parts, "in "+list(same)+" the difference to the expert is inside the noise")
	}
	if len(below) > 0 {
		parts = append(parts, "in "+list(below)+" the merge is below its expert by more than chance")
	}
	if len(above) > 0 {
		parts = append(parts, "in "+list(above)+" it is above its expert by more than chance")
	}
	s := strings.Join(parts, "; ")
	return append(out, capital(s)+".")
}

func singleInWords(r Report) []string {
	var scores []string
	for _, d := range r.Domains {
		for _, t := range d.Tasks {
			if s, ok := t.Score(Single); ok {
				scores = append(scores, fmt.Sprintf("%s %% (%s, n = %d) on %s", percent(s.Accuracy), percentRange(s.Low, s.High), s.N, t.Name))
			}
		}
	}
	if len(scores) == 0 {
		return nil
	}
	return []string{"The model scores " + list(scores) + "."}
}

func (g Gate) text() string {
	what, least := "Domain-Ratio", g.MinRatio
	subject := g.Domain
	if g.Task != "" {
		what, subject = "Task-Ratio", g.Task
	}
	if g.MinScore > 0 {
		what, least = "score", g.MinScore
	}
	return fmt.Sprintf("%s of %s at least %s %%", what, subject, number(100*least))
}

// reached says what became of a gate, on which items, and whether chance could have turned it.
func (g Gate) reached() string {
	s := "reached " + percent(g.Value) + " %"
	if g.High > 0 {
		s = "reached " + withInterval(Interval{Value: g.Value, Low: g.Low, High: g.High})
		if least := max(g.MinRatio, g.MinScore); g.Low <= least && least <= g.High {
			s += ", inside the noise of what is asked for"
		}
	}
	var where []string
	if g.N > 0 {
		where = append(where, fmt.Sprintf("n = %d", g.N))
	}
	if g.Split != "" {
		where = append(where, "split "+g.Split)
	}
	if g.Source != "" {
		where = append(where, "judged on "+g.Source)
	}
	if len(where) > 0 {
		s += "; " + strings.Join(where, ", ")
	}
	return s
}

func gatesInWords(r Report) []string {
	var missed []string
	for _, g := range r.Gates {
		if !g.Passed {
			missed = append(missed, fmt.Sprintf("%s (it is %s %%)", g.text(), percent(g.Value)))
		}
	}
	switch {
	case len(r.Gates) == 0:
		return nil
	case len(missed) == 0 && len(r.Gates) == 1:
		return []string{"The gate is met: " + r.Gates[0].text() + "."}
	case len(missed) == 0:
		return []string{fmt.Sprintf("All %d gates are met.", len(r.Gates))}
	}
	s := "Gate not met: " + list(missed)
	if r.Published == nil {
		s += "; nothing was published"
	}
	return []string{s + "."}
}

// cautions are what a careful reader would object to, found in the numbers themselves, then the
// report's own notes and the plan's warnings.
func cautions(r Report) []string {
	var out []string
	for _, d := range r.Domains {
		for _, t := range d.Tasks {
			out = append(out, t.cautions()...)
		}
	}
	out = append(out, r.Notes...)
	return append(out, r.Plan.Warnings...)
}

func (t Task) cautions() []string {
	var out []string
	expert, hasExpert := t.Score(Expert)
	base, hasBase := t.Score(Base)
	if hasExpert && hasBase && expert.Accuracy <= base.Accuracy {
		out = append(out, fmt.Sprintf("%s: the expert is no better than the base here, so the Task-Ratio says little.", t.Name))
	}
	s, ok := t.Score(Merged)
	if !ok {
		s, ok = t.Score(Single)
	}
	if !ok || s.N == 0 {
		return out
	}
	if s.N < fewItems {
		out = append(out, fmt.Sprintf("%s: only %s; the interval %s spans %s points.", t.Name,
			plural(s.N, "item", "items"), percentRange(s.Low, s.High), percent(s.High-s.Low)))
	}
	if s.Total > s.N {
		out = append(out, fmt.Sprintf("%s: %d of %d items were scored.", t.Name, s.N, s.Total))
	}
	if share := float64(s.Truncated) / float64(s.N); share > manyFailed {
		out = append(out, fmt.Sprintf("%s: %d of %d answers were cut off by the limit of %d tokens.", t.Name, s.Truncated, s.N, t.Protocol.MaxTokens))
	}
	if share := float64(s.NoAnswer) / float64(s.N); share > manyFailed {
		out = append(out, fmt.Sprintf("%s: the grader found no answer in %d of %d outputs.", t.Name, s.NoAnswer, s.N))
	}
	if share := float64(s.Several) / float64(s.N); share > manyFailed {
		out = append(out, fmt.Sprintf("%s: %d of %d outputs name more than one option.", t.Name, s.Several, s.N))
	}
	return out
}

// methodNotes say what the numbers mean.
func methodNotes(r Report) []string {
	selected := "Ratios and coefficients are chosen, and gates judged, on selection items and reported on others; a value chosen as the best of many on few items looks better there than it is."
	if r.Selection != "" {
		selected = "Ratios, coefficients or gates of this run were decided on the reported items themselves: a value chosen as the best of many looks better there than it is, so these scores say nothing about items not asked."
	}
	return []string{
		"A score is the share of items that the grader accepts, from greedy generation. Its interval is Wilson’s at 95 %: if the items are a fair draw from the task, the true score lies within in about 19 of 20 such draws. Its standard error is √(p(1−p)/n), which near 0 and 100 % is too small to be believed.",
		"A Task-Ratio is the merged model’s score divided by its expert’s (DPPA, eq. 7); a Domain-Ratio is the geometric mean of the domain’s Task-Ratios (eq. 8). 100 % means: as good as the expert. A ratio is undefined when the expert scores 0.",
		"The interval of a ratio is a paired bootstrap: items are drawn again with replacement, the same ones for both models, since both answered the same items. If no item differs, it has no width, which says nothing about items not asked.",
		"Inside the noise means that these items cannot tell the two models apart, not that the models are equal. For a task it is McNemar’s exact test on the items where the two differ (p of 0.05 or more); for a domain, the same test on the items of all its tasks together, or that the interval holds 100 %.",
		"With fewer than 100 items an interval spans up to 20 points and more: such a score ranks nothing.",
		selected,
		"A pruning rate is the share of a linear’s delta that is set to zero; density is 1 minus the rate. Seconds are wall time of this machine; a step taken from the ledger shows the time of its first run.",
	}
}

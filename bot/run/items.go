package run

import (
	"mergebot/eval"
	"mergebot/eval/engine"
	"mergebot/eval/report"
	"mergebot/eval/task"
)

// items are what every model answered, task by task, for the pages beside the report.
func (p *pipeline) items() []report.TaskItems {
	var out []report.TaskItems
	for _, s := range p.scores {
		var who []answerer
		if s.base != nil {
			who = append(who, answerer{report.Base, p.plan.Lock.Base.String(), s.base})
		}
		who = append(who, answerer{report.Expert, p.expertOf(s.domain), s.expert}, answerer{report.Merged, p.plan.Recipe.Name, s.merged})
		out = append(out, p.taskItems(s.domain, s.task, who))
	}
	return out
}

// answerer is a model with what it answered to a task.
type answerer struct {
	role   report.Role
	model  string
	result *eval.Result
}

// taskItems joins prompts and golds with the answers of several models, which are about the same items in the same order.
func (p *pipeline) taskItems(domain, name string, who []answerer) report.TaskItems {
	out := report.TaskItems{Domain: domain, Task: name}
	set := p.scorer.sets[setKey{name, task.Test, p.opts.Limit}]
	for i, q := range set.Items {
		it := report.Item{ID: q.ID, Prompt: q.Prompt, Gold: gold(q)}
		for _, w := range who {
			r := w.result.Items[i]
			it.Answers = append(it.Answers, report.Answer{Role: w.role, Model: w.model, Output: r.Output, Extracted: r.Extracted,
				Correct: r.Correct, NoAnswer: r.NoAnswer, Several: r.Several, Truncated: r.Finish == engine.FinishLength})
		}
		out.Items = append(out.Items, it)
	}
	return out
}

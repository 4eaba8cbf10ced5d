// Package task knows the six evaluation tasks of the paper: where their rows are on the Hub, how a row becomes a
// prompt, and which rows may be used for what.
//
// A task reads one commit of a data set through Files and yields a Set of Items. Every choice that changes the items
// (revision, split, subset, sample, prompt) is visible in the Set, and its two hashes pin what was asked.
package task

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"mergebot/configs"
	"mergebot/eval/grade"
)

var (
	// ErrUnknownTask is returned by Get for a name that is not a task.
	ErrUnknownTask = errors.New("unknown task")
	// ErrOption is returned by With for an override that the task cannot follow.
	ErrOption = errors.New("bad task option")
)

// Values of Task.Subset.
const (
	// SubsetAll keeps every row.
	SubsetAll = "all"
	// SubsetLabelled keeps the rows whose gold is more than the option "None". The paper's 172 rows of unfair_tos
	// (of 1,607) are most likely these.
	SubsetLabelled = "labelled"
)

// Values of Task.Select besides the name of a split.
const (
	// SelectAuto takes the validation split, else the train split, else SelectHeldOut.
	SelectAuto = ""
	// SelectHeldOut takes HeldOutFraction of the test split away from the test set.
	SelectHeldOut = "held-out"
	// SelectNone leaves the test set whole; there is then no selection set.
	SelectNone = "none"
	// SelectReported judges the search on the reported rows themselves, which the Set's Source says. With refuses it:
	// it is not a task's option but for a caller to set on the Task, where a recipe asks for it in so many words.
	SelectReported = "reported"
)

// DefaultMaxTokens is the paper's bound on a completion.
const DefaultMaxTokens = 2048

// Task is one evaluation task, with every override applied.
type Task struct {
	Name string
	// Dataset is the Hub repository, Revision a commit (or branch) of it, Config the folder or folders, comma-separated.
	Dataset, Config, Revision string
	// HubConfig is what the data set's card calls Config; empty where the task reads several.
	HubConfig string
	// Prompt names the preset that turns a row into a prompt, see Prompts.
	Prompt string
	// Grader names the rule that judges an output, see package grade.
	Grader    string
	MaxTokens int
	// Subset is SubsetAll or SubsetLabelled.
	Subset string
	// Split is the split that is reported.
	Split string
	// Select says where the rows come from that a search is judged on.
	Select string

	schema schema
	// rows is how many the test split has at revision pinned.
	rows   int
	pinned string
}

// Rows is how many rows the reported split is known to have before anything is fetched; 0 where that is not known,
// since the task was given another data set, revision or split.
func (t Task) Rows() int {
	if t.Revision != t.pinned || t.Split != "test" || t.Subset != SubsetAll {
		return 0
	}
	return t.rows
}

// Configs are the folders of the data set that the task reads, in order.
func (t Task) Configs() []string { return strings.Split(t.Config, ",") }

// Choice tells whether the answer is one of given options rather than free text.
func (t Task) Choice() bool { return t.schema == choiceSchema }

const (
	gsm8kRevision   = "740312add88f781978c0658806c59bc2815b9866"
	mathRevision    = "21a5633873b6a120296cce3e2df9d5550074f4a3"
	lawRevision     = "9833f318db11941509f2b56a29b423757f8acbd9"
	financeDataset  = "AdaptLLM/finance-tasks"
	financeRevision = "51466157bea8775e5660e5421918b5c14fd56dd5" // the last one with zero-shot inputs
	mathConfigs     = "algebra,counting_and_probability,geometry,intermediate_algebra,number_theory,prealgebra,precalculus"
)

func all() []Task {
	maths := func(name, dataset, config, hubConfig, revision string, rows int, s schema) Task {
		return Task{Name: name, Dataset: dataset, Config: config, HubConfig: hubConfig, Revision: revision, Prompt: PromptAbel, Grader: "abel", schema: s, rows: rows}
	}
	choice := func(name, dataset, config, hubConfig, revision string, rows int) Task {
		return Task{Name: name, Dataset: dataset, Config: config, HubConfig: hubConfig, Revision: revision, Prompt: PromptRaw, Grader: "contains", schema: choiceSchema, rows: rows}
	}
	tasks := []Task{
		maths("gsm8k", "openai/gsm8k", "main", "main", gsm8kRevision, 1319, gsm8kSchema),
		maths("math", "EleutherAI/hendrycks_math", mathConfigs, "", mathRevision, 5000, mathSchema),
		choice("fiqa_sa", financeDataset, "FiQA_SA", "FiQA_SA", financeRevision, 235),
		choice("fpb", financeDataset, "FPB", "FPB", financeRevision, 970),
		choice("scotus", "AdaptLLM/law-tasks", "scotus", "SCOTUS", lawRevision, 60),
		choice("unfair_tos", "AdaptLLM/law-tasks", "unfair_tos", "UNFAIR_ToS", lawRevision, 1607),
	}
	for i := range tasks {
		tasks[i].MaxTokens, tasks[i].Subset, tasks[i].Split, tasks[i].pinned = DefaultMaxTokens, SubsetAll, "test", tasks[i].Revision
	}
	return tasks
}

// Names lists the tasks in the paper's order.
func Names() []string {
	var names []string
	for _, t := range all() {
		names = append(names, t.Name)
	}
	return names
}

// Get returns a task with its defaults; an unknown name is ErrUnknownTask.
func Get(name string) (Task, error) {
	for _, t := range all() {
		if t.Name == name {
			return t, nil
		}
	}
	return Task{}, fmt.Errorf("%w %q: use one of %s", ErrUnknownTask, name, strings.Join(Names(), ", "))
}

// With returns the task with the overrides that are not empty. A value that the task cannot follow is ErrOption.
func (t Task) With(o configs.TaskOptions) (Task, error) {
	bad := func(key, value string, allowed []string) error {
		return fmt.Errorf("%w: task %s: %s %q: use one of %s", ErrOption, t.Name, key, value, strings.Join(allowed, ", "))
	}
	if o.Dataset != "" {
		t.Dataset = o.Dataset
		// The pinned commit belongs to the default data set.
		t.Revision, t.pinned = "main", ""
	}
	if o.Revision != "" {
		t.Revision = o.Revision
	}
	if o.Prompt != "" {
		if !slices.Contains(Prompts(), o.Prompt) {
			return t, bad("prompt", o.Prompt, Prompts())
		}
		t.Prompt = o.Prompt
	}
	if o.Grader != "" {
		allowed := grade.For(t.Choice())
		if !slices.Contains(allowed, o.Grader) {
			return t, bad("grader", o.Grader, allowed)
		}
		t.Grader = o.Grader
	}
	if o.MaxTokens != 0 {
		if o.MaxTokens < 0 {
			return t, fmt.Errorf("%w: task %s: max_tokens %d: use a positive number", ErrOption, t.Name, o.MaxTokens)
		}
		t.MaxTokens = o.MaxTokens
	}
	if o.Subset != "" {
		allowed := []string{SubsetAll}
		if t.Choice() {
			allowed = append(allowed, SubsetLabelled)
		}
		if !slices.Contains(allowed, o.Subset) {
			return t, bad("subset", o.Subset, allowed)
		}
		t.Subset = o.Subset
	}
	for _, s := range []struct {
		key, value string
		field      *string
	}{{"split", o.Split, &t.Split}, {"select", o.Select, &t.Select}} {
		if s.value == "" {
			continue
		}
		if strings.ContainsAny(s.value, `/\*?[]`) {
			return t, fmt.Errorf("%w: task %s: %s %q: use the plain name of a split", ErrOption, t.Name, s.key, s.value)
		}
		*s.field = s.value
	}
	if t.Select == t.Split || t.Select == SelectReported {
		return t, fmt.Errorf("%w: task %s: select is %q and split is %q: a search judged on the reported rows proves nothing; use %q for a part of them, or let the recipe say mergebot.selection: test",
			ErrOption, t.Name, t.Select, t.Split, SelectHeldOut)
	}
	return t, nil
}

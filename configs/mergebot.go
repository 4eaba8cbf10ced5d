package configs

// Mergebot is the section `mergebot:` of a recipe. mergekit ignores it, so the
// same file still merges there.
type Mergebot struct {
	// Where mergekit and the papers differ: mergekit follows mergekit, paper takes dare's 1/density and ties over the whole model.
	Semantics string `yaml:"semantics" jsonschema:"enum=mergekit,enum=paper,default=mergekit"`
	// The seed of every random choice of the merge.
	Seed uint64 `yaml:"seed" jsonschema:"default=0"`
	// Dynamic pruning and partition amplification, for the methods dppa, magnitude and owl.
	DPPA DPPA `yaml:"dppa"`
	// Find amplification ratios and merging coefficients; without this section nothing is searched.
	Search *Search `yaml:"search"`
	// What the merged model must know, and which expert knows it. Kept in the order of the file.
	Domains []Domain `yaml:"domains"`
	// How the models are scored.
	Evaluate Evaluate `yaml:"evaluate"`
	// The search and the gates are judged on rows that the report does not score. "test" judges them on the very rows
	// that are reported; the report then says so in red.
	Selection string `yaml:"selection" jsonschema:"enum=test"`
	// What the scores must reach before anything is published.
	Gates []Gate `yaml:"gates"`
	// Where the result goes; without this section nothing is published.
	Publish *Publish `yaml:"publish"`
	// When the recipe runs again, as a cron line of five fields.
	Schedule string `yaml:"schedule"`
}

// DPPA says how deltas are pruned and cut into partitions.
type DPPA struct {
	// paper does what the paper prints; reference-code what its authors' code does where that differs.
	Preset string `yaml:"preset" jsonschema:"enum=paper,enum=reference-code,default=paper"`
	// How a delta is pruned.
	Pruning string `yaml:"pruning" jsonschema:"enum=dp,enum=magnitude,enum=owl,enum=dare,default=dp"`
	// The mean that outliers are measured against: the unit's own, or the whole model's.
	Mean string `yaml:"mean" jsonschema:"enum=unit,enum=model,default=unit"`
	// The largest change of the pruning rate between units (the paper's lambda).
	Fluctuation float64 `yaml:"fluctuation" jsonschema:"minimum=0,exclusiveMaximum=1,default=0.08"`
	// A delta is an outlier above this many means (the paper's N).
	OutlierFactor float64 `yaml:"outlier_factor" jsonschema:"exclusiveMinimum=0,default=5"`
	// The share of the delta that one partition adds.
	Partition float64 `yaml:"partition" jsonschema:"exclusiveMinimum=0,maximum=1,default=0.1"`
	// Embeddings and output layer: prune them by magnitude, or keep them whole.
	Other string `yaml:"other" jsonschema:"enum=prune,enum=keep,default=prune"`
}

// Search says which ratios and coefficients are tried.
type Search struct {
	// The ways to seek amplification ratios: 1 starts from the first partition alone, 2 from all of them; [] seeks none.
	Methods []int `yaml:"methods"`
	// The amplification ratios to try.
	Ratios Range `yaml:"ratios"`
	// Seek one merging coefficient for all experts (common), one each (per-domain), or none.
	Coefficient string `yaml:"coefficient" jsonschema:"enum=none,enum=common,enum=per-domain,default=none"`
	// The coefficients to try.
	Coefficients Range `yaml:"coefficients"`
	// Stop along a line after so many values that do not improve.
	Patience int `yaml:"patience" jsonschema:"minimum=1,default=4"`
	// Items per task that a candidate is judged on; 0 is all of the selection split.
	Limit int `yaml:"limit" jsonschema:"minimum=0,default=0"`
	// The seed that draws those items.
	Seed uint64 `yaml:"seed" jsonschema:"default=0"`
}

// Domain is a set of tasks judged together, and the expert that sets the mark.
type Domain struct {
	// The key in the mapping.
	Name string `yaml:"-"`
	// The model whose scores are 100 %; one of the recipe's models.
	Expert ModelRef `yaml:"expert" jsonschema:"required"`
	// The tasks of this domain.
	Tasks []string `yaml:"tasks" jsonschema:"required,minItems=1,uniqueItems=true"`

	Pos Position `yaml:"-"`
}

// Evaluate says how models are scored.
type Evaluate struct {
	// Items per task that are scored; 0 is all of them.
	Limit int `yaml:"limit" jsonschema:"minimum=0,default=0"`
	// What generates text: auto (what the machine's settings say), llama.cpp, or vllm.
	Engine string `yaml:"engine" jsonschema:"enum=auto,enum=llama.cpp,enum=vllm,default=auto"`
	// Changes to tasks, by the task's name.
	Tasks map[string]TaskOptions `yaml:"tasks"`
	// The seed that draws the items when limit is set.
	Seed uint64 `yaml:"seed" jsonschema:"default=0"`
	// The split that is scored; without it, the task's own.
	Split string `yaml:"split"`
}

// TaskOptions change one task. What is left out stays as the task has it.
type TaskOptions struct {
	// The data set's repository.
	Dataset string `yaml:"dataset"`
	// Its revision.
	Revision string `yaml:"revision"`
	// The prompt, by name.
	Prompt string `yaml:"prompt"`
	// The grader, by name.
	Grader string `yaml:"grader"`
	// The most tokens an answer may have.
	MaxTokens int `yaml:"max_tokens" jsonschema:"minimum=0"`
	// The part of the data set that is scored, by name.
	Subset string `yaml:"subset"`
	// The split that is scored.
	Split string `yaml:"split"`
	// The split that a search and the gates are judged on.
	Select string `yaml:"select"`
}

// Gate is a mark that a domain or a task must reach.
type Gate struct {
	// The domain. Exactly one of domain and task is given.
	Domain string `yaml:"domain"`
	// The task.
	Task string `yaml:"task"`
	// The least ratio to the expert, 1 being as good.
	MinRatio float64 `yaml:"min_ratio" jsonschema:"minimum=0"`
	// The least accuracy, from 0 to 1; of a task only.
	MinScore float64 `yaml:"min_score" jsonschema:"minimum=0,maximum=1"`

	Pos Position `yaml:"-"`
}

// Publish says where the merged model goes.
type Publish struct {
	// The repository, org/name.
	Repo string `yaml:"repo" jsonschema:"required"`
	// Whether only its owners see it.
	Private *bool `yaml:"private" jsonschema:"default=true"`
	// The licence's name on the Hub; without it, what the models' licences allow.
	License string `yaml:"license"`
}

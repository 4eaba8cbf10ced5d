package run

import (
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/eval/task"
	"mergebot/hub"
	"mergebot/merge/tokenizer"
)

// ErrRecipe means that the recipe, or what it or the command line names, cannot be used; the text says why.
var ErrRecipe = errors.New("cannot be used")

// refusal is an ErrRecipe that does not say so in its text: the reason is enough.
type refusal struct{ error }

func (r refusal) Unwrap() error      { return r.error }
func (refusal) Is(target error) bool { return target == ErrRecipe }

func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

// Plan is a recipe bound to commits: all that a run needs to know before a byte of weights is fetched.
type Plan struct {
	ID       string          `json:"id"`
	Recipe   PlannedRecipe   `json:"recipe"`
	Lock     Lock            `json:"lock"`
	Output   PlannedOutput   `json:"output"`
	Download PlannedDownload `json:"download"`
	License  hub.License     `json:"license"`
	Warnings []string        `json:"warnings,omitempty"`

	recipe *configs.Recipe
}

// PlannedRecipe says which recipe a plan is for.
type PlannedRecipe struct {
	Name   string `json:"name"`
	File   string `json:"file,omitempty"`
	Method string `json:"method"`
	Hash   string `json:"hash"`
	Text   string `json:"text"`
}

// Lock holds the exact content behind every name in the recipe.
type Lock struct {
	Base     *LockedModel    `json:"base,omitempty"`
	Models   []LockedModel   `json:"models"` // as configs.Recipe.Inputs
	Datasets []LockedDataset `json:"datasets,omitempty"`
	// Engine that scores candidates: it decides what a search finds. Empty without tasks.
	Engine *engine.Info `json:"engine,omitempty"`
}

// LockedModel is one checkpoint at one commit.
type LockedModel struct {
	Name       string       `json:"name"` // without revision: it seeds random masks
	Repo       string       `json:"repo,omitempty"`
	Asked      string       `json:"asked,omitempty"` // the revision as written
	SHA        string       `json:"sha,omitempty"`
	Path       string       `json:"path,omitempty"`   // of a local checkpoint
	Bucket     string       `json:"bucket,omitempty"` // s3://bucket/prefix; then SHA is a hash over what the store says of the files' contents
	License    string       `json:"license,omitempty"`
	Lineage    []Ancestor   `json:"lineage,omitempty"` // what its card says it was made from, and so on up
	Digest     string       `json:"digest"`            // of all files that the merge reads, the adapter's too
	Bytes      int64        `json:"bytes"`
	Parameters int64        `json:"parameters,omitempty"`
	Tensors    int          `json:"tensors,omitempty"`
	Files      []LockedFile `json:"files"`
	// Adapter is what is applied to the model, with all of the above of its own; nil without one.
	Adapter *LockedModel `json:"adapter,omitempty"`

	warnings  []string // of the plan
	parent    hub.ParentLicense
	tied      bool // the config ties lm_head to the embeddings
	attention attention
	config    map[string]any  // the decoded config.json
	tokenizer tokenizer.Files // where the recipe's merge depends on them
	found     string          // the revision that the commit was found by: as asked, or the pinned commit
}

// LockedFile is one file of a checkpoint. SHA256 is that of the content; small files that the Hub
// keeps in git have their git object id in OID instead. Of a bucket's, the store tells the MD5 or at least an ETag, and the
// SHA256 comes with the download.
type LockedFile struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
	OID    string `json:"oid,omitempty"`
	MD5    string `json:"md5,omitempty"`
	ETag   string `json:"etag,omitempty"`

	modified time.Time // of a local file, when it was hashed
}

// LockedDataset is the data set of one task at one commit.
type LockedDataset struct {
	Task  string `json:"task"`
	Repo  string `json:"repo"`
	Asked string `json:"asked,omitempty"`
	SHA   string `json:"sha"`
	// Reported is how many rows the task is known to report; 0 where that shows only once they are here.
	Reported int `json:"rows,omitempty"`

	task  task.Task
	found string // the revision that the commit was found by
}

// Rows is how many rows the task is known to report; 0 where that shows only once they are here.
func (d LockedDataset) Rows() int { return d.Reported }

// PlannedOutput is what the merge will write.
type PlannedOutput struct {
	Parameters int64 `json:"parameters"`
	Tensors    int   `json:"tensors"`
	Layers     int   `json:"layers,omitempty"` // of a recipe of slices; else the models'
	// Vocabulary is the number of rows of the embeddings, where the recipe has them put in order; else the models'.
	Vocabulary int    `json:"vocabulary,omitempty"`
	DType      string `json:"dtype"`
	Bytes      int64  `json:"bytes"`
	Shards     int    `json:"shards"`
}

// stacked is a sentence, after a blank, on the size of a model that is made of slices; else "".
func (o PlannedOutput) stacked() string {
	if o.Layers == 0 {
		return ""
	}
	return fmt.Sprintf(" It is stacked from slices of its models: %d layers, %s parameters.", o.Layers, humanize.Comma(o.Parameters))
}

// PlannedDownload says how much is still to be fetched, and what the run needs.
type PlannedDownload struct {
	Bytes     int64 `json:"bytes"`      // of all files the run reads
	Missing   int64 `json:"missing"`    // not yet in the cache
	DiskBytes int64 `json:"disk_bytes"` // missing + output
	// EngineBytes is the memory that the embedded engine holds for the weights in fp32; 0 without tasks.
	EngineBytes int64 `json:"engine_bytes"`
	// VRAM is what vLLM needs on the GPU; nil for engines that compute on the CPU or elsewhere.
	VRAM *PlannedVRAM `json:"vram,omitempty"`
	// Seconds is a rough guess for measuring and merging on this machine's CPU at MergeRate; network and evaluation are not in it.
	Seconds int64 `json:"merge_seconds_estimate"`
	// Evaluation is what scoring takes; nil without tasks.
	Evaluation *PlannedEvaluation `json:"evaluation,omitempty"`
}

// PlannedVRAM is the memory of the GPU that vLLM cannot do without. It takes more where there is more.
type PlannedVRAM struct {
	DType   string `json:"dtype"`
	Weights int64  `json:"weights_bytes"`
	// KV is for the keys and values of one sequence that fills the context; 0 where the config does not tell.
	KV      int64 `json:"kv_bytes,omitempty"`
	Context int64 `json:"context,omitempty"` // tokens
}

// PlannedEvaluation is what scoring base, experts and merged model takes, if none of it was ever done. The probes of a
// search and the rows that gates are judged on are not in it.
type PlannedEvaluation struct {
	// Items is how many prompts are answered; 0 where that shows only once the data sets are here.
	Items int64 `json:"items,omitempty"`
	// Seconds goes by how long the engine took on machines like this one; 0 where it has not scored these tasks here yet.
	Seconds int64 `json:"seconds_estimate,omitempty"`
}

// mergeRate is how many bytes of checkpoints a second the plan reckons with when it guesses a merge's time:
// the plain Go kernels' measured speed on two cores, each expert being read for measuring and again for merging.
const mergeRate = 150e6

// id hashes what decides the merged bytes and the scores: the recipe's content and the lock.
func (p *Plan) id() (string, error) {
	type model struct{ Name, SHA, Digest string }
	var models []model
	if p.Lock.Base != nil {
		models = append(models, model{p.Lock.Base.Name, p.Lock.Base.SHA, p.Lock.Base.Digest})
	}
	for _, m := range p.Lock.Models {
		models = append(models, model{m.Name, m.SHA, m.Digest})
	}
	type dataset struct { // without what is only to be shown
		Task  string `json:"task"`
		Repo  string `json:"repo"`
		Asked string `json:"asked,omitempty"`
		SHA   string `json:"sha"`
	}
	var datasets []dataset
	for _, d := range p.Lock.Datasets {
		datasets = append(datasets, dataset{d.Task, d.Repo, d.Asked, d.SHA})
	}
	return hashOf(struct {
		Format   int
		Recipe   string
		Models   []model
		Datasets []dataset
		Engine   *engine.Info
	}{1, p.Recipe.Hash, models, datasets, p.Lock.Engine})
}

// indexOf finds the recipe's model that ref names.
func (p *Plan) indexOf(ref configs.ModelRef) (int, error) {
	for i, m := range p.recipe.Inputs() {
		if m.Model.String() == ref.String() {
			return i, nil
		}
	}
	return 0, refuse("%s is not one of the recipe's models", ref)
}

// dataset finds the lock of a task.
func (p *Plan) dataset(name string) (LockedDataset, error) {
	for _, d := range p.Lock.Datasets {
		if d.Task == name {
			return d, nil
		}
	}
	return LockedDataset{}, refuse("task %s is not in the plan", name)
}

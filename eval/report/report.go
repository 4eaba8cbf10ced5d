// Package report says what a run did and what came of it: as report.json for machines, as one
// self-contained HTML page, as Markdown for a pull request, and as a plain table for a terminal.
//
// A [Report] is plain data. The writers promise that
//
//   - the same Report gives the same bytes;
//   - no text of a Report (a recipe, a model's output, a repository's name) becomes markup;
//   - the page asks nothing of the network, and links to nothing but the item pages beside it;
//   - a score is never shown without its number of items and its interval.
//
// Scores, rates and ratios are fractions of 1 everywhere; the writers turn them into per cent.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// SchemaVersion is the version of report.json that this package writes. It rises when a field
// changes its meaning or goes away, not when one is added.
const SchemaVersion = 1

// Status is how a run ended.
type Status string

// The ends of a run that has a report.
const (
	Succeeded Status = "succeeded"
	Gated     Status = "gated" // scored, but under a gate: not published
	Failed    Status = "failed"
)

// Role is the part that a model plays in a run.
type Role string

// The roles, in the order in which a reader meets them. Single is the model of a plain
// evaluation, which has no base or expert to be compared with.
const (
	Base   Role = "base"
	Expert Role = "expert"
	Merged Role = "merged"
	Single Role = "model"
)

// Report is a run from recipe to files, and the content of report.json.
type Report struct {
	SchemaVersion int           `json:"schema_version"` // set by JSON
	GeneratedAt   time.Time     `json:"generated_at"`
	Title         string        `json:"title,omitempty"` // default: the recipe's name
	Tool          Tool          `json:"tool"`
	Status        Status        `json:"status"`
	Failure       string        `json:"failure,omitempty"` // one sentence, when Status is Failed
	Recipe        Recipe        `json:"recipe"`
	Plan          Plan          `json:"plan"`
	Gates         []Gate        `json:"gates,omitempty"`
	Domains       []Domain      `json:"domains,omitempty"` // in the recipe's order
	Search        *Search       `json:"search,omitempty"`
	Measurements  []Measurement `json:"measurements,omitempty"` // one per expert
	Comparisons   []Comparison  `json:"comparisons,omitempty"`  // this run beside others
	Steps         []Step        `json:"steps,omitempty"`        // in the order started
	Files         []File        `json:"files,omitempty"`        // what the run wrote
	Published     *Published    `json:"published,omitempty"`
	Reproduce     []string      `json:"reproduce,omitempty"` // shell commands, in order
	Environment   []Setting     `json:"environment,omitempty"`
	Notes         []string      `json:"notes,omitempty"` // limits that a reader must know, one sentence each
	// Selection is [SelectionTest] where ratios and coefficients were tuned, or a gate was judged, on
	// the items that the report scores; else "".
	Selection string `json:"selection,omitempty"`
	// Items is how many items of all tasks [WriteItems] put beside report.html, which then links to
	// them; 0: there are no such pages.
	Items int `json:"items,omitempty"`
}

// SelectionTest is the Selection of a run that tuned on what it reports.
const SelectionTest = "test"

// Tool is the program that made the report and the machine it ran on.
type Tool struct {
	Version string `json:"version"`
	Go      string `json:"go,omitempty"`
	OS      string `json:"os,omitempty"`
	Arch    string `json:"arch,omitempty"`
	CPUs    int    `json:"cpus,omitempty"`
	Device  string `json:"device,omitempty"` // cpu or cuda, with its name
}

// Recipe is what was asked for.
type Recipe struct {
	Name   string `json:"name"`
	Method string `json:"method"` // merge_method
	YAML   string `json:"yaml"`   // as read
	SHA256 string `json:"sha256"` // of YAML
}

// Plan is the recipe bound to commits.
type Plan struct {
	ID       string   `json:"id"`
	Lock     []Locked `json:"lock"`
	Warnings []string `json:"warnings,omitempty"`
}

// Locked is one input at one commit.
type Locked struct {
	Kind     string `json:"kind"`               // model or dataset
	Role     string `json:"role,omitempty"`     // base, expert, or the task of a data set
	Repo     string `json:"repo"`               // org/name, s3://…, or a local path
	Revision string `json:"revision,omitempty"` // as asked, "" = main
	SHA      string `json:"sha"`                // commit
	License  string `json:"license,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
	Files    []File `json:"files,omitempty"`
}

// File is a file of an input or of the output.
type File struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
}

// Gate is one condition of the recipe and what became of it. Exactly one of MinRatio and
// MinScore is asked for (above 0); Value is what was reached, in the same unit.
type Gate struct {
	Domain   string  `json:"domain,omitempty"`
	Task     string  `json:"task,omitempty"`
	MinRatio float64 `json:"min_ratio,omitempty"`
	MinScore float64 `json:"min_score,omitempty"`
	Value    float64 `json:"value"`
	Passed   bool    `json:"passed"`
	Split    string  `json:"split,omitempty"`  // of the items that judged it
	Source   string  `json:"source,omitempty"` // in words: which items these are
	N        int     `json:"n,omitempty"`      // how many they are
	Low      float64 `json:"low,omitempty"`    // 95 % interval of Value, where it is known
	High     float64 `json:"high,omitempty"`
}

// Interval is a value with its 95 % interval.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	// P is the exact test's two-sided p on the items that only one of the two models has right, of all tasks together;
	// 0: not tested. A bootstrap of few items takes what it has seen for all there is, and its interval is too narrow.
	P float64 `json:"p,omitempty"`
}

// Side says whether a ratio is below 1 (-1) or above (1), or whether that is inside the noise (0): the interval holds 1,
// or the test does not tell the two models apart.
func (i Interval) Side() int {
	switch {
	case i.P >= noise:
		return 0
	case i.High < 1:
		return -1
	case i.Low > 1:
		return 1
	}
	return 0
}

// Domain is the tasks judged together, and the expert whose work they measure.
type Domain struct {
	Name   string    `json:"name"`
	Expert string    `json:"expert,omitempty"`
	Tasks  []Task    `json:"tasks"`
	Ratio  *Interval `json:"domain_ratio,omitempty"` // nil when an expert scored 0, or nothing was merged
}

// Task is one task's scores under one protocol.
type Task struct {
	Name     string    `json:"name"`
	Protocol Protocol  `json:"protocol"`
	Scores   []Score   `json:"scores"`               // by role: base, expert, merged
	Ratio    *Interval `json:"task_ratio,omitempty"` // merged / expert, paired bootstrap
	McNemar  *McNemar  `json:"mcnemar,omitempty"`    // merged against expert
	Verdict  string    `json:"verdict,omitempty"`    // in words; "" lets the writers say it from McNemar
	Samples  []Sample  `json:"samples,omitempty"`    // a few rows of the merged model
}

// Protocol is how a task was put and judged: equal for every model of the task.
type Protocol struct {
	Dataset    string `json:"dataset"`
	Config     string `json:"config,omitempty"`
	Revision   string `json:"revision"` // commit
	Split      string `json:"split"`
	Source     string `json:"source,omitempty"` // in words: where the items come from, and whether the search saw them
	ItemsHash  string `json:"items_hash,omitempty"`
	Prompt     string `json:"prompt"` // the prompt's name
	PromptHash string `json:"prompt_hash,omitempty"`
	PromptText string `json:"prompt_text,omitempty"` // the prompt's template, exactly
	Grader     string `json:"grader"`
	MaxTokens  int    `json:"max_tokens"`
	Metric     string `json:"metric,omitempty"` // default: accuracy
}

// Score is one model on one task.
type Score struct {
	Role      Role    `json:"role"`
	Model     string  `json:"model"`
	N         int     `json:"n"`     // items scored
	Total     int     `json:"total"` // items that the split holds
	Correct   int     `json:"correct"`
	Accuracy  float64 `json:"accuracy"`
	Low       float64 `json:"low"` // 95 % Wilson interval
	High      float64 `json:"high"`
	StdErr    float64 `json:"stderr"` // standard error of Accuracy, sqrt(p(1-p)/n); set by JSON
	NoAnswer  int     `json:"no_answer"`
	Truncated int     `json:"truncated"` // stopped by the token limit
	Several   int     `json:"several"`   // named more than one option
	Engine    Engine  `json:"engine"`
	Seconds   float64 `json:"seconds,omitempty"`
	Cached    bool    `json:"cached"` // taken from the ledger, not run again
}

// Engine is what generated the text.
type Engine struct {
	Name    string            `json:"name"`
	Version string            `json:"version,omitempty"`
	DType   string            `json:"dtype,omitempty"`
	Flags   map[string]string `json:"flags,omitempty"`
}

// String is the engine in one line, its flags in the order of their names.
func (e Engine) String() string { return flags(e) }

// McNemar is the exact test on the items where merged and expert differ.
type McNemar struct {
	OnlyExpert int     `json:"only_expert"` // items that the expert alone has right
	OnlyMerged int     `json:"only_merged"`
	P          float64 `json:"p"` // two-sided
}

// Sample is one row as the grader saw it. The writers cut long texts.
type Sample struct {
	ID         string `json:"id"`
	PromptTail string `json:"prompt_tail"`
	Output     string `json:"output"`
	Extracted  string `json:"extracted"`
	Gold       string `json:"gold"`
	Correct    bool   `json:"correct"`
}

// Search is how ratios and coefficients were found.
type Search struct {
	Source      string          `json:"source,omitempty"` // in words: the items that judged the search
	Limit       int             `json:"limit,omitempty"`  // items per task
	Seed        uint64          `json:"seed"`
	Experts     []Amplification `json:"experts,omitempty"`
	Coefficient *Coefficients   `json:"coefficient,omitempty"`
}

// Amplification is the search of one expert's ratios.
type Amplification struct {
	Expert string    `json:"expert"`
	Domain string    `json:"domain,omitempty"`
	Method int       `json:"method"` // the one kept: 1 or 2
	Ratios []float64 `json:"ratios"` // chosen, P1 first
	Score  float64   `json:"score"`  // Domain-Ratio of the chosen ratios on the selection items
	Probes []Probe   `json:"probes"` // in the order tried
}

// Coefficients is the search of the merge's coefficients.
type Coefficients struct {
	Mode   string    `json:"mode"`   // common or per-domain
	Chosen []float64 `json:"chosen"` // one per expert
	Score  float64   `json:"score"`
	Probes []Probe   `json:"probes"`
}

// Probe is one candidate and its score on the selection items.
type Probe struct {
	Phase        string      `json:"phase"`               // amplify or coefficient
	Method       int         `json:"method,omitempty"`    // 1 or 2, when amplifying
	Partition    int         `json:"partition,omitempty"` // whose ratio varies, 1 = P1, when amplifying; whose coefficient, 1 = first expert, when per domain
	Ratios       []float64   `json:"ratios,omitempty"`
	Coefficients []float64   `json:"coefficients,omitempty"`
	Value        float64     `json:"value"` // Domain-Ratio; over several domains their geometric mean
	Tie          float64     `json:"tie"`   // sum of accuracies: decides between equal values
	Tasks        []TaskScore `json:"tasks,omitempty"`
	Best         bool        `json:"best,omitempty"` // kept at the end of its line
}

// TaskScore is a probe's count on one task.
type TaskScore struct {
	Task    string  `json:"task"`
	Correct int     `json:"correct"`
	N       int     `json:"n"`
	Ratio   float64 `json:"ratio"`
}

// Measurement is what was found out about one expert's delta. Rates and Significance are
// matrices: Rates[i][j] belongs to layer i and Linears[j].
type Measurement struct {
	Expert            string      `json:"expert"`
	Pruning           string      `json:"pruning"` // dp, magnitude, owl, dare or none
	Density           float64     `json:"density"` // share of the delta kept, over all pruned tensors
	Linears           []string    `json:"linears,omitempty"`
	Rates             [][]float64 `json:"rates,omitempty"`
	Significance      [][]float64 `json:"significance,omitempty"`
	LayerSignificance []float64   `json:"layer_significance,omitempty"`
	Others            []Rate      `json:"others,omitempty"` // pruned tensors outside the layers
	Delta             DeltaStats  `json:"delta"`
}

// Rate is the pruning rate of one tensor.
type Rate struct {
	Tensor string  `json:"tensor"`
	Rate   float64 `json:"rate"`
}

// DeltaStats describes expert − base over the linears.
type DeltaStats struct {
	Parameters int64     `json:"parameters"`
	RMS        float64   `json:"rms"`
	BaseRMS    float64   `json:"base_rms"`
	MeanAbs    float64   `json:"mean_abs"`
	MaxAbs     float64   `json:"max_abs"`
	Kurtosis   float64   `json:"kurtosis"`
	Outliers   float64   `json:"outliers"`            // share with |δ| above the outlier factor times the mean
	Zeros      float64   `json:"zeros"`               // share
	Quantiles  []float64 `json:"quantiles,omitempty"` // minimum, deciles, maximum: 11 values
}

// Comparison is a table in the shape of the paper's Tables 5 and 6.
type Comparison struct {
	Caption string `json:"caption"`
	Rows    []Row  `json:"rows"`
}

// Row is one method's Domain-Ratios.
type Row struct {
	Method    string `json:"method"` // such as "DPPA 80 %"
	Cells     []Cell `json:"cells"`
	Selection string `json:"selection,omitempty"` // of the run: see Report
}

// Cell is one Domain-Ratio.
type Cell struct {
	Domain string    `json:"domain"`
	Ratio  *Interval `json:"ratio,omitempty"` // nil: undefined
	N      int       `json:"n"`               // items, over the domain's tasks
}

// Step is one step of the run.
type Step struct {
	Name     string    `json:"name"`
	Subject  string    `json:"subject,omitempty"` // a model, an expert, a task
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Seconds  float64   `json:"seconds"`
	Bytes    int64     `json:"bytes,omitempty"` // read or written, the larger
	Cached   bool      `json:"cached,omitempty"`
}

// Published is where the model went.
type Published struct {
	Repo    string `json:"repo"`
	URL     string `json:"url,omitempty"`
	Commit  string `json:"commit"`
	Private bool   `json:"private,omitempty"`
}

// Setting is one line of the environment.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Score returns the task's score in a role, and whether it has one.
func (t Task) Score(role Role) (Score, bool) {
	for _, s := range t.Scores {
		if s.Role == role {
			return s, true
		}
	}
	return Score{}, false
}

// standardError is that of a share of n items, whatever the report says in StdErr.
func (s Score) standardError() float64 {
	if s.N <= 0 || s.Accuracy < 0 || s.Accuracy > 1 {
		return 0
	}
	return math.Sqrt(s.Accuracy * (1 - s.Accuracy) / float64(s.N))
}

// withStandardErrors is a copy of the domains with every StdErr set.
func withStandardErrors(domains []Domain) []Domain {
	domains = slices.Clone(domains)
	for i := range domains {
		tasks := slices.Clone(domains[i].Tasks)
		for j := range tasks {
			tasks[j].Scores = slices.Clone(tasks[j].Scores)
			for k := range tasks[j].Scores {
				tasks[j].Scores[k].StdErr = tasks[j].Scores[k].standardError()
			}
		}
		domains[i].Tasks = tasks
	}
	return domains
}

// JSON writes report.json: indented, keys in the order of the fields, SchemaVersion and the scores'
// StdErr filled in.
// A number that JSON cannot hold (NaN, infinity) is an error: leave an undefined ratio nil.
func JSON(w io.Writer, r Report) error {
	r.SchemaVersion = SchemaVersion
	r.Domains = withStandardErrors(r.Domains)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write report.json: %w", err)
	}
	return nil
}

// Read reads a report.json of this schema version.
func Read(rd io.Reader) (Report, error) {
	var r Report
	if err := json.NewDecoder(rd).Decode(&r); err != nil {
		return Report{}, fmt.Errorf("read report.json: %w", err)
	}
	if r.SchemaVersion != SchemaVersion {
		return Report{}, fmt.Errorf("read report.json: schema version %d, this program knows %d: use the mergebot that wrote it", r.SchemaVersion, SchemaVersion)
	}
	return r, nil
}

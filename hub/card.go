package hub

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Card is the model card of a merge: README.md with metadata that the Hub reads. It is plain data;
// zero fields take the defaults named below or are left out.
type Card struct {
	Name        string   // the model's name: the title, and the name in model-index
	Repo        string   // the Hub id under which it is published; "" where that is not known
	Description string   // one paragraph: what it is
	BaseModels  []string // Hub ids; anything else (a local path, s3://…) is left out, and the body says so
	Relation    string   // base_model_relation, default merge
	Library     string   // default transformers
	Pipeline    string   // pipeline_tag, default text-generation
	Method      string   // the merge method: a tag and a line of the body
	Tags        []string // beside merge, mergebot and the method
	Language    []string
	Datasets    []string // Hub ids; others are left out
	Metrics     []string // default accuracy, if there are results
	License     License
	Results     []CardResult
	Ratios      []CardRatio
	Parents     []CardParent
	Recipe      string // YAML, as it was read
	PlanID      string
	Seeds       []CardSeed
	Reproduce   []string // shell commands
	Limitations []string // one sentence each
	Version     string   // mergebot's
}

// CardResult is the score of the merged model on one task. Fractions of 1; Low and High are the
// 95 % interval. Base and Expert are nil where they were not scored; Against says in words how the
// model compares with the expert, and whether that is inside the noise.
type CardResult struct {
	Task             string // as a reader knows it: GSM8K
	Dataset          string // Hub id, or the task's name
	Config           string
	Split            string
	Revision         string // commit of the data set
	N, Total         int
	Value, Low, High float64
	StandardError    float64
	Base, Expert     *float64
	Against          string
	Prompt, Grader   string // by name
	Tuned            bool   // what was merged how was chosen by these very rows
	SourceName       string
	SourceURL        string
}

// CardRatio is a domain's score as a share of its expert's.
type CardRatio struct {
	Domain           string
	Expert           string
	Value, Low, High float64
	Against          string // in words: below or above the expert, or inside the noise
}

// CardParent is a model that went in, at its commit.
type CardParent struct {
	Role     string // base or expert
	Repo     string
	Revision string // as asked
	SHA      string
	License  string
}

// CardSeed is a seed and what it decides.
type CardSeed struct {
	Name  string
	Value uint64
}

// metadata is the YAML head. Nothing in it may be null: the Hub refuses a card for that
// (transformers#28137), so every optional key is left out when empty.
type metadata struct {
	BaseModel   []string     `yaml:"base_model,omitempty"`
	Relation    string       `yaml:"base_model_relation,omitempty"`
	Library     string       `yaml:"library_name"`
	Pipeline    string       `yaml:"pipeline_tag"`
	License     string       `yaml:"license,omitempty"`
	LicenseName string       `yaml:"license_name,omitempty"`
	LicenseLink string       `yaml:"license_link,omitempty"`
	Language    []string     `yaml:"language,omitempty"`
	Datasets    []string     `yaml:"datasets,omitempty"`
	Metrics     []string     `yaml:"metrics,omitempty"`
	Tags        []string     `yaml:"tags"`
	ModelIndex  []modelIndex `yaml:"model-index,omitempty"`
}

type modelIndex struct {
	Name    string        `yaml:"name"`
	Results []indexResult `yaml:"results"`
}

type indexResult struct {
	Task struct {
		Type string `yaml:"type"`
		Name string `yaml:"name,omitempty"`
	} `yaml:"task"`
	Dataset struct {
		Type     string `yaml:"type"`
		Name     string `yaml:"name"`
		Config   string `yaml:"config,omitempty"`
		Split    string `yaml:"split,omitempty"`
		Revision string `yaml:"revision,omitempty"`
	} `yaml:"dataset"`
	Metrics []indexMetric `yaml:"metrics"`
	Source  *indexSource  `yaml:"source,omitempty"`
}

type indexMetric struct {
	Type  string     `yaml:"type"`
	Value float64    `yaml:"value"`
	Name  string     `yaml:"name,omitempty"`
	Args  *indexArgs `yaml:"args,omitempty"`
}

// indexArgs are how the value came about, for machines; the Hub keeps them as they are.
type indexArgs struct {
	N             int     `yaml:"n"`
	Total         int     `yaml:"total,omitempty"`
	StandardError float64 `yaml:"standard_error"`
	Low           float64 `yaml:"low"`
	High          float64 `yaml:"high"`
	Prompt        string  `yaml:"prompt,omitempty"`
	Grader        string  `yaml:"grader,omitempty"`
	Tuned         bool    `yaml:"tuned_on_these_rows,omitempty"`
}

type indexSource struct {
	Name string `yaml:"name,omitempty"`
	URL  string `yaml:"url"`
}

// head is the card's metadata with the defaults filled in.
func (c Card) head() metadata {
	m := metadata{
		Library:     cmp.Or(c.Library, "transformers"),
		Pipeline:    cmp.Or(c.Pipeline, "text-generation"),
		License:     c.License.ID,
		LicenseName: c.License.Name,
		LicenseLink: c.License.Link,
		Language:    c.Language,
		Datasets:    hubIDs(c.Datasets),
		Metrics:     c.Metrics,
		BaseModel:   hubIDs(c.BaseModels),
	}
	if len(m.BaseModel) > 0 {
		m.Relation = cmp.Or(c.Relation, "merge")
	}
	for _, t := range append([]string{"merge", "mergebot", c.Method}, c.Tags...) {
		if t != "" && !slices.Contains(m.Tags, t) {
			m.Tags = append(m.Tags, t)
		}
	}
	if len(c.Results) == 0 {
		return m
	}
	if len(m.Metrics) == 0 {
		m.Metrics = []string{"accuracy"}
	}
	index := modelIndex{Name: c.Name}
	for _, r := range c.Results {
		index.Results = append(index.Results, r.index(m.Pipeline))
	}
	m.ModelIndex = []modelIndex{index}
	return m
}

func (r CardResult) index(pipeline string) indexResult {
	var x indexResult
	x.Task.Type = pipeline
	x.Dataset.Type, x.Dataset.Name = r.Dataset, r.Task
	x.Dataset.Config, x.Dataset.Split, x.Dataset.Revision = r.Config, r.Split, r.Revision
	x.Metrics = []indexMetric{{
		Type: "accuracy", Value: millionths(r.Value),
		Name: fmt.Sprintf("Accuracy, n = %d%s, standard error %s, 95 %% interval %s to %s", r.N, of(r), fraction(r.StandardError), fraction(r.Low), fraction(r.High)),
		Args: &indexArgs{N: r.N, Total: r.Total, StandardError: millionths(r.StandardError), Low: millionths(r.Low), High: millionths(r.High),
			Prompt: r.Prompt, Grader: r.Grader, Tuned: r.Tuned},
	}}
	if r.SourceURL != "" {
		x.Source = &indexSource{Name: r.SourceName, URL: r.SourceURL}
	}
	return x
}

// of says how many items there were to choose from, where not all were scored.
func of(r CardResult) string {
	if r.Total > r.N {
		return fmt.Sprintf(" of %d", r.Total)
	}
	return ""
}

func millionths(f float64) float64 { return math.Round(f*1e6) / 1e6 }

// hubIDs keeps the names that a hub knows, each once. A local path in base_model or datasets makes
// the Hub refuse the card.
func hubIDs(names []string) []string {
	var out []string
	for _, n := range names {
		if isHubID(n) && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func isHubID(s string) bool { return strings.Count(s, "/") == 1 && Repo{ID: s}.Validate() == nil }

var (
	languageCode = regexp.MustCompile(`^([a-z]{2,3}(-[A-Za-z0-9]+)*|code|multilingual)$`)
	slugPattern  = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)
	commitSHA    = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)
)

// Validate holds the card against the Hub's rules, so that an upload is not refused after the
// weights have gone up. It reports all faults at once; the Hub's own check
// (POST /api/validate-yaml) may know newer ones.
func (c Card) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("card: "+format, args...)) }
	m := c.head()
	if strings.TrimSpace(c.Name) == "" {
		fault("name is empty")
	}
	if r := m.Relation; r != "" && !slices.Contains([]string{"adapter", "merge", "quantized", "finetune"}, r) {
		fault("base_model_relation is %q: want adapter, merge, quantized or finetune", r)
	}
	if !slugPattern.MatchString(m.Pipeline) {
		fault("pipeline_tag is %q: want lower-case words joined by hyphens, such as text-generation", m.Pipeline)
	}
	if err := c.License.validate(); err != nil {
		errs = append(errs, err)
	}
	for _, l := range c.Language {
		if !languageCode.MatchString(l) {
			fault("language %q is not an ISO 639 code such as en", l)
		}
	}
	for _, t := range m.Tags {
		if strings.TrimSpace(t) != t || strings.ContainsAny(t, "\n\r\t") {
			fault("tag %q holds white space at an end or a line break", t)
		}
	}
	for i, r := range c.Results {
		if err := r.validate(); err != nil {
			fault("result %d: %w", i+1, err)
		}
	}
	for _, p := range c.Parents {
		if p.SHA != "" && !commitSHA.MatchString(p.SHA) {
			fault("parent %s: %q is not a commit", p.Repo, p.SHA)
		}
	}
	return errors.Join(errs...)
}

func (l License) validate() error {
	if l.ID == "" {
		return errors.New("card: license is empty: name one, or unknown")
	}
	if _, known := termsOf(l.ID); !known {
		return fmt.Errorf("card: license %q is not on the Hub's list: use other, with license_name and license_link", l.ID)
	}
	switch {
	case l.ID != "other" && (l.Name != "" || l.Link != ""):
		return fmt.Errorf("card: license_name and license_link go with license: other, not with %s", l.ID)
	case l.ID == "other" && !slugPattern.MatchString(l.Name):
		return fmt.Errorf("card: license: other needs license_name in lower case joined by hyphens, not %q", l.Name)
	case l.ID == "other" && !validLink(l.Link):
		return fmt.Errorf("card: license: other needs license_link, an https address or LICENSE, not %q", l.Link)
	}
	return nil
}

func (r CardResult) validate() error {
	switch {
	case r.Dataset == "" || r.Task == "":
		return errors.New("model-index needs the data set and the task's name")
	case notNumbers(r.Value, r.Low, r.High, r.StandardError):
		return fmt.Errorf("%s has no value", r.Task)
	case r.N <= 0:
		return fmt.Errorf("%s has no items", r.Task)
	case r.SourceName != "" && r.SourceURL == "":
		return fmt.Errorf("%s: a source needs its address", r.Task)
	}
	for _, s := range []string{r.Config, r.Split, r.Revision} {
		if slices.Contains([]string{"None", "null", "~"}, s) {
			return fmt.Errorf("%s: %q where nothing is meant: leave it empty", r.Task, s)
		}
	}
	return nil
}

func notNumbers(list ...float64) bool {
	return slices.ContainsFunc(list, func(f float64) bool { return math.IsNaN(f) || math.IsInf(f, 0) })
}

// Markdown writes README.md: the metadata between --- lines, then the body. An invalid card is an
// error.
func (c Card) Markdown() ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("---\n")
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(c.head()); err != nil {
		return nil, fmt.Errorf("card: write metadata: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("card: write metadata: %w", err)
	}
	b.WriteString("---\n\n")
	c.body(&b)
	return b.Bytes(), nil
}

func fraction(f float64) string { return strconv.FormatFloat(f, 'f', 3, 64) }

package configs

import (
	"maps"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Engines are what a recipe's evaluate.engine may be.
var Engines = []string{"auto", "llama.cpp", "vllm"}

// SelectionTest is the value of mergebot.selection that allows a search and gates to be judged on what is reported.
const SelectionTest = "test"

// tasks are the names of the tasks that mergebot can score.
var tasks = []string{"gsm8k", "math", "fiqa_sa", "fpb", "scotus", "unfair_tos"}

// plainName is what names of domains, graders, splits and the like look like.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

func checkMergebot(d *decoder, r *Recipe, m Method) {
	mb := &r.Mergebot
	checkWord(d, "mergebot.semantics", mb.Semantics, "mergekit", "paper")
	checkWord(d, "mergebot.selection", mb.Selection, SelectionTest)
	checkDPPA(d, r, m)
	checkRatios(d, r)
	checkSearch(d, r, m)
	checkDomains(d, r)
	checkEvaluate(d, mb)
	checkGates(d, mb)
	checkPublish(d, mb.Publish)
	checkSchedule(d, mb.Schedule)
}

// checkWord holds a text that the file has to a list of words.
func checkWord(d *decoder, path, word string, known ...string) {
	if !d.written(path) || slices.Contains(known, word) {
		return
	}
	d.fail(d.place(d.vals, path), nearest(word, known), "%q is not known; want %s", clip(word), strings.Join(known, " or "))
}

// checkNumber holds a number that the file has to an interval.
func checkNumber(d *decoder, path string, f float64, allowed Interval) {
	if d.written(path) && !allowed.Contains(f) {
		d.failAt(path, "%v is out of range; want a number %s", f, allowed)
	}
}

func checkDPPA(d *decoder, r *Recipe, m Method) {
	const path = "mergebot.dppa"
	p := &r.Mergebot.DPPA
	if d.written(path) && m.Name != "" && !m.Prunes() {
		d.failKey(path, "", "dppa has no effect with merge_method %s; it is for dppa, magnitude and owl", m.Name)
	}
	checkWord(d, path+".preset", p.Preset, PresetPaper, PresetReferenceCode)
	checkWord(d, path+".pruning", p.Pruning, "dp", "magnitude", "owl", "dare")
	checkWord(d, path+".mean", p.Mean, "unit", "model")
	checkWord(d, path+".other", p.Other, "prune", "keep")
	checkNumber(d, path+".fluctuation", p.Fluctuation, Interval{Low: 0, High: 1, OpenHigh: true})
	checkNumber(d, path+".outlier_factor", p.OutlierFactor, positive)
	checkNumber(d, path+".partition", p.Partition, share)

	if m.Name == "magnitude" || m.Name == "owl" {
		if d.written(path + ".partition") {
			d.failKey(path+".partition", "", "merge_method %s has one partition; write merge_method: dppa and dppa: {pruning: %s} for more", m.Name, m.Name)
		}
		if d.written(path+".pruning") && p.Pruning != m.Name {
			d.failAt(path+".pruning", "merge_method %s prunes by %s; write merge_method: dppa for another pruning", m.Name, m.Name)
		}
		p.Pruning = m.Name
	}
	if p.Preset == PresetReferenceCode {
		fixed := func(key, is, must string) {
			if is != must {
				d.failAt(join(path, key), "preset %s has %s: %s; use preset %s to choose", PresetReferenceCode, key, must, PresetPaper)
			}
		}
		fixed("pruning", p.Pruning, "dp")
		fixed("mean", p.Mean, "unit")
		fixed("other", p.Other, "keep")
	}
}

// maxPartitions bounds what a search can cost; the paper has two.
const maxPartitions = 50

// Partitions counts the partitions that a density is cut into: 0.2 in steps of
// 0.1 has two, 0.25 three, of which the last is smaller.
func (d DPPA) Partitions(density float64) int {
	if d.Partition <= 0 || density <= 0 {
		return 0
	}
	return max(1, int(math.Ceil(density/d.Partition-1e-9)))
}

// checkRatios holds ratios given by hand to the number of partitions.
func checkRatios(d *decoder, r *Recipe) {
	if r.MergeMethod != "dppa" {
		return
	}
	for i, m := range r.Inputs() {
		path := join(index("models", i), "parameters")
		if len(r.Slices) > 0 {
			path = join("slices[0]", join(index("sources", i), "parameters"))
		}
		density, ok := m.Parameters["density"].Constant()
		if !ok && len(r.Slices) == 1 {
			density, ok = r.Slices[0].Parameters["density"].Constant()
		}
		if !ok {
			density, ok = r.Parameters["density"].Constant()
		}
		if !ok || !share.Contains(density) || !share.Contains(r.Mergebot.DPPA.Partition) {
			continue
		}
		n := r.Mergebot.DPPA.Partitions(density)
		ratios, given := m.Ratios()
		if n > maxPartitions {
			d.failAt("mergebot.dppa.partition", "density %v in steps of %v has %d partitions; %d is the most", density, r.Mergebot.DPPA.Partition, n, maxPartitions)
			return
		}
		if given && len(ratios) != n {
			d.failAt(join(path, "ratios"), "density %v in steps of %v has %s, P1 first; the list has %d", density, r.Mergebot.DPPA.Partition, countOf(n, "partition"), len(ratios))
		}
	}
}

func checkSearch(d *decoder, r *Recipe, m Method) {
	const path = "mergebot.search"
	s := r.Mergebot.Search
	if s == nil {
		return
	}
	if m.Name != "" && m.Name != "dppa" {
		checkSearchOfOthers(d, s, m)
	}
	if len(r.Mergebot.Domains) == 0 && !d.written("mergebot.domains") {
		d.failKey(path, "", "search needs domains, to judge by")
	}
	for i, method := range s.Methods {
		switch {
		case method != 1 && method != 2:
			d.failAt(index(path+".methods", i), "no search method %d; want 1 or 2", method)
		case slices.Contains(s.Methods[:i], method):
			d.failAt(index(path+".methods", i), "%d is in the list already", method)
		}
	}
	checkWord(d, path+".coefficient", s.Coefficient, "none", "common", "per-domain")
	checkRange(d, path+".ratios", s.Ratios)
	checkRange(d, path+".coefficients", s.Coefficients)
	checkNumber(d, path+".patience", float64(s.Patience), Interval{Low: 1, High: math.Inf(1)})
	checkNumber(d, path+".limit", float64(s.Limit), notNegative)
	if d.written(path+".coefficients") && s.Coefficient == "none" {
		d.failKey(path+".coefficients", "", "no coefficient is sought: write coefficient: common or per-domain, too")
	}
	given, experts := 0, r.Experts()
	for _, i := range experts {
		if _, ok := r.Inputs()[i].Ratios(); ok {
			given++
		}
	}
	switch seeksRatios := len(s.Methods) > 0 && (given == 0 || given < len(experts)); {
	case seeksRatios || s.Coefficient != "none":
	case given > 0:
		d.failAt(path, "nothing is sought: every model has ratios of its own, and coefficient is none")
	default:
		d.failAt(path, "nothing is sought: methods is empty and coefficient is none; write coefficient: common")
	}
}

// checkSearchOfOthers is for methods without partitions: their sum can be
// weighed, but there are no ratios to seek.
func checkSearchOfOthers(d *decoder, s *Search, m Method) {
	const path = "mergebot.search"
	if !m.Sums() {
		d.failKey(path, "", "search has nothing to seek with merge_method %s: it seeks ratios for dppa, and a coefficient for methods that add deltas to a base", m.Name)
		return
	}
	if d.written(path+".methods") && len(s.Methods) > 0 {
		d.failAt(path+".methods", "merge_method %s has no amplification ratios to seek: write methods: [], or merge_method: dppa with mergebot.dppa: {pruning: %s}", m.Name, prunedLike(m.Name))
	}
	s.Methods = []int{}
}

// prunedLike names the pruning of dppa that is nearest to another method.
func prunedLike(name string) string {
	switch {
	case strings.HasPrefix(name, "dare"):
		return "dare"
	case name == "owl":
		return "owl"
	}
	return "magnitude"
}

// maxGrid bounds the values on one line of a search.
const maxGrid = 1000

func checkRange(d *decoder, path string, r Range) {
	for i, f := range r.Values {
		at := index(path, i)
		if f < 0 {
			d.failAt(at, "%v is out of range; want 0 or more", f)
		}
		if i > 0 && f <= r.Values[i-1] {
			d.failAt(at, "%v after %v: the list must ascend", f, r.Values[i-1])
		}
	}
	if len(r.Values) > maxGrid {
		d.failAt(path, "%d values; %d is the most", len(r.Values), maxGrid)
	}
	if len(r.Values) > 0 || d.errorsAt(path) {
		return
	}
	switch {
	case r.Min < 0:
		d.failAt(path+".min", "%v is out of range; want 0 or more", r.Min)
	case r.Max < r.Min:
		d.failAt(path, "max %v is less than min %v", r.Max, r.Min)
	case r.Step <= 0:
		d.failAt(path+".step", "%v is not a step; want a number above 0", r.Step)
	case (r.Max-r.Min)/r.Step >= maxGrid:
		d.failAt(path, "from %v to %v in steps of %v is more than %d values", r.Min, r.Max, r.Step, maxGrid)
	}
}

func checkDomains(d *decoder, r *Recipe) {
	references := r.References()
	for i := range r.Mergebot.Domains {
		domain := &r.Mergebot.Domains[i]
		path := "mergebot.domains." + domain.Name
		if !plainName.MatchString(domain.Name) {
			d.failKey(path, "", "%q is not a domain's name; want letters, digits and . _ -", clip(domain.Name))
		}
		checkExpert(d, r, references, path, domain)
		if len(domain.Tasks) == 0 && !d.errorsAt(path+".tasks") {
			d.failAt(path, "domain %s has no tasks: {expert: …, tasks: [%s]}", clip(domain.Name), strings.Join(tasks[:2], ", "))
		}
		for j, task := range domain.Tasks {
			at := index(path+".tasks", j)
			switch {
			case !slices.Contains(tasks, task):
				d.fail(d.place(d.vals, at), nearest(task, tasks), "unknown task %q; known: %s", clip(task), strings.Join(tasks, ", "))
			case slices.Contains(domain.Tasks[:j], task):
				d.failAt(at, "%s is in the list already", task)
			}
		}
	}
	if d.written("mergebot.domains") && len(r.Mergebot.Domains) == 0 {
		d.failAt("mergebot.domains", "no domain is named: {math: {expert: org/name, tasks: [gsm8k, math]}}")
	}
}

// checkExpert finds a domain's expert among the models. An expert written
// without a revision is the model of that name, whatever its revision.
func checkExpert(d *decoder, r *Recipe, references []ModelRef, path string, domain *Domain) {
	if domain.Expert.IsZero() {
		if !d.written(path + ".expert") {
			d.failAt(path, "domain %s has no expert: {expert: org/name, tasks: […]}", clip(domain.Name))
		}
		return
	}
	for _, known := range references {
		bare := known
		bare.Revision = ""
		if known.Same(domain.Expert) || bare.Same(domain.Expert) {
			pos := domain.Expert.Pos
			domain.Expert = known
			domain.Expert.Pos = pos
			if !r.BaseModel.IsZero() && known.Same(r.BaseModel) && r.ModelIndex(known) < 0 {
				d.failAt(path+".expert", "%s is the base; a domain's expert is one of the models", clip(known.String()))
			}
			return
		}
	}
	if d.full() {
		return
	}
	var words []string
	for _, known := range references {
		words = append(words, known.String(), known.Repo)
	}
	ref := domain.Expert.String()
	d.fail(d.place(d.vals, path+".expert"), nearest(ref, words), "%s is not one of the recipe's models", clip(ref))
}

func checkEvaluate(d *decoder, mb *Mergebot) {
	const path = "mergebot.evaluate"
	e := mb.Evaluate
	checkNumber(d, path+".limit", float64(e.Limit), notNegative)
	checkName(d, path+".split", e.Split)
	if !slices.Contains(Engines, e.Engine) {
		// Not quoted: it may be a URL with a password in it.
		if u, err := url.Parse(e.Engine); err == nil && u.Host != "" {
			d.failAt(path+".engine", "a server holds one model and a recipe scores several; want %s, or score one model with mergebot eval --engine URL", strings.Join(Engines, ", "))
		} else {
			d.failAt(path+".engine", "unknown engine; want %s", strings.Join(Engines, ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(mb.Evaluate.Tasks)) {
		at := path + ".tasks." + name
		if !slices.Contains(tasks, name) {
			d.failKey(at, nearest(name, tasks), "unknown task %q; known: %s", clip(name), strings.Join(tasks, ", "))
			continue
		}
		if !slices.ContainsFunc(mb.Domains, func(d Domain) bool { return slices.Contains(d.Tasks, name) }) {
			d.failKey(at, "", "no domain has the task %s, so this has no effect", name)
		}
		checkTaskOptions(d, at, mb.Evaluate.Tasks[name])
		checkSelect(d, mb, at+".select", mb.Evaluate.Tasks[name])
	}
}

// checkSelect keeps what is chosen by rows apart from what is reported on rows, unless the recipe wants it otherwise.
func checkSelect(d *decoder, mb *Mergebot, path string, o TaskOptions) {
	split := o.Split
	if split == "" {
		split = mb.Evaluate.Split
	}
	switch chosen := mb.Search != nil || len(mb.Gates) > 0; {
	case o.Select == "":
	case mb.Selection == SelectionTest:
		d.failAt(path, "selection: test says already which rows the search and the gates are judged on; remove one of the two")
	case o.Select == "none" && chosen:
		d.failAt(path, "there are no rows to judge the search and the gates on; remove select, or write mergebot.selection: test to judge them on the rows that are reported")
	case o.Select == split && chosen, o.Select == "test" && split == "" && chosen:
		d.failAt(path, "the search and the gates would be judged on the very rows that are reported; write another split, or mergebot.selection: test if that is what you want")
	}
}

func checkName(d *decoder, path, name string) {
	if name != "" && !plainName.MatchString(name) {
		d.failAt(path, "%q is not a name; want letters, digits and . _ -", clip(name))
	}
}

func checkGates(d *decoder, mb *Mergebot) {
	var domains, scored []string
	for _, domain := range mb.Domains {
		domains = append(domains, domain.Name)
		scored = append(scored, domain.Tasks...)
	}
	for i, g := range mb.Gates {
		path := index("mergebot.gates", i)
		byDomain, byTask := d.written(path+".domain"), d.written(path+".task")
		ratio, score := d.written(path+".min_ratio"), d.written(path+".min_score")
		switch {
		case byDomain == byTask:
			d.failAt(path, "a gate has either a domain or a task")
		case byDomain && g.Domain != "" && !slices.Contains(domains, g.Domain):
			d.fail(d.place(d.vals, path+".domain"), nearest(g.Domain, domains), "no domain %q", clip(g.Domain))
		case byTask && g.Task != "" && !slices.Contains(scored, g.Task):
			d.fail(d.place(d.vals, path+".task"), nearest(g.Task, scored), "no domain has a task %q", clip(g.Task))
		}
		switch {
		case !ratio && !score:
			d.failAt(path, "a gate has a min_ratio (1 is as good as the expert) or a min_score")
		case byDomain && score:
			d.failKey(path+".min_score", "", "a domain has a ratio, not a score: write min_ratio, or give the task")
		}
		checkNumber(d, path+".min_ratio", g.MinRatio, Interval{Low: 0, High: 10, OpenLow: true})
		checkNumber(d, path+".min_score", g.MinScore, share)
	}
}

var licensePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,63}$`)

func checkPublish(d *decoder, p *Publish) {
	const path = "mergebot.publish"
	if p == nil {
		return
	}
	switch err := checkRepo(p.Repo); {
	case p.Repo == "" && d.written(path+".repo") && d.errorsAt(path+".repo"):
	case p.Repo == "":
		d.failAt(path, "the repository is missing: publish: {repo: org/name}")
	case err != nil:
		d.failAt(path+".repo", "%s", err)
	case !strings.Contains(p.Repo, "/"):
		d.failAt(path+".repo", "%q has no owner; write org/name", p.Repo)
	}
	if p.License != "" && !licensePattern.MatchString(p.License) {
		d.failAt(path+".license", "%q is not a licence's name on the Hub, such as apache-2.0 or llama2", clip(p.License))
	}
}

// checkSchedule reads a cron line. The parser cuts at the blank after a time
// zone without looking for it, so that is looked at first.
func checkSchedule(d *decoder, line string) {
	const path = "mergebot.schedule"
	if !d.written(path) || line == "" && d.errorsAt(path) {
		return
	}
	if zone, _, blank := strings.Cut(line, " "); !blank && strings.Contains(zone, "TZ=") {
		d.failAt(path, "a time zone and no times; write \"TZ=Europe/Berlin 0 2 * * *\"")
		return
	}
	schedule, err := cron.ParseStandard(line)
	if err != nil {
		d.failAt(path, "not a cron line such as \"0 2 * * *\" (minute, hour, day, month, weekday): %s", clip(err.Error()))
		return
	}
	if every, ok := schedule.(cron.ConstantDelaySchedule); ok && every.Delay < time.Minute {
		d.failAt(path, "more often than once a minute")
	}
}

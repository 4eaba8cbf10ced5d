package hub

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// body writes the readable part. Names, commits and recipes stand in code spans and blocks, other
// texts are escaped: a parent's card or a recipe must not write into this one.
func (c Card) body(b *bytes.Buffer) {
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	line("# %s\n", prose(c.Name))
	if c.Description != "" {
		line("%s\n", prose(c.Description))
	}
	line("Merged with mergebot%s%s.\n", spaced(c.Version, ""), spaced(codeSpan(c.Method), " by "))
	c.scores(line)
	c.lineage(line)
	if c.Recipe != "" {
		line("## Recipe\n\n%s", codeBlock("yaml", c.Recipe))
	}
	if len(c.Reproduce) > 0 || len(c.Seeds) > 0 {
		line("## How to reproduce\n")
		if c.PlanID != "" {
			line("Plan %s. The merged files are a function of the plan alone: the same bytes on any machine.\n", codeSpan(c.PlanID))
		}
		for _, s := range c.Seeds {
			line("- seed of %s: %d", prose(s.Name), s.Value)
		}
		if len(c.Seeds) > 0 {
			line("")
		}
		if len(c.Reproduce) > 0 {
			line("%s", codeBlock("sh", strings.Join(c.Reproduce, "\n")))
		}
	}
	line("`provenance.json` holds the recipe's and plan's hashes, every input with its commit, and the SHA-256 of every file read and written.\n")
	line("## Limitations\n")
	for _, l := range c.Limitations {
		line("- %s", prose(l))
	}
	line("- A merge inherits what its parents learned, wrong or harmful as it may be; nothing here measures safety.")
	line("- The scores are of the tasks, prompts and graders named here; other prompts give other scores.")
}

func (c Card) scores(line func(string, ...any)) {
	if len(c.Results) > 0 {
		line("## Scores\n")
		line("± is the standard error. *Inside the noise* means that these items cannot tell the two models apart.\n")
		line("| Task | n | Base, %% | Expert, %% | This model, %% | 95 %% interval | Against the expert | Prompt, grader |")
		line("| --- | --: | --: | --: | --: | --: | --- | --- |")
		for _, r := range c.Results {
			line("| %s | %d%s | %s | %s | **%s** ± %s | %s–%s | %s | %s |", prose(r.Task), r.N, of(r), cardPercent(r.Base), cardPercent(r.Expert),
				cardPercent(&r.Value), cardPercent(&r.StandardError), cardPercent(&r.Low), cardPercent(&r.High), prose(r.Against), codeSpans(r.Prompt, r.Grader))
		}
		line("")
		if slices.ContainsFunc(c.Results, func(r CardResult) bool { return r.Tuned }) {
			line("**This model was tuned on the rows that it is scored on (`selection: test`): these scores say nothing of other rows.**\n")
		}
	}
	if len(c.Ratios) == 0 {
		return
	}
	line("Domain-Ratio: this model's score as a share of the domain's expert (geometric mean over its tasks).\n")
	line("| Domain | Expert | Domain-Ratio, %% | 95 %% interval | Against the expert |")
	line("| --- | --- | --: | --: | --- |")
	for _, r := range c.Ratios {
		line("| %s | %s | **%s** | %s–%s | %s |", prose(r.Domain), codeSpan(r.Expert), cardPercent(&r.Value), cardPercent(&r.Low), cardPercent(&r.High), prose(r.Against))
	}
	line("")
}

// codeSpans joins the texts that are not empty.
func codeSpans(texts ...string) string {
	var out []string
	for _, t := range texts {
		if s := codeSpan(t); s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, ", ")
}

func (c Card) lineage(line func(string, ...any)) {
	var elsewhere []string
	for _, m := range c.BaseModels {
		if !isHubID(m) {
			elsewhere = append(elsewhere, codeSpan(m))
		}
	}
	line("## Parents and licence\n")
	if len(c.Parents) > 0 {
		line("| Model | Role | Commit | Licence |")
		line("| --- | --- | --- | --- |")
		for _, p := range c.Parents {
			license := "not stated"
			if p.License != "" {
				license = codeSpan(p.License)
			}
			line("| %s | %s | %s | %s |", codeSpan(p.Repo+at(p.Revision)), prose(p.Role), codeSpan(p.SHA), license)
		}
		line("")
	}
	if len(elsewhere) > 0 {
		line("Not on a hub, and so not in the metadata: %s.\n", strings.Join(elsewhere, ", "))
	}
	text := "Licence of this model: " + codeSpan(c.License.ID)
	if c.License.Name != "" {
		text += ", " + codeSpan(c.License.Name) + " at " + codeSpan(c.License.Link)
	}
	if c.License.Rule != "" {
		text += ": " + prose(c.License.Rule)
	}
	line("%s.\n", text)
}

func at(revision string) string {
	if revision == "" {
		return ""
	}
	return "@" + revision
}

func spaced(s, before string) string {
	if s == "" {
		return ""
	}
	if before == "" {
		return " " + prose(s)
	}
	return before + s
}

func cardPercent(f *float64) string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("%.1f", 100**f)
}

var (
	markup   = regexp.MustCompile("[\\\\`*_{}\\[\\]<>|~&#$^!]")
	ticks    = regexp.MustCompile("`+")
	autolink = regexp.MustCompile(`(?i)(https?|ftp):|www\.|@`)
)

// prose escapes what Markdown would read as markup and unmakes bare links with a space of no width.
func prose(s string) string {
	s = markup.ReplaceAllString(strings.Join(strings.Fields(s), " "), `\$0`)
	return autolink.ReplaceAllString(s, "$0\u200b")
}

// codeSpan holds a text that must stay as it is; a pipe in it would end a table's cell.
func codeSpan(s string) string {
	s = strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", "¦")
	if s == "" {
		return ""
	}
	fence := "`"
	for _, run := range ticks.FindAllString(s, -1) {
		if len(run) >= len(fence) {
			fence = strings.Repeat("`", len(run)+1)
		}
	}
	if fence != "`" {
		s = " " + s + " "
	}
	return fence + s + fence
}

func codeBlock(language, s string) string {
	fence := "```"
	for _, run := range ticks.FindAllString(s, -1) {
		if len(run) >= len(fence) {
			fence = strings.Repeat("`", len(run)+1)
		}
	}
	return fence + language + "\n" + strings.TrimRight(s, "\n") + "\n" + fence + "\n"
}

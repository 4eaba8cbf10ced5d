package hub

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// License is what a card says of its licence: an identifier of the Hub's list and, for "other",
// the licence's own name and where its text stands. Rule says in words how it was arrived at.
type License struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	Link string `json:"link,omitempty"`
	Rule string `json:"rule,omitempty"`
}

// ParentLicense is the licence of one model that went into a merge, or that such a model was made from, as its card
// states it.
type ParentLicense struct {
	Repo string // for messages and, under "other", to link to
	ID   string // "" when the card states none
	Name string // license_name
	Link string // license_link
	// Heir is the parent of the merge that was made from this model; "" for the parents themselves.
	Heir string
}

// parent is the model of the merge that the licence comes with.
func (p ParentLicense) parent() string {
	if p.Heir != "" {
		return p.Heir
	}
	return p.Repo
}

// who names the model, and how it comes into the merge.
func (p ParentLicense) who() string {
	if p.Heir != "" {
		return p.Repo + ", which " + p.Heir + " was made from,"
	}
	return p.Repo
}

// LicenseConflict is one reason why a merge cannot be passed on under a licence.
type LicenseConflict struct {
	Parent string // the merge's parent that is the reason; "" for a chosen licence that is none
	Chosen bool   // the parent's terms stand against the licence that was chosen
	text   string
}

func (c *LicenseConflict) Error() string { return c.text }

// LicenseConflicts are all the reasons that [CombineLicenses] found.
type LicenseConflicts []*LicenseConflict

func (c LicenseConflicts) Error() string {
	lines := make([]string, len(c))
	for i, one := range c {
		lines[i] = one.text
	}
	return strings.Join(lines, "\n")
}

// terms is what a licence asks of those who pass on a derivative. This is a coarse reading made to
// stop evident mistakes before they are published, not legal advice.
type terms int

const (
	unstated      terms = iota // unknown, or a text that only a person can read
	permissive                 // keep the notices
	bound                      // its own terms stay: use restrictions, community licences
	copyleft                   // the derivative must be under the same licence
	noncommercial              // and may not be sold
	noDerivatives              // a merge may not be passed on at all
)

// licenses are the identifiers that the Hub accepts (its documentation, "Licenses"), by terms.
var licenses = map[terms][]string{
	permissive: strings.Fields(`apache-2.0 mit afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
		c-uda cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 etalab-2.0
		isc lppl-1.3c ms-pl odc-by openmdw-1.0 postgresql ncsa unlicense zlib pddl`),
	bound: strings.Fields(`openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
		openrail++ llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma grok2-community apple-ascl`),
	copyleft: strings.Fields(`cc-by-sa-3.0 cc-by-sa-4.0 cdla-sharing-1.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl
		gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 lgpl-lr mpl-2.0 odbl osl-3.0 ofl-1.1`),
	noncommercial: strings.Fields(`cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
		deepfloyd-if-license apple-amlr intel-research fair-noncommercial-research-license h-research`),
	noDerivatives: strings.Fields(`cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0`),
	unstated:      strings.Fields(`unknown other cc`),
}

// into lists the copyleft licences whose works may go on under another one.
var into = map[string][]string{
	"lgpl-2.1": {"gpl-2.0", "gpl-3.0"}, "lgpl-3.0": {"gpl-3.0", "agpl-3.0"}, "gpl-3.0": {"agpl-3.0"},
	"mpl-2.0": {"gpl-2.0", "gpl-3.0", "agpl-3.0", "lgpl-3.0"}, "cc-by-sa-4.0": {"gpl-3.0"},
}

func termsOf(id string) (t terms, known bool) {
	for t, ids := range licenses {
		if slices.Contains(ids, id) {
			return t, true
		}
	}
	return unstated, false
}

// CombineLicenses finds the licence of a merge. With chosen.ID empty it is derived from the
// parents; else chosen is checked against them. The warnings are for a person to read before the
// model is published: parents without a licence, with one of their own, or that say less than what
// they were made from. A conflict is an error, [LicenseConflicts]: a licence that forbids derivatives,
// two whose terms exclude each other, or a chosen one that gives away what a parent withholds. What
// a parent was made from binds the merge like the parent itself.
func CombineLicenses(chosen License, parents []ParentLicense) (License, []string, error) {
	var warnings []string
	var conflicts LicenseConflicts
	var binding []ParentLicense // the models whose terms the merge must keep
	var free []string
	for _, p := range parents {
		p.ID = strings.ToLower(strings.TrimSpace(p.ID))
		if p.Heir != "" && slices.ContainsFunc(parents, func(o ParentLicense) bool { return o.Heir == "" && o.Repo == p.Repo }) {
			if w := laxer(p, parents); w != "" { // it counts as a parent already
				warnings = append(warnings, w)
			}
			continue
		}
		t, known := termsOf(p.ID)
		switch {
		case t == noDerivatives:
			conflicts = append(conflicts, &LicenseConflict{Parent: p.parent(),
				text: fmt.Sprintf("license: %s is under %s, which allows no derivatives: a merge of it cannot be published", p.who(), p.ID)})
		case p.ID == "" || p.ID == "unknown":
			warnings = append(warnings, fmt.Sprintf("%s states no licence: ask its owner before publishing a merge of it", p.who()))
		case p.ID == "other":
			warnings = append(warnings, fmt.Sprintf("%s has a licence of its own%s: read it before publishing", p.who(), named(p)))
			binding = append(binding, p)
		case !known || t == unstated:
			warnings = append(warnings, fmt.Sprintf("%s is under %q, which is not known here: read it before publishing", p.who(), p.ID))
		case t == permissive:
			if p.Heir == "" { // what was made from it has a licence of its own
				free = append(free, p.ID)
			}
		default:
			binding = append(binding, p)
			if w := laxer(p, parents); w != "" {
				warnings = append(warnings, w)
			}
		}
	}
	if len(conflicts) > 0 {
		return License{}, warnings, conflicts
	}
	if chosen.ID == "" {
		l, w, conflict := deriveLicense(binding, free)
		if conflict != nil {
			return l, append(warnings, w...), LicenseConflicts{conflict}
		}
		return l, append(warnings, w...), nil
	}
	w, conflicts := checkLicense(chosen, binding)
	if chosen.Rule == "" {
		chosen.Rule = "chosen in the recipe and checked against the parents' licences"
	}
	if len(conflicts) > 0 {
		return chosen, append(warnings, w...), conflicts
	}
	return chosen, append(warnings, w...), nil
}

// laxer says so when a parent of the merge states a licence that does not keep the terms of what it was made from.
func laxer(p ParentLicense, parents []ParentLicense) string {
	t, _ := termsOf(p.ID)
	i := slices.IndexFunc(parents, func(o ParentLicense) bool { return o.Heir == "" && o.Repo == p.Heir })
	if i < 0 || t == permissive || t == unstated {
		return ""
	}
	heir := strings.ToLower(strings.TrimSpace(parents[i].ID))
	if own, known := termsOf(heir); !known || own == unstated {
		return ""
	}
	if _, conflicts := checkLicense(License{ID: heir}, []ParentLicense{p}); len(conflicts) == 0 {
		return ""
	}
	return fmt.Sprintf("%s says %s, but was made from %s, which is under %s%s: the merge is held to that", p.Heir, heir, p.Repo, p.ID, termsInWords(t))
}

func named(p ParentLicense) string {
	s := strings.Trim(p.Name+" "+p.Link, " ")
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// deriveLicense takes the one licence with terms to keep, or else a permissive one.
func deriveLicense(binding []ParentLicense, free []string) (License, []string, *LicenseConflict) {
	var candidates []ParentLicense
	for _, p := range binding {
		if !slices.ContainsFunc(candidates, func(c ParentLicense) bool { return c.ID == p.ID && c.Name == p.Name }) {
			candidates = append(candidates, p)
		}
	}
	for _, c := range candidates {
		if c.ID == "other" && len(candidates) > 1 {
			continue
		}
		l := License{ID: c.ID, Name: c.Name, Link: c.Link, Rule: fmt.Sprintf("%s binds its derivatives to %s; the other parents allow that", c.who(), c.ID)}
		if c.ID == "other" {
			l = ownLicense(c)
		}
		if w, conflicts := checkLicense(l, binding); len(conflicts) == 0 {
			return l, w, nil
		}
	}
	switch {
	case len(candidates) > 0:
		return License{}, nil, &LicenseConflict{Parent: candidates[len(candidates)-1].parent(), text: "license: no one licence keeps the terms of " + parentsInWords(binding) +
			": merge other models, or have the licences' owners agree and name the result in publish.license (other, with name and link)"}
	case len(free) == 0:
		return License{ID: "unknown", Rule: "no parent states a licence that is known here"}, nil, nil
	case !slices.ContainsFunc(free, func(id string) bool { return id != free[0] }):
		return License{ID: free[0], Rule: "the licence of every parent that states one"}, nil, nil
	case slices.Contains(free, "apache-2.0"):
		return License{ID: "apache-2.0", Rule: "all parents are permissive; the strictest of them on notices"}, nil, nil
	}
	return License{ID: free[0], Rule: "all parents are permissive; the base's or first parent's licence, with the notices of all"}, nil, nil
}

// ownLicense carries over a parent's licence that is not on the Hub's list.
func ownLicense(p ParentLicense) License {
	l := License{ID: "other", Name: slug(p.Name), Link: p.Link, Rule: p.Repo + " has a licence of its own, which goes on to the merge"}
	if l.Name == "" {
		l.Name = slug(p.Repo + "-license")
	}
	if !validLink(l.Link) {
		l.Link = "https://huggingface.co/" + p.Repo
	}
	return l
}

// checkLicense says whether a licence keeps the terms of all binding parents.
func checkLicense(l License, binding []ParentLicense) (warnings []string, conflicts LicenseConflicts) {
	have, known := termsOf(l.ID)
	if !known {
		return nil, LicenseConflicts{{Chosen: true, text: fmt.Sprintf("license: %q is not on the Hub's list: use one of its identifiers, or other with a name and a link", l.ID)}}
	}
	for _, p := range binding {
		want, _ := termsOf(p.ID)
		switch {
		case l.ID == p.ID && (l.ID != "other" || l.Name == slug(p.Name) || p.Name == ""):
		case slices.Contains(into[p.ID], l.ID):
		case want == noncommercial && have == noncommercial && !strings.Contains(p.ID, "-sa-") && strings.HasPrefix(p.ID, "cc-"):
		case l.ID == "other" && want != copyleft:
			warnings = append(warnings, fmt.Sprintf("the licence %s must keep the terms of %s (%s)", l.Name, p.ID, p.Repo))
		case p.ID == "other" && have != permissive:
			warnings = append(warnings, fmt.Sprintf("%s has a licence of its own%s: make sure that %s keeps its terms", p.Repo, named(p), l.ID))
		default:
			conflicts = append(conflicts, &LicenseConflict{Parent: p.parent(), Chosen: true,
				text: fmt.Sprintf("license: %s is under %s%s, and %s does not keep its terms: publish under %s or leave %s out",
					p.who(), p.ID, termsInWords(want), l.ID, p.ID, leftOut(p))})
		}
	}
	return warnings, conflicts
}

// leftOut is the model that a recipe can do without.
func leftOut(p ParentLicense) string {
	if p.Heir != "" {
		return p.Heir
	}
	return "the model"
}

func termsInWords(t terms) string {
	switch t {
	case noncommercial:
		return " (non-commercial)"
	case copyleft:
		return " (derivatives under the same licence)"
	case bound:
		return " (its terms go on to derivatives)"
	}
	return ""
}

func parentsInWords(parents []ParentLicense) string {
	words := make([]string, len(parents))
	for i, p := range parents {
		words[i] = p.Repo + " (" + p.ID + ")"
	}
	return strings.Join(words, ", ")
}

var notSlug = regexp.MustCompile(`[^a-z0-9.]+`)

// slug is a license_name as the Hub wants it: lower case, words joined by hyphens.
func slug(s string) string {
	return strings.Trim(notSlug.ReplaceAllString(strings.ToLower(s), "-"), "-.")
}

// validLink takes a license_link: a web address or a licence file of the repository itself.
func validLink(s string) bool {
	return regexp.MustCompile(`^(https://[^\s<>"\\]+|LICEN[SC]E(\.md|\.txt)?)$`).MatchString(s)
}

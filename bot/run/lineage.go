package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mergebot/configs"
	"mergebot/hub"
)

// Ancestor is a model that another one says it was made from (base_model in its card).
type Ancestor struct {
	Repo    string `json:"repo"`
	Of      string `json:"of"` // the model whose card names it
	License string `json:"license,omitempty"`
	// Unread is why its card could not be read; "" if it could.
	Unread string `json:"unread,omitempty"`

	name, link string // license_name and license_link
}

const (
	// generations is how far up a lineage is followed.
	generations = 5
	// mostAncestors bounds what a card can have asked of the Hub: anyone may write one.
	mostAncestors = 24
)

// lineage follows what cards say of the models that a model was made from. A name that is none, and a model that is not
// there or not to be seen, are noted and gone past; the same model is met once, whatever circles the cards run in.
func (s *resolver) lineage(ctx context.Context, info *hub.Info) ([]Ancestor, error) {
	var out []Ancestor
	met := map[string]bool{strings.ToLower(info.ID): true}
	generation := []*hub.Info{info}
	for range generations {
		first := len(out)
		for _, i := range generation {
			for _, name := range i.BaseModels {
				if key := strings.ToLower(name); !met[key] && len(out) < mostAncestors {
					met[key] = true
					out = append(out, Ancestor{Repo: name, Of: i.ID})
				}
			}
		}
		parents := make([]*hub.Info, len(out)-first)
		var jobs []func(context.Context) error
		for k := range parents {
			jobs = append(jobs, func(ctx context.Context) (err error) {
				parents[k], err = s.ancestor(ctx, &out[first+k])
				return err
			})
		}
		if err := together(ctx, jobs...).first(); err != nil {
			return nil, err
		}
		generation = slices.DeleteFunc(parents, func(i *hub.Info) bool { return i == nil })
	}
	return out, nil
}

// ancestor reads a model's card; nil where it cannot be had.
func (s *resolver) ancestor(ctx context.Context, a *Ancestor) (*hub.Info, error) {
	repo := hub.Repo{Type: hub.Model, ID: a.Repo}
	if err := repo.Validate(); err != nil {
		a.Repo, a.Unread = printable(a.Repo), "that names no repository"
		return nil, nil
	}
	info, err := s.info(ctx, repo, s.named[a.Repo])
	if err == nil {
		l := parentLicense(info)
		a.License, a.name, a.link = l.ID, l.Name, l.Link
		return info, nil
	}
	for _, why := range []struct {
		err  error
		word string
	}{{hub.ErrRepoNotFound, "missing or private"}, {hub.ErrRevisionNotFound, "it has no main branch"}, {hub.ErrGated, "gated"}, {hub.ErrForbidden, "forbidden"},
		{hub.ErrDisabled, "taken down"}, {hub.ErrEntryNotFound, "missing"}, {hub.ErrOffline, "not in the cache, and offline"}} {
		if errors.Is(err, why.err) {
			a.Unread = why.word
			return nil, nil
		}
	}
	return nil, err
}

// printable is foreign text as one short line.
func printable(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))), " ")
	if len(s) > 96 {
		s = strings.ToValidUTF8(s[:96], "") + "…"
	}
	return s
}

// license combines the licences of the models, and of what they were made from, with the one that the recipe publishes
// under.
func (p *Plan) license(f family) findings {
	refs := map[string]configs.ModelRef{} // by repository
	var parents []hub.ParentLicense
	add := func(m LockedModel, ref configs.ModelRef) {
		if _, twice := refs[m.Repo]; twice || m.Repo == "" { // the base may be one of the models
			return
		}
		m.parent.Repo = m.Repo
		refs[m.Repo] = ref
		parents = append(parents, m.parent)
		for _, a := range m.Lineage {
			if a.Unread != "" {
				p.warn(fmt.Sprintf("%s says it was made from %s, whose licence cannot be checked: %s", a.Of, a.Repo, a.Unread))
				continue
			}
			parents = append(parents, hub.ParentLicense{Repo: a.Repo, ID: a.License, Name: a.name, Link: a.link, Heir: m.Repo})
		}
	}
	both := func(m *resolved, ref configs.ModelRef) {
		if m != nil {
			for _, part := range m.parts() {
				add(part, ref)
			}
		}
	}
	both(f.base, p.recipe.BaseModel)
	for i, m := range f.models {
		both(m, p.recipe.Inputs()[i].Model)
	}
	chosen := ""
	if pub := p.recipe.Mergebot.Publish; pub != nil {
		chosen = pub.License
	}
	l, warnings, err := hub.CombineLicenses(hub.License{ID: chosen}, parents)
	for _, w := range warnings {
		if !slices.Contains(p.Warnings, w) {
			p.Warnings = append(p.Warnings, w)
		}
	}
	p.License = l
	var conflicts hub.LicenseConflicts
	if !errors.As(err, &conflicts) && err != nil {
		return findings{refuse("%w", err)}
	}
	var out findings
	for _, c := range conflicts {
		where := refs[c.Parent].Pos
		if c.Chosen {
			where = p.recipe.Locate("mergebot", "publish", "license")
		}
		out = append(out, at(cmp.Or(where, p.recipe.Locate("models")), refuse("%w", c)))
	}
	return out
}

// parentLicense is what a model's card says of its licence.
func parentLicense(i *hub.Info) hub.ParentLicense {
	text := func(key string) string { s, _ := i.CardData[key].(string); return s }
	return hub.ParentLicense{Repo: i.ID, ID: i.License, Name: text("license_name"), Link: text("license_link")}
}

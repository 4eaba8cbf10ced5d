package run

import (
	"encoding/json"
	"os"

	"mergebot/hub"
)

// Pins hold what an earlier merge was made of, so that it can be made again: the commits, whatever the
// branches hold by now, and what its searches found, since generated text may differ by rounding between
// kinds of CPU. nil pins nothing.
type Pins struct {
	commits    map[pin]string
	treatments map[string]hub.ProvenanceTreated // by expert; nil: searches run
}

type pin struct{ kind, repo, revision string }

// ReadPins takes them from a provenance.json.
func ReadPins(path string) (*Pins, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, refuse("lock: %w", err)
	}
	var p hub.Provenance
	if err := json.Unmarshal(b, &p); err != nil || p.SchemaVersion != hub.ProvenanceVersion {
		return nil, refuse("lock %s is not a provenance.json that this program knows", path)
	}
	pins := &Pins{commits: map[pin]string{}, treatments: map[string]hub.ProvenanceTreated{}}
	for _, in := range p.Inputs {
		pins.commits[pin{in.Kind, in.Repo, in.Revision}] = in.SHA
	}
	for _, t := range p.Treatments {
		pins.treatments[t.Expert] = t
	}
	return pins, nil
}

// PinsOf takes the commits of a plan. Its searches still run: a plan does not know what they find.
func PinsOf(p *Plan) *Pins {
	pins := &Pins{commits: map[pin]string{}}
	for _, m := range append(deref(p.Lock.Base), p.Lock.Models...) {
		for _, part := range m.parts() {
			if part.Path == "" {
				pins.commits[pin{"model", part.where(), part.Asked}] = part.SHA
			}
		}
	}
	for _, d := range p.Lock.Datasets {
		pins.commits[pin{"dataset", d.Repo, d.Asked}] = d.SHA
	}
	return pins
}

func deref[T any](p *T) []T {
	if p == nil {
		return nil
	}
	return []T{*p}
}

// treated says that the pins hold what searches found, too.
func (p *Pins) treated() bool { return p != nil && p.treatments != nil }

// revision is what to ask the Hub for: the pinned commit, else the revision as written.
func (p *Pins) revision(kind, repo, asked string) (string, error) {
	if p == nil {
		return asked, nil
	}
	sha, ok := p.commits[pin{kind, repo, asked}]
	if !ok {
		return "", refuse("the lock has no %s %s: is it this recipe's?", kind, repo)
	}
	return sha, nil
}

// takePinned uses the ratios and coefficients of the earlier merge in place of a search.
func (p *pipeline) takePinned() error {
	for _, i := range p.experts() {
		name := p.plan.Lock.Models[i].Name
		t, ok := p.opts.Pins.treatments[name]
		if !ok {
			return refuse("the lock does not say how %s was treated: is it this recipe's?", name)
		}
		if m := p.measurements[i]; m != nil && len(t.Ratios) != m.Partitions() {
			return refuse("the lock has %d ratios for %s, its delta has %d partitions: is it this recipe's?", len(t.Ratios), name, m.Partitions())
		}
		p.ratios[i] = t.Ratios
		p.methods[i] = t.Method
		p.coefficients = append(p.coefficients, t.Coefficient)
	}
	return nil
}

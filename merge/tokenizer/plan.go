package tokenizer

import (
	"errors"
	"fmt"
	"slices"
)

// Model is a model as far as its vocabulary goes.
type Model struct {
	Name      string
	Tokenizer *Tokenizer // nil: it has no files, and is taken to have the owner's
	Rows      int        // of its embeddings
}

// Spec is what the recipe says. Models are named by their places in the list
// given to [Make].
type Spec struct {
	Owner    int  // the model whose tokenizer counts where none is named
	Source   int  // the model whose tokenizer the result has; of a union, the one that it begins with
	Union    bool // the tokens of all models
	Tokens   []Rule
	Multiple int // pad the vocabulary to a multiple of this; 0: no padding
}

// Kind says where a token's embedding comes from.
type Kind int

// The kinds.
const (
	ByPolicy  Kind = iota // as for tokens without a rule
	FromModel             // the same token of a model
	FromToken             // a token of a model, by its text
	FromID                // a token of a model, by its id
	Zero
)

// Rule is what the recipe says of one token, which is added if need be.
type Rule struct {
	Text  string
	Kind  Kind
	Model int
	Token string // FromToken
	ID    int    // FromID
	Force bool   // also for the models that have the token
}

// RuleError is an error that comes from the rule for a token. Its text is the
// error's own.
type RuleError struct {
	Text string
	Err  error
}

func (e *RuleError) Error() string { return e.Err.Error() }

// Unwrap lets errors.Is find what happened.
func (e *RuleError) Unwrap() error { return e.Err }

// Plan says what becomes of the vocabularies.
type Plan struct {
	Size   int      // rows of the result's embeddings
	Tokens int      // of the result, without padding
	Source int      // the model whose tokenizer files the result's are made of
	Notes  []string // for people

	spec   Spec
	models []Model
	source *Tokenizer // as the files have it, before rows that are not there are left out
	out    *Tokenizer
	texts  []string  // by id; "" where no token has it
	own    [][]int32 // by model and id: the model's row of that token, −1 without
}

// Make lays the vocabularies side by side. Errors that come from a token's rule
// are [RuleError]s.
func Make(models []Model, spec Spec) (*Plan, error) {
	p := &Plan{Source: spec.Source, spec: spec, models: slices.Clone(models)}
	owner := models[spec.Owner]
	if owner.Tokenizer == nil {
		return nil, fmt.Errorf("%w: %s has no tokenizer files, so that nobody knows which token a row belongs to; leave the tokenizer's keys out of the recipe", ErrNone, owner.Name)
	}
	p.source = models[spec.Source].Tokenizer
	for i := range p.models {
		m := &p.models[i]
		if m.Tokenizer == nil {
			if i == spec.Source {
				return nil, fmt.Errorf("%w: %s has no tokenizer files; name another model as the tokenizer's source", ErrNone, m.Name)
			}
			p.note("%s has no tokenizer files: it is taken to have the tokens of %s", m.Name, owner.Name)
			m.Tokenizer = owner.Tokenizer
		}
		if t := m.Tokenizer.within(m.Rows); t != m.Tokenizer {
			p.note("%s: %d of its tokens have ids beyond the %d rows of its embeddings and are left out", m.Name, m.Tokenizer.Len()-t.Len(), m.Rows)
			m.Tokenizer = t
		}
	}
	p.out = p.models[spec.Source].Tokenizer.clone()
	if spec.Union {
		p.unite()
	}
	for _, r := range spec.Tokens {
		if _, ok := p.out.ids[r.Text]; !ok {
			if err := checkText(r.Text); err != nil || r.Text == "" {
				return nil, &RuleError{r.Text, errors.New("a token must have a text of at most 4096 bytes")}
			}
			p.out.add(plain(r.Text))
		}
	}
	if err := p.size(); err != nil {
		return nil, err
	}
	for _, m := range p.models {
		own := make([]int32, p.Size)
		for id, text := range p.texts {
			own[id] = -1
			if text != "" || p.out.holds(text, int32(id)) {
				if row, ok := m.Tokenizer.ids[text]; ok {
					own[id] = row
				}
			}
		}
		for id := len(p.texts); id < p.Size; id++ {
			own[id] = -1
		}
		p.own = append(p.own, own)
	}
	return p, nil
}

func (p *Plan) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(p.Notes, text) {
		p.Notes = append(p.Notes, text)
	}
}

// holds says that an id is that of a token, also of the empty one.
func (t *Tokenizer) holds(text string, id int32) bool {
	known, ok := t.ids[text]
	return ok && known == id
}

// unite adds the tokens of all models to those of the first: what splits other
// models' texts, then the added ones; models in order, their tokens by id.
func (p *Plan) unite() {
	order := []int{p.spec.Source}
	for i := range p.models {
		if i != p.spec.Source {
			order = append(order, i)
		}
	}
	var ordinary []string
	var added []Added
	seen, seenAdded := map[string]bool{}, map[string]bool{}
	for k, i := range order {
		t := p.models[i].Tokenizer
		if slices.ContainsFunc(order[:k], func(j int) bool { return p.models[j].Tokenizer == t }) {
			continue
		}
		for _, text := range t.texts() {
			if _, is := t.added[text]; !is && !seen[text] {
				seen[text] = true
				ordinary = append(ordinary, text)
			}
		}
		for _, a := range t.Added() {
			if !seenAdded[a.Content] {
				seenAdded[a.Content] = true
				added = append(added, a)
			} else if first := p.out.added[a.Content]; k > 0 && first.Content != "" && !sameSettings(first, a) {
				p.note("token %q is added with other settings in %s; the first ones hold", a.Content, p.models[i].Name)
			}
		}
	}
	for _, text := range ordinary {
		if _, known := p.out.ids[text]; !known && !seenAdded[text] {
			p.out.add(plain(text))
		}
	}
	for _, a := range added {
		p.out.add(a)
	}
}

func sameSettings(a, b Added) bool {
	a.ID, b.ID = 0, 0
	return a == b
}

// size orders the tokens by id and pads.
func (p *Plan) size() error {
	if len(p.out.ids) > maxTokens {
		return fmt.Errorf("%w: the result would have %d tokens; %d are the most", ErrUnsupported, len(p.out.ids), maxTokens)
	}
	last := int32(-1)
	for _, id := range p.out.ids {
		last = max(last, id)
	}
	p.Tokens = len(p.out.ids)
	p.texts = make([]string, last+1)
	for text, id := range p.out.ids {
		if p.texts[id] != "" {
			return corrupt("tokens %.60q and %.60q both have id %d", min(text, p.texts[id]), max(text, p.texts[id]), id)
		}
		p.texts[id] = text
	}
	p.Size = len(p.texts)
	if m := p.spec.Multiple; m > 0 {
		if p.Size%m != 0 {
			p.Size += m - p.Size%m
		}
		if p.Size > 2*maxTokens {
			return fmt.Errorf("%w: padded to a multiple of %d the result would have %d rows", ErrUnsupported, m, p.Size)
		}
	}
	p.note("the result has %d tokens and %d rows of embeddings", p.Tokens, p.Size)
	return nil
}

// ID finds a token of the result.
func (p *Plan) ID(token string) (int32, bool) { return p.out.ID(token) }

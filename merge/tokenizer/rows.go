package tokenizer

import "fmt"

// Gather says, for models that are merged with one another, where the rows of
// their embeddings come from, so that the same row is the same token in all.
type Gather struct {
	Size int // rows
	// Own has for each of the models and each row the model's own row. It may be Elsewhere, or Mean.
	Own [][]int32
	// Others has the origins of what is Elsewhere, the same for all models: the mean of them, zero without any.
	Others map[int32][]Origin
	Mean   []int32 // the rows whose mean padding rows are: those of tokens, in order
}

// Origin is a row of one of the models.
type Origin struct {
	Model int // its place among those of the Gather
	Row   int32
}

// What stands for a row in [Gather.Own].
const (
	Elsewhere int32 = -1 // see Gather.Others
	Mean      int32 = -2 // the mean of the model's rows that are tokens
)

// Gather plans the rows of models that are merged with one another, given by
// their places in the list given to [Make], without duplicates; base is the place
// in models of the one that decides for tokens that some lack, or −1.
func (p *Plan) Gather(models []int, base int) (*Gather, error) {
	g := &Gather{Size: p.Size, Others: map[int32][]Origin{}}
	for _, m := range models {
		own := make([]int32, p.Size)
		copy(own, p.own[m])
		g.Own = append(g.Own, own)
	}
	rules := map[int32]Rule{}
	for _, r := range p.spec.Tokens {
		rules[p.out.ids[r.Text]] = r
	}
	none := 0
	for id := range int32(p.Size) {
		if int(id) >= len(p.texts) || !p.out.holds(p.texts[id], id) {
			for k := range models {
				g.Own[k][id] = Mean
			}
			continue
		}
		g.Mean = append(g.Mean, id)
		rule := rules[id]
		have := 0
		for k := range models {
			if g.Own[k][id] >= 0 {
				have++
			}
		}
		if have == len(models) && !rule.Force {
			continue
		}
		origins, err := p.origins(g, models, base, id, rule)
		if err != nil {
			return nil, &RuleError{rule.Text, err}
		}
		if have == 0 && rule.Kind == ByPolicy {
			none++
		}
		g.Others[id] = origins
		if rule.Force {
			for k := range models {
				g.Own[k][id] = Elsewhere
			}
		}
	}
	if none > 0 {
		p.note("%d tokens have an embedding in none of the models that are merged: theirs are zero", none)
	}
	return g, nil
}

// origins finds where a token's row comes from for the models that lack it: as
// its rule says, else from the only model that has it, else from the base, else
// the mean of those that have it.
func (p *Plan) origins(g *Gather, models []int, base int, id int32, rule Rule) ([]Origin, error) {
	switch rule.Kind {
	case Zero:
		return nil, nil
	case FromModel, FromToken, FromID:
		o, err := p.ruled(g, models, id, rule)
		if err != nil {
			return nil, err
		}
		return []Origin{o}, nil
	}
	if base >= 0 && g.Own[base][id] >= 0 {
		return []Origin{{base, g.Own[base][id]}}, nil
	}
	var all []Origin
	for k := range models {
		if row := g.Own[k][id]; row >= 0 {
			all = append(all, Origin{k, row})
		}
	}
	return all, nil
}

// ruled finds the row that a rule names.
func (p *Plan) ruled(g *Gather, models []int, id int32, rule Rule) (Origin, error) {
	donor := p.models[rule.Model]
	at := -1
	for k, m := range models {
		if m == rule.Model {
			at = k
		}
	}
	if at < 0 {
		return Origin{}, fmt.Errorf("token %q is to come from %s, whose embeddings are not merged here; name one of the models that are", rule.Text, donor.Name)
	}
	row, ok := g.Own[at][id], g.Own[at][id] >= 0
	name := rule.Text
	switch rule.Kind {
	case FromToken:
		row, ok = donor.Tokenizer.ID(rule.Token)
		name = rule.Token
	case FromID:
		if rule.ID < 0 || rule.ID >= donor.Rows {
			return Origin{}, fmt.Errorf("token_id %d is not one of the %d rows of %s", rule.ID, donor.Rows, donor.Name)
		}
		row, ok = int32(rule.ID), true
	}
	if !ok {
		return Origin{}, fmt.Errorf("%s has no token %q to take the embedding from; name a model that has it, or another token of it: {kind: model_token, model: %s, token: …}", donor.Name, name, donor.Name)
	}
	return Origin{at, row}, nil
}

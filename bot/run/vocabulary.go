package run

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"mergebot/hub"
	"mergebot/merge"
	"mergebot/merge/tokenizer"
)

// tokenizer reads a model's tokenizer files, where the recipe's merge depends on them: megabytes, but no weights.
func (s *resolver) tokenizer(ctx context.Context, from source, files []hub.File) (tokenizer.Files, error) {
	var mu sync.Mutex
	out := tokenizer.Files{}
	var jobs []func(context.Context) error
	for _, f := range files {
		if slices.Contains(tokenizer.Names, f.Path) {
			jobs = append(jobs, func(ctx context.Context) error {
				b, err := asked(ctx, s, func() ([]byte, error) { return from.read(ctx, f.Path) })
				mu.Lock()
				defer mu.Unlock()
				out[f.Path] = b
				return err
			})
		}
	}
	return out, together(ctx, jobs...).first()
}

// openTokenizers reads the tokenizer files of the folders among the models.
func (f family) openTokenizers() error {
	for _, m := range append(slices.Clone(f.models), f.base) {
		if m == nil || m.Path == "" || m.tokenizer != nil {
			continue
		}
		var err error
		if m.tokenizer, err = tokenizer.Open(m.Path); err != nil {
			return refuse("%w", err)
		}
	}
	return nil
}

// tokenizers hands the models' tokenizer files to the check.
func (f family) tokenizers(o *merge.CheckOptions) {
	if f.base != nil {
		o.BaseTokenizer = f.base.tokenizer
	}
	for _, m := range f.models {
		if m != nil {
			o.Tokenizers = append(o.Tokenizers, m.tokenizer)
		}
	}
}

// forgetTokenizers drops what only the check needs: plans are kept in memory, and tokenizers are megabytes.
func (l *Lock) forgetTokenizers() {
	for i := range l.Models {
		l.Models[i].tokenizer = nil
	}
	if l.Base != nil {
		l.Base.tokenizer = nil
	}
}

// vocabulary is a sentence, after a blank, on the tokens of a model whose vocabulary was put together; else "".
func (o PlannedOutput) vocabulary() string {
	if o.Vocabulary == 0 {
		return ""
	}
	return fmt.Sprintf(" Its embeddings have %d rows, put in order by their tokens.", o.Vocabulary)
}

// vocabularyVersion is part of what a merge depends on where rows are put in order: 0 where they are not. It goes up
// when the same files would give another result.
func (p *pipeline) vocabularyVersion() int {
	if merge.ReadsTokenizers(p.recipe) {
		return 1
	}
	return 0
}

//go:build linux && (amd64 || arm64)

package llama

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"mergebot/eval/engine/wire"
)

// generate completes prompts greedily; finished may be called from several goroutines.
//
// Prompts are dealt to the lanes by length, longest first, in a fixed way: which sequences share a batch can change
// the last bits of their logits, so equal calls must make equal batches.
func (m *model) generate(ctx context.Context, prompts []wire.Prompt, finished func(wire.Completion)) error {
	jobs, need := make([]*job, 0, len(prompts)), 0
	for i, p := range prompts {
		if err := ctx.Err(); err != nil {
			return err
		}
		j, err := m.prepare(i, p)
		if err != nil {
			finished(wire.Completion{Index: i, Finish: "error", PromptTokens: len(j.ids), Error: err.Error()})
			continue
		}
		jobs = append(jobs, j)
		need = max(need, len(j.ids)+j.max)
	}
	if len(jobs) == 0 {
		return nil
	}
	if err := m.ensure(need); err != nil {
		return err
	}
	slices.SortStableFunc(jobs, func(a, b *job) int { return len(b.ids) - len(a.ids) })
	group, ctx := errgroup.WithContext(ctx)
	for k, l := range m.lanes {
		var mine []*job
		for i := k; i < len(jobs); i += len(m.lanes) {
			mine = append(mine, jobs[i])
		}
		if len(mine) > 0 {
			group.Go(func() error { return l.run(ctx, mine, finished) })
		}
	}
	return group.Wait()
}

// prepare tokenizes a prompt and bounds its completion by the context.
func (m *model) prepare(i int, p wire.Prompt) (*job, error) {
	j := &job{index: i, max: p.MaxTokens, stop: p.Stop}
	ids, err := m.tokenize(p.Text)
	j.ids = ids
	switch {
	case err != nil:
		return j, err
	case p.MaxTokens < 1:
		return j, fmt.Errorf("%d tokens asked for: want at least 1", p.MaxTokens)
	case len(ids) == 0:
		return j, errors.New("the prompt is empty")
	case len(ids) >= m.o.Context:
		return j, fmt.Errorf("the prompt has %d tokens, the context %d: use a model with a longer context, another prompt preset, or leave the task out", len(ids), m.o.Context)
	}
	j.max = min(j.max, m.o.Context-len(ids))
	return j, nil
}

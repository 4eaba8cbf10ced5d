package run

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"mergebot/configs"
	"mergebot/hub"
)

// inFlight is how many questions a resolution has open at once: answers take a while, and few depend on another.
const inFlight = 16

// resolver asks the Hub what the names in a recipe mean.
type resolver struct {
	env   *Env
	pins  *Pins
	turns chan struct{}
	// descent has the lineage of models followed.
	descent bool
	// tokenizers has the models' tokenizer files read.
	tokenizers bool
	// named are the revisions at which the recipe itself names repositories.
	named map[string]string

	mu    sync.Mutex
	infos map[question]func() (*hub.Info, error)
}

type question struct {
	repo     hub.Repo
	revision string
}

func newResolver(env *Env, r *configs.Recipe, pins *Pins) *resolver {
	s := &resolver{env: env, pins: pins, turns: make(chan struct{}, inFlight), named: map[string]string{}, infos: map[question]func() (*hub.Info, error){}}
	for _, ref := range repositories(r) {
		if revision, err := pins.revision("model", ref.Repo, ref.Revision); ref.Repo != "" && err == nil {
			s.named[ref.Repo] = revision
		}
	}
	return s
}

// repositories are the references of a recipe, those of adapters on their own.
func repositories(r *configs.Recipe) []configs.ModelRef {
	var out []configs.ModelRef
	for _, ref := range r.References() {
		if out = append(out, ref); ref.Lora != nil {
			out = append(out, *ref.Lora)
		}
	}
	return out
}

// wait waits for a turn to ask.
func (s *resolver) wait(ctx context.Context) (done func(), err error) {
	select {
	case s.turns <- struct{}{}:
		return func() { <-s.turns }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// info asks for a repository, once in a resolution.
func (s *resolver) info(ctx context.Context, repo hub.Repo, revision string) (*hub.Info, error) {
	key := question{repo, revision}
	s.mu.Lock()
	ask := s.infos[key]
	if ask == nil {
		ask = sync.OnceValues(func() (*hub.Info, error) {
			return asked(ctx, s, func() (*hub.Info, error) { return s.env.Hub.Info(ctx, repo, revision) })
		})
		s.infos[key] = ask
	}
	s.mu.Unlock()
	return ask()
}

// asked asks one question when its turn comes.
func asked[T any](ctx context.Context, s *resolver, ask func() (T, error)) (T, error) {
	done, err := s.wait(ctx)
	if err != nil {
		var none T
		return none, err
	}
	defer done()
	return ask()
}

// together does jobs at once, each to its end, but for an outage: that ends the others, since the same would befall them.
// The errors are in the order of the jobs.
func together(ctx context.Context, jobs ...func(context.Context) error) findings {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make(findings, len(jobs))
	var all sync.WaitGroup
	for i, job := range jobs {
		all.Go(func() {
			err := job(ctx)
			if err != nil && !blames(err) {
				if context.Cause(ctx) == errGivenUp {
					err = errGivenUp
				}
				cancel(errGivenUp)
			}
			errs[i] = err
		})
	}
	all.Wait()
	return errs
}

// first is the first error that says something.
func (f findings) first() error {
	var last error
	for _, err := range f {
		if err != nil && !errors.Is(err, errGivenUp) {
			return err
		}
		last = cmp.Or(last, err)
	}
	return last
}

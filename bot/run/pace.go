package run

import (
	"cmp"
	"context"
	"fmt"
	"runtime"

	"mergebot/eval"
	"mergebot/eval/engine"
)

// pace is how long an engine took on machines of one kind: the newest score of every task. It lies beside the ledger as
// pace/<hash>.json and decides nothing but a plan's estimate.
type pace struct {
	Engine  string          `json:"engine"`
	Machine string          `json:"machine"`
	Tasks   map[string]took `json:"tasks"`
}

// took is the time of one evaluation.
type took struct {
	Items      int     `json:"items"` // that the engine was asked
	Seconds    float64 `json:"seconds"`
	Parameters int64   `json:"parameters,omitempty"` // of the model
}

// leastItems are as many answers as it takes to tell a pace: the first ones wait for the weights.
const leastItems = 8

// forItems is how long so many items take a model of another size: reading the weights is what takes the time.
func (t took) forItems(n, parameters int64) float64 {
	if t.Items == 0 {
		return 0
	}
	s := t.Seconds / float64(t.Items) * float64(n)
	if t.Parameters > 0 && parameters > 0 {
		s *= float64(parameters) / float64(t.Parameters)
	}
	return s
}

// machine is a kind of machine: what decides how fast an engine is, without what names one of them.
func machine(env *Env) string {
	return fmt.Sprintf("%s/%s, %d CPUs, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), env.Device.Name())
}

func paceKey(env *Env, i engine.Info) (string, error) {
	key, err := hashOf([]string{engineKind(i), machine(env)})
	return "pace/" + key + ".json", err
}

// readPace reads what is known of an engine on this kind of machine.
func readPace(ctx context.Context, env *Env, i engine.Info) (pace, error) {
	out := pace{Engine: engineKind(i), Machine: machine(env), Tasks: map[string]took{}}
	key, err := paceKey(env, i)
	if err != nil {
		return out, err
	}
	var kept pace
	if ok, err := env.Storage.Get(ctx, key, &kept); !ok || kept.Tasks == nil {
		return out, err
	}
	return kept, nil
}

// keepPace remembers how long an evaluation took. Of two processes at once, the later one wins: it is an estimate.
func (s *scorer) keepPace(ctx context.Context, name string, r eval.Result) error {
	if r.N-r.Recalled < leastItems {
		return nil
	}
	env, info := s.x.env, cmp.Or(s.plan.Lock.Engine, &s.engine)
	p, err := readPace(ctx, env, *info)
	if err != nil {
		return err
	}
	key, err := paceKey(env, *info)
	if err != nil {
		return err
	}
	p.Tasks[name] = took{Items: r.N - r.Recalled, Seconds: r.Seconds, Parameters: cmp.Or(s.plan.Output.Parameters, s.plan.Lock.Models[0].Parameters)}
	return env.Storage.Put(ctx, key, p)
}

package run

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Step names a kind of work. Its version goes up when the same inputs would give another result.
type Step struct {
	Name    string
	Version int
}

// The steps of a run, in the order of the data flow.
var (
	stepResolve  = Step{"resolve", 1}
	stepFetch    = Step{"fetch", 1}
	stepMeasure  = Step{"measure", 2}
	stepProbe    = Step{"probe", 2}
	stepSearch   = Step{"search", 2}
	stepMerge    = Step{"merge", 1}
	stepEvaluate = Step{"evaluate", 2}
	stepGate     = Step{"gate", 1}
	stepPublish  = Step{"publish", 1}
	stepReport   = Step{"report", 1}
)

// entry is what the ledger keeps of a finished step.
type entry struct {
	Step    string          `json:"step"`
	Version int             `json:"version"`
	Inputs  json.RawMessage `json:"inputs"`
	Seconds float64         `json:"seconds"`
	When    time.Time       `json:"when"`
	Sum     string          `json:"sum"` // of Result: an entry torn by a power cut counts as absent
	Result  json.RawMessage `json:"result"`
}

// Ledger remembers the results of finished steps by the hash of step, version and inputs.
// A step that is in the ledger is not done again: not after a kill, not by the next run,
// not by another machine that shares the storage.
type Ledger struct{ storage *Storage }

// key is the ledger's address of a step's result.
func (l *Ledger) key(s Step, in any) (string, error) {
	return hashOf(struct {
		Step    string
		Version int
		Inputs  any
	}{s.Name, s.Version, in})
}

func ledgerPath(s Step, key string) string { return "ledger/" + s.Name + "/" + key + ".json" }

// get finds the result of a finished step.
func (l *Ledger) get(ctx context.Context, s Step, key string, out any) (entry, bool, error) {
	var e entry
	ok, err := l.storage.Get(ctx, ledgerPath(s, key), &e)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) { // half a file: as good as none
		return entry{}, false, nil
	}
	if err != nil || !ok {
		return entry{}, false, err
	}
	sum, err := hashOf(e.Result)
	if err != nil || sum != e.Sum {
		return entry{}, false, nil
	}
	if err := json.Unmarshal(e.Result, out); err != nil {
		return entry{}, false, nil
	}
	return e, true, nil
}

// put keeps the result of a finished step.
func (l *Ledger) put(ctx context.Context, s Step, key string, in, out any, took time.Duration) error {
	inputs, err := json.Marshal(in)
	if err != nil {
		return err
	}
	result, err := json.Marshal(out)
	if err != nil {
		return err
	}
	sum, err := hashOf(json.RawMessage(result))
	if err != nil {
		return err
	}
	return l.storage.Put(ctx, ledgerPath(s, key), entry{Step: s.Name, Version: s.Version, Inputs: inputs,
		Seconds: took.Seconds(), When: time.Now().UTC(), Sum: sum, Result: result})
}

package run

import (
	"context"
	"slices"
	"strings"
	"time"

	"mergebot/eval/report"
)

// Record is a run's state, kept as runs/<id>/run.json. Beside it lie plan.json, recipe.yaml, events/NNNNNN.json and,
// once it has ended, the report's files in report/.
type Record struct {
	ID      string    `json:"id"`
	Plan    string    `json:"plan"`
	Recipe  string    `json:"recipe"` // its name
	State   State     `json:"state"`
	Error   string    `json:"error,omitempty"`
	Created time.Time `json:"created,omitzero"`
	Started time.Time `json:"started,omitzero"` // when it was first begun
	Ended   time.Time `json:"ended,omitzero"`
	Out     string    `json:"out,omitempty"`

	// What the run is for; empty for runs from a terminal.
	Kind    Kind              `json:"kind,omitempty"`
	Origin  Origin            `json:"origin,omitzero"`
	Publish bool              `json:"publish,omitempty"` // to the recipe's repo, when all gates are met
	Limit   int               `json:"limit,omitempty"`   // rows a task
	Begun   int               `json:"begun,omitempty"`   // how often it was begun: more than once after a kill or a restart
	Result  *report.Published `json:"published,omitempty"`
}

// Kind says why the bot runs a plan.
type Kind string

// The kinds of the bot's runs.
const (
	Try       Kind = "try"      // asked for in a comment: few rows, never published
	Full      Kind = "run"      // asked for in a comment: as the recipe says, not published yet
	Release   Kind = "publish"  // the recipe came to the default branch
	Scheduled Kind = "schedule" // the recipe's schedule, when something moved
)

// OnMain says that a run of this kind is of the default branch: no pull request's comments ask for it.
func (k Kind) OnMain() bool { return k == Release || k == Scheduled }

// Origin says where a run's recipe comes from, and who asked.
type Origin struct {
	Change string `json:"change,omitempty"` // the change's id (forge.Change.ID); "" for the default branch
	Commit string `json:"commit,omitempty"` // that the recipe was read at
	Path   string `json:"path,omitempty"`   // the recipe's file
	By     string `json:"by,omitempty"`     // a login; "" for the bot itself
	Bound  string `json:"bound,omitempty"`  // the plan id that was named in the comment
}

// State of a run.
type State string

// The states a run passes through. Of a killed run from a terminal "running" stays: the next run of the same plan has a
// record of its own and finds the finished steps in the ledger. The daemon takes its own up again.
const (
	Queued    State = "queued"
	Planned   State = "planned"
	Running   State = "running"
	Succeeded State = "succeeded"
	Gated     State = "gated"
	RunFailed State = "failed"
	Cancelled State = "cancelled"
)

// Over says that the run will not go on.
func (s State) Over() bool {
	return s == Succeeded || s == Gated || s == RunFailed || s == Cancelled
}

// Path is where a run keeps what it keeps, with a slash at the end.
func (r Record) Path() string { return "runs/" + r.ID + "/" }

// Records reads the records of runs, the newest first: those whose id is less than before, "" for all; limit 0 is all.
func Records(ctx context.Context, s *Storage, before string, limit int) ([]Record, error) {
	names, err := s.Children(ctx, "runs/")
	if err != nil {
		return nil, err
	}
	slices.Reverse(names) // ids begin with the time
	names = slices.DeleteFunc(names, func(name string) bool {
		id, ok := strings.CutSuffix(name, "/")
		return !ok || before != "" && id >= before
	})
	var out []Record
	for some := range slices.Chunk(names, atOnce) {
		read, err := readRecords(ctx, s, some)
		if err != nil {
			return nil, err
		}
		out = append(out, read...)
		if limit > 0 && len(out) >= limit {
			return out[:limit], nil
		}
	}
	return out, nil
}

// readRecords reads the records in folders, without those that were killed before they had one.
func readRecords(ctx context.Context, s *Storage, folders []string) ([]Record, error) {
	found := make([]Record, len(folders))
	err := each(ctx, len(folders), func(ctx context.Context, i int) (err error) {
		found[i], _, err = ReadRecord(ctx, s, strings.TrimSuffix(folders[i], "/"))
		return err
	})
	return slices.DeleteFunc(found, func(r Record) bool { return r.ID == "" }), err
}

// ReadRecord reads the record of one run; false when there is none.
func ReadRecord(ctx context.Context, s *Storage, id string) (Record, bool, error) {
	var r Record
	ok, err := s.Get(ctx, "runs/"+id+"/run.json", &r)
	return r, ok, err
}

// Events reads the kept log of a run, from its after-th event on.
func Events(ctx context.Context, s *Storage, id string, after int) ([]Event, error) {
	names, err := s.List(ctx, "runs/"+id+"/events/")
	if err != nil {
		return nil, err
	}
	names = names[min(after, len(names)):]
	found := make([]Event, len(names))
	err = each(ctx, len(names), func(ctx context.Context, i int) error {
		_, err := s.Get(ctx, names[i], &found[i])
		return err
	})
	return slices.DeleteFunc(found, func(e Event) bool { return e.Step == "" }), err // gone since
}

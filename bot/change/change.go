// Package change keeps what the bot knows of a change and of the default branch: plain data in storage, under
// bot/changes/ and bot/main.json. The daemon writes it, the page and the comments are made of it.
package change

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"mergebot/bot/forge"
	"mergebot/bot/run"
	"mergebot/configs"
)

// State is what the bot knows of a change. It is written before anything is told to anyone.
type State struct {
	forge.Change
	// PlannedHead and PlannedBase are the commits that Plans are for.
	PlannedHead string    `json:"planned_head,omitempty"`
	PlannedBase string    `json:"planned_base,omitempty"`
	PlannedAt   time.Time `json:"planned_at,omitzero"`
	// Outages is how often in a row a plan was kept from being made.
	Outages int    `json:"outages,omitempty"`
	Plans   []Plan `json:"plans,omitempty"` // in the order of paths
	// Past are earlier plans, the newest first; few of them.
	Past []Past `json:"past,omitempty"`
	// Trusted is the head of a fork that a maintainer vouched for.
	Trusted string `json:"trusted,omitempty"`
	// Commands that were given, in order.
	Commands []Command `json:"commands,omitempty"`
	// Seen is when the newest comment that was read was written.
	Seen time.Time `json:"seen,omitzero"`
	// Runs of this change, oldest first.
	Runs []string `json:"runs,omitempty"`
	// Locked are the target repositories whose locks it holds, or was about to take.
	Locked []string `json:"locked,omitempty"`
	// Problem is why the change could not be planned at all; "" if it could.
	Problem string `json:"problem,omitempty"`
	// Told is what has been told to the forge, so that nothing is told twice.
	Told Told `json:"told,omitzero"`
	// Ended is when it was first seen to be closed or merged.
	Ended time.Time `json:"ended,omitzero"`
	// Final says that the change is closed or merged, its runs are over, and all has been told.
	Final bool `json:"final,omitempty"`
}

// Plan is the plan of one recipe of a change.
type Plan struct {
	Path    string `json:"path"`
	Name    string `json:"name,omitempty"`
	Blob    string `json:"blob,omitempty"`
	Removed bool   `json:"removed,omitempty"` // the change takes the recipe away
	Target  string `json:"target,omitempty"`  // mergebot.publish.repo
	// ID is what a command names: the beginning of the plan's own id and a hash of change, head and base. "" when the
	// recipe cannot be planned.
	ID   string    `json:"id,omitempty"`
	Plan *run.Plan `json:"plan,omitempty"`
	// Difference to the plan of the same file on the default branch; nil when it is not there.
	Difference *run.Difference `json:"difference,omitempty"`
	// Problems of the recipe, or of what it names, in the order of the file.
	Problems []configs.Error `json:"problems,omitempty"`
	// Text of the recipe, where there are Problems: they are shown on its lines.
	Text string `json:"text,omitempty"`
	// Outage is why no plan could be made although the recipe may be right: the Hub could not be reached. It is tried again.
	Outage  string  `json:"outage,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

// Past is a plan that is no longer the change's.
type Past struct {
	Head string    `json:"head"`
	Base string    `json:"base"`
	At   time.Time `json:"at"`
	IDs  []string  `json:"ids,omitempty"`
}

// Command is a command that somebody gave in a comment, and what came of it.
type Command struct {
	Comment int64          `json:"comment"`
	By      string         `json:"by"`
	Text    string         `json:"text"` // as understood: "try 41cf10ee8a2b-9d2a77c1e0f3"
	At      time.Time      `json:"at"`
	Refused bool           `json:"refused,omitempty"`
	Answer  string         `json:"answer,omitempty"` // one sentence
	Run     string         `json:"run,omitempty"`    // that it asked for
	React   forge.Reaction `json:"react,omitempty"`
	Reacted bool           `json:"reacted,omitempty"`
}

// Told is what the forge has been told.
type Told struct {
	Comment    int64            `json:"comment,omitempty"`     // the living comment
	CommentSum string           `json:"comment_sum,omitempty"` // hash of its text
	Checks     map[string]Check `json:"checks,omitempty"`      // by commit and name, with a slash between
}

// Check is a check that the forge has been told of.
type Check struct {
	ID  int64  `json:"id,omitempty"`
	Sum string `json:"sum"`
}

// Main is what the bot knows of the default branch.
type Main struct {
	Repo     string   `json:"repo,omitempty"` // that all of the storage is about
	Branch   string   `json:"branch"`
	Patterns []string `json:"patterns,omitempty"` // by which Recipes were found
	Head     string   `json:"head"`               // that Recipes are of, and whose runs have been asked for
	Recipes  []Recipe `json:"recipes"`            // in the order of paths
	// Releases are runs of kind publish whose commits' checks may still change; Told is what has been told of those.
	Releases []string `json:"releases,omitempty"`
	Told     Told     `json:"told,omitzero"`
}

// Recipe is a recipe on the default branch.
type Recipe struct {
	Path     string          `json:"path"`
	Blob     string          `json:"blob"`
	Commit   string          `json:"commit"` // at which it came to be as it is
	Name     string          `json:"name,omitempty"`
	Method   string          `json:"method,omitempty"`
	Target   string          `json:"target,omitempty"` // mergebot.publish.repo
	Schedule string          `json:"schedule,omitempty"`
	Problems []configs.Error `json:"problems,omitempty"`
	// Run is the newest run of it, of kind publish or schedule; "" when there is none. Previous is the newest before it
	// that has scores.
	Run      string `json:"run,omitempty"`
	Previous string `json:"previous,omitempty"`
	// Wanted is a run that is decided on and not queued yet: it is planned first. "" when there is none.
	Wanted Wanted `json:"wanted,omitzero"`
	// Change that brought it, where one is known.
	Change string `json:"change,omitempty"`
	// Ticked is when its schedule was last looked at; Note what came of it, in a sentence.
	Ticked time.Time `json:"ticked,omitzero"`
	Note   string    `json:"note,omitempty"`
	// Compared is the scheduled run that was last compared with the one before; Issue the address of the issue that
	// was opened because it differs.
	Compared string `json:"compared,omitempty"`
	Issue    string `json:"issue,omitempty"`
}

// Wanted is a run that is decided on.
type Wanted struct {
	Run  string   `json:"run"` // its id
	Kind run.Kind `json:"kind"`
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`)

// Key names a change in storage and in addresses: the id itself where it is a plain word, else its beginning and a hash.
func Key(id string) string {
	if plain.MatchString(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	word := regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(path.Base(id), "-")
	return word[:min(len(word), 32)] + "~" + hex.EncodeToString(sum[:8])
}

const (
	folder  = "bot/changes/"
	mainKey = "bot/main.json"
)

// Read finds a change by its key; false when the bot knows none.
func Read(ctx context.Context, s *run.Storage, key string) (*State, bool, error) {
	var c State
	ok, err := s.Get(ctx, folder+key+".json", &c)
	return &c, ok, err
}

// Write keeps a change. One that is there like this is not written again: hundreds are looked at every minute.
func Write(ctx context.Context, s *run.Storage, c *State) error {
	return write(ctx, s, folder+Key(c.ID)+".json", c)
}

func write(ctx context.Context, s *run.Storage, key string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	if old, ok, err := s.ReadBytes(ctx, key); err == nil && ok && bytes.Equal(old, b) {
		return nil
	}
	return s.WriteBytes(ctx, key, b)
}

// Keys lists the keys of all changes.
func Keys(ctx context.Context, s *run.Storage) ([]string, error) {
	names, err := s.Children(ctx, folder)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, name := range names {
		if key, ok := strings.CutSuffix(name, ".json"); ok {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// List reads all changes, in the order of their keys.
func List(ctx context.Context, s *run.Storage) ([]*State, error) {
	keys, err := Keys(ctx, s)
	if err != nil {
		return nil, err
	}
	out := make([]*State, 0, len(keys))
	for _, key := range keys {
		c, ok, err := Read(ctx, s, key)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, c)
		}
	}
	return out, nil
}

// ReadMain reads what is known of the default branch; false when nothing is.
func ReadMain(ctx context.Context, s *run.Storage) (*Main, bool, error) {
	var m Main
	ok, err := s.Get(ctx, mainKey, &m)
	return &m, ok, err
}

// WriteMain keeps it.
func WriteMain(ctx context.Context, s *run.Storage, m *Main) error { return write(ctx, s, mainKey, m) }

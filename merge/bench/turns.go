package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// timing is one recipe's figures.
type timing struct {
	Recipe string `json:"recipe"`
	Text   string `json:"text"`
	Moved  int64  `json:"moved_bytes"` // weights read and written, at least
	Ours   []cost `json:"mergebot"`    // a round each
	Theirs []cost `json:"mergekit,omitempty"`
	// Copies are of the same bytes: see copying.
	Copies []cost `json:"copy"`
	// SHA256 is of all weights that mergebot wrote, the same in every round.
	SHA256     string      `json:"sha256"`
	Difference *difference `json:"difference,omitempty"` // from mergekit's result
}

// bench is a run.
type bench struct {
	models
	tools  tools
	rounds int
	rest   time.Duration
	note   func(format string, args ...any)
}

// rest is how long a disk is left alone before a turn, when nothing is left to
// be written. A file system may tell its disk of the blocks that a deleted
// result had only seconds later (ext4 mounted with discard: at the journal's
// commit), and whoever runs then waits for that: a merge after a copy's deletion
// took half as long again.
const rest = 6 * time.Second

// turns times a recipe: mergebot, mergekit, a copy, and again, every other round
// the copy first. Each begins with all it reads in the page cache, nothing left
// to be written and a disk at rest.
func (b *bench) turns(ctx context.Context, r recipe) (timing, error) {
	t := timing{Recipe: r.name, Text: r.text(b.models), Moved: r.moved(b.models)}
	name := "recipe-" + r.name + ".yaml"
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(t.Text), 0o644); err != nil {
		return t, err
	}
	ours, theirs := filepath.Join(b.dir, "out-mergebot"), filepath.Join(b.dir, "out-mergekit")
	clean := func() error { return errors.Join(os.RemoveAll(ours), os.RemoveAll(theirs)) }
	defer func() { _ = clean() }()
	copied := func(round int) error {
		if err := clean(); err != nil {
			return err
		}
		c, err := b.turn(ctx, r, ours, func() (cost, error) { return b.copying(ctx, r, ours) })
		if err != nil {
			return err
		}
		t.Copies = append(t.Copies, c)
		b.note("%-16s round %d  copy     %s", r.name, round+1, c)
		return clean()
	}
	for round := range b.rounds {
		if err := clean(); err != nil {
			return t, err
		}
		if round%2 == 1 {
			if err := copied(round); err != nil {
				return t, err
			}
		}
		c, err := b.turn(ctx, r, ours, func() (cost, error) { return b.tools.ours(ctx, b.dir, name, ours) })
		if err != nil {
			return t, err
		}
		t.Ours = append(t.Ours, c)
		b.note("%-16s round %d  mergebot %s", r.name, round+1, c)
		if err := t.same(ctx, ours); err != nil {
			return t, err
		}
		if b.tools.mergekit != "" && !r.alone {
			if err := b.against(ctx, &t, r, round, name, ours, theirs); err != nil {
				return t, err
			}
		}
		if round%2 == 0 {
			if err := copied(round); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

// against times mergekit, and in the first round compares what both wrote.
func (b *bench) against(ctx context.Context, t *timing, r recipe, round int, name, ours, theirs string) error {
	c, err := b.turn(ctx, r, theirs, func() (cost, error) { return b.tools.theirs(ctx, b.dir, name, theirs) })
	if err != nil {
		return err
	}
	t.Theirs = append(t.Theirs, c)
	b.note("%-16s round %d  mergekit %s", r.name, round+1, c)
	if round > 0 {
		return nil
	}
	d, err := compare(filepath.Join(b.dir, "base"), ours, theirs, r.random)
	if err != nil {
		return err
	}
	t.Difference = &d
	b.note("%-16s results: %s", r.name, d)
	return nil
}

// turn lets the disk come to rest, warms the cache, has something run and brings
// what it wrote to out to the disk.
func (b *bench) turn(ctx context.Context, r recipe, out string, run func() (cost, error)) (cost, error) {
	if err := quiet(b.dir); err != nil {
		return cost{}, err
	}
	select {
	case <-time.After(b.rest):
	case <-ctx.Done():
		return cost{}, ctx.Err()
	}
	var dirs []string
	for _, d := range r.reads(b.models) {
		dirs = append(dirs, filepath.Join(b.dir, d))
	}
	if err := read(ctx, dirs...); err != nil {
		return cost{}, err
	}
	c, err := run()
	if err != nil {
		return c, err
	}
	c.Sync, err = settle(out)
	return c, err
}

func (c cost) String() string {
	return fmt.Sprintf("%6.2f s, then %5.2f s to the disk; %6.2f s of CPU; peak %s, anonymous %s", c.Wall, c.Sync, c.CPU, gigabytes(c.RSS), gigabytes(c.Anonymous))
}

// same checks that a round wrote what the rounds before it wrote.
func (t *timing) same(ctx context.Context, dir string) error {
	files, err := weights(dir)
	if err != nil {
		return err
	}
	all := sha256.New()
	for _, name := range files {
		if err := hashInto(ctx, all, name); err != nil {
			return err
		}
	}
	sum := hex.EncodeToString(all.Sum(nil))
	if t.SHA256 != "" && t.SHA256 != sum {
		return fmt.Errorf("%s: mergebot wrote other bytes than in the round before: %s, then %s", t.Recipe, t.SHA256, sum)
	}
	t.SHA256 = sum
	return nil
}

func hashInto(ctx context.Context, w io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if _, err := io.Copy(w, f); err != nil {
		return err
	}
	return ctx.Err()
}

// Package forgetest is a forge in memory, for tests: commits, changes, comments, checks and issues, and how often each
// was written.
package forgetest

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mergebot/bot/forge"
)

// Forge is a forge in memory, with people who talk.
type Forge struct {
	mu       sync.Mutex
	now      time.Time
	commits  map[string]commit
	blobs    map[string][]byte
	main     string // SHA
	changes  map[string]*pull
	writers  map[string]bool
	next     int64
	down     error
	comments map[string][]forge.Comment
	living   map[string]map[int64]string // change → id → body
	checks   map[string]forge.Check      // commit/name
	issues   map[string]string           // marker → body
	reacted  map[int64][]forge.Reaction
	writes   map[string]int
	reads    map[string]int
	failing  map[string]error // by what is written
}

type commit struct {
	files   map[string]string // path → blob
	parents []string
	at      time.Time
}

type pull struct {
	forge.Change
}

// New is a forge whose default branch, main, holds the files.
func New(files map[string]string) *Forge {
	f := &Forge{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), commits: map[string]commit{}, blobs: map[string][]byte{}, changes: map[string]*pull{},
		writers: map[string]bool{}, next: 1000, comments: map[string][]forge.Comment{}, living: map[string]map[int64]string{}, checks: map[string]forge.Check{},
		issues: map[string]string{}, reacted: map[int64][]forge.Reaction{}, writes: map[string]int{}, reads: map[string]int{},
		failing: map[string]error{}}
	f.main = f.commit(files)
	return f
}

// Write lets these people give commands.
func (f *Forge) Write(logins ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range logins {
		f.writers[l] = true
	}
}

func (f *Forge) tick() time.Time {
	f.now = f.now.Add(time.Second)
	return f.now
}

func (f *Forge) commit(files map[string]string, parents ...string) string {
	c := commit{files: map[string]string{}, parents: parents, at: f.tick()}
	if len(parents) > 0 {
		maps.Copy(c.files, f.commits[parents[0]].files)
	}
	for path, text := range files {
		if text == "" {
			delete(c.files, path)
			continue
		}
		blob := hash("blob", text)
		f.blobs[blob] = []byte(text)
		c.files[path] = blob
	}
	sha := hash("commit", fmt.Sprint(c.files, parents, f.now))
	f.commits[sha] = c
	return sha
}

func hash(kind, text string) string {
	s := sha1.Sum([]byte(kind + "\x00" + text))
	return hex.EncodeToString(s[:])
}

// Push commits to the default branch; an empty text removes a file.
func (f *Forge) Push(files map[string]string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.main = f.commit(files, f.main)
	return f.main
}

// Propose opens a change with these files on top of the default branch.
func (f *Forge) Propose(author string, fork bool, files map[string]string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	id := strconv.Itoa(int(f.next - 1000))
	f.changes[id] = &pull{forge.Change{ID: id, Title: "Change " + id, Author: author, URL: "https://forge.example/pull/" + id, State: forge.Open,
		Head: f.commit(files, f.main), Target: "main", Fork: fork, Updated: f.now}}
	return id
}

// Amend adds a commit to a change.
func (f *Forge) Amend(id string, files map[string]string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.changes[id]
	p.Head = f.commit(files, p.Head)
	p.Updated = f.now
	return p.Head
}

// Merge merges a change by a squash.
func (f *Forge) Merge(id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.changes[id]
	base := f.mergeBase(f.main, p.Head)
	files := map[string]string{}
	for _, d := range f.diff(base, p.Head) {
		files[d.Path] = string(f.blobs[d.Blob])
	}
	f.main = f.commit(files, f.main)
	p.State, p.MergeCommit, p.Updated = forge.Merged, f.main, f.now
	return f.main
}

// Close closes a change.
func (f *Forge) Close(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes[id].State, f.changes[id].Updated = forge.Closed, f.tick()
}

// Reopen opens a change again, with these files on top of its head; without files at the same head.
func (f *Forge) Reopen(id string, files map[string]string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.changes[id]
	if len(files) > 0 {
		p.Head = f.commit(files, p.Head)
	}
	p.State, p.MergeCommit, p.Updated = forge.Open, "", f.tick()
	return p.Head
}

// Retarget has a change go to another branch.
func (f *Forge) Retarget(id, branch string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes[id].Target, f.changes[id].Updated = branch, f.tick()
}

// Delete takes a change away, with what was said.
func (f *Forge) Delete(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.changes, id)
	delete(f.comments, id)
}

// Say comments on a change.
func (f *Forge) Say(id, author, body string) int64 { return f.SayAt(id, author, body, time.Time{}) }

// SayAt comments as if at another time; the zero time is now.
func (f *Forge) SayAt(id, author, body string, at time.Time) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	now := f.tick()
	if at.IsZero() {
		at = now
	}
	f.comments[id] = append(f.comments[id], forge.Comment{ID: f.next, Author: author, Body: body, At: at})
	if p := f.changes[id]; p != nil {
		p.Updated = now
	}
	return f.next
}

// Edit changes what a comment says.
func (f *Forge) Edit(id string, comment int64, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.comments[id] {
		if f.comments[id][i].ID == comment {
			f.comments[id][i].Body, f.comments[id][i].Edited = body, true
		}
	}
}

// Down makes every call fail; nil ends it.
func (f *Forge) Down(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = err
}

// Fail makes writes of one kind fail (comment, check, reaction, issue); nil ends it.
func (f *Forge) Fail(what string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing[what] = err
}

// Living returns the bot's comments on a change: there should be one.
func (f *Forge) Living(id string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Values(f.living[id]))
}

// CheckAt returns a check.
func (f *Forge) CheckAt(sha, name string) (forge.Check, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.checks[sha+"/"+name]
	return c, ok
}

// Reactions to a comment.
func (f *Forge) Reactions(comment int64) []forge.Reaction {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.reacted[comment])
}

// Issues returns the bodies of the issues that were opened.
func (f *Forge) Issues() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Values(f.issues))
}

// Writes is how often something was written: comment, check, reaction, issue.
func (f *Forge) Writes(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes[what]
}

// Reads is how often each of the forge's reading methods was called.
func (f *Forge) Reads() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.reads)
}

func (f *Forge) enter(ctx context.Context, method string) error {
	f.mu.Lock()
	f.reads[method]++
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.down
}

// write is enter for what writes.
func (f *Forge) write(ctx context.Context, what string) error {
	f.mu.Lock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.failing[what]; err != nil {
		return err
	}
	return f.down
}

// Repo implements forge.Forge.
func (f *Forge) Repo() string { return "acme/recipes" }

// Head implements forge.Forge.
func (f *Forge) Head(ctx context.Context) (forge.Commit, string, error) {
	err := f.enter(ctx, "Head")
	defer f.mu.Unlock()
	return forge.Commit{SHA: f.main, Time: f.commits[f.main].at}, "main", err
}

// Open implements forge.Forge.
func (f *Forge) Open(ctx context.Context) ([]forge.Change, error) {
	err := f.enter(ctx, "Open")
	defer f.mu.Unlock()
	var out []forge.Change
	for _, id := range slices.Sorted(maps.Keys(f.changes)) {
		if p := f.changes[id]; p.State == forge.Open {
			c := p.Change
			c.Base = f.main
			out = append(out, c)
		}
	}
	return out, err
}

// Change implements forge.Forge.
func (f *Forge) Change(ctx context.Context, id string) (forge.Change, error) {
	err := f.enter(ctx, "Change")
	defer f.mu.Unlock()
	p := f.changes[id]
	if err != nil || p == nil {
		return forge.Change{}, errOr(err)
	}
	c := p.Change
	c.Base = f.main
	return c, nil
}

func errOr(err error) error {
	if err == nil {
		return forge.ErrNotFound
	}
	return err
}

// Files implements forge.Forge.
func (f *Forge) Files(ctx context.Context, sha string) ([]forge.File, error) {
	err := f.enter(ctx, "Files")
	defer f.mu.Unlock()
	var out []forge.File
	for _, path := range slices.Sorted(maps.Keys(f.commits[sha].files)) {
		out = append(out, forge.File{Path: path, Blob: f.commits[sha].files[path]})
	}
	return out, err
}

// Diff implements forge.Forge.
func (f *Forge) Diff(ctx context.Context, base, head string) ([]forge.File, error) {
	err := f.enter(ctx, "Diff")
	defer f.mu.Unlock()
	return f.diff(f.mergeBase(base, head), head), err
}

func (f *Forge) diff(base, head string) []forge.File {
	before, after := f.commits[base].files, f.commits[head].files
	var out []forge.File
	for path, blob := range after {
		if before[path] != blob {
			out = append(out, forge.File{Path: path, Blob: blob})
		}
	}
	for path := range before {
		if after[path] == "" {
			out = append(out, forge.File{Path: path, Removed: true})
		}
	}
	slices.SortFunc(out, func(a, b forge.File) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func (f *Forge) mergeBase(a, b string) string {
	of := map[string]bool{}
	for ; a != ""; a = f.parent(a) {
		of[a] = true
	}
	for ; b != "" && !of[b]; b = f.parent(b) {
	}
	return b
}

func (f *Forge) parent(sha string) string {
	if p := f.commits[sha].parents; len(p) > 0 {
		return p[0]
	}
	return ""
}

// Read implements forge.Forge.
func (f *Forge) Read(ctx context.Context, blob string) ([]byte, error) {
	err := f.enter(ctx, "Read")
	defer f.mu.Unlock()
	b, ok := f.blobs[blob]
	if err == nil && !ok {
		err = forge.ErrNotFound
	}
	return b, err
}

// Link implements forge.Forge.
func (f *Forge) Link(sha, path string) string { return "https://forge.example/" + sha + "/" + path }

// Comments implements forge.Talker.
func (f *Forge) Comments(ctx context.Context, id string, since time.Time) ([]forge.Comment, error) {
	err := f.enter(ctx, "Comments")
	defer f.mu.Unlock()
	var out []forge.Comment
	if err == nil && f.changes[id] == nil {
		err = forge.ErrNotFound
	}
	for _, c := range f.comments[id] {
		if !c.At.Before(since) {
			out = append(out, c)
		}
	}
	return out, err
}

// React implements forge.Talker.
func (f *Forge) React(ctx context.Context, comment int64, r forge.Reaction) error {
	err := f.write(ctx, "reaction")
	defer f.mu.Unlock()
	if err == nil {
		f.writes["reaction"]++
		if !slices.Contains(f.reacted[comment], r) {
			f.reacted[comment] = append(f.reacted[comment], r)
		}
	}
	return err
}

// Permission implements forge.Talker.
func (f *Forge) Permission(ctx context.Context, login string) (forge.Permission, error) {
	err := f.enter(ctx, "Permission")
	defer f.mu.Unlock()
	if err == nil && f.writers[login] {
		return forge.Write, nil
	}
	return forge.None, err
}

// SetComment implements forge.Talker.
func (f *Forge) SetComment(ctx context.Context, id string, comment int64, marker, body string) (int64, error) {
	err := f.write(ctx, "comment")
	defer f.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if !strings.HasPrefix(body, marker) {
		return 0, fmt.Errorf("the comment does not begin with its marker %s", marker)
	}
	f.writes["comment"]++
	for known, old := range f.living[id] {
		if strings.HasPrefix(old, marker) {
			comment = known
		}
	}
	if comment == 0 {
		f.next++
		comment = f.next
	}
	if f.living[id] == nil {
		f.living[id] = map[int64]string{}
	}
	f.living[id][comment] = body
	return comment, nil
}

// SetCheck implements forge.Talker.
func (f *Forge) SetCheck(ctx context.Context, id int64, c forge.Check) (int64, error) {
	err := f.write(ctx, "check")
	defer f.mu.Unlock()
	if err != nil {
		return 0, err
	}
	f.writes["check"]++
	f.checks[c.Commit+"/"+c.Name] = c
	if id == 0 {
		f.next++
		id = f.next
	}
	return id, nil
}

// OpenIssue implements forge.Talker.
func (f *Forge) OpenIssue(ctx context.Context, marker, title, body string) (string, error) {
	err := f.write(ctx, "issue")
	defer f.mu.Unlock()
	if err != nil {
		return "", err
	}
	if f.issues[marker] == "" {
		f.writes["issue"]++
		f.issues[marker] = title + "\n" + body
	}
	return "https://forge.example/issues/1", nil
}

// Package forge says what the daemon asks of the place that holds the recipes: GitHub, or any git remote. It knows
// changes (pull requests, or branches of a plain remote), commits and files; a place where people talk, like GitHub,
// is a [Talker] too.
//
// Implementations promise: an answer about a commit is about that commit, whatever branches do meanwhile; nothing that
// a change contains is run; calls end soon after their context does; an error says what failed and holds no secret.
package forge

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNotFound is returned for what is not there, or not visible to the bot.
	ErrNotFound = errors.New("not found")
	// ErrForbidden is returned where the bot lacks a permission; the text names it.
	ErrForbidden = errors.New("not permitted")
	// ErrTooLarge is returned by Read for files above [MaxFile], and by Files and Diff where there are too many to list.
	ErrTooLarge = errors.New("file too large")
)

// MaxFile is the size in bytes above which a file is not read. Recipes have a few kilobytes; of those that cannot be
// planned the text is kept, and anyone can push fifty of them.
const MaxFile = 256 << 10

// Later is returned when the place asks to be left alone, or cannot be reached.
type Later struct {
	Until time.Time // when to try again
	Err   error
}

func (l *Later) Error() string {
	return fmt.Sprintf("%v; try again at %s", l.Err, l.Until.Format(time.TimeOnly))
}
func (l *Later) Unwrap() error { return l.Err }

// Commit is one commit.
type Commit struct {
	SHA  string    `json:"sha"`
	Time time.Time `json:"time,omitzero"`
}

// State of a change.
type State string

// The states of a change.
const (
	Open   State = "open"
	Closed State = "closed" // without being merged; of a plain remote: the branch is gone
	Merged State = "merged"
)

// Change is a pull request, or a branch of a plain remote that is ahead of the default branch.
type Change struct {
	// ID is a pull request's number or a branch's name. It names no file: see change.Key.
	ID     string `json:"id"`
	Title  string `json:"title"`
	Author string `json:"author"`
	URL    string `json:"url,omitempty"` // for people; "" where there is none
	State  State  `json:"state"`
	Head   string `json:"head"`   // SHA
	Base   string `json:"base"`   // SHA of the tip of the branch that it is to be merged into
	Target string `json:"target"` // that branch's name
	// Fork says that Head lies in another repository: its author may be anyone.
	Fork bool `json:"fork,omitempty"`
	// MergeCommit is the commit on the default branch that brought it there, when State is Merged.
	MergeCommit string    `json:"merge_commit,omitempty"`
	Updated     time.Time `json:"updated,omitzero"`
}

// File is a file at a commit.
type File struct {
	Path string `json:"path"` // with slashes, as in the tree
	Blob string `json:"blob"` // git's object id; "" where Removed
	// Removed says that a change takes the file away.
	Removed bool `json:"removed,omitempty"`
}

// Forge holds recipes.
type Forge interface {
	// Repo names the place for people, without secrets: acme/recipes, or a URL.
	Repo() string
	// Head is the newest commit of the default branch, and that branch's name.
	Head(ctx context.Context) (Commit, string, error)
	// Open lists the open changes whose target is the default branch.
	Open(ctx context.Context) ([]Change, error)
	// Change reads one, open or not.
	Change(ctx context.Context, id string) (Change, error)
	// Files lists every file at a commit. Links and submodules are no files.
	Files(ctx context.Context, sha string) ([]File, error)
	// Diff lists the files that head has otherwise than its merge base with base. A renamed file is one
	// removed and one added.
	Diff(ctx context.Context, base, head string) ([]File, error)
	// Read returns a blob's content.
	Read(ctx context.Context, blob string) ([]byte, error)
	// Link is the address of a file at a commit, or of the commit when path is "", for people; "" where there is none.
	Link(sha, path string) string
}

// Comment is what somebody wrote under a change.
type Comment struct {
	ID     int64
	Author string
	Bot    bool // written by an app or a bot account, this one's included
	Body   string
	At     time.Time
	Edited bool // since it was written
	URL    string
}

// Permission is what a person may do with the repository.
type Permission int

// The permissions that matter here. Write is also given by being in the team that the settings name, where they do.
const (
	None Permission = iota
	Write
)

// Reaction answers a comment at once.
type Reaction string

// The reactions: understood, refused, not understood.
const (
	ThumbsUp   Reaction = "+1"
	ThumbsDown Reaction = "-1"
	Confused   Reaction = "confused"
)

// CheckState is where a check stands.
type CheckState string

// The states of a check. Neutral is an end that is neither good nor bad: cancelled, superseded.
const (
	Pending CheckState = "pending"
	Success CheckState = "success"
	Failure CheckState = "failure"
	Neutral CheckState = "neutral"
)

// Annotation is a remark on a line of a file.
type Annotation struct {
	Path    string
	Line    int  // from 1
	Column  int  // from 1; 0: none
	Warning bool // rather than a failure
	Title   string
	Message string
}

// Check is a verdict on a commit. One name has one check at a commit.
type Check struct {
	Commit      string
	Name        string // mergebot/run
	State       CheckState
	Title       string       // one line
	Summary     string       // Markdown
	URL         string       // details
	Annotations []Annotation // any number: the implementation sends them in as many requests as it takes
}

// Talker is a forge where people talk: GitHub. Its writes are idempotent: done twice, they leave what once leaves, even
// when the first answer was lost.
type Talker interface {
	// Comments lists those of a change written at or after since, oldest first, without the bot's own living comment.
	Comments(ctx context.Context, change string, since time.Time) ([]Comment, error)
	// React answers a comment. A reaction that is there already is no error.
	React(ctx context.Context, comment int64, r Reaction) error
	// Permission of a person. The team in the settings decides where there is one, else write access to the repository.
	Permission(ctx context.Context, login string) (Permission, error)
	// SetComment makes the bot's one comment of that marker say body. id is 0 when it is not known: then the comment
	// is looked for by its marker, an HTML comment at the body's beginning, and its author, and made when there is none.
	SetComment(ctx context.Context, change string, id int64, marker, body string) (int64, error)
	// SetCheck makes the check of that name at that commit be like this. id is 0 when it is not known. Where checks may
	// only be written by apps, a commit status takes its place and the id is 0.
	SetCheck(ctx context.Context, id int64, c Check) (int64, error)
	// OpenIssue opens an issue, unless there is one with the marker in its body, and returns its address.
	OpenIssue(ctx context.Context, marker, title, body string) (string, error)
}

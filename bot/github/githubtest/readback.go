package githubtest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Pull is a pull request as GitHub shows it.
type Pull struct {
	Number         int
	Title          string
	State          string
	Merged         bool
	MergeCommitSHA string `json:"merge_commit_sha"`
	User           struct{ Login string }
	Head, Base     struct{ SHA, Ref, Label string }
}

// Comment is one under a pull request or an issue.
type Comment struct {
	ID               int64
	User             struct{ Login, Type string }
	Body             string
	Created, Updated time.Time
}

// Check is a check run with its annotations.
type Check struct {
	ID          int64
	Name        string
	HeadSHA     string `json:"head_sha"`
	Status      string
	Conclusion  string
	DetailsURL  string `json:"details_url"`
	ExternalID  string `json:"external_id"`
	Output      struct{ Title, Summary, Text string }
	Annotations []Annotation
}

// Annotation is a remark on a line.
type Annotation struct {
	Path    string
	Line    int    `json:"start_line"`
	Column  int    `json:"start_column"`
	Level   string `json:"annotation_level"`
	Title   string
	Message string
}

// Status is a commit status.
type Status struct {
	status
	State, Context, Description, Target string
}

// Issue is an issue that is no pull request.
type Issue struct {
	Number      int
	Title, Body string
	State       string
	User        struct{ Login string }
}

// recall asks the emulator and completes its answer.
func (s *Server) recall(target string, out any) error {
	var raw json.RawMessage
	if err := s.ask("", http.MethodGet, target, nil, &raw); err != nil {
		return err
	}
	b, err := s.complete(raw)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, out)
}

func (s *Server) readPull(n int) (p Pull, err error) {
	return p, s.recall(s.of("/pulls/%d", n), &p)
}

// Pull reads a pull request.
func (s *Server) Pull(n int) Pull {
	s.t.Helper()
	p, err := s.readPull(n)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// Comments reads those under a pull request or an issue, oldest first.
func (s *Server) Comments(n int) (all []Comment) {
	s.t.Helper()
	for page := 1; ; page++ {
		var some []struct {
			Comment
			CreatedAt time.Time `json:"created_at"`
			UpdatedAt time.Time `json:"updated_at"`
		}
		if err := s.recall(s.of("/issues/%d/comments?per_page=100&page=%d", n, page), &some); err != nil {
			s.t.Fatal(err)
		}
		for _, c := range some {
			c.Created, c.Updated = c.CreatedAt, c.UpdatedAt
			all = append(all, c.Comment)
		}
		if len(some) < 100 {
			return all
		}
	}
}

// CommentsBy are those that somebody wrote.
func (s *Server) CommentsBy(login string, n int) []Comment {
	s.t.Helper()
	return slices.DeleteFunc(s.Comments(n), func(c Comment) bool { return c.User.Login != login })
}

// Checks reads the check runs of a commit, the newest of each name, in the order of names.
func (s *Server) Checks(sha string) []Check { return s.readChecks(sha, "latest") }

// AllChecks reads those, too, that a newer one of the same name has followed.
func (s *Server) AllChecks(sha string) []Check { return s.readChecks(sha, "all") }

func (s *Server) readChecks(sha, filter string) []Check {
	s.t.Helper()
	s.checking.RLock()
	defer s.checking.RUnlock()
	var found struct {
		Runs []Check `json:"check_runs"`
	}
	if err := s.recall(s.of("/commits/%s/check-runs?filter=%s", sha, filter), &found); err != nil {
		s.t.Fatal(err)
	}
	for i := range found.Runs {
		found.Runs[i].Annotations = s.annotationsOf(found.Runs[i].ID)
	}
	slices.SortFunc(found.Runs, func(a, b Check) int { return strings.Compare(a.Name, b.Name) })
	return found.Runs
}

func (s *Server) annotationsOf(id int64) (out []Annotation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.checks[id]; c != nil {
		b, err := json.Marshal(c.annotations)
		if err == nil {
			err = json.Unmarshal(b, &out)
		}
		if err != nil {
			s.t.Error(err)
		}
	}
	return out
}

// Statuses reads the newest status of each context of a commit.
func (s *Server) Statuses(sha string) (out []Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	for _, st := range s.statuses[sha] {
		if !seen[st.context] {
			seen[st.context] = true
			out = append(out, Status{st, st.state, st.context, st.comment, st.target})
		}
	}
	return out
}

// Reactions reads those to a comment: who, a space, and what.
func (s *Server) Reactions(comment int64) (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.reactions[comment] {
		out = append(out, r.login+" "+r.content)
	}
	return out
}

// Issues reads all issues, open and closed.
func (s *Server) Issues() (all []Issue) {
	s.t.Helper()
	if err := s.recall(s.of("/issues?state=all&per_page=100"), &all); err != nil {
		s.t.Fatal(err)
	}
	return all
}

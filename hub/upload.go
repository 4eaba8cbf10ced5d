package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Upload is one commit.
type Upload struct {
	Files                []LocalFile
	Message, Description string
	Parent               string   // the head that is expected; "" = the current one
	Delete               []string // files, or folders with a slash at the end; those that are not there are skipped
	CreatePR             bool     // open a pull request instead of committing to Revision
	Revision             string   // "" = main
}

// LocalFile is a file to be uploaded.
type LocalFile struct {
	Path  string // in the repository
	Local string // on disk
	Data  []byte // instead of Local
}

// Commit is the result of an upload.
type Commit struct {
	OID         string `json:"oid"`
	URL         string `json:"url"`
	PullRequest string `json:"pull_request,omitempty"`
	Unchanged   bool   `json:"unchanged"` // nothing differed: no commit was made and OID is the head
}

// addition is a file of a commit, with all that is asked about it, from one pass over its bytes.
type addition struct {
	LocalFile
	size    int64
	sha256  string
	blobID  string // git's SHA-1; "" for a large file until it is asked for
	sample  []byte // the first 512 bytes: the hub looks whether it is text
	lfs     bool
	dropped bool // the hub has it already, or ignores it
}

// Upload commits files to an existing repository: the card is checked, files that the hub has are left out, large
// ones are stored by LFS (in parts, in parallel), and one commit on top of Parent binds them. If the branch has moved
// from a Parent that was given it is [ErrParentMoved], and nothing is committed; without one the commit is made on the
// new head. Interrupted and called again, also by another process, stored files and parts are not sent again.
func (c *Client) Upload(ctx context.Context, r Repo, u Upload) (*Commit, error) {
	if err := errors.Join(r.Validate(), u.check()); err != nil {
		return nil, err
	}
	if u.Revision == "" {
		u.Revision = "main"
	}
	if c.offline {
		return nil, &Error{Op: "upload", Repo: r, Err: ErrOffline, Remedy: "unset HF_HUB_OFFLINE"}
	}
	var adds []*addition
	for try := 1; ; try++ {
		done, err := c.publish(ctx, r, u, &adds)
		if u.Parent != "" || try == maxRebases || !errors.Is(err, ErrParentMoved) {
			return done, err
		}
		// Someone else was faster, and the caller expected no certain head: on top of the new one.
		if err := c.sleep(ctx, rand.N(time.Second)); err != nil {
			return nil, fmt.Errorf("hub: upload: %w", err)
		}
	}
}

const maxRebases = 5

// publish is one attempt to commit on the branch's head. adds are looked through at the first.
func (c *Client) publish(ctx context.Context, r Repo, u Upload, surveyed *[]*addition) (*Commit, error) {
	info, err := c.Info(ctx, r, u.Revision)
	if err != nil {
		return nil, err
	}
	switch {
	case u.Parent == "":
		u.Parent = info.SHA
	case u.Parent != info.SHA && !u.CreatePR:
		e := &Error{Op: "commit", Repo: r, Revision: u.Revision, Err: ErrParentMoved,
			Message: fmt.Sprintf("it is at %s, not at %s", short(info.SHA), short(u.Parent))}
		e.Remedy = c.remedy(e)
		return nil, e
	}
	if *surveyed == nil {
		if *surveyed, err = c.survey(ctx, u.Files); err != nil {
			return nil, err
		}
		if err := c.checkCard(ctx, r, *surveyed); err != nil {
			return nil, err
		}
	}
	if err := c.preupload(ctx, r, u, *surveyed); err != nil {
		return nil, err
	}
	adds := slices.DeleteFunc(slices.Clone(*surveyed), func(a *addition) bool { return a.dropped })
	if u.Delete, err = c.present(ctx, r, u); err != nil {
		return nil, err
	}
	if len(adds) == 0 && len(u.Delete) == 0 {
		return &Commit{OID: info.SHA, URL: c.commitURL(r, info.SHA), Unchanged: true}, nil
	}
	if err := c.store(ctx, r, u, adds); err != nil {
		return nil, err
	}
	return c.commitFiles(ctx, r, u, adds)
}

func (u Upload) check() error {
	seen := map[string]bool{}
	for _, f := range u.Files {
		if err := checkPath(f.Path); err != nil {
			return err
		}
		if seen[f.Path] {
			return fmt.Errorf("hub: %s is in the upload twice", f.Path)
		}
		seen[f.Path] = true
		if f.Local != "" && f.Data != nil {
			return fmt.Errorf("hub: %s has both a local file and data", f.Path)
		}
	}
	for _, path := range u.Delete {
		if err := checkPath(strings.TrimSuffix(path, "/")); err != nil {
			return err
		}
		if seen[path] {
			return fmt.Errorf("hub: %s is both uploaded and deleted", path)
		}
	}
	if u.Revision != "" {
		if err := checkRevision(u.Revision); err != nil {
			return err
		}
	}
	if u.Parent != "" && !hex40.MatchString(u.Parent) {
		return fmt.Errorf("hub: the parent %q is not a commit of 40 hexadecimal digits", clip(u.Parent, 60))
	}
	return nil
}

// open gives the content anew.
func (f LocalFile) open() (io.ReaderAt, io.Closer, error) {
	if f.Local == "" {
		return bytes.NewReader(f.Data), io.NopCloser(nil), nil
	}
	file, err := os.Open(f.Local)
	return file, file, err
}

// survey reads every file once, some at a time.
func (c *Client) survey(ctx context.Context, files []LocalFile) ([]*addition, error) {
	adds := make([]*addition, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(min(c.workers, 4)) // bound by disk and processor, not by the network
	for i, f := range files {
		group.Go(func() (err error) {
			adds[i], err = f.survey(ctx)
			return err
		})
	}
	return adds, group.Wait()
}

func (f LocalFile) survey(ctx context.Context) (*addition, error) {
	a := &addition{LocalFile: f, size: int64(len(f.Data))}
	if f.Local != "" {
		st, err := os.Stat(f.Local)
		if err != nil {
			return nil, fmt.Errorf("hub: upload %s: %w", f.Path, err)
		}
		if !st.Mode().IsRegular() {
			return nil, fmt.Errorf("hub: upload %s: %s is not a regular file", f.Path, f.Local)
		}
		a.size = st.Size()
	}
	content, closer, err := f.open()
	if err != nil {
		return nil, fmt.Errorf("hub: upload %s: %w", f.Path, err)
	}
	defer closer.Close()
	whole, blob, buf := sha256.New(), newBlobHash(a.size), make([]byte, 1<<18)
	small := a.size <= surelyLarge
	for at := int64(0); at < a.size; {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("hub: upload %s: %w", f.Path, context.Cause(ctx))
		}
		n, err := content.ReadAt(buf[:min(int64(len(buf)), a.size-at)], at)
		if n == 0 && err != nil {
			return nil, fmt.Errorf("hub: upload %s: %w", f.Path, err)
		}
		if at == 0 {
			a.sample = slices.Clone(buf[:min(n, 512)])
		}
		whole.Write(buf[:n])
		if small {
			blob.Write(buf[:n])
		}
		at += int64(n)
	}
	a.sha256 = sum(whole)
	if small {
		a.blobID = sum(blob)
	}
	return a, nil
}

// surelyLarge is what no hub takes as a regular file: its git hash would only cost time.
const surelyLarge = 64 << 20

// content reads a small file whole.
func (a *addition) content() ([]byte, error) {
	r, closer, err := a.open()
	if err != nil {
		return nil, fmt.Errorf("hub: upload %s: %w", a.Path, err)
	}
	defer closer.Close()
	b, err := io.ReadAll(io.NewSectionReader(r, 0, a.size))
	if err != nil {
		return nil, fmt.Errorf("hub: upload %s: %w", a.Path, err)
	}
	return b, nil
}

// checkCard lets the hub look at README.md before anything is sent: a commit with a bad one would be refused.
func (c *Client) checkCard(ctx context.Context, r Repo, adds []*addition) error {
	i := slices.IndexFunc(adds, func(a *addition) bool { return a.Path == "README.md" })
	if i < 0 {
		return nil
	}
	text, err := adds[i].content()
	if err != nil {
		return err
	}
	var answer struct {
		Errors   []struct{ Message string } `json:"errors"`
		Warnings []struct{ Message string } `json:"warnings"`
	}
	q := request{op: "check the card", repo: r, path: "README.md", url: "/api/validate-yaml"}.
		asJSON(map[string]string{"content": string(text), "repoType": r.kind()})
	_, err = c.call(ctx, q, &answer)
	var e *Error
	switch {
	case errors.As(err, &e) && e.Status == 400:
		e.Remedy = "correct the YAML at the top of README.md"
		return e
	case errors.As(err, &e) && e.Status == 404:
		return nil // a hub that does not check cards
	case err != nil:
		return err
	}
	var said []string
	for _, m := range answer.Errors {
		said = append(said, m.Message)
	}
	if said != nil {
		return &Error{Op: "check the card", Repo: r, Path: "README.md", Err: errRefused,
			Message: clip(strings.Join(said, "; "), 800), Remedy: "correct the YAML at the top of README.md"}
	}
	for _, m := range answer.Warnings {
		c.warn("card "+m.Message, "README.md: "+clip(m.Message, 400))
	}
	return nil
}

type preuploadFile struct {
	Path   string `json:"path"`
	Sample []byte `json:"sample"` // base64 on the wire
	Size   int64  `json:"size"`
}

// preupload asks how each file is to be sent, and drops those that the branch has already or that the hub ignores.
func (c *Client) preupload(ctx context.Context, r Repo, u Upload, adds []*addition) error {
	for batch := range slices.Chunk(adds, c.batchSize) {
		byPath := map[string]*addition{}
		var files []preuploadFile
		for _, a := range batch {
			byPath[a.Path] = a
			files = append(files, preuploadFile{a.Path, append([]byte{}, a.sample...), a.size})
		}
		var answer struct {
			Files []struct {
				Path         string `json:"path"`
				UploadMode   string `json:"uploadMode"`
				ShouldIgnore bool   `json:"shouldIgnore"`
				OID          string `json:"oid"`
			} `json:"files"`
		}
		q := request{op: "announce the upload", repo: r, revision: u.Revision, url: r.api("preupload", u.Revision) + u.query()}.
			asJSON(map[string]any{"files": files})
		if _, err := c.call(ctx, q, &answer); err != nil {
			return err
		}
		for _, f := range answer.Files {
			a := byPath[f.Path]
			if a == nil {
				continue
			}
			delete(byPath, f.Path)
			a.lfs = f.UploadMode == "lfs" && a.size > 0 // LFS cannot hold empty files
			a.dropped = f.ShouldIgnore || f.OID != "" && (f.OID == a.blobID && !a.lfs || f.OID == a.sha256 && a.lfs)
			if f.ShouldIgnore {
				c.warn("ignored "+r.String()+a.Path, a.Path+" is not uploaded: the repository's .gitignore names it")
			}
		}
		for path := range byPath {
			return fmt.Errorf("hub: %s: announce the upload: the hub did not say how to send %s", r, path)
		}
	}
	return nil
}

func (u Upload) query() string {
	if u.CreatePR {
		return "?create_pr=1"
	}
	return ""
}

// present keeps of the deletions those that there is something to delete for: the hub refuses others.
func (c *Client) present(ctx context.Context, r Repo, u Upload) ([]string, error) {
	if len(u.Delete) == 0 {
		return nil, nil
	}
	tree, err := c.Tree(ctx, r, u.Parent)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(u.Delete), func(path string) bool {
		return !slices.ContainsFunc(tree, func(f File) bool {
			return f.Path == path || strings.HasSuffix(path, "/") && strings.HasPrefix(f.Path, path)
		})
	}), nil
}

package gitrepo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
)

// mirror is a bare repository on disk, readable with git. Packs are put in place whole, then packed-refs is replaced
// in one step: a kill anywhere leaves what the fetch before it left. All references are in that one file, since branch
// names that come and go could not all lie beside each other as files (a, then a/b).
type mirror struct{ dir string }

const (
	headPrefix = "refs/heads/"
	seenPrefix = "refs/mergebot/seen/"
	mainPrefix = "refs/mergebot/main/" // one, which names the default branch

	packedHeader = "# pack-refs with: peeled fully-peeled sorted "
)

// snapshot is what one fetch saw, and what those before it did.
type snapshot struct {
	main  string // the default branch; "" before the first fetch
	heads map[string]plumbing.Hash
	seen  map[string]plumbing.Hash // last heads of branches while they were ahead of the default branch
}

// lock waits until no other process, and no other Repo, works on the mirror.
func (m mirror) lock(ctx context.Context) (func(), error) {
	err := os.MkdirAll(m.dir, 0o700)
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(filepath.Join(m.dir, "mergebot.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("mirror: %w; set serve.work to a folder that can be written", err)
	}
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		ok, err := tryLock(f)
		if ok {
			return func() { f.Close() }, nil
		}
		if err == nil {
			select {
			case <-time.After(wait):
				continue
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		f.Close()
		return nil, fmt.Errorf("waiting for the lock of the mirror %s: %w", m.dir, err)
	}
}

// prepare makes the folders, and empties a mirror of another remote.
func (m mirror) prepare(of string) error {
	if b, err := os.ReadFile(m.path("description")); err == nil && strings.TrimSpace(string(b)) != of {
		if err := os.Remove(m.path("packed-refs")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("mirror: %w", err)
		}
		if err := os.RemoveAll(m.path("objects")); err != nil {
			return fmt.Errorf("mirror: %w", err)
		}
	}
	for _, dir := range []string{"objects/pack", "objects/info", "refs/heads"} {
		if err := os.MkdirAll(m.path(dir), 0o700); err != nil {
			return fmt.Errorf("mirror: %w", err)
		}
	}
	for name, text := range map[string]string{
		"description": of + "\n",
		"config":      "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
		"HEAD":        "ref: refs/heads/main\n",
	} {
		if b, err := os.ReadFile(m.path(name)); err == nil && (string(b) == text || name == "HEAD" && len(b) > 0) {
			continue
		}
		if err := m.replace(name, []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// read returns the last snapshot; an empty one when there is none.
func (m mirror) read() (snapshot, error) {
	b, err := os.ReadFile(m.path("packed-refs"))
	if errors.Is(err, fs.ErrNotExist) {
		return parseRefs(nil)
	}
	if err != nil {
		return snapshot{}, fmt.Errorf("mirror: %w", err)
	}
	return parseRefs(b)
}

// write makes a snapshot the last one.
func (m mirror) write(s snapshot) error {
	if s.main != "" { // for git's own tools; nothing here reads it
		if err := m.replace("HEAD", []byte("ref: "+headPrefix+s.main+"\n")); err != nil {
			return err
		}
	}
	return m.replace("packed-refs", s.bytes())
}

// empty forgets everything but the heads that were seen.
func (m mirror) empty() (snapshot, error) {
	s, _ := m.read() // unreadable: there is nothing to remember
	s = snapshot{heads: map[string]plumbing.Hash{}, seen: s.seen}
	if err := m.write(s); err != nil {
		return s, err
	}
	if err := os.RemoveAll(m.path("objects")); err != nil {
		return s, fmt.Errorf("mirror: %w", err)
	}
	for _, dir := range []string{"objects/pack", "objects/info"} {
		if err := os.MkdirAll(m.path(dir), 0o700); err != nil {
			return s, fmt.Errorf("mirror: %w", err)
		}
	}
	return s, nil
}

func (m mirror) path(name string) string { return filepath.Join(m.dir, filepath.FromSlash(name)) }

// replace writes a file in one step.
func (m mirror) replace(name string, b []byte) error {
	f, err := os.CreateTemp(m.dir, "tmp_"+name+"_")
	if err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), m.path(name))
	}
	if err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	return syncDir(m.dir)
}

func (s snapshot) bytes() []byte {
	lines := make([]string, 0, len(s.heads)+len(s.seen)+1) // "<name> <sha>", to sort by name
	for b, h := range s.heads {
		lines = append(lines, headPrefix+b+" "+h.String())
	}
	for b, h := range s.seen {
		lines = append(lines, seenPrefix+b+" "+h.String())
	}
	if s.main != "" {
		lines = append(lines, mainPrefix+s.main+" "+s.heads[s.main].String())
	}
	slices.Sort(lines)
	var out bytes.Buffer
	out.WriteString(packedHeader + "\n")
	for _, l := range lines {
		name, sha, _ := strings.Cut(l, " ")
		out.WriteString(sha + " " + name + "\n")
	}
	return out.Bytes()
}

// parseRefs reads what bytes wrote. No file is an empty snapshot; anything else that is not whole is damage.
func parseRefs(b []byte) (snapshot, error) {
	s := snapshot{heads: map[string]plumbing.Hash{}, seen: map[string]plumbing.Hash{}}
	if len(b) == 0 {
		return s, nil
	}
	damaged := func(line string) (snapshot, error) {
		return s, fmt.Errorf("%w: packed-refs: %q", errDamaged, line[:min(len(line), 80)])
	}
	if b[len(b)-1] != '\n' {
		return damaged("cut short")
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 0; lines.Scan(); n++ {
		line := lines.Text()
		if n == 0 && line == packedHeader {
			continue
		}
		sha, name, ok := strings.Cut(line, " ")
		if !ok || !isSHA(sha) {
			return damaged(line)
		}
		h := plumbing.NewHash(sha)
		if b, ok := strings.CutPrefix(name, headPrefix); ok && nameable(b) {
			s.heads[b] = h
		} else if b, ok := strings.CutPrefix(name, seenPrefix); ok && nameable(b) {
			s.seen[b] = h
		} else if b, ok := strings.CutPrefix(name, mainPrefix); ok && nameable(b) && s.main == "" {
			s.main = b
		} else {
			return damaged(line)
		}
	}
	if err := lines.Err(); err != nil {
		return damaged(err.Error())
	}
	if _, ok := s.heads[s.main]; s.main != "" && !ok {
		return damaged(s.main)
	}
	return s, nil
}

// nameable says that a branch's name can be kept and shown. Git itself allows no other; a server may say anything.
func nameable(branch string) bool {
	if branch == "" || len(branch) > 1024 || !utf8.ValidString(branch) {
		return false
	}
	for _, r := range branch {
		if r == ' ' || unicode.IsControl(r) {
			return false
		}
	}
	return true
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	defer d.Close()
	d.Sync() // where the file system cannot, there is no more to be done
	return nil
}

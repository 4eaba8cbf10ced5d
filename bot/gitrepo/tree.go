package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"mergebot/bot/forge"
)

// Bounds on what one commit is looked through for. A few small objects can describe billions of files.
const (
	maxDepth   = 64
	maxEntries = 1_000_000
)

type entry struct {
	mode filemode.FileMode
	name string
	hash plumbing.Hash
}

func (e entry) file() bool {
	return e.mode == filemode.Regular || e.mode == filemode.Executable || e.mode == filemode.Deprecated
}

// parseTree reads a directory's entries.
func parseTree(b []byte) ([]entry, error) {
	var out []entry
	for len(b) > 0 {
		space := bytes.IndexByte(b, ' ')
		if space < 1 || space > 6 {
			return nil, fmt.Errorf("%w directory: no mode", errMalformed)
		}
		mode, err := strconv.ParseUint(string(b[:space]), 8, 32)
		if err != nil {
			return nil, fmt.Errorf("%w directory: mode %q", errMalformed, b[:space])
		}
		b = b[space+1:]
		end := bytes.IndexByte(b, 0)
		if end < 0 || len(b) < end+1+20 {
			return nil, fmt.Errorf("%w directory: cut short", errMalformed)
		}
		e := entry{mode: kind(mode), name: string(b[:end])}
		copy(e.hash[:], b[end+1:])
		b = b[end+1+20:]
		out = append(out, e)
	}
	return out, nil
}

// kind reads a mode as git does, which looks at the type's bits and at one more.
func kind(mode uint64) filemode.FileMode {
	switch mode & 0o170000 {
	case 0o100000:
		if mode&0o100 != 0 {
			return filemode.Executable
		}
		return filemode.Regular
	case 0o040000:
		return filemode.Dir
	case 0o120000:
		return filemode.Symlink
	}
	return filemode.Submodule
}

func readTree(o *objects, h plumbing.Hash) ([]entry, error) {
	b, err := o.read(h, plumbing.TreeObject, maxTree)
	if err != nil {
		return nil, err
	}
	out, err := parseTree(b)
	return out, wrap(err, h.String())
}

// plain says that a name can be a file's in a checkout and in an address. Others are not looked at.
func plain(name string) bool {
	if name == "" || name == "." || name == ".." || strings.EqualFold(name, ".git") || !utf8.ValidString(name) {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r == '\\' || unicode.IsControl(r) || turns(r) })
}

// walker goes through directories, and counts.
type walker struct {
	ctx     context.Context
	objects *objects
	left    int
	out     []forge.File
}

// files lists every file of a tree, in the order of paths.
func files(ctx context.Context, o *objects, tree plumbing.Hash) ([]forge.File, error) {
	return diff(ctx, o, plumbing.ZeroHash, tree)
}

// diff lists the files that tree b has otherwise than a; the zero hash is an empty tree.
func diff(ctx context.Context, o *objects, a, b plumbing.Hash) ([]forge.File, error) {
	w := &walker{ctx: ctx, objects: o, left: maxEntries}
	if err := w.dir("", a, b, 0); err != nil {
		return nil, err
	}
	slices.SortFunc(w.out, func(x, y forge.File) int { return strings.Compare(x.Path, y.Path) })
	return w.out, nil
}

// entries reads a directory as a map; of two entries of one name the first counts.
func (w *walker) entries(h plumbing.Hash) (map[string]entry, error) {
	if h.IsZero() {
		return nil, nil
	}
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	list, err := readTree(w.objects, h)
	if err != nil {
		return nil, incomplete(err)
	}
	if w.left -= len(list) + 8; w.left < 0 { // a small directory costs more time than its entries
		return nil, fmt.Errorf("%w: more files and folders than are looked through (about %d)", forge.ErrTooLarge, maxEntries)
	}
	out := make(map[string]entry, len(list))
	for _, e := range list {
		if _, ok := out[e.name]; !ok && plain(e.name) {
			out[e.name] = e
		}
	}
	return out, nil
}

func (w *walker) dir(prefix string, a, b plumbing.Hash, depth int) error {
	if a == b || depth > maxDepth {
		return nil
	}
	before, err := w.entries(a)
	if err != nil {
		return err
	}
	after, err := w.entries(b)
	if err != nil {
		return err
	}
	for name, was := range before {
		is, ok := after[name]
		if !ok {
			is = entry{}
		}
		if err := w.pair(prefix+name, was, is, depth); err != nil {
			return err
		}
	}
	for name, is := range after {
		if _, ok := before[name]; !ok {
			if err := w.pair(prefix+name, entry{}, is, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// pair compares what is at one path; a zero entry is nothing.
func (w *walker) pair(path string, was, is entry, depth int) error {
	if was.mode == is.mode && was.hash == is.hash {
		return nil
	}
	switch {
	case is.file():
		w.out = append(w.out, forge.File{Path: path, Blob: is.hash.String()})
	case was.file():
		w.out = append(w.out, forge.File{Path: path, Removed: true})
	}
	var a, b plumbing.Hash
	if was.mode == filemode.Dir {
		a = was.hash
	}
	if is.mode == filemode.Dir {
		b = is.hash
	}
	return w.dir(path+"/", a, b, depth+1)
}

// at finds the blob of a file; the zero hash when there is none.
func at(o *objects, tree plumbing.Hash, path string) (plumbing.Hash, error) {
	for {
		name, rest, more := strings.Cut(path, "/")
		list, err := readTree(o, tree)
		if err != nil {
			return plumbing.ZeroHash, incomplete(err)
		}
		i := slices.IndexFunc(list, func(e entry) bool { return e.name == name })
		switch {
		case i < 0:
			return plumbing.ZeroHash, nil
		case !more && list[i].file():
			return list[i].hash, nil
		case !more || list[i].mode != filemode.Dir:
			return plumbing.ZeroHash, nil
		}
		tree, path = list[i].hash, rest
	}
}

// incomplete turns a commit or directory that is not there into damage: the mirror has all of them.
func incomplete(err error) error {
	if errors.Is(err, errMissing) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

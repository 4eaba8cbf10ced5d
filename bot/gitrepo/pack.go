package gitrepo

import (
	"bufio"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// maxPacks is how many packs may lie in a mirror before they are made into one.
const maxPacks = 50

const incoming = "incoming" // the folder of packs that are not checked yet

// packs lists the packs in the mirror, without their suffix.
func (m mirror) packs() ([]string, error) {
	names, err := filepath.Glob(m.path("objects/pack/pack-*.pack"))
	for i := range names {
		names[i] = strings.TrimSuffix(names[i], ".pack")
	}
	return names, err
}

// sweep removes what a kill left behind. Only the holder of the lock may call it.
func (m mirror) sweep() error {
	if err := os.RemoveAll(m.path(incoming)); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	for _, pattern := range []string{"tmp_*", "objects/pack/tmp_*"} {
		names, err := filepath.Glob(m.path(pattern))
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				return fmt.Errorf("mirror: %w", err)
			}
		}
	}
	return nil
}

func (m mirror) temp(kind string) (*os.File, error) {
	f, err := os.CreateTemp(m.path("objects/pack"), "tmp_"+kind+"_")
	if err != nil {
		return nil, fmt.Errorf("mirror: %w", err)
	}
	return f, nil
}

// take writes objects of src as a pack of the mirror. They are written whole, not as deltas: it costs disk, saves time.
func (m mirror) take(ctx context.Context, src *objects, list []item) error {
	f, err := m.temp("pack")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	index, sum, err := encode(ctx, f, src, list)
	if err != nil {
		return err
	}
	return m.install(f, sum, index)
}

// offsetWriter counts, and sums what is written since the last reset.
type offsetWriter struct {
	w      io.Writer
	offset int64
	crc    uint32
}

func (o *offsetWriter) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	o.offset += int64(n)
	o.crc = crc32.Update(o.crc, crc32.IEEETable, b[:n])
	return n, err
}

// encode writes a pack, version 2: a header, then each object's type, size and deflated content, then the SHA-1 of it all.
func encode(ctx context.Context, f io.Writer, src *objects, list []item) (*idxfile.Writer, plumbing.Hash, error) {
	buffered := bufio.NewWriterSize(f, 1<<18)
	sum := sha1.New()
	w := &offsetWriter{w: io.MultiWriter(buffered, sum)}
	fail := func(err error) (*idxfile.Writer, plumbing.Hash, error) { return nil, plumbing.ZeroHash, err }

	var head [12]byte
	copy(head[:], "PACK")
	binary.BigEndian.PutUint32(head[4:], 2)
	binary.BigEndian.PutUint32(head[8:], uint32(len(list)))
	if _, err := w.Write(head[:]); err != nil {
		return fail(err)
	}
	index := new(idxfile.Writer)
	if err := index.OnHeader(uint32(len(list))); err != nil {
		return fail(err)
	}
	z, err := zlib.NewWriterLevel(w, zlib.BestSpeed)
	if err != nil {
		return fail(err)
	}
	for _, o := range list {
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		content, err := src.read(o.hash, o.kind, maxTree)
		if err != nil {
			return fail(fmt.Errorf("%s %s: %w", o.kind, o.hash, err))
		}
		at := w.offset
		w.crc = 0
		if _, err := w.Write(objectHeader(o.kind, len(content))); err != nil {
			return fail(err)
		}
		z.Reset(w)
		if _, err := z.Write(content); err != nil {
			return fail(err)
		}
		if err := z.Close(); err != nil {
			return fail(err)
		}
		index.Add(o.hash, uint64(at), w.crc)
	}
	var trailer plumbing.Hash
	copy(trailer[:], sum.Sum(nil))
	if _, err := buffered.Write(trailer[:]); err != nil {
		return fail(err)
	}
	if err := buffered.Flush(); err != nil {
		return fail(err)
	}
	return index, trailer, index.OnFooter(trailer)
}

// objectHeader is an object's type in three bits and its size in the rest, seven bits a byte after the first four.
func objectHeader(kind plumbing.ObjectType, size int) []byte {
	b := byte(kind)<<4 | byte(size&15)
	var out []byte
	for size >>= 4; size > 0; size >>= 7 {
		out = append(out, b|0x80)
		b = byte(size & 0x7f)
	}
	return append(out, b)
}

// receive takes in a pack from the network: written to disk within MaxPack, looked through, indexed, checked. Until it
// has passed all of that it lies in a place of its own, where a kill leaves it to be swept.
func (m mirror) receive(ctx context.Context, pack io.Reader, check func(*objects) error) error {
	apart := mirror{m.path(incoming)}
	if err := os.MkdirAll(apart.path("objects/pack"), 0o700); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	defer os.RemoveAll(apart.dir)
	f, err := apart.temp("pack")
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(f, io.LimitReader(pack, MaxPack+1))
	if err != nil {
		return err
	}
	if n > MaxPack {
		return fmt.Errorf("the server sends more than %d MiB: %s", MaxPack>>20, filterRemedy)
	}
	index, sum, err := decode(ctx, f)
	if err != nil {
		return err
	}
	if err := apart.install(f, sum, index); err != nil {
		return err
	}
	o, err := openObjects(apart.dir)
	if err != nil {
		return err
	}
	if err := check(o); err != nil {
		return err
	}
	for _, suffix := range []string{".idx", ".pack"} { // in this order: see install
		name := "objects/pack/pack-" + sum.String() + suffix
		if err := os.Rename(apart.path(name), m.path(name)); err != nil {
			return fmt.Errorf("mirror: %w", err)
		}
	}
	return syncDir(m.path("objects/pack"))
}

const filterRemedy = "large files lie in the history and it cannot leave them out; set uploadpack.allowFilter=true there, or keep recipes in a repository of their own"

// decode checks a pack and makes its index.
func decode(ctx context.Context, f io.ReadSeeker) (*idxfile.Writer, plumbing.Hash, error) {
	in := &contextReader{ctx, f}
	if err := inspect(in); err != nil {
		return nil, plumbing.ZeroHash, fmt.Errorf("the pack that the server sent: %w", err)
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return nil, plumbing.ZeroHash, err
	}
	index := new(idxfile.Writer)
	p, err := packfile.NewParser(packfile.NewScanner(in), index)
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	sum, err := p.Parse()
	if err != nil {
		return nil, plumbing.ZeroHash, fmt.Errorf("the pack that the server sent: %w", err)
	}
	return index, sum, nil
}

// inspect looks at every object's size before any is held in memory: a small pack can claim, or inflate to, anything.
func inspect(f io.ReadSeeker) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	s := packfile.NewScanner(f)
	_, count, err := s.Header()
	if err != nil {
		return err
	}
	if count > maxObjects {
		return fmt.Errorf("more than %d objects", maxObjects)
	}
	var total int64
	for range count {
		h, err := s.NextObjectHeader()
		if err != nil {
			return err
		}
		size := h.Length
		var start prefix
		if size <= MaxObject { // else it is not worth inflating
			if _, _, err := s.NextObject(&start); err != nil {
				return err
			}
		}
		if h.Type.IsDelta() && size <= MaxObject {
			from, n := binary.Uvarint(start.b)
			if n <= 0 {
				return errors.New("malformed delta")
			}
			to, k := binary.Uvarint(start.b[n:])
			if k <= 0 {
				return errors.New("malformed delta")
			}
			size = int64(min(max(from, to), 1<<62))
		}
		if size < 0 || size > MaxObject {
			return fmt.Errorf("it has a file of %d MiB, and at most %d MiB are taken: %s", size>>20, MaxObject>>20, filterRemedy)
		}
		if total += size; total > 16*MaxPack {
			return fmt.Errorf("it inflates to more than %d GiB", 16*MaxPack>>30)
		}
	}
	return nil
}

// prefix keeps the first bytes that are written to it.
type prefix struct{ b []byte }

func (p *prefix) Write(b []byte) (int, error) {
	p.b = append(p.b, b[:min(len(b), 20-len(p.b))]...)
	return len(b), nil
}

// contextReader ends when its context does; the parser has none of its own.
type contextReader struct {
	ctx context.Context
	io.ReadSeeker
}

func (c *contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.ReadSeeker.Read(b)
}

// install puts a pack in place: the index first, since a pack without one is damage to the reader.
func (m mirror) install(pack *os.File, sum plumbing.Hash, index *idxfile.Writer) error {
	if err := pack.Sync(); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	f, err := m.temp("idx")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	made, err := index.Index()
	if err != nil {
		return fmt.Errorf("mirror: index: %w", err)
	}
	buffered := bufio.NewWriter(f)
	if _, err := idxfile.NewEncoder(buffered).Encode(made); err != nil {
		return fmt.Errorf("mirror: index: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	base := m.path("objects/pack/pack-" + sum.String())
	if err := os.Rename(f.Name(), base+".idx"); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	if err := os.Rename(pack.Name(), base+".pack"); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	return syncDir(m.path("objects/pack"))
}

// repack makes one pack of many, of what branches and seen heads need, and says whether it did.
func (m mirror) repack(ctx context.Context, src *objects, s snapshot) (bool, error) {
	old, err := m.packs()
	if err != nil || len(old) <= maxPacks {
		return false, err
	}
	var wants []plumbing.Hash
	for _, refs := range []map[string]plumbing.Hash{s.heads, s.seen} {
		for _, h := range refs {
			if src.has(h) {
				wants = append(wants, h)
			}
		}
	}
	list, err := closure(ctx, src, wants, func(plumbing.Hash) bool { return false }, true)
	if err != nil {
		return false, err
	}
	if err := m.take(ctx, src, list); err != nil {
		return false, err
	}
	now, err := m.packs()
	if err != nil {
		return false, err
	}
	if len(now) != len(old)+1 { // the one pack was there already, whatever else: leave it all
		return false, nil
	}
	for _, name := range old {
		for _, suffix := range []string{".pack", ".idx"} { // a pack without index would be damage; an index alone is nothing
			if err := os.Remove(name + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				return true, fmt.Errorf("mirror: %w", err)
			}
		}
	}
	return true, nil
}

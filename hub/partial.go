package hub

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// noteEvery is how many bytes of one range come before they are noted: what a killed process loses of each range.
const noteEvery = 1 << 18

var castagnoli = crc32.MakeTable(crc32.Castagnoli) // the one that processors compute

// partial is a download that is not finished: <etag>.part has the bytes, with holes, and <etag>.part.log says which,
// a line for each span that was written: from, to, and a checksum that finds what a crash of the machine or a bad
// disk made of it. The log may lack what the file has, never the other way round, unless the machine crashed.
type partial struct {
	name string
	size int64
	data *os.File

	mu    sync.Mutex
	log   *os.File // made with the first line
	held  spans
	grown chan struct{} // has one element after held grew
}

// openPartial takes up what is on disk, or begins.
func openPartial(name string, size int64) (*partial, error) {
	data, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	p := &partial{name: name, size: size, data: data, grown: make(chan struct{}, 1)}
	st, err := data.Stat()
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	for _, n := range readLog(name+".log", min(st.Size(), size)) {
		p.held = p.held.with(n.span)
	}
	if st.Size() > size || len(p.held) == 0 {
		if err := p.clear(); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	return p, nil
}

// begun is how many bytes of an unfinished download are on disk.
func begun(name string, size int64) int64 {
	st, err := os.Stat(name)
	if err != nil {
		return 0
	}
	var held spans
	for _, n := range readLog(name+".log", min(st.Size(), size)) {
		held = held.with(n.span)
	}
	return held.total()
}

// noted is a line of the log.
type noted struct {
	span
	sum uint32 // CRC-32C
}

// readLog gives the lines that can be read and lie inside the first size bytes. A line that a crash has cut, with
// the one that was then written behind it, is none.
func readLog(name string, size int64) []noted {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	return parseLog(b, size)
}

func parseLog(b []byte, size int64) []noted {
	var out []noted
	for line := range bytes.Lines(b) {
		var n noted
		_, err := fmt.Sscanf(string(line), "%d %d %x\n", &n.from, &n.to, &n.sum)
		if err == nil && n.line() == string(line) && 0 <= n.from && n.from < n.to && n.to <= size {
			out = append(out, n)
		}
	}
	return out
}

func (n noted) line() string { return fmt.Sprintf("%d %d %08x\n", n.from, n.to, n.sum) }

// note says that a span is in the file.
func (p *partial) note(n noted) error {
	if n.len() <= 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	held := p.held.with(n.span)
	if n.len() < p.size { // a small file that came at once needs no log
		if err := p.append(n); err != nil {
			return err
		}
	}
	p.held = held
	select {
	case p.grown <- struct{}{}:
	default:
	}
	return nil
}

// append writes a line. If the last one was cut, the first new one is lost with it, which costs little.
func (p *partial) append(n noted) (err error) {
	if p.log == nil {
		if p.log, err = os.OpenFile(p.name+".log", os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666); err != nil {
			return err
		}
	}
	_, err = p.log.WriteString(n.line())
	return err
}

// missing are the spans to be fetched.
func (p *partial) missing() spans {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held.gaps(p.size)
}

// total is how many bytes are there.
func (p *partial) total() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held.total()
}

// reach is up to where all bytes from at on are there.
func (p *partial) reach(at int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held.reach(at)
}

// clear forgets all bytes.
func (p *partial) clear() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = nil
	return errors.Join(p.dropLog(), p.data.Truncate(0))
}

// dropLog comes before the bytes go: a log must not name what is not there.
func (p *partial) dropLog() (err error) {
	if p.log != nil {
		err = p.log.Close()
		p.log = nil
	}
	if removed := os.Remove(p.name + ".log"); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}

// repair reads all that the log names, and keeps what is as it was written. It says whether something was not.
func (p *partial) repair() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := readLog(p.name+".log", p.size)
	var good []noted
	buf := make([]byte, 1<<18)
	for _, n := range lines {
		sum := crc32.New(castagnoli)
		copied, err := io.CopyBuffer(sum, io.NewSectionReader(p.data, n.from, n.len()), buf)
		if err == nil && copied == n.len() && sum.Sum32() == n.sum {
			good = append(good, n)
		}
	}
	var held spans
	for _, n := range good {
		held = held.with(n.span)
	}
	if len(good) == len(lines) || held.total() == p.size {
		return false, nil
	}
	if err := p.dropLog(); err != nil {
		return false, err
	}
	p.held = held
	for _, n := range good {
		if err := p.append(n); err != nil {
			return false, err
		}
	}
	return true, nil
}

// install gives the bytes, which the caller has checked, their name.
func (p *partial) install(blob string) error {
	if err := p.data.Sync(); err != nil {
		return err
	}
	if err := errors.Join(p.data.Close(), os.Rename(p.name, blob)); err != nil {
		return err
	}
	if dir, err := os.Open(filepath.Dir(blob)); err == nil {
		_ = dir.Sync() // best effort: some file systems do not sync folders
		dir.Close()
	}
	return p.dropLog()
}

// remove throws the download away.
func (p *partial) remove() error {
	return errors.Join(p.dropLog(), os.Remove(p.name))
}

func (p *partial) close() error {
	err := p.data.Close()
	if p.log != nil {
		err = errors.Join(err, p.log.Close())
	}
	return err
}

package ptx

import (
	"encoding/binary"
	"fmt"
)

// sharedBase is where a block's shared memory begins: far from what Memory holds,
// and not 0, so that a null pointer is none of it.
const sharedBase = 1 << 60

// Memory is the device's global memory.
type Memory struct {
	regions []region
	last    int // the region of the last access
	next    uint64
}

type region struct {
	at    uint64
	bytes []byte
	cells []cell
}

// Alloc puts b at an address of its own, far from others, so that what reads or
// writes outside b faults. It is aligned as it is told, to 1, 2, 4 or 8 bytes, and
// not better.
func (m *Memory) Alloc(b []byte, alignment int) uint64 {
	m.next += 1 << 40
	m.regions = append(m.regions, region{at: m.next + uint64(alignment), bytes: b})
	return m.next + uint64(alignment)
}

// cell records who used a few bytes since the launch began.
type cell struct{ written, read stamp }

// stamp is the last use of a cell, and what must be known of those before.
type stamp struct {
	interval int32 // between barriers, counted over all blocks of a launch; 0: never
	thread   int16 // manyThreads: of several in that interval
	atomic   bool  // so were all that could clash with an atomic use
	foreign  bool  // another block used it earlier
}

const manyThreads = -1

// clock says who runs.
type clock struct {
	interval, first int32 // now, and when the block began
	thread          int16
}

// apart is false where the use s may happen at the same time as c's.
func (s stamp) apart(c clock) bool {
	switch {
	case s.interval == 0:
		return true
	case s.foreign || s.interval < c.first: // another block's
		return false
	}
	return s.interval < c.interval || s.thread == c.thread
}

// mark records c's use.
func (s *stamp) mark(c clock, atomic bool) {
	next := stamp{interval: c.interval, thread: c.thread, atomic: atomic, foreign: s.foreign}
	if s.interval != 0 {
		next.foreign = next.foreign || s.interval < c.first
		now := s.interval == c.interval
		if now && s.thread != c.thread {
			next.thread = manyThreads
		}
		if now || next.foreign {
			next.atomic = atomic && s.atomic
		}
	}
	*s = next
}

// use checks and records an access to a cell.
func (x *cell) use(k kind, c clock) error {
	switch {
	case !x.written.apart(c) && !(k == atomicAdd && x.written.atomic):
		return fmt.Errorf("race with a write")
	case k != load && !x.read.apart(c):
		return fmt.Errorf("race with a read")
	}
	if k == load {
		x.read.mark(c, false)
	} else {
		x.written.mark(c, k == atomicAdd)
	}
	return nil
}

// begin forgets the accesses of earlier launches.
func (m *Memory) begin(grain int) {
	for i := range m.regions {
		r := &m.regions[i]
		r.cells = make([]cell, (len(r.bytes)+grain-1)/grain)
	}
}

// at finds n bytes of global memory and their cells.
func (m *Memory) at(address uint64, n, grain int) ([]byte, []cell, error) {
	if address%uint64(n) != 0 {
		return nil, nil, fmt.Errorf("global address %#x is not aligned to %d bytes", address, n)
	}
	for range m.regions {
		r := &m.regions[m.last]
		if o := address - r.at; o < uint64(len(r.bytes)) {
			if o+uint64(n) > uint64(len(r.bytes)) {
				return nil, nil, fmt.Errorf("global address %#x: %d bytes at %d of %d", address, n, o, len(r.bytes))
			}
			return r.bytes[o:][:n], r.cells[int(o)/grain:][:(n+grain-1)/grain], nil
		}
		m.last = (m.last + 1) % len(m.regions)
	}
	return nil, nil, fmt.Errorf("global address %#x is outside all arrays", address)
}

func getBits(b []byte) (v uint64) {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

func putBits(b []byte, v uint64) {
	switch len(b) {
	case 1:
		b[0] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(b, uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(b, uint32(v))
	default:
		binary.LittleEndian.PutUint64(b, v)
	}
}

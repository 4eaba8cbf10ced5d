package ptx

import (
	"fmt"
	"slices"
)

// stepsMost bounds what a launch may execute: more is a loop without end.
const stepsMost = 1 << 30

// launch is a kernel that runs.
type launch struct {
	k      *Kernel
	mem    *Memory
	shared []byte
	cells  []cell // of shared memory
	clock  clock
	steps  int64
}

// state is where a thread stopped.
type state struct {
	slots []uint64
	pc    int
	ended bool
}

// Launch runs a grid of blocks of threads to the end. An argument is the bits of
// a parameter.
func (k *Kernel) Launch(mem *Memory, blocks, threads int, args ...uint64) error {
	if len(args) != len(k.Params) {
		return fmt.Errorf("%s: %d arguments, want %d", k.Name, len(args), len(k.Params))
	}
	l := &launch{k: k, mem: mem, shared: make([]byte, k.shared), cells: make([]cell, (k.shared+k.grain-1)/k.grain)}
	mem.begin(k.grain)
	initial := slices.Clone(k.initial)
	for i, a := range args {
		initial[k.slots[fmt.Sprintf("%s_param_%d", k.Name, i)]] = a
	}
	initial[slotThreads], initial[slotBlocks] = uint64(threads), uint64(blocks)
	all := make([]state, threads)
	for t := range all {
		all[t].slots = make([]uint64, len(initial))
	}
	for b := range blocks {
		initial[slotBlock] = uint64(b)
		for t := range all {
			initial[slotThread] = uint64(t)
			copy(all[t].slots, initial)
			all[t].pc, all[t].ended = 0, false
		}
		if err := l.block(all); err != nil {
			return fmt.Errorf("%s: block %d of %d: %w", k.Name, b, blocks, err)
		}
	}
	return nil
}

// block runs a block's threads from barrier to barrier, in rising and falling
// order by turns: what depends on the order shows.
func (l *launch) block(all []state) error {
	clear(l.cells)
	l.clock.first = l.clock.interval + 1
	for {
		l.clock.interval++
		ended := 0
		for i := range all {
			t := i
			if l.clock.interval%2 == 0 {
				t = len(all) - 1 - i
			}
			l.clock.thread = int16(t)
			if err := l.thread(&all[t]); err != nil {
				return fmt.Errorf("thread %d: %w", t, err)
			}
			if all[t].ended {
				ended++
			}
		}
		if ended == len(all) {
			return nil
		}
		for t := range all {
			if all[t].ended || all[t].pc != all[0].pc {
				return fmt.Errorf("thread %d and thread 0 do not meet at the same barrier", t)
			}
		}
	}
}

// thread runs one to its next barrier or its end.
func (l *launch) thread(s *state) error {
	r, code := s.slots, l.k.code
	for pc := s.pc; ; {
		if l.steps++; l.steps > stepsMost || pc >= len(code) {
			return fmt.Errorf("does not end")
		}
		in := &code[pc]
		pc++
		if in.pred >= 0 && (r[in.pred] == 0) != in.not {
			continue
		}
		switch in.kind {
		case compute:
			r[in.dst] = in.f(r[in.a], r[in.b], r[in.c])
		case branch:
			pc = in.to
		case halves:
			r[in.dst], r[in.more[0]] = r[in.a]&0xffff, r[in.a]>>16
		case barrier:
			s.pc = pc
			return nil
		case exit:
			s.ended = true
			return nil
		default:
			if err := l.access(in, r); err != nil {
				return fmt.Errorf("%s: %w", in.text, err)
			}
		}
	}
}

// access loads, stores or adds atomically.
func (l *launch) access(in *instruction, r []uint64) error {
	address, n := r[in.a]+in.offset, in.width*(1+len(in.more))
	var b []byte
	var cells []cell
	var err error
	if in.global {
		b, cells, err = l.mem.at(address, n, l.k.grain)
	} else {
		b, cells, err = l.at(address, n)
	}
	if err != nil {
		return err
	}
	for i := range cells {
		if !in.global && in.kind != store && cells[i].written.interval == 0 {
			return fmt.Errorf("shared address %#x: nothing was written there", address-sharedBase)
		}
		if err := cells[i].use(in.kind, l.clock); err != nil {
			return fmt.Errorf("address %#x: %w", address, err)
		}
	}
	w := in.width
	switch in.kind {
	case load:
		r[in.dst] = getBits(b[:w])
		for i, d := range in.more {
			r[d] = getBits(b[(i+1)*w:][:w])
		}
	case store:
		putBits(b[:w], r[in.b])
		for i, s := range in.more {
			putBits(b[(i+1)*w:][:w], r[s])
		}
	default:
		old := getBits(b)
		putBits(b, old+r[in.b])
		r[in.dst] = old
	}
	return nil
}

// at finds n bytes of shared memory and their cells.
func (l *launch) at(address uint64, n int) ([]byte, []cell, error) {
	o := address - sharedBase
	if o%uint64(n) != 0 || o >= uint64(len(l.shared)) || o+uint64(n) > uint64(len(l.shared)) {
		return nil, nil, fmt.Errorf("shared address %#x: %d bytes of %d", o, n, len(l.shared))
	}
	return l.shared[o:][:n], l.cells[int(o)/l.k.grain:][:(n+l.k.grain-1)/l.k.grain], nil
}

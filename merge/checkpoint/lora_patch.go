package checkpoint

import (
	"math"
	"sync"
)

// patch computes an adapted tensor: see [change].
type patch struct {
	from  entry // W: the model's, or the adapter's own
	delta *lowRank
	add   *entry
	scale float64 // of add
}

func newPatch(ch *change, e entry, adapter map[string]entry) *patch {
	p := &patch{from: e, scale: ch.scale}
	if ch.whole != "" {
		p.from = adapter[ch.whole]
	}
	if ch.add != "" {
		d := adapter[ch.add]
		p.add = &d
	}
	if ch.a != "" {
		p.delta = &lowRank{from: p.from, a: adapter[ch.a], b: adapter[ch.b], scale: ch.scale, rank: ch.rank, transposed: ch.transposed,
			rows: e.Shape[0], columns: e.Shape[1]}
		if ch.magnitude != "" {
			m := adapter[ch.magnitude]
			p.delta.magnitude = &m
		}
	}
	return p
}

// floats computes elements [first, first+len(dst)).
func (p *patch) floats(dst []float32, first int64) error {
	switch {
	case p.delta != nil:
		return p.delta.floats(dst, first)
	case p.add == nil:
		return p.from.floats(dst, first)
	}
	d := make([]float32, len(dst))
	if err := p.from.floats(dst, first); err != nil {
		return err
	}
	if err := p.add.floats(d, first); err != nil {
		return err
	}
	for i := range dst {
		dst[i] = float32(float64(dst[i]) + float64(p.scale*float64(d[i])))
	}
	return nil
}

// release gives back what was computed once for the whole tensor, and the files' pages.
func (p *patch) release() {
	all := []*entry{&p.from, p.add}
	if d := p.delta; d != nil {
		d.mu.Lock()
		d.right, d.gain = nil, nil
		d.mu.Unlock()
		all = append(all, &d.a, &d.b, d.magnitude)
	}
	for _, e := range all {
		if e != nil {
			e.in.release(e.Offset, e.span())
		}
	}
}

// lowRank is g·(W + s·L·R) where L (rows × rank) and R (rank × columns) are B and A, or, where W is stored as
// in × out, their transposes in turn.
//
// Every element is the sum over the rank in order, in fp64, whatever the block it is asked for in. Products of fp32
// are exact there, so that machines that fuse multiply and add give the same bits; where that would matter the
// product is converted, which keeps them from doing so.
type lowRank struct {
	from          entry
	a, b          entry
	magnitude     *entry // DoRA
	rank          int64
	scale         float64
	transposed    bool
	rows, columns int64

	mu    sync.Mutex
	right []float64 // R; nil until it is needed
	gain  []float64 // g of every output, for DoRA
}

const (
	// tileColumns of R stay in a core's cache while several rows pass.
	tileColumns = 256
	// leftElements bounds how much of L is held at a time.
	leftElements = 1 << 16
)

func (d *lowRank) floats(dst []float32, first int64) error {
	right, gain, err := d.prepare()
	if err != nil {
		return err
	}
	return d.blocks(right, first, int64(len(dst)), func(at int64, x []float64) {
		out := dst[at-first:][:len(x)]
		switch {
		case gain == nil:
			for i, v := range x {
				out[i] = float32(v)
			}
		case d.transposed: // an output is a column
			g := gain[at%d.columns:][:len(x)]
			for i, v := range x {
				out[i] = float32(v * g[i])
			}
		default:
			g := gain[at/d.columns]
			for i, v := range x {
				out[i] = float32(v * g)
			}
		}
	})
}

// prepare makes R, and for DoRA the gains, when they are first needed.
func (d *lowRank) prepare() (right, gain []float64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.right == nil {
		if d.right, err = d.readRight(); err != nil {
			return nil, nil, err
		}
	}
	if d.gain == nil && d.magnitude != nil {
		if d.gain, err = d.readGain(d.right); err != nil {
			return nil, nil, err
		}
	}
	return d.right, d.gain, nil
}

func (d *lowRank) readRight() ([]float64, error) {
	right := make([]float64, d.rank*d.columns)
	buf := make([]float32, min(int64(len(right)), leftElements))
	source := d.a
	if d.transposed {
		source = d.b
	}
	for first := int64(0); first < int64(len(right)); first += int64(len(buf)) {
		part := buf[:min(int64(len(buf)), int64(len(right))-first)]
		if err := source.floats(part, first); err != nil {
			return nil, err
		}
		for i, v := range part {
			at := first + int64(i)
			if d.transposed { // B is columns × rank
				at = at%d.rank*d.columns + at/d.rank
			}
			right[at] = float64(v)
		}
	}
	return right, nil
}

// readGain computes m/‖W + s·B·A‖ of every output: a row, or a column where W is stored as in × out.
func (d *lowRank) readGain(right []float64) ([]float64, error) {
	outputs := d.rows
	if d.transposed {
		outputs = d.columns
	}
	m, squares := make([]float32, outputs), make([]float64, outputs)
	if err := d.magnitude.floats(m, 0); err != nil {
		return nil, err
	}
	err := d.blocks(right, 0, d.rows*d.columns, func(at int64, x []float64) {
		if d.transposed {
			s := squares[at%d.columns:][:len(x)]
			for i, v := range x {
				s[i] += float64(v * v)
			}
			return
		}
		s := squares[at/d.columns]
		for _, v := range x {
			s += float64(v * v)
		}
		squares[at/d.columns] = s
	})
	if err != nil {
		return nil, err
	}
	for i, s := range squares {
		squares[i] = float64(m[i]) / math.Sqrt(s)
	}
	return squares, nil
}

// blocks computes W + s·L·R for elements [first, first+n) and hands it to emit in pieces that lie within a row, and
// each row's in order.
func (d *lowRank) blocks(right []float64, first, n int64, emit func(at int64, x []float64)) error {
	if n == 0 {
		return nil
	}
	var acc [tileColumns]float64
	step := max(1, leftElements/max(d.rank, d.columns)) // rows at a time
	last := (first + n - 1) / d.columns
	w := make([]float32, min(step*d.columns, n))
	left := make([]float64, min(step, last+1-first/d.columns)*d.rank)
	for row := first / d.columns; row <= last; row += step {
		rows := min(step, last+1-row)
		from, to := max(first, row*d.columns), min(first+n, (row+rows)*d.columns)
		if err := d.from.floats(w[:to-from], from); err != nil {
			return err
		}
		if err := d.readLeft(left[:rows*d.rank], row, rows); err != nil {
			return err
		}
		for tile := int64(0); tile < d.columns; tile += tileColumns {
			for i := range rows {
				start := (row + i) * d.columns
				a, b := max(from, start+tile), min(to, start+min(tile+tileColumns, d.columns))
				if a >= b {
					continue
				}
				x := acc[:b-a]
				multiply(x, left[i*d.rank:][:d.rank], right[a-start:], d.columns)
				for k, v := range w[a-from : b-from] {
					x[k] = float64(v) + float64(d.scale*x[k])
				}
				emit(a, x)
			}
		}
	}
	return nil
}

// readLeft reads rows of L into dst, rows × rank.
func (d *lowRank) readLeft(dst []float64, row, rows int64) error {
	buf := make([]float32, len(dst))
	if !d.transposed {
		if err := d.b.floats(buf, row*d.rank); err != nil {
			return err
		}
		for i, v := range buf {
			dst[i] = float64(v)
		}
		return nil
	}
	for k := range d.rank { // A is rank × rows
		part := buf[:rows]
		if err := d.a.floats(part, k*d.rows+row); err != nil {
			return err
		}
		for i, v := range part {
			dst[int64(i)*d.rank+k] = float64(v)
		}
	}
	return nil
}

// multiply sets x to the row l times a matrix whose rows are stride apart and
// begin with right: Σ_k l[k]·right[k·stride+j], k in order.
func multiply(x, l, right []float64, stride int64) {
	clear(x)
	k := 0
	for ; k+4 <= len(l); k += 4 {
		at := int64(k) * stride
		r0, r1 := right[at:][:len(x)], right[at+stride:][:len(x)]
		r2, r3 := right[at+2*stride:][:len(x)], right[at+3*stride:][:len(x)]
		l0, l1, l2, l3 := l[k], l[k+1], l[k+2], l[k+3]
		for j := range x {
			x[j] = x[j] + l0*r0[j] + l1*r1[j] + l2*r2[j] + l3*r3[j]
		}
	}
	for ; k < len(l); k++ {
		r := right[int64(k)*stride:][:len(x)]
		for j := range x {
			x[j] += l[k] * r[j]
		}
	}
}

package checkpoint

import (
	"math"
	"sync"

	"mergebot/merge/checkpoint/lowrank"
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
// Every element is the sum over the rank in order, in fp64, whatever the block it is asked for in: see package lowrank.
// Where a product is not exact it is converted, which keeps machines that can from fusing it with a sum.
type lowRank struct {
	from          entry
	a, b          entry
	magnitude     *entry // DoRA
	rank          int64
	scale         float64
	transposed    bool
	rows, columns int64

	mu    sync.Mutex
	right *lowrank.Right // nil until it is needed
	gain  []float64      // g of every output, for DoRA
}

// leftElements bounds how much of L, and of W for DoRA's gains, is held at a time.
const leftElements = 1 << 16

func (d *lowRank) floats(dst []float32, first int64) error {
	right, gain, err := d.prepare()
	if err != nil {
		return err
	}
	if err := d.from.floats(dst, first); err != nil {
		return err
	}
	return d.products(right, first, int64(len(dst)), func(t *product) {
		gains := [lowrank.Rows]float64{1, 1, 1, 1}
		if gain != nil && !d.transposed {
			copy(gains[:], gain[t.row:])
		}
		if t.whole && (gain == nil || !d.transposed) {
			t.AddTo(dst[t.at(0)-first:], d.columns, d.scale, &gains)
			return
		}
		t.pieces(func(k int, at int64, x []float64) {
			out := dst[at-first:][:len(x)]
			if gain == nil || !d.transposed {
				lowrank.Add(out, x, d.scale, gains[k])
				return
			}
			g := gain[at%d.columns:][:len(x)] // an output is a column
			for i, v := range out {
				out[i] = float32((float64(v) + float64(d.scale*x[i])) * g[i])
			}
		})
	})
}

// prepare makes R, and for DoRA the gains, when they are first needed.
func (d *lowRank) prepare() (right *lowrank.Right, gain []float64, err error) {
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

func (d *lowRank) readRight() (*lowrank.Right, error) {
	right, n := lowrank.NewRight(d.rank, d.columns), d.rank*d.columns
	buf := make([]float32, min(n, leftElements))
	source := d.a
	if d.transposed {
		source = d.b
	}
	for first := int64(0); first < n; first += int64(len(buf)) {
		part := buf[:min(int64(len(buf)), n-first)]
		if err := source.floats(part, first); err != nil {
			return nil, err
		}
		for i, v := range part {
			at := first + int64(i)
			if d.transposed { // B is columns × rank
				right.Set(at%d.rank, at/d.rank, v)
			} else {
				right.Set(at/d.columns, at%d.columns, v)
			}
		}
	}
	return right, nil
}

// readGain computes m/‖W + s·B·A‖ of every output: a row, or a column where W is stored as in × out.
func (d *lowRank) readGain(right *lowrank.Right) ([]float64, error) {
	outputs := d.rows
	if d.transposed {
		outputs = d.columns
	}
	m, squares := make([]float32, outputs), make([]float64, outputs)
	if err := d.magnitude.floats(m, 0); err != nil {
		return nil, err
	}
	step := max(1, leftElements/d.columns) * d.columns
	w := make([]float32, min(step, d.rows*d.columns))
	for first := int64(0); first < d.rows*d.columns; first += step {
		w := w[:min(step, d.rows*d.columns-first)]
		if err := d.from.floats(w, first); err != nil {
			return nil, err
		}
		err := d.products(right, first, int64(len(w)), func(t *product) {
			t.pieces(func(_ int, at int64, x []float64) {
				w := w[at-first:][:len(x)]
				if d.transposed {
					s := squares[at%d.columns:][:len(x)]
					for i, v := range w {
						y := float64(v) + float64(d.scale*x[i])
						s[i] += float64(y * y)
					}
					return
				}
				s := squares[at/d.columns]
				for i, v := range w {
					y := float64(v) + float64(d.scale*x[i])
					s += float64(y * y)
				}
				squares[at/d.columns] = s
			})
		})
		if err != nil {
			return nil, err
		}
	}
	for i, s := range squares {
		squares[i] = float64(m[i]) / math.Sqrt(s)
	}
	return squares, nil
}

// product is a tile of L·R, of which elements [first, end) of the tensor are wanted.
type product struct {
	lowrank.Tile
	row, column   int64 // of its first element
	rows, columns int64 // of the tensor
	first, end    int64
	whole         bool // all of it is wanted
}

// at is the tensor's index of the first element of the tile's row k.
func (t *product) at(k int64) int64 { return (t.row+k)*t.columns + t.column }

// pieces calls f with what is wanted of each row.
func (t *product) pieces(f func(k int, at int64, x []float64)) {
	for k := range min(lowrank.Rows, t.rows-t.row) {
		start := t.at(k)
		from, to := max(t.first, start), min(t.end, start+min(lowrank.Columns, t.columns-t.column))
		if from < to {
			f(int(k), from, t.Tile[k*lowrank.Columns+from-start:][:to-from])
		}
	}
}

// products computes L·R for elements [first, first+n) and hands it to emit tile by tile, those of each row and those of
// each column in order.
func (d *lowRank) products(right *lowrank.Right, first, n int64, emit func(t *product)) error {
	if n == 0 {
		return nil
	}
	var left lowrank.Left
	t := product{rows: d.rows, columns: d.columns, first: first, end: first + n}
	end := (first+n-1)/d.columns + 1
	step := max(1, leftElements/d.rank/lowrank.Rows) * lowrank.Rows // rows at a time
	for row := first / d.columns; row < end; row += step {
		rows := min(step, end-row)
		if err := d.readLeft(&left, row, rows); err != nil {
			return err
		}
		for t.column = 0; t.column < d.columns; t.column += lowrank.Columns {
			for i := int64(0); i < rows; i += lowrank.Rows {
				t.row = row + i
				t.whole = i+lowrank.Rows <= rows && t.column+lowrank.Columns <= d.columns && t.at(0) >= first && t.at(lowrank.Rows-1)+lowrank.Columns <= t.end
				t.Multiply(&left, right, i/lowrank.Rows, t.column/lowrank.Columns)
				emit(&t)
			}
		}
	}
	return nil
}

// readLeft reads rows of L.
func (d *lowRank) readLeft(left *lowrank.Left, row, rows int64) error {
	left.Resize(d.rank, rows)
	buf := make([]float32, d.rank*rows)
	if !d.transposed {
		if err := d.b.floats(buf, row*d.rank); err != nil {
			return err
		}
		for i, v := range buf {
			left.Set(int64(i)/d.rank, int64(i)%d.rank, v)
		}
		return nil
	}
	for k := range d.rank { // A is rank × rows
		part := buf[:rows]
		if err := d.a.floats(part, k*d.rows+row); err != nil {
			return err
		}
		for i, v := range part {
			left.Set(int64(i), k, v)
		}
	}
	return nil
}

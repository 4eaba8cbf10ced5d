// Package lowrank multiplies the two factors of a low-rank change to a weight, L
// (rows × rank) by R (rank × columns), a tile of [Rows] × [Columns] at a time.
//
// Every element is Σ_k L[i,k]·R[k,j] with k in order, in fp64. The factors are
// fp32 numbers, whose products fp64 holds exactly; so fusing multiplication and
// addition changes nothing, and assembly, plain Go and every processor give the
// same bits.
package lowrank

// A tile: large enough that a processor's multipliers wait for nothing, small
// enough that a panel of R stays in its nearest cache.
const (
	Rows    = 4
	Columns = 32
)

// Tile is a tile of L·R, row by row.
type Tile [Rows * Columns]float64

// Right is R in panels of Columns columns, each rank rows one after another; the
// last is filled up with zeros.
type Right struct {
	rank   int
	panels []float64
}

// NewRight makes room for R, all zero.
func NewRight(rank, columns int64) *Right {
	n := (columns + Columns - 1) / Columns
	return &Right{rank: int(rank), panels: make([]float64, n*rank*Columns)}
}

// Set sets R[k, j].
func (r *Right) Set(k, j int64, v float32) {
	r.panels[(j/Columns*int64(r.rank)+k)*Columns+j%Columns] = float64(v)
}

// Left is some rows of L in groups of Rows rows, each rank columns one after
// another; the last is filled up with whatever it held.
type Left struct {
	rank   int
	groups []float64
}

// Resize makes room for so many rows, whose elements are undefined.
func (l *Left) Resize(rank, rows int64) {
	n := (rows + Rows - 1) / Rows * Rows * rank
	if int64(cap(l.groups)) < n {
		l.groups = make([]float64, n)
	}
	l.rank, l.groups = int(rank), l.groups[:n]
}

// Set sets L[i, k].
func (l *Left) Set(i, k int64, v float32) {
	l.groups[(i/Rows*int64(l.rank)+k)*Rows+i%Rows] = float64(v)
}

// Multiply computes the tile of rows [Rows·group, …) and columns [Columns·panel, …).
func (x *Tile) Multiply(l *Left, r *Right, group, panel int64) {
	a := l.groups[int(group)*l.rank*Rows:][:l.rank*Rows]
	b := r.panels[int(panel)*r.rank*Columns:][:l.rank*Columns]
	if len(a) == 0 {
		*x = Tile{}
		return
	}
	multiply(x, a, b)
}

// Add is dst = (dst + scale·x)·gain in fp64, each step rounded, and then to fp32.
// dst is not longer than x.
func Add(dst []float32, x []float64, scale, gain float64) {
	addPlain(dst, x[:len(dst)], scale, gain)
}

// AddTo is [Add] of a whole tile to rows of dst that begin stride apart, each with
// its own gain.
func (x *Tile) AddTo(dst []float32, stride int64, scale float64, gain *[Rows]float64) {
	_ = dst[(Rows-1)*stride+Columns-1]
	addTile(dst, x, stride, scale, gain)
}

func addTilePlain(dst []float32, x *Tile, stride int64, scale float64, gain *[Rows]float64) {
	for i, g := range gain {
		addPlain(dst[int64(i)*stride:][:Columns], x[i*Columns:], scale, g)
	}
}

func multiplyPlain(x *Tile, l, r []float64) {
	*x = Tile{}
	for ; len(l) >= Rows && len(r) >= Columns; l, r = l[Rows:], r[Columns:] {
		for i := range Rows {
			c, row := l[i], x[i*Columns:][:Columns]
			for j, v := range r[:Columns] {
				row[j] += c * v // exact: see above
			}
		}
	}
}

func addPlain(dst []float32, x []float64, scale, gain float64) {
	for i, v := range dst {
		dst[i] = float32((float64(v) + float64(scale*x[i])) * gain) // the conversion forbids fusing
	}
}

package lowrank

import (
	"math"
	"math/rand/v2"
	"testing"
)

// kernels are the ways to compute a tile.
type kernels struct {
	name     string
	multiply func(x *Tile, l, r []float64)
	addTile  func(dst []float32, x *Tile, stride int64, scale float64, gain *[Rows]float64)
}

// numbers are of any sign and of sizes far apart, so that the order of a sum shows.
func numbers(r *rand.Rand, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(math.Ldexp(r.Float64()*2-1, r.IntN(60)-30))
	}
	return out
}

// TestTiles holds every kernel that this processor runs to the definition, bit by bit.
func TestTiles(t *testing.T) {
	t.Parallel()
	for _, k := range append(assembly(), kernels{"go", multiplyPlain, addTilePlain}, kernels{"chosen", multiply, addTile}) {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, 2))
			for _, rank := range []int64{1, 2, 3, 16, 65} {
				const rows, columns = 2 * Rows, 2*Columns - 5
				a, b := numbers(r, int(rows*rank)), numbers(r, int(rank*columns))
				var left Left
				left.Resize(rank, rows)
				right := NewRight(rank, columns)
				for i, v := range a {
					left.Set(int64(i)/rank, int64(i)%rank, v)
				}
				for i, v := range b {
					right.Set(int64(i)/columns, int64(i)%columns, v)
				}
				group, panel := int64(1), int64(1)
				x := Tile{7, 7}
				k.multiply(&x, left.groups[group*rank*Rows:][:rank*Rows], right.panels[panel*rank*Columns:][:rank*Columns])
				const stride = Columns + 3
				was := numbers(r, Rows*stride)
				dst, gain := append([]float32(nil), was...), [Rows]float64{1, 0.3, -2, 1e-5}
				k.addTile(dst, &x, stride, 0.7, &gain)
				for i := range int64(Rows) {
					for j := range int64(stride) {
						if j >= Columns {
							if dst[i*stride+j] != was[i*stride+j] {
								t.Fatal("wrote beyond its columns")
							}
							continue
						}
						var sum float64
						if panel*Columns+j < columns {
							for n := range rank {
								sum += float64(float64(a[(group*Rows+i)*rank+n]) * float64(b[n*columns+panel*Columns+j]))
							}
						}
						if got := x[i*Columns+j]; got != sum {
							t.Fatalf("rank %d: x[%d,%d] is %v, want %v", rank, i, j, got, sum)
						}
						y := float64(was[i*stride+j]) + float64(0.7*sum)
						if got, want := dst[i*stride+j], float32(float64(y*gain[i])); got != want {
							t.Fatalf("rank %d: dst[%d,%d] is %v, want %v", rank, i, j, got, want)
						}
					}
				}
			}
		})
	}
	x, left := Tile{1}, Left{}
	left.Resize(0, 1)
	if x.Multiply(&left, NewRight(0, 1), 0, 0); x != (Tile{}) {
		t.Error("rank 0 is not 0")
	}
}

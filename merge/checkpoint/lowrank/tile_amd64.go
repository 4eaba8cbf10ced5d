//go:build !purego

package lowrank

import "golang.org/x/sys/cpu"

func hasAVX512() bool { return cpu.X86.HasAVX512F }

func hasAVX2() bool { return cpu.X86.HasAVX2 && cpu.X86.HasFMA }

func multiply(x *Tile, l, r []float64) {
	switch {
	case hasAVX512():
		multiplyAVX512(x, &l[0], &r[0], len(l)/Rows)
	case hasAVX2():
		multiplyAVX2(x, &l[0], &r[0], len(l)/Rows)
	default:
		multiplyPlain(x, l, r)
	}
}

func addTile(dst []float32, x *Tile, stride int64, scale float64, gain *[Rows]float64) {
	switch {
	case hasAVX512():
		addTileAVX512(&dst[0], x, stride, scale, gain)
	case hasAVX2():
		addTileAVX2(&dst[0], x, stride, scale, gain)
	default:
		addTilePlain(dst, x, stride, scale, gain)
	}
}

//go:noescape
func multiplyAVX512(x *Tile, l, r *float64, rank int)

//go:noescape
func multiplyAVX2(x *Tile, l, r *float64, rank int)

//go:noescape
func addTileAVX512(dst *float32, x *Tile, stride int64, scale float64, gain *[Rows]float64)

//go:noescape
func addTileAVX2(dst *float32, x *Tile, stride int64, scale float64, gain *[Rows]float64)

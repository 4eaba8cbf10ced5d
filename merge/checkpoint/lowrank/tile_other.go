//go:build !amd64 || purego

package lowrank

func multiply(x *Tile, l, r []float64) { multiplyPlain(x, l, r) }

func addTile(dst []float32, x *Tile, stride int64, scale float64, gain *[Rows]float64) {
	addTilePlain(dst, x, stride, scale, gain)
}

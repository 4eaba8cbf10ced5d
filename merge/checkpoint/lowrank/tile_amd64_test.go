//go:build !purego

package lowrank

func assembly() (all []kernels) {
	if hasAVX2() {
		all = append(all, kernels{"avx2", func(x *Tile, l, r []float64) { multiplyAVX2(x, &l[0], &r[0], len(l)/Rows) },
			func(dst []float32, x *Tile, stride int64, scale float64, gain *[Rows]float64) {
				addTileAVX2(&dst[0], x, stride, scale, gain)
			}})
	}
	if hasAVX512() {
		all = append(all, kernels{"avx512", func(x *Tile, l, r []float64) { multiplyAVX512(x, &l[0], &r[0], len(l)/Rows) },
			func(dst []float32, x *Tile, stride int64, scale float64, gain *[Rows]float64) {
				addTileAVX512(&dst[0], x, stride, scale, gain)
			}})
	}
	return all
}

//go:build amd64 && !purego

package kernel

// The assembly: n is a multiple of vectorStep, above 0. What each does is said
// at the Device's method of that name. They are chosen by a switch and not kept
// as function values, through which every argument would escape to the heap.

func (v vector) decodeHalf(dst *float32, src *byte, n int) {
	if v.set == avx512 {
		decodeHalfAVX512(dst, src, n)
	} else {
		decodeHalfAVX2(dst, src, n)
	}
}

func (v vector) decodeBrain(dst *float32, src *byte, n int) {
	if v.set == avx512 {
		decodeBrainAVX512(dst, src, n)
	} else {
		decodeBrainAVX2(dst, src, n)
	}
}

func (v vector) encodeHalf(dst *byte, src *float32, n int) {
	if v.set == avx512 {
		encodeHalfAVX512(dst, src, n)
	} else {
		encodeHalfAVX2(dst, src, n)
	}
}

func (v vector) encodeBrain(dst *byte, src *float32, n int) {
	if v.set == avx512 {
		encodeBrainAVX512(dst, src, n)
	} else {
		encodeBrainAVX2(dst, src, n)
	}
}

func (v vector) roundHalf(dst, src *float32, n int) {
	if v.set == avx512 {
		roundHalfAVX512(dst, src, n)
	} else {
		roundHalfAVX2(dst, src, n)
	}
}

func (v vector) roundBrain(dst, src *float32, n int) {
	if v.set == avx512 {
		roundBrainAVX512(dst, src, n)
	} else {
		roundBrainAVX2(dst, src, n)
	}
}

func (v vector) subtract(dst, x, y *float32, n int) {
	if v.set == avx512 {
		subtractAVX512(dst, x, y, n)
	} else {
		subtractAVX2(dst, x, y, n)
	}
}

func (v vector) scale(dst, x *float32, n int, c float32) {
	if v.set == avx512 {
		scaleAVX512(dst, x, n, c)
	} else {
		scaleAVX2(dst, x, n, c)
	}
}

func (v vector) divide(dst, x *float32, n int, c float32) {
	if v.set == avx512 {
		divideAVX512(dst, x, n, c)
	} else {
		divideAVX2(dst, x, n, c)
	}
}

func (v vector) addScaled(dst, x *float32, n int, c float32) {
	if v.set == avx512 {
		addScaledAVX512(dst, x, n, c)
	} else {
		addScaledAVX2(dst, x, n, c)
	}
}

func (v vector) addStats(b *blockStats, d *float32, n int) {
	if v.set == avx512 {
		addStatsAVX512(b, d, n)
	} else {
		addStatsAVX2(b, d, n)
	}
}

func (v vector) addAbove(l *lanes, d *float32, n int, t float32) (count int) {
	if v.set == avx512 {
		return addAboveAVX512(l, d, n, t)
	}
	return addAboveAVX2(l, d, n, t)
}

func (v vector) addProducts(l *lanes, x, y *float32, n int) {
	if v.set == avx512 {
		addProductsAVX512(l, x, y, n)
	} else {
		addProductsAVX2(l, x, y, n)
	}
}

func (v vector) sift(keys, at *uint32, key *float32, n, first int, lo, hi int32) (below, found int) {
	if v.set == avx512 {
		return siftAVX512(keys, at, key, n, first, lo, hi)
	}
	return siftAVX2(keys, at, key, n, first, lo, hi)
}

func (v vector) amplify(dst, delta, key *float32, n int, above []int32, ratios *float32) {
	if v.set == avx512 {
		amplifyAVX512(dst, delta, key, n, above, ratios)
	} else {
		amplifyAVX2(dst, delta, key, n, above, ratios)
	}
}

func (v vector) amplifyRandom(dst, delta *float32, n int, counter uint64, above []int64, ratios *float32) {
	if v.set == avx512 {
		amplifyRandomAVX512(dst, delta, n, counter, above, ratios)
	} else {
		amplifyRandomAVX2(dst, delta, n, counter, above, ratios)
	}
}

func (v vector) elect(sign *float32, x [][]float32, first, n int, zero float32) {
	if v.set == avx512 {
		electAVX512(sign, x, first, n, zero)
	} else {
		electAVX2(sign, x, first, n, zero)
	}
}

func (v vector) signs(x *float32, n int) (positive, negative int) {
	if v.set == avx512 {
		return signsAVX512(x, n)
	}
	return signsAVX2(x, n)
}

func (v vector) agree(dst, sign *float32, x [][]float32, first, n int, weights *float32) {
	if v.set == avx512 {
		agreeAVX512(dst, sign, x, first, n, weights)
	} else {
		agreeAVX2(dst, sign, x, first, n, weights)
	}
}

//go:noescape
func decodeHalfAVX512(dst *float32, src *byte, n int)

//go:noescape
func decodeHalfAVX2(dst *float32, src *byte, n int)

//go:noescape
func decodeBrainAVX512(dst *float32, src *byte, n int)

//go:noescape
func decodeBrainAVX2(dst *float32, src *byte, n int)

//go:noescape
func encodeHalfAVX512(dst *byte, src *float32, n int)

//go:noescape
func encodeHalfAVX2(dst *byte, src *float32, n int)

//go:noescape
func encodeBrainAVX512(dst *byte, src *float32, n int)

//go:noescape
func encodeBrainAVX2(dst *byte, src *float32, n int)

//go:noescape
func roundHalfAVX512(dst, src *float32, n int)

//go:noescape
func roundHalfAVX2(dst, src *float32, n int)

//go:noescape
func roundBrainAVX512(dst, src *float32, n int)

//go:noescape
func roundBrainAVX2(dst, src *float32, n int)

//go:noescape
func subtractAVX512(dst, x, y *float32, n int)

//go:noescape
func subtractAVX2(dst, x, y *float32, n int)

//go:noescape
func scaleAVX512(dst, x *float32, n int, c float32)

//go:noescape
func scaleAVX2(dst, x *float32, n int, c float32)

//go:noescape
func divideAVX512(dst, x *float32, n int, c float32)

//go:noescape
func divideAVX2(dst, x *float32, n int, c float32)

//go:noescape
func addScaledAVX512(dst, x *float32, n int, c float32)

//go:noescape
func addScaledAVX2(dst, x *float32, n int, c float32)

//go:noescape
func addStatsAVX512(b *blockStats, d *float32, n int)

//go:noescape
func addStatsAVX2(b *blockStats, d *float32, n int)

//go:noescape
func addAboveAVX512(l *lanes, d *float32, n int, t float32) (count int)

//go:noescape
func addAboveAVX2(l *lanes, d *float32, n int, t float32) (count int)

//go:noescape
func addProductsAVX512(l *lanes, x, y *float32, n int)

//go:noescape
func addProductsAVX2(l *lanes, x, y *float32, n int)

//go:noescape
func siftAVX512(keys, at *uint32, key *float32, n, first int, lo, hi int32) (below, found int)

//go:noescape
func siftAVX2(keys, at *uint32, key *float32, n, first int, lo, hi int32) (below, found int)

//go:noescape
func amplifyAVX512(dst, delta, key *float32, n int, above []int32, ratios *float32)

//go:noescape
func amplifyAVX2(dst, delta, key *float32, n int, above []int32, ratios *float32)

//go:noescape
func amplifyRandomAVX512(dst, delta *float32, n int, counter uint64, above []int64, ratios *float32)

//go:noescape
func amplifyRandomAVX2(dst, delta *float32, n int, counter uint64, above []int64, ratios *float32)

//go:noescape
func electAVX512(sign *float32, x [][]float32, first, n int, zero float32)

//go:noescape
func electAVX2(sign *float32, x [][]float32, first, n int, zero float32)

//go:noescape
func signsAVX512(x *float32, n int) (positive, negative int)

//go:noescape
func signsAVX2(x *float32, n int) (positive, negative int)

//go:noescape
func agreeAVX512(dst, sign *float32, x [][]float32, first, n int, weights *float32)

//go:noescape
func agreeAVX2(dst, sign *float32, x [][]float32, first, n int, weights *float32)

//go:build !purego

package kernel

import "unsafe"

// The assembly: n is a multiple of vectorStep, above 0. What each does is said
// at the Device's method of that name.

//go:noescape
func decodeHalfNEON(dst *float32, src *byte, n int)

//go:noescape
func decodeBrainNEON(dst *float32, src *byte, n int)

//go:noescape
func encodeHalfNEON(dst *byte, src *float32, n int)

//go:noescape
func encodeBrainNEON(dst *byte, src *float32, n int)

//go:noescape
func roundHalfNEON(dst, src *float32, n int)

//go:noescape
func roundBrainNEON(dst, src *float32, n int)

//go:noescape
func subtractNEON(dst, x, y *float32, n int)

//go:noescape
func scaleNEON(dst, x *float32, n int, c float32)

//go:noescape
func divideNEON(dst, x *float32, n int, c float32)

//go:noescape
func addScaledNEON(dst, x *float32, n int, c float32)

//go:noescape
func addStatsNEON(b *blockStats, d *float32, n int)

//go:noescape
func addAboveNEON(l *lanes, d *float32, n int, t float32) (count int)

//go:noescape
func addProductsNEON(l *lanes, x, y *float32, n int)

//go:noescape
func amplifyNEON(dst, delta, key *float32, n int, above []int32, ratios *float32)

//go:noescape
func electNEON(sign *float32, x [][]float32, first, n int, zero float32)

//go:noescape
func agreeNEON(dst, sign *float32, x [][]float32, first, n int, weights *float32)

func (vector) decodeHalf(dst *float32, src *byte, n int)           { decodeHalfNEON(dst, src, n) }
func (vector) decodeBrain(dst *float32, src *byte, n int)          { decodeBrainNEON(dst, src, n) }
func (vector) encodeHalf(dst *byte, src *float32, n int)           { encodeHalfNEON(dst, src, n) }
func (vector) encodeBrain(dst *byte, src *float32, n int)          { encodeBrainNEON(dst, src, n) }
func (vector) roundHalf(dst, src *float32, n int)                  { roundHalfNEON(dst, src, n) }
func (vector) roundBrain(dst, src *float32, n int)                 { roundBrainNEON(dst, src, n) }
func (vector) subtract(dst, x, y *float32, n int)                  { subtractNEON(dst, x, y, n) }
func (vector) scale(dst, x *float32, n int, c float32)             { scaleNEON(dst, x, n, c) }
func (vector) divide(dst, x *float32, n int, c float32)            { divideNEON(dst, x, n, c) }
func (vector) addScaled(dst, x *float32, n int, c float32)         { addScaledNEON(dst, x, n, c) }
func (vector) addStats(b *blockStats, d *float32, n int)           { addStatsNEON(b, d, n) }
func (vector) addAbove(l *lanes, d *float32, n int, t float32) int { return addAboveNEON(l, d, n, t) }
func (vector) addProducts(l *lanes, x, y *float32, n int)          { addProductsNEON(l, x, y, n) }

func (vector) amplify(dst, delta, key *float32, n int, above []int32, ratios *float32) {
	amplifyNEON(dst, delta, key, n, above, ratios)
}

func (vector) elect(sign *float32, x [][]float32, first, n int, zero float32) {
	electNEON(sign, x, first, n, zero)
}

func (vector) agree(dst, sign *float32, x [][]float32, first, n int, weights *float32) {
	agreeNEON(dst, sign, x, first, n, weights)
}

// What follows is Go: NEON has neither 64-bit multiplication nor a way to draw
// candidates together.

func (v vector) signs(x *float32, n int) (positive, negative int) {
	p, m, _ := v.plain.Signs(unsafe.Slice(x, n))
	return int(p), int(m)
}

func (vector) sift(keys, at *uint32, key *float32, n, first int, lo, hi int32) (below, found int) {
	k, a := unsafe.Slice(keys, n), unsafe.Slice(at, n)
	for i, x := range unsafe.Slice(key, n) {
		m := int32(magnitude(x))
		k[found], a[found] = uint32(m), uint32(first+i) // overwritten unless it is counted
		if m < lo {
			below++
		}
		if m >= lo && m <= hi {
			found++
		}
	}
	return below, found
}

func (vector) amplifyRandom(dst, delta *float32, n int, counter uint64, above []int64, ratios *float32) {
	out, r := unsafe.Slice(dst, n), unsafe.Slice(ratios, len(above))
	for i, d := range unsafe.Slice(delta, n) {
		u := int64(splitmix53(counter + uint64(i)*golden))
		var ratio float32
		for j, a := range above {
			if u > a {
				ratio = r[j]
				break
			}
		}
		out[i] = ratio * d
	}
}

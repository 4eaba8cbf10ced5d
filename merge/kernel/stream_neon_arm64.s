//go:build !purego

// Formats and elementwise arithmetic, 16 elements a turn. R0 is what is written,
// R2 what is left.

#include "textflag.h"
#include "neon_arm64.h"

// func decodeHalfNEON(dst *float32, src *byte, n int)
TEXT ·decodeHalfNEON(SB), NOSPLIT, $0-24
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
loop:
	VLD1.P 32(R1), [V0.B16, V1.B16]
	WIDENH(0, 4)
	WIDENH2(0, 5)
	WIDENH(1, 6)
	WIDENH2(1, 7)
	VST1.P [V4.B16, V5.B16, V6.B16, V7.B16], 64(R0)
	SUBS $16, R2, R2
	BNE loop
	RET

// func decodeBrainNEON(dst *float32, src *byte, n int)
TEXT ·decodeBrainNEON(SB), NOSPLIT, $0-24
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
	VEOR V8.B16, V8.B16, V8.B16
loop:
	VLD1.P 32(R1), [V0.B16, V1.B16]
	VZIP1 V0.H8, V8.H8, V4.H8
	VZIP2 V0.H8, V8.H8, V5.H8
	VZIP1 V1.H8, V8.H8, V6.H8
	VZIP2 V1.H8, V8.H8, V7.H8
	VST1.P [V4.B16, V5.B16, V6.B16, V7.B16], 64(R0)
	SUBS $16, R2, R2
	BNE loop
	RET

// func encodeHalfNEON(dst *byte, src *float32, n int)
TEXT ·encodeHalfNEON(SB), NOSPLIT, $0-24
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
loop:
	VLD1.P 64(R1), [V0.B16, V1.B16, V2.B16, V3.B16]
	NARROWH(0, 4)
	NARROWH2(1, 4)
	NARROWH(2, 5)
	NARROWH2(3, 5)
	VST1.P [V4.B16, V5.B16], 32(R0)
	SUBS $16, R2, R2
	BNE loop
	RET

// What BRAIN needs: V28 = 1, V29 = 0x7fff, V30 = the bit that makes a NaN quiet.
#define CONSTANTS \
	MOVD $1, R3; \
	VDUP R3, V28.S4; \
	MOVD $0x7fff, R3; \
	VDUP R3, V29.S4; \
	MOVD $0x400000, R3; \
	VDUP R3, V30.S4

// BRAIN rounds register number x, which is xs and xb as words and bytes, to
// bfloat16 in the upper half of each element of r; V16 and V17 are lost.
#define BRAIN(x, xs, xb, rs, rb) \
	VUSHR $16, xs, rs; \
	VAND V28.B16, rb, rb; \
	VADD V29.S4, rs, rs; \
	VADD xs, rs, rs; \
	FCMEQS(x, x, 16); \
	VORR V30.B16, xb, V17.B16; \
	VBIF V16.B16, V17.B16, rb

// func encodeBrainNEON(dst *byte, src *float32, n int)
TEXT ·encodeBrainNEON(SB), NOSPLIT, $0-24
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
	CONSTANTS
loop:
	VLD1.P 64(R1), [V0.B16, V1.B16, V2.B16, V3.B16]
	BRAIN(0, V0.S4, V0.B16, V4.S4, V4.B16)
	BRAIN(1, V1.S4, V1.B16, V5.S4, V5.B16)
	BRAIN(2, V2.S4, V2.B16, V6.S4, V6.B16)
	BRAIN(3, V3.S4, V3.B16, V7.S4, V7.B16)
	VUZP2 V5.H8, V4.H8, V18.H8
	VUZP2 V7.H8, V6.H8, V19.H8
	VST1.P [V18.B16, V19.B16], 32(R0)
	SUBS $16, R2, R2
	BNE loop
	RET

// func roundHalfNEON(dst, src *float32, n int)
TEXT ·roundHalfNEON(SB), NOSPLIT, $0-24
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
loop:
	VLD1.P 32(R1), [V0.B16, V1.B16]
	NARROWH(0, 2)
	NARROWH2(1, 2)
	WIDENH(2, 4)
	WIDENH2(2, 5)
	VST1.P [V4.B16, V5.B16], 32(R0)
	SUBS $8, R2, R2
	BNE loop
	RET

// func roundBrainNEON(dst, src *float32, n int)
TEXT ·roundBrainNEON(SB), NOSPLIT, $0-24
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
	CONSTANTS
	MOVD $0xffff0000, R3
	VDUP R3, V31.S4
loop:
	VLD1.P 32(R1), [V0.B16, V1.B16]
	BRAIN(0, V0.S4, V0.B16, V4.S4, V4.B16)
	BRAIN(1, V1.S4, V1.B16, V5.S4, V5.B16)
	VAND V31.B16, V4.B16, V4.B16
	VAND V31.B16, V5.B16, V5.B16
	VST1.P [V4.B16, V5.B16], 32(R0)
	SUBS $8, R2, R2
	BNE loop
	RET

// func subtractNEON(dst, x, y *float32, n int)
TEXT ·subtractNEON(SB), NOSPLIT, $0-32
	MOVD dst+0(FP), R0
	MOVD x+8(FP), R1
	MOVD y+16(FP), R3
	MOVD n+24(FP), R2
loop:
	VLD1.P 64(R1), [V0.B16, V1.B16, V2.B16, V3.B16]
	VLD1.P 64(R3), [V4.B16, V5.B16, V6.B16, V7.B16]
	FSUBS(4, 0, 0)
	FSUBS(5, 1, 1)
	FSUBS(6, 2, 2)
	FSUBS(7, 3, 3)
	VST1.P [V0.B16, V1.B16, V2.B16, V3.B16], 64(R0)
	SUBS $16, R2, R2
	BNE loop
	RET

// func scaleNEON(dst, x *float32, n int, c float32)
TEXT ·scaleNEON(SB), NOSPLIT, $0-28
	MOVD dst+0(FP), R0
	MOVD x+8(FP), R1
	MOVD n+16(FP), R2
	MOVWU c+24(FP), R3
	VDUP R3, V8.S4
loop:
	VLD1.P 64(R1), [V0.B16, V1.B16, V2.B16, V3.B16]
	FMULS(8, 0, 0)
	FMULS(8, 1, 1)
	FMULS(8, 2, 2)
	FMULS(8, 3, 3)
	VST1.P [V0.B16, V1.B16, V2.B16, V3.B16], 64(R0)
	SUBS $16, R2, R2
	BNE loop
	RET

// func divideNEON(dst, x *float32, n int, c float32)
TEXT ·divideNEON(SB), NOSPLIT, $0-28
	MOVD dst+0(FP), R0
	MOVD x+8(FP), R1
	MOVD n+16(FP), R2
	MOVWU c+24(FP), R3
	VDUP R3, V8.S4
loop:
	VLD1.P 64(R1), [V0.B16, V1.B16, V2.B16, V3.B16]
	FDIVS(8, 0, 0)
	FDIVS(8, 1, 1)
	FDIVS(8, 2, 2)
	FDIVS(8, 3, 3)
	VST1.P [V0.B16, V1.B16, V2.B16, V3.B16], 64(R0)
	SUBS $16, R2, R2
	BNE loop
	RET

// func addScaledNEON(dst, x *float32, n int, c float32)
TEXT ·addScaledNEON(SB), NOSPLIT, $0-28
	MOVD dst+0(FP), R0
	MOVD x+8(FP), R1
	MOVD n+16(FP), R2
	MOVWU c+24(FP), R3
	VDUP R3, V8.S4
loop:
	VLD1.P 64(R1), [V0.B16, V1.B16, V2.B16, V3.B16]
	VLD1 (R0), [V4.B16, V5.B16, V6.B16, V7.B16]
	FMULS(8, 0, 0) // rounded before it is added
	FMULS(8, 1, 1)
	FMULS(8, 2, 2)
	FMULS(8, 3, 3)
	FADDS(0, 4, 4)
	FADDS(1, 5, 5)
	FADDS(2, 6, 6)
	FADDS(3, 7, 7)
	VST1.P [V4.B16, V5.B16, V6.B16, V7.B16], 64(R0)
	SUBS $16, R2, R2
	BNE loop
	RET

//go:build !purego

// Sums over a block in 16 lanes of fp64, two to a register: V16 to V23, and V24 to
// V31 for the squares.

#include "textflag.h"
#include "go_asm.h"
#include "neon_arm64.h"

#define LOAD(from) \
	VLD1.P 64(from), [V16.B16, V17.B16, V18.B16, V19.B16]; \
	VLD1.P 64(from), [V20.B16, V21.B16, V22.B16, V23.B16]

#define STORE(to) \
	VST1.P [V16.B16, V17.B16, V18.B16, V19.B16], 64(to); \
	VST1.P [V20.B16, V21.B16, V22.B16, V23.B16], 64(to)

// STATS takes the 4 elements of register number x, which is xb as bytes, to the
// lanes a0, a1 and squares s0, s1. The squares are exact, so fusing changes
// nothing; NaN compares false and changes no extreme.
#define STATS(x, xb, a0, a1, s0, s1) \
	FCMGTS(x, 12, 4); \
	VBIT V4.B16, xb, V12.B16; \
	FCMGTS(13, x, 4); \
	VBIT V4.B16, xb, V13.B16; \
	FCMEQ0S(x, 4); \
	VSUB V4.S4, V14.S4, V14.S4; \
	WIDENS(x, 4); \
	WIDENS2(x, 5); \
	VFMLA V4.D2, V4.D2, s0; \
	VFMLA V5.D2, V5.D2, s1; \
	FABSD(4, 4); \
	FABSD(5, 5); \
	FADDD(4, a0, a0); \
	FADDD(5, a1, a1)

// func addStatsNEON(b *blockStats, d *float32, n int)
TEXT ·addStatsNEON(SB), NOSPLIT, $0-24
	MOVD b+0(FP), R0
	MOVD d+8(FP), R1
	MOVD n+16(FP), R2
	ADD $blockStats_abs, R0, R3
	LOAD(R3)
	ADD $blockStats_sq, R0, R3
	VLD1.P 64(R3), [V24.B16, V25.B16, V26.B16, V27.B16]
	VLD1.P 64(R3), [V28.B16, V29.B16, V30.B16, V31.B16]
	ADD $blockStats_min, R0, R3
	VLD1 (R3), [V12.B16] // four of them suffice
	ADD $blockStats_max, R0, R3
	VLD1 (R3), [V13.B16]
	VEOR V14.B16, V14.B16, V14.B16
loop:
	VLD1.P 64(R1), [V0.B16, V1.B16, V2.B16, V3.B16]
	STATS(0, V0.B16, 16, 17, V24.D2, V25.D2)
	STATS(1, V1.B16, 18, 19, V26.D2, V27.D2)
	STATS(2, V2.B16, 20, 21, V28.D2, V29.D2)
	STATS(3, V3.B16, 22, 23, V30.D2, V31.D2)
	SUBS $16, R2, R2
	BNE loop
	ADD $blockStats_abs, R0, R3
	STORE(R3)
	ADD $blockStats_sq, R0, R3
	VST1.P [V24.B16, V25.B16, V26.B16, V27.B16], 64(R3)
	VST1.P [V28.B16, V29.B16, V30.B16, V31.B16], 64(R3)
	ADD $blockStats_min, R0, R3
	VST1 [V12.B16], (R3)
	ADD $blockStats_max, R0, R3
	VST1 [V13.B16], (R3)
	VADDV V14.S4, V14
	VMOV V14.S[0], R3
	MOVD blockStats_zeros(R0), R4
	ADD R3, R4, R4
	MOVD R4, blockStats_zeros(R0)
	RET

// ABOVE takes the 4 elements of x. Those that do not count add +0, which changes
// no sum.
#define ABOVE(x, xb, a0, a1) \
	FABSS(x, x); \
	FCMGTS(12, x, 4); \
	VSUB V4.S4, V14.S4, V14.S4; \
	VAND V4.B16, xb, xb; \
	WIDENS(x, 4); \
	WIDENS2(x, 5); \
	FADDD(4, a0, a0); \
	FADDD(5, a1, a1)

// func addAboveNEON(l *lanes, d *float32, n int, t float32) (count int)
TEXT ·addAboveNEON(SB), NOSPLIT, $0-40
	MOVD l+0(FP), R0
	MOVD d+8(FP), R1
	MOVD n+16(FP), R2
	MOVWU t+24(FP), R3
	VDUP R3, V12.S4
	MOVD R0, R3
	LOAD(R3)
	VEOR V14.B16, V14.B16, V14.B16
loop:
	VLD1.P 64(R1), [V0.B16, V1.B16, V2.B16, V3.B16]
	ABOVE(0, V0.B16, 16, 17)
	ABOVE(1, V1.B16, 18, 19)
	ABOVE(2, V2.B16, 20, 21)
	ABOVE(3, V3.B16, 22, 23)
	SUBS $16, R2, R2
	BNE loop
	STORE(R0)
	VADDV V14.S4, V14
	VMOV V14.S[0], R3
	MOVD R3, count+32(FP)
	RET

#define PRODUCTS(x, y, a0, a1) \
	WIDENS(x, 8); \
	WIDENS2(x, 9); \
	WIDENS(y, 10); \
	WIDENS2(y, 11); \
	VFMLA V8.D2, V10.D2, a0; \
	VFMLA V9.D2, V11.D2, a1

// func addProductsNEON(l *lanes, x, y *float32, n int)
TEXT ·addProductsNEON(SB), NOSPLIT, $0-32
	MOVD l+0(FP), R0
	MOVD x+8(FP), R1
	MOVD y+16(FP), R4
	MOVD n+24(FP), R2
	MOVD R0, R3
	LOAD(R3)
loop:
	VLD1.P 64(R1), [V0.B16, V1.B16, V2.B16, V3.B16]
	VLD1.P 64(R4), [V4.B16, V5.B16, V6.B16, V7.B16]
	PRODUCTS(0, 4, V16.D2, V17.D2)
	PRODUCTS(1, 5, V18.D2, V19.D2)
	PRODUCTS(2, 6, V20.D2, V21.D2)
	PRODUCTS(3, 7, V22.D2, V23.D2)
	SUBS $16, R2, R2
	BNE loop
	STORE(R0)
	RET

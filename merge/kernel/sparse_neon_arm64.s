//go:build !purego

// Partitions and consensus, 8 elements a turn.

#include "textflag.h"
#include "neon_arm64.h"

// func amplifyNEON(dst, delta, key *float32, n int, above []int32, ratios *float32)
TEXT ·amplifyNEON(SB), NOSPLIT, $0-64
	MOVD dst+0(FP), R0
	MOVD delta+8(FP), R1
	MOVD key+16(FP), R3
	MOVD n+24(FP), R2
	MOVD above_base+32(FP), R4
	MOVD above_len+40(FP), R5
	MOVD ratios+56(FP), R6
	MOVD $0x7fffffff, R7
	VDUP R7, V31.S4
loop:
	VLD1.P 32(R3), [V0.B16, V1.B16]
	VAND V31.B16, V0.B16, V0.B16
	VAND V31.B16, V1.B16, V1.B16
	VEOR V2.B16, V2.B16, V2.B16
	VEOR V3.B16, V3.B16, V3.B16
	ADD R5<<2, R4, R8
	ADD R5<<2, R6, R9
cut: // from the largest set to the smallest, which has the last word
	MOVWU.W -4(R8), R10
	VDUP R10, V4.S4
	MOVWU.W -4(R9), R10
	VDUP R10, V5.S4
	CMGTS(4, 0, 6)
	CMGTS(4, 1, 7)
	VBIT V6.B16, V5.B16, V2.B16
	VBIT V7.B16, V5.B16, V3.B16
	CMP R4, R8
	BNE cut
	VLD1.P 32(R1), [V0.B16, V1.B16]
	FMULS(0, 2, 2)
	FMULS(1, 3, 3)
	VST1.P [V2.B16, V3.B16], 32(R0)
	SUBS $8, R2, R2
	BNE loop
	RET

// func electNEON(sign *float32, x [][]float32, first, n int, zero float32)
TEXT ·electNEON(SB), NOSPLIT, $0-52
	MOVD sign+0(FP), R0
	MOVD first+32(FP), R3
	LSL $2, R3, R3 // offset in every slice
	MOVD n+40(FP), R2
	MOVWU zero+48(FP), R4
	VDUP R4, V29.S4
	MOVD $0x3f800000, R4
	VDUP R4, V30.S4
	MOVD $0xbf800000, R4
	VDUP R4, V31.S4
loop:
	VEOR V0.B16, V0.B16, V0.B16
	VEOR V1.B16, V1.B16, V1.B16
	MOVD x_base+8(FP), R5
	MOVD x_len+16(FP), R6
next:
	MOVD.P 24(R5), R7 // a slice header
	ADD R3, R7, R7
	VLD1 (R7), [V2.B16, V3.B16]
	FADDS(2, 0, 0)
	FADDS(3, 1, 1)
	SUBS $1, R6, R6
	BNE next
	VORR V29.B16, V29.B16, V2.B16
	VORR V29.B16, V29.B16, V3.B16
	FCMGT0S(0, 4)
	FCMGT0S(1, 5)
	VBIT V4.B16, V30.B16, V2.B16
	VBIT V5.B16, V30.B16, V3.B16
	FCMLT0S(0, 4)
	FCMLT0S(1, 5)
	VBIT V4.B16, V31.B16, V2.B16
	VBIT V5.B16, V31.B16, V3.B16
	VST1.P [V2.B16, V3.B16], 32(R0)
	ADD $32, R3, R3
	SUBS $8, R2, R2
	BNE loop
	RET

// func agreeNEON(dst, sign *float32, x [][]float32, first, n int, weights *float32)
TEXT ·agreeNEON(SB), NOSPLIT, $0-64
	MOVD dst+0(FP), R0
	MOVD sign+8(FP), R1
	MOVD first+40(FP), R3
	LSL $2, R3, R3
	MOVD n+48(FP), R2
loop:
	VLD1.P 16(R1), [V0.B16]
	FCMGT0S(0, 1)
	FCMLT0S(0, 2)
	VEOR V3.B16, V3.B16, V3.B16 // sum
	VEOR V4.B16, V4.B16, V4.B16 // weights
	MOVD x_base+16(FP), R5
	MOVD x_len+24(FP), R6
	MOVD weights+56(FP), R8
next:
	MOVD.P 24(R5), R7
	ADD R3, R7, R7
	VLD1 (R7), [V5.B16]
	FCMGT0S(5, 6)
	FCMLT0S(5, 7)
	VAND V1.B16, V6.B16, V6.B16
	VAND V2.B16, V7.B16, V7.B16
	VORR V7.B16, V6.B16, V6.B16
	VAND V6.B16, V5.B16, V5.B16 // +0 changes no sum: none is −0
	FADDS(5, 3, 3)
	CBZ R8, plain
	MOVWU.P 4(R8), R9
	VDUP R9, V7.S4
	VAND V6.B16, V7.B16, V7.B16
	FADDS(7, 4, 4)
plain:
	SUBS $1, R6, R6
	BNE next
	CBZ R8, store
	FCMEQ0S(4, 5)
	FDIVS(4, 3, 6)
	VBIF V5.B16, V6.B16, V3.B16 // where the weights are not 0
store:
	VST1.P [V3.B16], 16(R0)
	ADD $16, R3, R3
	SUBS $4, R2, R2
	BNE loop
	RET

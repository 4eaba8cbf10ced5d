//go:build !purego

// Formats and elementwise arithmetic, as in stream_avx512_amd64.s.

#include "textflag.h"

// What BRAIN needs: Y13 = 1, Y14 = 0x7fff, Y15 = the bit that makes a NaN quiet.
#define CONSTANTS \
	MOVL $1, AX; \
	MOVQ AX, X13; \
	VPBROADCASTD X13, Y13; \
	MOVL $0x7fff, AX; \
	MOVQ AX, X14; \
	VPBROADCASTD X14, Y14; \
	MOVL $0x400000, AX; \
	MOVQ AX, X15; \
	VPBROADCASTD X15, Y15

// BRAIN rounds x to bfloat16 in the upper half of each element of r; x is lost.
#define BRAIN(x, r, nan) \
	VPSRLD $16, x, r; \
	VPAND Y13, r, r; \
	VPADDD Y14, r, r; \
	VCMPPS $3, x, x, nan; \
	VPADDD x, r, r; \
	VPOR Y15, x, x; \
	VBLENDVPS nan, x, r, r

#define NEXT(src, dst) \
	ADDQ $src, SI; \
	ADDQ $dst, DI; \
	SUBQ $16, CX; \
	JNZ loop; \
	VZEROUPPER

// func decodeHalfAVX2(dst *float32, src *byte, n int)
TEXT ·decodeHalfAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
loop:
	VCVTPH2PS (SI), Y0
	VCVTPH2PS 16(SI), Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	NEXT(32, 64)
	RET

// func decodeBrainAVX2(dst *float32, src *byte, n int)
TEXT ·decodeBrainAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
loop:
	VPMOVZXWD (SI), Y0
	VPMOVZXWD 16(SI), Y1
	VPSLLD $16, Y0, Y0
	VPSLLD $16, Y1, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	NEXT(32, 64)
	RET

// func encodeHalfAVX2(dst *byte, src *float32, n int)
TEXT ·encodeHalfAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
loop:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VCVTPS2PH $0, Y0, (DI)
	VCVTPS2PH $0, Y1, 16(DI)
	NEXT(64, 32)
	RET

// func encodeBrainAVX2(dst *byte, src *float32, n int)
TEXT ·encodeBrainAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	CONSTANTS
loop:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	BRAIN(Y0, Y2, Y4)
	BRAIN(Y1, Y3, Y5)
	VPSRLD $16, Y2, Y2
	VPSRLD $16, Y3, Y3
	VPACKUSDW Y3, Y2, Y2 // in halves of 128 bits
	VPERMQ $0xd8, Y2, Y2
	VMOVDQU Y2, (DI)
	NEXT(64, 32)
	RET

// func roundHalfAVX2(dst, src *float32, n int)
TEXT ·roundHalfAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
loop:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VCVTPS2PH $0, Y0, X0
	VCVTPS2PH $0, Y1, X1
	VCVTPH2PS X0, Y0
	VCVTPH2PS X1, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	NEXT(64, 64)
	RET

// func roundBrainAVX2(dst, src *float32, n int)
TEXT ·roundBrainAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	CONSTANTS
	MOVL $0xffff0000, AX
	MOVQ AX, X12
	VPBROADCASTD X12, Y12
loop:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	BRAIN(Y0, Y2, Y4)
	BRAIN(Y1, Y3, Y5)
	VPAND Y12, Y2, Y2
	VPAND Y12, Y3, Y3
	VMOVUPS Y2, (DI)
	VMOVUPS Y3, 32(DI)
	NEXT(64, 64)
	RET

// func subtractAVX2(dst, x, y *float32, n int)
TEXT ·subtractAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DX
	MOVQ n+24(FP), CX
loop:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VSUBPS (DX), Y0, Y0
	VSUBPS 32(DX), Y1, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	ADDQ $64, DX
	NEXT(64, 64)
	RET

// func scaleAVX2(dst, x *float32, n int, c float32)
TEXT ·scaleAVX2(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS c+24(FP), Y2
loop:
	VMULPS (SI), Y2, Y0
	VMULPS 32(SI), Y2, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	NEXT(64, 64)
	RET

// func divideAVX2(dst, x *float32, n int, c float32)
TEXT ·divideAVX2(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS c+24(FP), Y2
loop:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VDIVPS Y2, Y0, Y0
	VDIVPS Y2, Y1, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	NEXT(64, 64)
	RET

// func addScaledAVX2(dst, x *float32, n int, c float32)
TEXT ·addScaledAVX2(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS c+24(FP), Y2
loop:
	VMULPS (SI), Y2, Y0 // rounded before it is added
	VMULPS 32(SI), Y2, Y1
	VADDPS (DI), Y0, Y0
	VADDPS 32(DI), Y1, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	NEXT(64, 64)
	RET

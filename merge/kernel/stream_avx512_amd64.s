//go:build !purego

// Formats and elementwise arithmetic, 32 elements a turn. DI is what is written,
// CX what is left.

#include "textflag.h"

// The upper word of each of 32 doublewords.
DATA upper512<>+0(SB)/8, $0x0007000500030001
DATA upper512<>+8(SB)/8, $0x000f000d000b0009
DATA upper512<>+16(SB)/8, $0x0017001500130011
DATA upper512<>+24(SB)/8, $0x001f001d001b0019
DATA upper512<>+32(SB)/8, $0x0027002500230021
DATA upper512<>+40(SB)/8, $0x002f002d002b0029
DATA upper512<>+48(SB)/8, $0x0037003500330031
DATA upper512<>+56(SB)/8, $0x003f003d003b0039
GLOBL upper512<>(SB), RODATA|NOPTR, $64

// What BRAIN needs: Z16 = 1, Z17 = 0x7fff, Z18 = the bit that makes a NaN quiet.
#define CONSTANTS \
	MOVL $1, AX; \
	VPBROADCASTD AX, Z16; \
	MOVL $0x7fff, AX; \
	VPBROADCASTD AX, Z17; \
	MOVL $0x400000, AX; \
	VPBROADCASTD AX, Z18

// BRAIN rounds x to bfloat16 in the upper half of each element of r.
#define BRAIN(x, r, nan) \
	VPSRLD $16, x, r; \
	VPANDD Z16, r, r; \
	VPADDD Z17, r, r; \
	VCMPPS $3, x, x, nan; \
	VPADDD x, r, r; \
	VPORD Z18, x, nan, r

// func decodeHalfAVX512(dst *float32, src *byte, n int)
TEXT ·decodeHalfAVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
loop:
	VCVTPH2PS (SI), Z0
	VCVTPH2PS 32(SI), Z1
	VMOVUPS Z0, (DI)
	VMOVUPS Z1, 64(DI)
	ADDQ $64, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JNZ loop
	VZEROUPPER
	RET

// func decodeBrainAVX512(dst *float32, src *byte, n int)
TEXT ·decodeBrainAVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
loop:
	VPMOVZXWD (SI), Z0
	VPMOVZXWD 32(SI), Z1
	VPSLLD $16, Z0, Z0
	VPSLLD $16, Z1, Z1
	VMOVUPS Z0, (DI)
	VMOVUPS Z1, 64(DI)
	ADDQ $64, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JNZ loop
	VZEROUPPER
	RET

// func encodeHalfAVX512(dst *byte, src *float32, n int)
TEXT ·encodeHalfAVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
loop:
	VMOVUPS (SI), Z0
	VMOVUPS 64(SI), Z1
	VCVTPS2PH $0, Z0, (DI)
	VCVTPS2PH $0, Z1, 32(DI)
	ADDQ $128, SI
	ADDQ $64, DI
	SUBQ $32, CX
	JNZ loop
	VZEROUPPER
	RET

// func encodeBrainAVX512(dst *byte, src *float32, n int)
TEXT ·encodeBrainAVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	CONSTANTS
	VMOVDQU64 upper512<>(SB), Z19
loop:
	VMOVUPS (SI), Z0
	VMOVUPS 64(SI), Z1
	BRAIN(Z0, Z2, K1)
	BRAIN(Z1, Z3, K2)
	VPERMT2W Z3, Z19, Z2
	VMOVDQU64 Z2, (DI)
	ADDQ $128, SI
	ADDQ $64, DI
	SUBQ $32, CX
	JNZ loop
	VZEROUPPER
	RET

// func roundHalfAVX512(dst, src *float32, n int)
TEXT ·roundHalfAVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
loop:
	VMOVUPS (SI), Z0
	VMOVUPS 64(SI), Z1
	VCVTPS2PH $0, Z0, Y0
	VCVTPS2PH $0, Z1, Y1
	VCVTPH2PS Y0, Z0
	VCVTPH2PS Y1, Z1
	VMOVUPS Z0, (DI)
	VMOVUPS Z1, 64(DI)
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JNZ loop
	VZEROUPPER
	RET

// func roundBrainAVX512(dst, src *float32, n int)
TEXT ·roundBrainAVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	CONSTANTS
	MOVL $0xffff0000, AX
	VPBROADCASTD AX, Z19
loop:
	VMOVUPS (SI), Z0
	VMOVUPS 64(SI), Z1
	BRAIN(Z0, Z2, K1)
	BRAIN(Z1, Z3, K2)
	VPANDD Z19, Z2, Z2
	VPANDD Z19, Z3, Z3
	VMOVUPS Z2, (DI)
	VMOVUPS Z3, 64(DI)
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JNZ loop
	VZEROUPPER
	RET

// func subtractAVX512(dst, x, y *float32, n int)
TEXT ·subtractAVX512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DX
	MOVQ n+24(FP), CX
loop:
	VMOVUPS (SI), Z0
	VMOVUPS 64(SI), Z1
	VSUBPS (DX), Z0, Z0
	VSUBPS 64(DX), Z1, Z1
	VMOVUPS Z0, (DI)
	VMOVUPS Z1, 64(DI)
	ADDQ $128, SI
	ADDQ $128, DX
	ADDQ $128, DI
	SUBQ $32, CX
	JNZ loop
	VZEROUPPER
	RET

// func scaleAVX512(dst, x *float32, n int, c float32)
TEXT ·scaleAVX512(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS c+24(FP), Z2
loop:
	VMULPS (SI), Z2, Z0
	VMULPS 64(SI), Z2, Z1
	VMOVUPS Z0, (DI)
	VMOVUPS Z1, 64(DI)
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JNZ loop
	VZEROUPPER
	RET

// func divideAVX512(dst, x *float32, n int, c float32)
TEXT ·divideAVX512(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS c+24(FP), Z2
loop:
	VMOVUPS (SI), Z0
	VMOVUPS 64(SI), Z1
	VDIVPS Z2, Z0, Z0
	VDIVPS Z2, Z1, Z1
	VMOVUPS Z0, (DI)
	VMOVUPS Z1, 64(DI)
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JNZ loop
	VZEROUPPER
	RET

// func addScaledAVX512(dst, x *float32, n int, c float32)
TEXT ·addScaledAVX512(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS c+24(FP), Z2
loop:
	VMULPS (SI), Z2, Z0 // rounded before it is added
	VMULPS 64(SI), Z2, Z1
	VADDPS (DI), Z0, Z0
	VADDPS 64(DI), Z1, Z1
	VMOVUPS Z0, (DI)
	VMOVUPS Z1, 64(DI)
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JNZ loop
	VZEROUPPER
	RET

//go:build !purego

// Selection, partitions and consensus.

#include "textflag.h"

DATA index256<>+0(SB)/8, $0x0000000100000000
DATA index256<>+8(SB)/8, $0x0000000300000002
DATA index256<>+16(SB)/8, $0x0000000500000004
DATA index256<>+24(SB)/8, $0x0000000700000006
GLOBL index256<>(SB), RODATA|NOPTR, $32

#define BROADCAST(value, x, y) \
	MOVL value, AX; \
	MOVQ AX, x; \
	VPBROADCASTD x, y

// SIFT takes 8 elements. The candidates' positions are drawn together as bytes:
// R12 holds 0 to 7, R11 the lowest bit of every byte.
#define SIFT(at) \
	VPAND at(SI), Y12, Y0; \
	VPCMPGTD Y0, Y13, Y1; \
	VPCMPGTD Y14, Y0, Y2; \
	VPOR Y1, Y2, Y2; \
	VMOVMSKPS Y1, AX; \
	VMOVMSKPS Y2, BX; \
	XORL $0xff, BX; \
	POPCNTL AX, AX; \
	ADDQ AX, R8; \
	PDEPQ R11, BX, R10; \
	IMULQ $0xff, R10; \
	PEXTQ R10, R12, R10; \
	VMOVQ R10, X3; \
	VPMOVZXBD X3, Y3; \
	VPERMD Y0, Y3, Y0; \
	VPADDD Y15, Y3, Y3; \
	VMOVDQU Y0, (DI)(R9*4); \
	VMOVDQU Y3, (DX)(R9*4); \
	VPADDD Y11, Y15, Y15; \
	POPCNTL BX, BX; \
	ADDQ BX, R9

// func siftAVX2(keys, at *uint32, key *float32, n, first int, lo, hi int32) (below, found int)
TEXT ·siftAVX2(SB), NOSPLIT, $0-64
	MOVQ keys+0(FP), DI
	MOVQ at+8(FP), DX
	MOVQ key+16(FP), SI
	MOVQ n+24(FP), CX
	VPBROADCASTD first+32(FP), Y15 // the first element's position, in all lanes
	VBROADCASTSS lo+40(FP), Y13
	VBROADCASTSS hi+44(FP), Y14
	BROADCAST($0x7fffffff, X12, Y12)
	BROADCAST($8, X11, Y11)
	MOVQ $0x0706050403020100, R12
	MOVQ $0x0101010101010101, R11
	XORL R8, R8
	XORL R9, R9
loop:
	SIFT(0)
	SIFT(32)
	ADDQ $64, SI
	SUBQ $16, CX
	JNZ loop
	MOVQ R8, below+48(FP)
	MOVQ R9, found+56(FP)
	VZEROUPPER
	RET

// func amplifyAVX2(dst, delta, key *float32, n int, above []int32, ratios *float32)
TEXT ·amplifyAVX2(SB), NOSPLIT, $0-64
	MOVQ dst+0(FP), DI
	MOVQ delta+8(FP), SI
	MOVQ key+16(FP), DX
	MOVQ n+24(FP), CX
	MOVQ above_base+32(FP), R8
	MOVQ ratios+56(FP), R9
	BROADCAST($0x7fffffff, X12, Y12)
loop:
	VPAND (DX), Y12, Y0
	VPAND 32(DX), Y12, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	MOVQ above_len+40(FP), R10
cut: // from the largest set to the smallest, which has the last word
	VPBROADCASTD -4(R8)(R10*4), Y4
	VBROADCASTSS -4(R9)(R10*4), Y5
	VPCMPGTD Y4, Y0, Y6
	VPCMPGTD Y4, Y1, Y7
	VBLENDVPS Y6, Y5, Y2, Y2
	VBLENDVPS Y7, Y5, Y3, Y3
	SUBQ $1, R10
	JNZ cut
	VMULPS (SI), Y2, Y2
	VMULPS 32(SI), Y3, Y3
	VMOVUPS Y2, (DI)
	VMOVUPS Y3, 32(DI)
	ADDQ $64, SI
	ADDQ $64, DX
	ADDQ $64, DI
	SUBQ $16, CX
	JNZ loop
	VZEROUPPER
	RET

DATA golden256<>+0(SB)/8, $0
DATA golden256<>+8(SB)/8, $0x9e3779b97f4a7c15
DATA golden256<>+16(SB)/8, $0x3c6ef372fe94f82a
DATA golden256<>+24(SB)/8, $0xdaa66d2c7ddf743f
GLOBL golden256<>(SB), RODATA|NOPTR, $32

// TIMES is z *= c modulo 2⁶⁴, of which low and high hold the halves.
#define TIMES(z, low, high) \
	VPSRLQ $32, z, Y6; \
	VPMULUDQ high, z, Y7; \
	VPMULUDQ low, Y6, Y6; \
	VPMULUDQ low, z, z; \
	VPADDQ Y6, Y7, Y7; \
	VPSLLQ $32, Y7, Y7; \
	VPADDQ Y7, z, z

// SPLITMIX is 53 bits of splitmix64 at the counters z, in u.
#define SPLITMIX(z, u) \
	VPSRLQ $30, z, u; \
	VPXOR z, u, u; \
	TIMES(u, Y12, Y13); \
	VPSRLQ $27, u, Y6; \
	VPXOR Y6, u, u; \
	TIMES(u, Y14, Y15); \
	VPSRLQ $31, u, Y6; \
	VPXOR Y6, u, u; \
	VPSRLQ $11, u, u

// func amplifyRandomAVX2(dst, delta *float32, n int, counter uint64, above []int64, ratios *float32)
TEXT ·amplifyRandomAVX2(SB), NOSPLIT, $0-64
	MOVQ dst+0(FP), DI
	MOVQ delta+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ above_base+32(FP), R8
	MOVQ ratios+56(FP), R9
	VPBROADCASTQ counter+24(FP), Y5
	VPADDQ golden256<>(SB), Y5, Y5
	MOVQ $0x78dde6e5fd29f054, AX // 4 times golden
	MOVQ AX, X11
	VPBROADCASTQ X11, Y11
	MOVQ $0xbf58476d1ce4e5b9, AX
	MOVQ AX, X12
	VPBROADCASTQ X12, Y12
	VPSRLQ $32, Y12, Y13
	MOVQ $0x94d049bb133111eb, AX
	MOVQ AX, X14
	VPBROADCASTQ X14, Y14
	VPSRLQ $32, Y14, Y15
loop:
	SPLITMIX(Y5, Y0)
	VPADDQ Y11, Y5, Y5
	SPLITMIX(Y5, Y1)
	VPADDQ Y11, Y5, Y5
	VPXOR Y2, Y2, Y2
	MOVQ above_len+40(FP), R10
rate:
	VPBROADCASTQ -8(R8)(R10*8), Y6
	VBROADCASTSS -4(R9)(R10*4), Y4
	VPCMPGTQ Y6, Y0, Y7
	VPCMPGTQ Y6, Y1, Y6
	VSHUFPS $0x88, Y6, Y7, Y7 // to 32 bits, in halves of 128
	VPERMQ $0xd8, Y7, Y7
	VBLENDVPS Y7, Y4, Y2, Y2
	SUBQ $1, R10
	JNZ rate
	VMULPS (SI), Y2, Y2
	VMOVUPS Y2, (DI)
	ADDQ $32, SI
	ADDQ $32, DI
	SUBQ $8, CX
	JNZ loop
	VZEROUPPER
	RET

// func electAVX2(sign *float32, x [][]float32, first, n int, zero float32)
TEXT ·electAVX2(SB), NOSPLIT, $0-52
	MOVQ sign+0(FP), DI
	MOVQ first+32(FP), R11
	SHLQ $2, R11 // offset in every slice
	MOVQ n+40(FP), CX
	VBROADCASTSS zero+48(FP), Y13
	BROADCAST($0x3f800000, X14, Y14)
	BROADCAST($0xbf800000, X15, Y15)
	VPXOR Y12, Y12, Y12
loop:
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	MOVQ x_base+8(FP), R8
	MOVQ x_len+16(FP), R10
next:
	MOVQ (R8), R9
	VADDPS (R9)(R11*1), Y0, Y0
	VADDPS 32(R9)(R11*1), Y1, Y1
	ADDQ $24, R8 // a slice header
	SUBQ $1, R10
	JNZ next
	VCMPPS $30, Y12, Y0, Y2
	VCMPPS $30, Y12, Y1, Y3
	VCMPPS $17, Y12, Y0, Y4
	VCMPPS $17, Y12, Y1, Y5
	VBLENDVPS Y2, Y14, Y13, Y2
	VBLENDVPS Y3, Y14, Y13, Y3
	VBLENDVPS Y4, Y15, Y2, Y2
	VBLENDVPS Y5, Y15, Y3, Y3
	VMOVUPS Y2, (DI)
	VMOVUPS Y3, 32(DI)
	ADDQ $64, R11
	ADDQ $64, DI
	SUBQ $16, CX
	JNZ loop
	VZEROUPPER
	RET

// AGREES is the mask of d that are not 0 and have the sign asked for.
#define AGREES(d, positive, negative, mask) \
	VCMPPS $30, Y12, d, mask; \
	VCMPPS $17, Y12, d, Y15; \
	VANDPS positive, mask, mask; \
	VANDPS negative, Y15, Y15; \
	VORPS Y15, mask, mask

// func agreeAVX2(dst, sign *float32, x [][]float32, first, n int, weights *float32)
TEXT ·agreeAVX2(SB), NOSPLIT, $0-64
	MOVQ dst+0(FP), DI
	MOVQ sign+8(FP), SI
	MOVQ first+40(FP), R11
	SHLQ $2, R11
	MOVQ n+48(FP), CX
	MOVQ weights+56(FP), DX
	VPXOR Y12, Y12, Y12
loop:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VCMPPS $30, Y12, Y0, Y8
	VCMPPS $30, Y12, Y1, Y9
	VCMPPS $17, Y12, Y0, Y10
	VCMPPS $17, Y12, Y1, Y11
	VPXOR Y0, Y0, Y0 // sums
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2 // weights
	VPXOR Y3, Y3, Y3
	MOVQ x_base+16(FP), R8
	XORL R10, R10
next:
	MOVQ (R8), R9
	VMOVUPS (R9)(R11*1), Y4
	VMOVUPS 32(R9)(R11*1), Y5
	AGREES(Y4, Y8, Y10, Y6)
	AGREES(Y5, Y9, Y11, Y7)
	VANDPS Y6, Y4, Y4 // +0 changes no sum: none is −0
	VANDPS Y7, Y5, Y5
	VADDPS Y4, Y0, Y0
	VADDPS Y5, Y1, Y1
	TESTQ DX, DX
	JZ plain
	VBROADCASTSS (DX)(R10*4), Y14
	VANDPS Y6, Y14, Y6
	VANDPS Y7, Y14, Y7
	VADDPS Y6, Y2, Y2
	VADDPS Y7, Y3, Y3
plain:
	ADDQ $24, R8
	ADDQ $1, R10
	CMPQ R10, x_len+24(FP)
	JNE next
	TESTQ DX, DX
	JZ store
	VCMPPS $4, Y12, Y2, Y4 // not 0, or NaN
	VCMPPS $4, Y12, Y3, Y5
	VDIVPS Y2, Y0, Y2
	VDIVPS Y3, Y1, Y3
	VBLENDVPS Y4, Y2, Y0, Y0
	VBLENDVPS Y5, Y3, Y1, Y1
store:
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	ADDQ $64, R11
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $16, CX
	JNZ loop
	VZEROUPPER
	RET

//go:build !purego

// Selection, partitions and consensus.

#include "textflag.h"

DATA index512<>+0(SB)/8, $0x0000000100000000
DATA index512<>+8(SB)/8, $0x0000000300000002
DATA index512<>+16(SB)/8, $0x0000000500000004
DATA index512<>+24(SB)/8, $0x0000000700000006
DATA index512<>+32(SB)/8, $0x0000000900000008
DATA index512<>+40(SB)/8, $0x0000000b0000000a
DATA index512<>+48(SB)/8, $0x0000000d0000000c
DATA index512<>+56(SB)/8, $0x0000000f0000000e
GLOBL index512<>(SB), RODATA|NOPTR, $64

// SIFT takes 16 elements, without a branch: most have no candidate, but which
// ones cannot be foreseen.
#define SIFT(at) \
	VPANDD at(SI), Z18, Z0; \
	VPCMPD $1, Z16, Z0, K1; \
	VPCMPD $2, Z17, Z0, K2; \
	KANDNW K2, K1, K2; \
	VPCOMPRESSD.Z Z0, K2, Z1; \
	VPCOMPRESSD.Z Z19, K2, Z2; \
	KMOVW K1, AX; \
	KMOVW K2, BX; \
	POPCNTL AX, AX; \
	POPCNTL BX, BX; \
	VMOVDQU32 Z1, (DI)(R9*4); \
	VMOVDQU32 Z2, (DX)(R9*4); \
	VPADDD Z20, Z19, Z19; \
	ADDQ AX, R8; \
	ADDQ BX, R9

// func siftAVX512(keys, at *uint32, key *float32, n, first int, lo, hi int32) (below, found int)
TEXT ·siftAVX512(SB), NOSPLIT, $0-64
	MOVQ keys+0(FP), DI
	MOVQ at+8(FP), DX
	MOVQ key+16(FP), SI
	MOVQ n+24(FP), CX
	MOVQ first+32(FP), AX
	VPBROADCASTD AX, Z19
	VPADDD index512<>(SB), Z19, Z19
	VBROADCASTSS lo+40(FP), Z16
	VBROADCASTSS hi+44(FP), Z17
	MOVL $0x7fffffff, AX
	VPBROADCASTD AX, Z18
	MOVL $16, AX
	VPBROADCASTD AX, Z20
	XORL R8, R8
	XORL R9, R9
loop:
	SIFT(0)
	SIFT(64)
	ADDQ $128, SI
	SUBQ $32, CX
	JNZ loop
	MOVQ R8, below+48(FP)
	MOVQ R9, found+56(FP)
	VZEROUPPER
	RET

// func amplifyAVX512(dst, delta, key *float32, n int, above []int32, ratios *float32)
TEXT ·amplifyAVX512(SB), NOSPLIT, $0-64
	MOVQ dst+0(FP), DI
	MOVQ delta+8(FP), SI
	MOVQ key+16(FP), DX
	MOVQ n+24(FP), CX
	MOVQ above_base+32(FP), R8
	MOVQ ratios+56(FP), R9
	MOVL $0x7fffffff, AX
	VPBROADCASTD AX, Z6
loop:
	VPANDD (DX), Z6, Z0
	VPANDD 64(DX), Z6, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
	MOVQ above_len+40(FP), R10
cut: // from the largest set to the smallest, which has the last word
	VPCMPD.BCST $6, -4(R8)(R10*4), Z0, K1
	VPCMPD.BCST $6, -4(R8)(R10*4), Z1, K2
	VBROADCASTSS -4(R9)(R10*4), K1, Z2
	VBROADCASTSS -4(R9)(R10*4), K2, Z3
	SUBQ $1, R10
	JNZ cut
	VMULPS (SI), Z2, Z2
	VMULPS 64(SI), Z3, Z3
	VMOVUPS Z2, (DI)
	VMOVUPS Z3, 64(DI)
	ADDQ $128, SI
	ADDQ $128, DX
	ADDQ $128, DI
	SUBQ $32, CX
	JNZ loop
	VZEROUPPER
	RET

DATA golden512<>+0(SB)/8, $0
DATA golden512<>+8(SB)/8, $0x9e3779b97f4a7c15
DATA golden512<>+16(SB)/8, $0x3c6ef372fe94f82a
DATA golden512<>+24(SB)/8, $0xdaa66d2c7ddf743f
DATA golden512<>+32(SB)/8, $0x78dde6e5fd29f054
DATA golden512<>+40(SB)/8, $0x1715609f7c746c69
DATA golden512<>+48(SB)/8, $0xb54cda58fbbee87e
DATA golden512<>+56(SB)/8, $0x538454127b096493
GLOBL golden512<>(SB), RODATA|NOPTR, $64

// SPLITMIX is 53 bits of splitmix64 at the counters z, in u.
#define SPLITMIX(z, u) \
	VPSRLQ $30, z, u; \
	VPXORQ z, u, u; \
	VPMULLQ Z17, u, u; \
	VPSRLQ $27, u, Z4; \
	VPXORQ Z4, u, u; \
	VPMULLQ Z18, u, u; \
	VPSRLQ $31, u, Z4; \
	VPXORQ Z4, u, u; \
	VPSRLQ $11, u, u

// func amplifyRandomAVX512(dst, delta *float32, n int, counter uint64, above []int64, ratios *float32)
TEXT ·amplifyRandomAVX512(SB), NOSPLIT, $0-64
	MOVQ dst+0(FP), DI
	MOVQ delta+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ above_base+32(FP), R8
	MOVQ ratios+56(FP), R9
	VPBROADCASTQ counter+24(FP), Z5
	VPADDQ golden512<>(SB), Z5, Z5
	MOVQ $0xf1bbcdcbfa53e0a8, AX // 8 times golden
	VPBROADCASTQ AX, Z16
	MOVQ $0xbf58476d1ce4e5b9, AX
	VPBROADCASTQ AX, Z17
	MOVQ $0x94d049bb133111eb, AX
	VPBROADCASTQ AX, Z18
loop:
	VPADDQ Z16, Z5, Z6
	SPLITMIX(Z5, Z0)
	SPLITMIX(Z6, Z1)
	VPADDQ Z16, Z6, Z5
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
	MOVQ above_len+40(FP), R10
rate:
	VPCMPQ.BCST $6, -8(R8)(R10*8), Z0, K1
	VPCMPQ.BCST $6, -8(R8)(R10*8), Z1, K2
	VBROADCASTSS -4(R9)(R10*4), K1, Y2
	VBROADCASTSS -4(R9)(R10*4), K2, Y3
	SUBQ $1, R10
	JNZ rate
	VMULPS (SI), Y2, Y2
	VMULPS 32(SI), Y3, Y3
	VMOVUPS Y2, (DI)
	VMOVUPS Y3, 32(DI)
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $16, CX
	JNZ loop
	VZEROUPPER
	RET

// func electAVX512(sign *float32, x [][]float32, first, n int, zero float32)
TEXT ·electAVX512(SB), NOSPLIT, $0-52
	MOVQ sign+0(FP), DI
	MOVQ first+32(FP), R11
	SHLQ $2, R11 // offset in every slice
	MOVQ n+40(FP), CX
	VBROADCASTSS zero+48(FP), Z16
	MOVL $0x3f800000, AX
	VPBROADCASTD AX, Z17
	MOVL $0xbf800000, AX
	VPBROADCASTD AX, Z18
	VPXORD Z5, Z5, Z5
loop:
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	MOVQ x_base+8(FP), R8
	MOVQ x_len+16(FP), R10
next:
	MOVQ (R8), R9
	VADDPS (R9)(R11*1), Z0, Z0
	VADDPS 64(R9)(R11*1), Z1, Z1
	ADDQ $24, R8 // a slice header
	SUBQ $1, R10
	JNZ next
	VCMPPS $30, Z5, Z0, K1
	VCMPPS $30, Z5, Z1, K2
	VCMPPS $17, Z5, Z0, K3
	VCMPPS $17, Z5, Z1, K4
	VMOVAPS Z16, Z2
	VMOVAPS Z16, Z3
	VMOVAPS Z17, K1, Z2
	VMOVAPS Z17, K2, Z3
	VMOVAPS Z18, K3, Z2
	VMOVAPS Z18, K4, Z3
	VMOVUPS Z2, (DI)
	VMOVUPS Z3, 64(DI)
	ADDQ $128, R11
	ADDQ $128, DI
	SUBQ $32, CX
	JNZ loop
	VZEROUPPER
	RET

// AGREES is the mask of d that are not 0 and have the sign asked for.
#define AGREES(d, positive, negative, k) \
	VCMPPS $30, Z5, d, positive, k; \
	VCMPPS $17, Z5, d, negative, K7; \
	KORW K7, k, k

// func agreeAVX512(dst, sign *float32, x [][]float32, first, n int, weights *float32)
TEXT ·agreeAVX512(SB), NOSPLIT, $0-64
	MOVQ dst+0(FP), DI
	MOVQ sign+8(FP), SI
	MOVQ first+40(FP), R11
	SHLQ $2, R11
	MOVQ n+48(FP), CX
	MOVQ weights+56(FP), DX
	VPXORD Z5, Z5, Z5
loop:
	VMOVUPS (SI), Z0
	VMOVUPS 64(SI), Z1
	VCMPPS $30, Z5, Z0, K1
	VCMPPS $30, Z5, Z1, K2
	VCMPPS $17, Z5, Z0, K3
	VCMPPS $17, Z5, Z1, K4
	VPXORD Z0, Z0, Z0 // sums
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2 // weights
	VPXORD Z3, Z3, Z3
	MOVQ x_base+16(FP), R8
	XORL R10, R10
next:
	MOVQ (R8), R9
	VMOVUPS (R9)(R11*1), Z6
	VMOVUPS 64(R9)(R11*1), Z7
	AGREES(Z6, K1, K3, K5)
	AGREES(Z7, K2, K4, K6)
	VADDPS Z6, Z0, K5, Z0
	VADDPS Z7, Z1, K6, Z1
	TESTQ DX, DX
	JZ plain
	VBROADCASTSS (DX)(R10*4), Z8
	VADDPS Z8, Z2, K5, Z2
	VADDPS Z8, Z3, K6, Z3
plain:
	ADDQ $24, R8
	ADDQ $1, R10
	CMPQ R10, x_len+24(FP)
	JNE next
	TESTQ DX, DX
	JZ store
	VCMPPS $4, Z5, Z2, K5 // not 0, or NaN
	VCMPPS $4, Z5, Z3, K6
	VDIVPS Z2, Z0, K5, Z0
	VDIVPS Z3, Z1, K6, Z1
store:
	VMOVUPS Z0, (DI)
	VMOVUPS Z1, 64(DI)
	ADDQ $128, R11
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JNZ loop
	VZEROUPPER
	RET

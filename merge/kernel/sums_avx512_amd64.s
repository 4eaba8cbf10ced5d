//go:build !purego

// Sums over a block in 16 lanes of fp64: lanes 0 to 7 in one register, 8 to 15 in
// another, each element added in index order.

#include "textflag.h"
#include "go_asm.h"

#define MAGNITUDE(reg) \
	MOVL $0x7fffffff, AX; \
	VPBROADCASTD AX, reg

// STATS takes 16 elements. The squares are exact, so fusing changes nothing; MIN
// and MAX pass over NaN, which must be their first operand.
#define STATS(at) \
	VMOVUPS at(SI), Z0; \
	VCVTPS2PD at(SI), Z2; \
	VCVTPS2PD at+32(SI), Z3; \
	VMINPS Z20, Z0, Z20; \
	VMAXPS Z21, Z0, Z21; \
	VPTESTNMD Z22, Z0, K1; \
	VFMADD231PD Z2, Z2, Z18; \
	VFMADD231PD Z3, Z3, Z19; \
	VPANDQ Z23, Z2, Z2; \
	VPANDQ Z23, Z3, Z3; \
	VPSUBD Z25, Z24, K1, Z24; \
	VADDPD Z2, Z16, Z16; \
	VADDPD Z3, Z17, Z17

// COUNT adds up the 16 counters of z, in AX; y and x are its lower parts.
#define COUNT(z, y, x) \
	VEXTRACTI64X4 $1, z, Y0; \
	VPADDD Y0, y, Y0; \
	VEXTRACTI128 $1, Y0, X1; \
	VPADDD X1, X0, X0; \
	VPSHUFD $0x4e, X0, X1; \
	VPADDD X1, X0, X0; \
	VPSHUFD $0xb1, X0, X1; \
	VPADDD X1, X0, X0; \
	VMOVD X0, AX

// func addStatsAVX512(b *blockStats, d *float32, n int)
TEXT ·addStatsAVX512(SB), NOSPLIT, $0-24
	MOVQ b+0(FP), DI
	MOVQ d+8(FP), SI
	MOVQ n+16(FP), CX
	MAGNITUDE(Z22)
	MOVQ $0x7fffffffffffffff, AX
	VPBROADCASTQ AX, Z23
	MOVL $-1, AX
	VPBROADCASTD AX, Z25
	VPXORD Z24, Z24, Z24
	VMOVUPD blockStats_abs(DI), Z16
	VMOVUPD blockStats_abs+64(DI), Z17
	VMOVUPD blockStats_sq(DI), Z18
	VMOVUPD blockStats_sq+64(DI), Z19
	VMOVUPS blockStats_min(DI), Z20
	VMOVUPS blockStats_max(DI), Z21
loop:
	STATS(0)
	STATS(64)
	ADDQ $128, SI
	SUBQ $32, CX
	JNZ loop
	VMOVUPD Z16, blockStats_abs(DI)
	VMOVUPD Z17, blockStats_abs+64(DI)
	VMOVUPD Z18, blockStats_sq(DI)
	VMOVUPD Z19, blockStats_sq+64(DI)
	VMOVUPS Z20, blockStats_min(DI)
	VMOVUPS Z21, blockStats_max(DI)
	VMOVDQA64 Z24, Z4
	COUNT(Z4, Y4, X4)
	ADDQ AX, blockStats_zeros(DI)
	VZEROUPPER
	RET

#define ABOVE(at) \
	VPANDD at(SI), Z22, Z1; \
	VCMPPS $30, Z18, Z1, K1; \
	VCVTPS2PD Y1, Z2; \
	VEXTRACTF64X4 $1, Z1, Y3; \
	VCVTPS2PD Y3, Z3; \
	KSHIFTRW $8, K1, K2; \
	KMOVW K1, AX; \
	VADDPD Z2, Z16, K1, Z16; \
	VADDPD Z3, Z17, K2, Z17; \
	POPCNTL AX, AX; \
	ADDQ AX, DX

// func addAboveAVX512(l *lanes, d *float32, n int, t float32) (count int)
TEXT ·addAboveAVX512(SB), NOSPLIT, $0-40
	MOVQ l+0(FP), DI
	MOVQ d+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS t+24(FP), Z18
	MAGNITUDE(Z22)
	XORL DX, DX
	VMOVUPD (DI), Z16
	VMOVUPD 64(DI), Z17
loop:
	ABOVE(0)
	ABOVE(64)
	ADDQ $128, SI
	SUBQ $32, CX
	JNZ loop
	VMOVUPD Z16, (DI)
	VMOVUPD Z17, 64(DI)
	MOVQ DX, count+32(FP)
	VZEROUPPER
	RET

// func addProductsAVX512(l *lanes, x, y *float32, n int)
TEXT ·addProductsAVX512(SB), NOSPLIT, $0-32
	MOVQ l+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DX
	MOVQ n+24(FP), CX
	VMOVUPD (DI), Z16
	VMOVUPD 64(DI), Z17
loop:
	VCVTPS2PD (SI), Z0
	VCVTPS2PD 32(SI), Z1
	VCVTPS2PD (DX), Z2
	VCVTPS2PD 32(DX), Z3
	VCVTPS2PD 64(SI), Z4
	VCVTPS2PD 96(SI), Z5
	VCVTPS2PD 64(DX), Z6
	VCVTPS2PD 96(DX), Z7
	VFMADD231PD Z0, Z2, Z16 // the products are exact
	VFMADD231PD Z1, Z3, Z17
	VFMADD231PD Z4, Z6, Z16
	VFMADD231PD Z5, Z7, Z17
	ADDQ $128, SI
	ADDQ $128, DX
	SUBQ $32, CX
	JNZ loop
	VMOVUPD Z16, (DI)
	VMOVUPD Z17, 64(DI)
	VZEROUPPER
	RET

// func signsAVX512(x *float32, n int) (positive, negative int)
TEXT ·signsAVX512(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	XORL R8, R8
	XORL R9, R9
	VPXORD Z2, Z2, Z2
loop:
	VMOVUPS (SI), Z0
	VMOVUPS 64(SI), Z1
	VCMPPS $30, Z2, Z0, K1
	VCMPPS $30, Z2, Z1, K2
	VCMPPS $17, Z2, Z0, K3
	VCMPPS $17, Z2, Z1, K4
	KUNPCKWD K1, K2, K1
	KUNPCKWD K3, K4, K3
	KMOVD K1, AX
	KMOVD K3, BX
	POPCNTL AX, AX
	POPCNTL BX, BX
	ADDQ AX, R8
	ADDQ BX, R9
	ADDQ $128, SI
	SUBQ $32, CX
	JNZ loop
	MOVQ R8, positive+16(FP)
	MOVQ R9, negative+24(FP)
	VZEROUPPER
	RET

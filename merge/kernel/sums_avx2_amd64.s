//go:build !purego

// Sums over a block in 16 lanes of fp64, four to a register: Y0 to Y3, and Y4 to
// Y7 for the squares.

#include "textflag.h"
#include "go_asm.h"

#define EIGHT(name, value) \
DATA name<>+0(SB)/8, value; \
DATA name<>+8(SB)/8, value; \
DATA name<>+16(SB)/8, value; \
DATA name<>+24(SB)/8, value; \
GLOBL name<>(SB), RODATA|NOPTR, $32

EIGHT(magnitude256, $0x7fffffff7fffffff)
EIGHT(wide256, $0x7fffffffffffffff) // magnitude of an fp64

// STATS takes 8 elements. The squares are exact, so fusing changes nothing; MIN
// and MAX pass over NaN, which must be their first operand.
#define STATS(at, a0, a1, s0, s1) \
	VMOVUPS at(SI), Y12; \
	VCVTPS2PD at(SI), Y13; \
	VCVTPS2PD at+16(SI), Y14; \
	VMINPS Y8, Y12, Y8; \
	VMAXPS Y9, Y12, Y9; \
	VCMPPS $0, Y11, Y12, Y12; \
	VPSUBD Y12, Y10, Y10; \
	VFMADD231PD Y13, Y13, s0; \
	VFMADD231PD Y14, Y14, s1; \
	VANDPD Y15, Y13, Y13; \
	VANDPD Y15, Y14, Y14; \
	VADDPD Y13, a0, a0; \
	VADDPD Y14, a1, a1

// COUNT adds up the 8 counters of y, whose lower half is x, in AX.
#define COUNT(y, x) \
	VEXTRACTI128 $1, y, X13; \
	VPADDD X13, x, X12; \
	VPSHUFD $0x4e, X12, X13; \
	VPADDD X13, X12, X12; \
	VPSHUFD $0xb1, X12, X13; \
	VPADDD X13, X12, X12; \
	VMOVD X12, AX

// func addStatsAVX2(b *blockStats, d *float32, n int)
TEXT ·addStatsAVX2(SB), NOSPLIT, $0-24
	MOVQ b+0(FP), DI
	MOVQ d+8(FP), SI
	MOVQ n+16(FP), CX
	VMOVUPD blockStats_abs(DI), Y0
	VMOVUPD blockStats_abs+32(DI), Y1
	VMOVUPD blockStats_abs+64(DI), Y2
	VMOVUPD blockStats_abs+96(DI), Y3
	VMOVUPD blockStats_sq(DI), Y4
	VMOVUPD blockStats_sq+32(DI), Y5
	VMOVUPD blockStats_sq+64(DI), Y6
	VMOVUPD blockStats_sq+96(DI), Y7
	VMOVUPS blockStats_min(DI), Y8 // eight of them suffice
	VMOVUPS blockStats_max(DI), Y9
	VPXOR Y10, Y10, Y10
	VPXOR Y11, Y11, Y11
	VMOVUPD wide256<>(SB), Y15
loop:
	STATS(0, Y0, Y1, Y4, Y5)
	STATS(32, Y2, Y3, Y6, Y7)
	ADDQ $64, SI
	SUBQ $16, CX
	JNZ loop
	VMOVUPD Y0, blockStats_abs(DI)
	VMOVUPD Y1, blockStats_abs+32(DI)
	VMOVUPD Y2, blockStats_abs+64(DI)
	VMOVUPD Y3, blockStats_abs+96(DI)
	VMOVUPD Y4, blockStats_sq(DI)
	VMOVUPD Y5, blockStats_sq+32(DI)
	VMOVUPD Y6, blockStats_sq+64(DI)
	VMOVUPD Y7, blockStats_sq+96(DI)
	VMOVUPS Y8, blockStats_min(DI)
	VMOVUPS Y9, blockStats_max(DI)
	COUNT(Y10, X10)
	ADDQ AX, blockStats_zeros(DI)
	VZEROUPPER
	RET

// ABOVE takes 8 elements. Those that do not count add +0, which changes no sum.
#define ABOVE(at, a0, a1) \
	VANDPS at(SI), Y15, Y12; \
	VCMPPS $30, Y14, Y12, Y13; \
	VPSUBD Y13, Y10, Y10; \
	VANDPS Y13, Y12, Y12; \
	VCVTPS2PD X12, Y11; \
	VEXTRACTF128 $1, Y12, X13; \
	VCVTPS2PD X13, Y13; \
	VADDPD Y11, a0, a0; \
	VADDPD Y13, a1, a1

// func addAboveAVX2(l *lanes, d *float32, n int, t float32) (count int)
TEXT ·addAboveAVX2(SB), NOSPLIT, $0-40
	MOVQ l+0(FP), DI
	MOVQ d+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS t+24(FP), Y14
	VMOVUPS magnitude256<>(SB), Y15
	VPXOR Y10, Y10, Y10
	VMOVUPD (DI), Y0
	VMOVUPD 32(DI), Y1
	VMOVUPD 64(DI), Y2
	VMOVUPD 96(DI), Y3
loop:
	ABOVE(0, Y0, Y1)
	ABOVE(32, Y2, Y3)
	ADDQ $64, SI
	SUBQ $16, CX
	JNZ loop
	VMOVUPD Y0, (DI)
	VMOVUPD Y1, 32(DI)
	VMOVUPD Y2, 64(DI)
	VMOVUPD Y3, 96(DI)
	COUNT(Y10, X10)
	MOVQ AX, count+32(FP)
	VZEROUPPER
	RET

// func addProductsAVX2(l *lanes, x, y *float32, n int)
TEXT ·addProductsAVX2(SB), NOSPLIT, $0-32
	MOVQ l+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DX
	MOVQ n+24(FP), CX
	VMOVUPD (DI), Y0
	VMOVUPD 32(DI), Y1
	VMOVUPD 64(DI), Y2
	VMOVUPD 96(DI), Y3
loop:
	VCVTPS2PD (SI), Y4
	VCVTPS2PD 16(SI), Y5
	VCVTPS2PD 32(SI), Y6
	VCVTPS2PD 48(SI), Y7
	VCVTPS2PD (DX), Y8
	VCVTPS2PD 16(DX), Y9
	VCVTPS2PD 32(DX), Y10
	VCVTPS2PD 48(DX), Y11
	VFMADD231PD Y4, Y8, Y0 // the products are exact
	VFMADD231PD Y5, Y9, Y1
	VFMADD231PD Y6, Y10, Y2
	VFMADD231PD Y7, Y11, Y3
	ADDQ $64, SI
	ADDQ $64, DX
	SUBQ $16, CX
	JNZ loop
	VMOVUPD Y0, (DI)
	VMOVUPD Y1, 32(DI)
	VMOVUPD Y2, 64(DI)
	VMOVUPD Y3, 96(DI)
	VZEROUPPER
	RET

// func signsAVX2(x *float32, n int) (positive, negative int)
TEXT ·signsAVX2(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VPXOR Y2, Y2, Y2
	VPXOR Y10, Y10, Y10
	VPXOR Y11, Y11, Y11
loop:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VCMPPS $30, Y2, Y0, Y4
	VCMPPS $30, Y2, Y1, Y5
	VCMPPS $17, Y2, Y0, Y6
	VCMPPS $17, Y2, Y1, Y7
	VPSUBD Y4, Y10, Y10
	VPSUBD Y6, Y11, Y11
	VPSUBD Y5, Y10, Y10
	VPSUBD Y7, Y11, Y11
	ADDQ $64, SI
	SUBQ $16, CX
	JNZ loop
	COUNT(Y10, X10)
	MOVQ AX, positive+16(FP)
	COUNT(Y11, X11)
	MOVQ AX, negative+24(FP)
	VZEROUPPER
	RET

package ptx

import (
	"encoding/binary"
	"strings"
	"testing"
)

// program is a kernel of one parameter, an array of four words, with its address
// in %rd1, the thread in %r1, the block in %r2, and the thread's word in %rd2.
func program(body string) string {
	return `.version 6.3
.target sm_75
.address_size 64
.visible .entry k(
	.param .u64 k_param_0
)                                       // @k
{
	.reg .pred 	%p<3>;
	.reg .b32 	%r<9>;
	.reg .b64 	%rd<9>;
	.shared .align 8 .b8 s[16];
	ld.param.u64 	%rd1, [k_param_0];
	mov.u32 	%r1, %tid.x;
	mov.u32 	%r2, %ctaid.x;
	mul.wide.u32 	%rd2, %r1, 4;
	add.s64 	%rd2, %rd1, %rd2;
	mov.u64 	%rd3, s;
	mul.wide.u32 	%rd4, %r1, 4;
	add.s64 	%rd4, %rd3, %rd4;
	setp.eq.s32 	%p1, %r1, 0;
	` + strings.ReplaceAll(body, ";", ";\n") + `
	ret;
}
`
}

// TestLaunch: small programs, with what is wrong about them.
func TestLaunch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what, body string
		blocks     int
		want       string // of the error; "" for none
	}{
		{"own words", "st.global.u32 [%rd2], %r1;", 1, ""},
		{"all write one word", "st.global.u32 [%rd1], 1;", 1, "race with a write"},
		{"blocks write the same words", "st.global.u32 [%rd2], %r1;", 2, "race with a write"},
		{"all add to one word", "atom.global.add.u32 %r3, [%rd1], 1;", 2, ""},
		{"added, then read", "atom.global.add.u32 %r3, [%rd1], 1; ld.global.u32 %r4, [%rd1];", 1, "race with a"},
		{"added, then read behind a barrier", "atom.global.add.u32 %r3, [%rd1], 1; bar.sync 0; ld.global.u32 %r4, [%rd1];", 1, ""},
		{"added by two blocks, read by one", "atom.global.add.u32 %r3, [%rd1], 1; bar.sync 0; @%p1 ld.global.u32 %r4, [%rd1];", 2, "race"},
		{"written, then added to by others", "@%p1 st.global.u32 [%rd1], 1; atom.global.add.u32 %r3, [%rd1], 1;", 1, "race"},
		{"read by others, then by oneself, then written", "ld.global.u32 %r3, [%rd1]; bar.sync 0; ld.global.u32 %r3, [%rd1]; @%p1 st.global.u32 [%rd1], 1;", 1, "race"},
		{"read by two blocks, then written", "ld.global.u32 %r3, [%rd1]; setp.eq.s32 %p2, %r2, 1; bar.sync 0; and.pred %p2, %p2, %p1; @%p2 st.global.u32 [%rd1], 1;", 2, "race with a read"},
		{"shared by neighbours", "st.shared.u32 [%rd4], %r1; bar.sync 0; xor.b32 %r3, %r1, 1; mul.wide.u32 %rd5, %r3, 4; add.s64 %rd5, %rd3, %rd5; ld.shared.u32 %r4, [%rd5]; st.global.u32 [%rd2], %r4;", 1, ""},
		{"the same without a barrier", "st.shared.u32 [%rd4], %r1; xor.b32 %r3, %r1, 1; mul.wide.u32 %rd5, %r3, 4; add.s64 %rd5, %rd3, %rd5; ld.shared.u32 %r4, [%rd5];", 1, "nothing was written"},
		{"shared memory of another block", "setp.eq.s32 %p2, %r2, 0; @%p2 st.shared.u32 [%rd4], 1; bar.sync 0; ld.shared.u32 %r3, [%rd4];", 2, "nothing was written"},
		{"behind the end", "st.global.u32 [%rd2+4], %r1;", 1, "outside"},
		{"before the beginning", "st.global.u32 [%rd2+-4], %r1;", 1, "outside"},
		{"half behind the end", "mul.wide.u32 %rd5, %r1, 3; add.s64 %rd5, %rd5, 4; and.b64 %rd5, %rd5, 12; add.s64 %rd5, %rd5, %rd1; ld.global.u64 %rd6, [%rd5+8];", 1, "aligned|bytes at"},
		{"not aligned", "ld.global.u32 %r3, [%rd2+2];", 1, "not aligned"},
		{"behind shared memory", "st.shared.u32 [%rd4+4], 1;", 1, "shared address"},
		{"a barrier for some", "@%p1 bra $over; bar.sync 0; $over: ;", 1, "barrier"},
		{"two barriers at once", "@%p1 bra $other; bar.sync 0; bra $over; $other: ; bar.sync 0; $over: ;", 1, "barrier"},
		{"no word", "st.global.u32 [%rd5], 1;", 1, "outside"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			m, err := Parse(program(strings.NewReplacer(": ;", ":\n").Replace(c.body)))
			if err != nil {
				t.Fatal(err)
			}
			memory, b := new(Memory), make([]byte, 16)
			err = m.Kernels["k"].Launch(memory, c.blocks, 4, memory.Alloc(b, 4))
			if c.want == "" && err != nil {
				t.Error(err)
			}
			ok := c.want == ""
			for w := range strings.SplitSeq(c.want, "|") {
				ok = ok || err != nil && strings.Contains(err.Error(), w)
			}
			if !ok {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestArithmetic: instructions one by one, on what is special about them.
func TestArithmetic(t *testing.T) {
	t.Parallel()
	const minus1 = 1<<64 - 1
	for _, c := range []struct {
		name          string
		a, b, c, want uint64
	}{
		{"add.s32", 0xffffffff, 1, 0, 0},
		{"sub.s64", 0, 1, 0, minus1},
		{"mul.wide.u32", 0xffffffff, 0xffffffff, 0, 0xfffffffe00000001},
		{"shl.b32", 1, 32, 0, 0},
		{"shr.u64", minus1, 64, 0, 0},
		{"shr.s32", 0x80000000, 40, 0, 0xffffffff},
		{"bfe.u32", 0xdeadbeef, 16, 1, 1},
		{"min.u64", minus1, 3, 0, 3},
		{"min.s64", minus1, 3, 0, minus1},
		{"cvt.s32.s16", 0x8000, 0, 0, 0xffff8000},
		{"cvt.u64.u32", minus1, 0, 0, 0xffffffff},
		{"cvt.rn.f64.u64", 1<<53 + 1, 0, 0, 0x4340000000000000},
		{"not.pred", 1, 0, 0, 0},
		{"mov.pred", minus1, 0, 0, 1},
		{"selp.u32", 7, minus1, 0, 0xffffffff},
		{"abs.f32", 0x80000001, 0, 0, 1},
		{"add.rn.f32", 0x00000001, 0x00000001, 0, 2}, // subnormals stay
		{"mul.rn.f32", 0x7f7fffff, 0x40000000, 0, 0x7f800000},
		{"setp.lt.f32", 0x7fc00000, 0, 0, 0},
		{"setp.ltu.f32", 0x7fc00000, 0, 0, 1},
		{"setp.ne.f32", 0x7fc00000, 0x7fc00000, 0, 0},
		{"setp.neu.f32", 0x7fc00000, 0x7fc00000, 0, 1},
		{"setp.eq.f32", 0x80000000, 0, 0, 1},
		{"setp.lt.s32", 0xffffffff, 0, 0, 1},
		{"setp.lt.u32", 0xffffffff, 0, 0, 0},
		{"setp.gt.u32", minus1, 0xfffffffe, 0, 1}, // a constant is sign-extended
	} {
		f, _, err := arithmetic(c.name)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := f(c.a, c.b, c.c); got != c.want {
			t.Errorf("%s of %x, %x, %x: %x, want %x", c.name, c.a, c.b, c.c, got, c.want)
		}
	}
}

// TestRefused: what a GPU may do otherwise than the reference, and what nobody knows.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"add.f32 %r3, %r1, %r2;", "mul.rn.ftz.f32 %r3, %r1, %r2;", "div.approx.f32 %r3, %r1, %r2;", "fma.rn.f32 %r3, %r1, %r2, %r2;",
		"setp.lt.ftz.f32 %p2, %r1, %r2;", "shfl.sync.down.b32 %r3, %r1, 1, 31, -1;", "bar.warp.sync -1;", "bar.sync 1;", "ld.u32 %r3, [%rd1];",
		"atom.global.max.u32 %r3, [%rd1], 1;", "add.s32 %r3, %r1;", "add.s32 %r3, %r1, %nobody;", "bra $nowhere;", "ld.global.u32 %r3, [%rd1+x];",
		"mov.u128 %r3, 1;", "add;", "bra;", "mul.wide.u64 %rd3, %rd1, %rd2;", "ld.param.u64 %rd3;", "@%nobody ret;",
	} {
		if _, err := Parse(program(body)); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}

// TestHalves of a register, as clang takes them.
func TestHalves(t *testing.T) {
	t.Parallel()
	text := program("mov.b32 %r3, 305419896; HALF; st.global.u32 [%rd2], %r4;")
	m, err := Parse(strings.Replace(text, "HALF;", "{ .reg .b16 tmp; mov.b32 {tmp, %r4}, %r3; }", 1))
	if err != nil {
		t.Fatal(err)
	}
	memory, b := new(Memory), make([]byte, 16)
	if err := m.Kernels["k"].Launch(memory, 1, 4, memory.Alloc(b, 8)); err != nil {
		t.Fatal(err)
	}
	if got := binary.LittleEndian.Uint32(b); got != 0x1234 {
		t.Errorf("%x", got)
	}
}

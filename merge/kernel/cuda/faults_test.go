package cuda

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	interpreter "mergebot/merge/kernel/cuda/ptx"
)

// text of one kernel in the PTX.
func kernelText(t *testing.T, name string) (before, text, after string) {
	t.Helper()
	begin := strings.Index(string(ptx), ".visible .entry "+name+"(")
	if begin < 0 {
		t.Fatalf("no kernel %s", name)
	}
	end := begin + strings.Index(string(ptx[begin:]), "\n}\n")
	return string(ptx[:begin]), string(ptx[begin:end]), string(ptx[end:])
}

// caught is nil if a kernel with a fault passes its check.
func caught(t *testing.T, name, kind, faulty string) error {
	t.Helper()
	before, _, after := kernelText(t, name)
	m, err := interpreter.Parse(before + faulty + after)
	if err != nil {
		return err
	}
	for _, c := range checks {
		if c.kernel == name {
			for _, n := range []int{255, 9000} {
				if err := c.compare(interpreted{module: m, grid: 2}, kind, n); err != nil {
					return err
				}
			}
			return c.compare(interpreted{module: m, grid: 1}, kind, turns)
		}
	}
	return fmt.Errorf("no check of %s", name)
}

// TestNoBarrierIsMissed takes out every barrier in turn.
func TestNoBarrierIsMissed(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("many runs of the interpreter")
	}
	const wait = "bar.sync \t0;"
	for _, spec := range kernels {
		_, text, _ := kernelText(t, spec.Name)
		parts := strings.Split(text, wait)
		if len(parts) == 1 {
			continue
		}
		t.Run(spec.Name, func(t *testing.T) {
			t.Parallel()
			for i := range len(parts) - 1 {
				faulty := strings.Join(parts[:i+1], wait) + strings.Join(parts[i+1:], wait)
				if caught(t, spec.Name, "tied", faulty) == nil {
					t.Errorf("barrier %d of %d is not missed", i, len(parts)-1)
				}
			}
		})
	}
}

// TestFaultsAreCaught plants one in a kernel's text at a time: the first match of
// old becomes new.
func TestFaultsAreCaught(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("many runs of the interpreter")
	}
	for _, f := range []struct {
		what, kernel, old, new string
		by                     string // what says so
	}{
		{"operands swapped", "mb_delta", `mb_delta_param_1\]`, "mb_delta_param_2]", "reference"},
		{"result and input swapped", "mb_encode_f16", `mb_encode_f16_param_0\]`, "mb_encode_f16_param_1]", "outside|aligned|reference|bytes at|race"},
		{"counts for a list", "mb_elect", `mb_elect_param_1\]`, "mb_elect_param_3]", "outside|aligned"},
		{"one too many at the tail", "mb_scale", `setp\.ge\.u64`, "setp.gt.u64", "outside|bytes at"},
		{"one too many at a later turn", "mb_scale", `setp\.lt\.u64`, "setp.le.u64", "outside|bytes at"},
		{"one too few at the tail", "mb_add_scaled", `(ld\.param\.u64 \t(%rd\d+), \[mb_add_scaled_param_2\];)`, "$1\nadd.s64 $2, $2, -1;", "reference"},
		{"turns that overlap", "mb_round_bf16", `(%nctaid\.x;\s+mul\.wide\.u32 \t%rd\d+, %r\d+), 256;`, "$1, 4;", "outside|bytes at|race"},
		{"blocks that do the same", "mb_divide", `%ctaid\.x`, "0", "race"},
		{"a byte in place of a word", "mb_decode_bf16", `ld\.global\.u16`, "ld.global.u8", "reference"},
		{"rounding up at a half", "mb_encode_bf16", `32767`, "32768", "reference"},
		{"a product that may be fused", "mb_add_scaled", `mul\.rn\.f32`, "mul.f32", "ffp-contract"},
		{"subnormals lost", "mb_scale", `mul\.rn\.f32`, "mul.rn.ftz.f32", "ffp-contract"},
		{"lanes folded in another order", "mb_dot", `(\[%rd\d+)\+16\]`, "$1+8]", "reference|race"},
		{"at the threshold", "mb_outliers", `setp\.gt\.f32`, "setp.ge.f32", "reference"},
		{"zeros that are not counted", "mb_stats", `setp\.eq\.s32`, "setp.ne.s32", "reference"},
		{"lost counts", "mb_high", `atom\.shared\.add\.u32 \t(%r\d+), (\[%rd\d+\]), 1;`, "ld.shared.u32 $1, $2;\nadd.s32 $1, $1, 1;\nst.shared.u32 $2, $1;", "race"},
		{"lost counts", "mb_low", `atom\.global\.add\.u64 \t(%rd\d+), (\[%rd\d+\]), 1;`, "ld.global.u64 $1, $2;\nadd.s64 $1, $1, 1;\nst.global.u64 $2, $1;", "race"},
		{"the other end of a bracket", "mb_sift_count", `setp\.lt\.u32`, "setp.le.u32", "reference|outside"},
		{"ties by the last index", "mb_amplify", `setp\.lt\.s64`, "setp.gt.s64", "reference"},
		{"ties one index later", "mb_amplify", `setp\.lt\.s64`, "setp.le.s64", "reference"},
		{"another tie", "mb_nth", `setp\.ne\.s64`, "setp.eq.s64", "reference|race"},
		{"another random number", "mb_amplify_random", `shr\.u64 \t(%rd\d+), (%rd\d+), 27;`, "shr.u64 $1, $2, 28;", "reference"},
		{"zeros that agree", "mb_agree", `setp\.gt\.f32`, "setp.ge.f32", "reference"},
		{"a digit less", "mb_rank", `setp\.(ne|lt)\.[su]32 \t(%p\d+), (%r\d+), (8|7|60|32|64);`, "setp.lt.u32 $2, $3, 1;", "reference|race|shared"},
		{"a barrier for some", "mb_stats", `bar\.sync`, "@%p1 bar.sync", "barrier|race"},
		{"a barrier for some", "mb_rank", `mov\.u32 \t(%r\d+), %tid\.x;`, "mov.u32 $1, %tid.x;\nsetp.eq.s32 %p1, $1, 3;\n@%p1 ret;", "barrier"},
		{"an instruction that nobody knows", "mb_delta", `sub\.rn\.f32`, "sub.rz.f32", "rounded"},
	} {
		t.Run(f.what+" of "+f.kernel, func(t *testing.T) {
			t.Parallel()
			_, text, _ := kernelText(t, f.kernel)
			at := regexp.MustCompile(f.old)
			begin := strings.Index(text, "{")
			head, body := text[:begin], text[begin:]
			m := at.FindStringSubmatchIndex(body)
			if m == nil {
				t.Fatalf("no %s in %s: the compiler writes it otherwise", f.old, f.kernel)
			}
			faulty := head + body[:m[0]] + string(at.ExpandString(nil, f.new, body, m)) + body[m[1]:]
			var err error
			for _, kind := range []string{"random", "tied", "odd"} {
				if err = caught(t, f.kernel, kind, faulty); err != nil {
					break
				}
			}
			if err == nil {
				t.Fatal("is not caught")
			}
			if !regexp.MustCompile(f.by).MatchString(err.Error()) {
				t.Errorf("is caught by %v", err)
			}
		})
	}
}

package ptx

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// operation computes what an instruction writes. A slot holds the bits of a
// register, those above its width being 0; constants are sign-extended, so that
// operations cut their operands to size.
type operation func(a, b, c uint64) uint64

// typed takes apart a type such as u32.
func typed(t string) (class byte, bits int, err error) {
	if t == "pred" {
		return 'b', 1, nil
	}
	if len(t) < 2 || !strings.ContainsRune("bsuf", rune(t[0])) {
		return 0, 0, fmt.Errorf("type %q is not known", t)
	}
	bits, err = strconv.Atoi(t[1:])
	if err != nil || bits != 8 && bits != 16 && bits != 32 && bits != 64 {
		return 0, 0, fmt.Errorf("type %q is not known", t)
	}
	return t[0], bits, nil
}

// cut keeps the lower bits.
func cut(x uint64, bits int) uint64 { return x << (64 - bits) >> (64 - bits) }

// extend takes the lower bits as a signed number.
func extend(x uint64, bits int) int64 { return int64(x<<(64-bits)) >> (64 - bits) }

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// arithmetic finds the operation of that name and the number of its operands.
func arithmetic(name string) (operation, int, error) {
	unknown := fmt.Errorf("instruction %q is not known", name)
	p := strings.Split(name, ".")
	class, bits, err := typed(p[len(p)-1])
	if err != nil {
		return nil, 0, err
	}
	mods := p[1 : len(p)-1]
	mod := strings.Join(mods, ".")
	switch p[0] {
	case "mov":
		return func(a, _, _ uint64) uint64 { return cut(a, bits) }, 1, nil
	case "cvta":
		if mod != "to.global" {
			return nil, 0, unknown
		}
		return func(a, _, _ uint64) uint64 { return a }, 1, nil
	case "selp":
		return func(a, b, c uint64) uint64 {
			if c != 0 {
				return cut(a, bits)
			}
			return cut(b, bits)
		}, 3, nil
	case "cvt":
		f, err := convert(p)
		return f, 1, err
	case "setp":
		f, err := compare(mod, class, bits)
		return f, 2, err
	case "abs", "neg":
		if class != 'f' || mod != "" {
			return nil, 0, unknown
		}
		sign := uint64(1) << (bits - 1)
		if p[0] == "abs" {
			return func(a, _, _ uint64) uint64 { return a &^ sign }, 1, nil
		}
		return func(a, _, _ uint64) uint64 { return a ^ sign }, 1, nil
	}
	if class == 'f' {
		f, err := floating(p[0], mod, bits)
		return f, 2, err
	}
	if f := integer(p[0]+"."+mod, class, bits); f != nil {
		return func(a, b, _ uint64) uint64 { return cut(f(a, b), bits) }, 2, nil
	}
	switch {
	case name == "not.b64" || name == "not.b32" || name == "not.b16" || name == "not.pred":
		return func(a, _, _ uint64) uint64 { return cut(^a, bits) }, 1, nil
	case p[0] == "mul" && mod == "wide" && class == 'u' && bits <= 32:
		return func(a, b, _ uint64) uint64 { return cut(cut(a, bits)*cut(b, bits), 2*bits) }, 2, nil
	case p[0] == "bfe" && class == 'u':
		return func(a, b, c uint64) uint64 { return cut(a, bits) >> (b & 0xff) & (1<<(c&0xff) - 1) }, 3, nil
	}
	return nil, 0, unknown
}

// integer operations of two operands; what they return is cut to size.
func integer(name string, class byte, bits int) func(a, b uint64) uint64 {
	shift := func(b uint64) uint64 { return min(cut(b, 32), uint64(bits)) } // PTX clamps
	signed := class == 's'
	switch name {
	case "add.":
		return func(a, b uint64) uint64 { return a + b }
	case "sub.":
		return func(a, b uint64) uint64 { return a - b }
	case "mul.lo":
		return func(a, b uint64) uint64 { return a * b }
	case "and.":
		return func(a, b uint64) uint64 { return a & b }
	case "or.":
		return func(a, b uint64) uint64 { return a | b }
	case "xor.":
		return func(a, b uint64) uint64 { return a ^ b }
	case "shl.":
		return func(a, b uint64) uint64 { return a << shift(b) }
	case "shr.":
		if signed {
			return func(a, b uint64) uint64 { return uint64(extend(a, bits) >> shift(b)) }
		}
		return func(a, b uint64) uint64 { return cut(a, bits) >> shift(b) }
	case "min.":
		if signed {
			return func(a, b uint64) uint64 { return uint64(min(extend(a, bits), extend(b, bits))) }
		}
		return func(a, b uint64) uint64 { return min(cut(a, bits), cut(b, bits)) }
	case "max.":
		if signed {
			return func(a, b uint64) uint64 { return uint64(max(extend(a, bits), extend(b, bits))) }
		}
		return func(a, b uint64) uint64 { return max(cut(a, bits), cut(b, bits)) }
	}
	return nil
}

// floating operations must be rounded to nearest even, one by one: without "rn"
// the driver may fuse them, "ftz" loses subnormals, "approx" and "full" digits.
func floating(name, mod string, bits int) (operation, error) {
	if mod != "rn" {
		return nil, fmt.Errorf("%s.%s.f%d may be rounded otherwise than on the CPU: compile with -ffp-contract=off", name, mod, bits)
	}
	if bits == 32 {
		f := map[string]func(a, b float32) float32{
			"add": func(a, b float32) float32 { return a + b },
			"sub": func(a, b float32) float32 { return a - b },
			"mul": func(a, b float32) float32 { return a * b },
			"div": func(a, b float32) float32 { return a / b },
		}[name]
		if f != nil {
			return func(a, b, _ uint64) uint64 {
				return uint64(math.Float32bits(f(math.Float32frombits(uint32(a)), math.Float32frombits(uint32(b)))))
			}, nil
		}
	}
	if bits == 64 {
		f := map[string]func(a, b float64) float64{
			"add": func(a, b float64) float64 { return a + b },
			"sub": func(a, b float64) float64 { return a - b },
			"mul": func(a, b float64) float64 { return a * b },
		}[name]
		if f != nil {
			return func(a, b, _ uint64) uint64 {
				return math.Float64bits(f(math.Float64frombits(a), math.Float64frombits(b)))
			}, nil
		}
	}
	return nil, fmt.Errorf("%s of f%d is not known", name, bits)
}

// convert takes cvt.<to>.<from>: between integers, and to fp64.
func convert(p []string) (operation, error) {
	name := strings.Join(p, ".")
	switch name {
	case "cvt.f64.f32":
		return func(a, _, _ uint64) uint64 {
			return math.Float64bits(float64(math.Float32frombits(uint32(a))))
		}, nil
	case "cvt.rn.f64.u64":
		return func(a, _, _ uint64) uint64 { return math.Float64bits(float64(a)) }, nil
	}
	if len(p) != 3 {
		return nil, fmt.Errorf("conversion %q is not known", name)
	}
	to, bits, err := typed(p[1])
	if err != nil {
		return nil, err
	}
	from, fromBits, err := typed(p[2])
	switch {
	case err != nil:
		return nil, err
	case to == 'f' || from == 'f':
		return nil, fmt.Errorf("conversion %q is not known", name)
	case from == 's':
		return func(a, _, _ uint64) uint64 { return cut(uint64(extend(a, fromBits)), bits) }, nil
	}
	return func(a, _, _ uint64) uint64 { return cut(cut(a, fromBits), bits) }, nil
}

// relations by name: whether less, equal or greater satisfy them.
var relations = map[string][3]bool{
	"lt": {true, false, false}, "le": {true, true, false}, "eq": {false, true, false},
	"ne": {true, false, true}, "ge": {false, true, true}, "gt": {false, false, true},
}

func compare(relation string, class byte, bits int) (operation, error) {
	unordered := class == 'f' && len(relation) == 3 && strings.HasSuffix(relation, "u")
	r, ok := relations[strings.TrimSuffix(relation, "u")]
	if !ok || len(relation) == 3 && !unordered {
		return nil, fmt.Errorf("comparison %q is not known", relation)
	}
	holds := func(less, equal bool) uint64 {
		return truth(less && r[0] || equal && r[1] || !less && !equal && r[2])
	}
	switch class {
	case 'f':
		value := math.Float64frombits
		if bits == 32 {
			value = func(a uint64) float64 { return float64(math.Float32frombits(uint32(a))) }
		}
		return func(a, b, _ uint64) uint64 {
			x, y := value(a), value(b)
			if x != x || y != y {
				return truth(unordered)
			}
			return holds(x < y, x == y)
		}, nil
	case 's':
		return func(a, b, _ uint64) uint64 {
			x, y := extend(a, bits), extend(b, bits)
			return holds(x < y, x == y)
		}, nil
	}
	return func(a, b, _ uint64) uint64 {
		x, y := cut(a, bits), cut(b, bits)
		return holds(x < y, x == y)
	}, nil
}

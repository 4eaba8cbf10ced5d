package ptx

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

type kind uint8

const (
	compute kind = iota
	halves       // dst and more[0] are the lower and upper 16 bits of a
	load
	store
	atomicAdd
	branch
	barrier
	exit
)

// instruction is one that a thread executes. Operands are slots.
type instruction struct {
	kind  kind
	pred  int // −1: always
	not   bool
	text  string
	label string

	f       operation
	dst     int
	a, b, c int

	global bool
	width  int    // of one element, in bytes
	offset uint64 // added to the address in a
	more   []int  // dst or b of the elements of a vector after the first
	to     int    // of a branch
}

// instruction takes one, without its semicolon.
func (k *Kernel) instruction(text string) error {
	in := instruction{pred: -1, text: text}
	if strings.HasPrefix(text, "@") {
		guard, rest, _ := strings.Cut(text, " ")
		in.not = strings.HasPrefix(guard, "@!")
		p, err := k.operand(strings.TrimPrefix(guard[1:], "!"))
		if err != nil {
			return err
		}
		in.pred, text = p, rest
	}
	name, rest, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(text), "\t", " "), " ")
	rest = strings.NewReplacer("{", "", "}", "").Replace(rest)
	var args []string
	for a := range strings.SplitSeq(rest, ",") {
		if a = strings.TrimSpace(a); a != "" {
			args = append(args, a)
		}
	}
	if err := k.compile(&in, name, args); err != nil {
		return err
	}
	k.code = append(k.code, in)
	return nil
}

func (k *Kernel) compile(in *instruction, name string, args []string) error {
	parts := strings.Split(name, ".")
	switch {
	case name == "ret":
		in.kind = exit
		return nil
	case name == "bar.sync":
		in.kind = barrier
		if len(args) != 1 || args[0] != "0" {
			return fmt.Errorf("only barrier 0 of all threads is known")
		}
		return nil
	case parts[0] == "bra":
		if len(args) != 1 {
			return fmt.Errorf("a branch to %d labels", len(args))
		}
		in.kind, in.label = branch, args[0]
		return nil
	case strings.HasPrefix(name, "ld.param."):
		if len(args) != 2 {
			return fmt.Errorf("%d operands", len(args))
		}
		args[1] = strings.Trim(args[1], "[]")
		name = "mov." + parts[2]
	case parts[0] == "ld" || parts[0] == "st" || parts[0] == "atom":
		return k.access(in, parts, args)
	case name == "mov.b32" && len(args) == 3:
		return k.split(in, args)
	}
	f, operands, err := arithmetic(name)
	if err != nil {
		return err
	}
	if len(args) != 1+operands {
		return fmt.Errorf("%d operands, want %d", len(args), 1+operands)
	}
	in.f = f
	to := []*int{&in.dst, &in.a, &in.b, &in.c}
	for i, a := range args {
		if *to[i], err = k.operand(a); err != nil {
			return err
		}
	}
	return nil
}

func (k *Kernel) split(in *instruction, args []string) error {
	var s [3]int
	for i, a := range args {
		var err error
		if s[i], err = k.operand(a); err != nil {
			return err
		}
	}
	in.kind, in.dst, in.more, in.a = halves, s[0], []int{s[1]}, s[2]
	return nil
}

// access takes ld.<space>[.v2].<type>, st and atom.<space>.add.<type>.
func (k *Kernel) access(in *instruction, parts, args []string) error {
	kinds := map[string]kind{"ld": load, "st": store, "atom": atomicAdd}
	in.kind = kinds[parts[0]]
	if in.kind == atomicAdd {
		if len(parts) != 4 || parts[2] != "add" {
			return fmt.Errorf("only addition is known to be atomic")
		}
		parts = slices.Delete(parts, 2, 3)
	}
	elements := 1
	if len(parts) == 4 && (parts[2] == "v2" || parts[2] == "v4") {
		elements = int(parts[2][1] - '0')
		parts = slices.Delete(parts, 2, 3)
	}
	if len(parts) != 3 || parts[1] != "global" && parts[1] != "shared" {
		return fmt.Errorf("only global and shared memory are known")
	}
	in.global = parts[1] == "global"
	_, bits, err := typed(parts[2])
	if err != nil {
		return err
	}
	in.width = bits / 8
	k.grain = min(k.grain, in.width)

	at := elements // where the address stands
	if in.kind == store {
		at = 0
	}
	want := elements + 1
	if in.kind == atomicAdd {
		want++
	}
	if len(args) != want {
		return fmt.Errorf("%d operands, want %d", len(args), want)
	}
	address, offset, _ := strings.Cut(strings.Trim(args[at], "[]"), "+")
	if offset != "" {
		o, err := strconv.ParseInt(offset, 10, 64)
		if err != nil {
			return err
		}
		in.offset = uint64(o)
	}
	if in.a, err = k.operand(address); err != nil {
		return err
	}
	for i, a := range slices.Delete(slices.Clone(args), at, at+1) {
		s, err := k.operand(a)
		switch {
		case err != nil:
			return err
		case i > 0 && in.kind != atomicAdd:
			in.more = append(in.more, s)
		case i == 0 && in.kind != store:
			in.dst = s
		default:
			in.b = s
		}
	}
	return nil
}

// operand is a slot, made on the way if it is a constant.
func (k *Kernel) operand(a string) (int, error) {
	if s, ok := k.slots[a]; ok {
		return s, nil
	}
	var v uint64
	var err error
	switch {
	case strings.HasPrefix(a, "0f"):
		v, err = strconv.ParseUint(a[2:], 16, 32)
	case strings.HasPrefix(a, "0d"):
		v, err = strconv.ParseUint(a[2:], 16, 64)
	default:
		var i int64
		i, err = strconv.ParseInt(a, 10, 64)
		v = uint64(i)
	}
	if err != nil {
		return 0, fmt.Errorf("operand %q is neither declared nor a number", a)
	}
	return k.slot(a, v), nil
}

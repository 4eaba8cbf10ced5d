// Package ptx runs PTX, the assembly of CUDA, without a GPU, for tests: no product
// code may import it. It knows what the compiler makes of this project's kernels
// and refuses the rest; above all it refuses arithmetic that a GPU may round
// otherwise than the reference does.
//
// Threads run one after another from barrier to barrier. Every access to shared
// or global memory is checked: bounds, alignment, shared memory that nothing
// wrote, and races, which are two accesses to a cell, one of them a write, by
// threads that no barrier keeps apart, unless both are atomic.
//
// It cannot show that the driver's compiler accepts the PTX, how fast it is, or
// how warps behave.
package ptx

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Module is a PTX file.
type Module struct {
	Version, Target string
	Kernels         map[string]*Kernel
}

// Kernel is an entry point.
type Kernel struct {
	Name   string
	Params []string // types: u32, u64, f32

	code    []instruction
	labels  map[string]int
	slots   map[string]int // of registers, parameters, constants, addresses of shared memory
	initial []uint64       // what the slots hold when a thread begins
	shared  int            // bytes
	grain   int            // bytes of the narrowest access: races are told apart by that
}

// Slots of special registers.
const (
	slotThread = iota
	slotBlock
	slotThreads
	slotBlocks
	specialSlots
)

var (
	registers = regexp.MustCompile(`^\.reg \.\w+\s+(%\w+)<(\d+)>$`)
	sharedVar = regexp.MustCompile(`^\.shared \.align (\d+) \.b8 (\w+)\[(\d+)\]$`)
	sharedOne = regexp.MustCompile(`^\.shared \.align (\d+) \.[bu](\d+) (\w+)$`)
	param     = regexp.MustCompile(`^\.param \.(\w+) (\w+),?$`)
	entry     = regexp.MustCompile(`^\.visible \.entry (\w+)\($`)
)

// Parse reads PTX as clang writes it.
func Parse(text string) (*Module, error) {
	m := &Module{Kernels: map[string]*Kernel{}}
	common := newKernel("") // holds the shared variables of all
	k := common
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "//")
		line = strings.TrimSpace(line)
		if err := m.line(&k, common, line); err != nil {
			return nil, fmt.Errorf("PTX line %d: %q: %w", n+1, line, err)
		}
	}
	for _, k := range m.Kernels {
		for i := range k.code {
			if in := &k.code[i]; in.kind == branch {
				to, ok := k.labels[in.label]
				if !ok {
					return nil, fmt.Errorf("PTX kernel %s: no label %s", k.Name, in.label)
				}
				in.to = to
			}
		}
	}
	return m, nil
}

func newKernel(name string) *Kernel {
	return &Kernel{
		Name: name, labels: map[string]int{}, grain: 8, initial: make([]uint64, specialSlots),
		slots: map[string]int{"%tid.x": slotThread, "%ctaid.x": slotBlock, "%ntid.x": slotThreads, "%nctaid.x": slotBlocks},
	}
}

// line takes one line into the kernel that is open, or into common.
func (m *Module) line(k **Kernel, common *Kernel, line string) error {
	open := *k != common
	statement := strings.TrimSuffix(line, ";")
	switch {
	case line == "" || line == "{" || line == ")" || strings.HasPrefix(line, ".pragma") || strings.HasPrefix(line, ".address_size"):
	case line == "}":
		*k = common
	case strings.HasPrefix(line, ".version "):
		m.Version = line[len(".version "):]
	case strings.HasPrefix(line, ".target "):
		m.Target = line[len(".target "):]
	case entry.MatchString(line):
		*k = newKernel(entry.FindStringSubmatch(line)[1])
		m.Kernels[(*k).Name] = *k
		for name, slot := range common.slots {
			if slot >= specialSlots {
				(*k).slot(name, common.initial[slot])
			}
		}
		(*k).shared = common.shared
	case sharedVar.MatchString(statement):
		w := sharedVar.FindStringSubmatch(statement)
		return (*k).share(w[2], w[1], w[3])
	case sharedOne.MatchString(statement):
		w := sharedOne.FindStringSubmatch(statement)
		return (*k).share(w[3], w[1], w[1])
	case !open:
		return fmt.Errorf("cannot stand outside a kernel")
	case param.MatchString(line):
		w := param.FindStringSubmatch(line)
		(*k).Params = append((*k).Params, w[1])
		(*k).slot(w[2], 0)
	case registers.MatchString(statement):
		w := registers.FindStringSubmatch(statement)
		n, err := strconv.Atoi(w[2])
		for i := range min(n, 1<<12) {
			(*k).slot(w[1]+strconv.Itoa(i), 0)
		}
		return err
	case strings.HasSuffix(line, ":"):
		(*k).labels[line[:len(line)-1]] = len((*k).code)
	case strings.HasPrefix(line, "{ .reg .b16 tmp; ") && strings.HasSuffix(line, "; }"): // a half of a register
		(*k).slot("tmp", 0)
		return (*k).instruction(line[len("{ .reg .b16 tmp; ") : len(line)-len("; }")])
	default:
		return (*k).instruction(statement)
	}
	return nil
}

// slot makes a slot, or returns the one of that name.
func (k *Kernel) slot(name string, initial uint64) int {
	if s, ok := k.slots[name]; ok {
		return s
	}
	k.slots[name] = len(k.initial)
	k.initial = append(k.initial, initial)
	return len(k.initial) - 1
}

// share lays out a variable in shared memory.
func (k *Kernel) share(name, align, size string) error {
	a, err := strconv.Atoi(align)
	if err != nil || a == 0 {
		return fmt.Errorf("alignment %q", align)
	}
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	k.shared = (k.shared + a - 1) / a * a
	k.slot(name, sharedBase+uint64(k.shared))
	k.shared += n
	return nil
}

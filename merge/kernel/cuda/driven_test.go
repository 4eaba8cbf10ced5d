//go:build linux && (amd64 || arm64)

package cuda

import (
	"slices"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"

	program "mergebot/merge/kernel/cuda/ptx"
)

// TestDriven proves the interpreted PTX as if it were a GPU: what the Device passes is what the kernels take. (The other
// tests here have kernels in Go, and would not see both sides misread the table.)
func TestDriven(t *testing.T) {
	t.Parallel()
	f, m := newFake(t), module(t)
	f.launcher(purego.NewCallback(func(name *byte, args *uint64, n int32, grid, threads uint32) int32 {
		if err := f.interpret(m, text(name), unsafe.Slice(args, n), int(grid), int(threads)); err != nil {
			t.Errorf("%s: %v", text(name), err)
			return codeAddress
		}
		return 0
	}))
	d, err := Open(0, Options{Library: f.library, Memory: arenaLeast})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	f.clean(t)
}

// interpret runs a kernel on a lane's buffer, which is at another address for the interpreter.
func (f *fake) interpret(m *program.Module, name string, args []uint64, grid, threads int) error {
	var size uint64
	p := f.base(args[0], &size) // all kernels write to their first argument
	memory := new(program.Memory)
	shift := memory.Alloc(unsafe.Slice((*byte)(p), size), 8) - (uint64(uintptr(p)) | 1<<60)
	moved := slices.Clone(args)
	spec := kernels[slices.IndexFunc(kernels, func(k kernelSpec) bool { return k.Name == name })]
	for i, kind := range spec.Params {
		if kind == ptr && args[i] != 0 {
			moved[i] += shift
		}
	}
	list := map[string][2]int{"mb_elect": {1, 2}, "mb_agree": {2, 4}}[name] // addresses in memory, and how many
	if list != [2]int{} {
		addresses := gpuView[uint64](execution{f, args}, args[list[0]], int(args[list[1]]))
		for i := range addresses {
			addresses[i] += shift
			defer func() { addresses[i] -= shift }()
		}
	}
	return m.Kernels[name].Launch(memory, grid, threads, moved...)
}

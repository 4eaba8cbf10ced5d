package cuda

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// madeBy is the compiler that the embedded PTX is of. Others may be as right and
// write other bytes.
const madeBy = "clang version 19.1.7"

// TestPTXIsOfTheSource compiles kernels/ again.
func TestPTXIsOfTheSource(t *testing.T) {
	t.Parallel()
	version, err := exec.Command("clang-19", "--version").Output()
	if err != nil || !strings.Contains(string(version), madeBy) {
		if os.Getenv("MERGEBOT_REQUIRE_CLANG") != "" {
			t.Fatalf("this is not %s (apt-get install clang-19): %v\n%s", madeBy, err, version)
		}
		t.Skipf("whether the PTX is of kernels/ is not checked: this machine lacks %s (apt-get install clang-19)", madeBy)
	}
	fresh := filepath.Join(t.TempDir(), "fresh.ptx")
	if out, err := exec.Command("kernels/compile.sh", fresh).CombinedOutput(); err != nil {
		t.Fatalf("compile.sh: %v\n%s", err, out)
	}
	b, err := os.ReadFile(fresh)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, ptx) {
		t.Error("kernels/mergebot.ptx is not what kernels/ compile to: run make ptx")
	}
}

// TestPTXIsAccepted has NVIDIA's assembler take the PTX for GPUs from Turing to
// Blackwell, without registers spilled to memory. It needs no GPU.
func TestPTXIsAccepted(t *testing.T) {
	t.Parallel()
	ptxas, err := exec.LookPath(cmp.Or(os.Getenv("MERGEBOT_PTXAS"), "ptxas"))
	if err != nil {
		if os.Getenv("MERGEBOT_PTXAS") != "" {
			t.Fatal(err)
		}
		t.Skip("whether ptxas accepts the PTX is not checked: set MERGEBOT_PTXAS (pip's nvidia-cuda-nvcc-cu12 holds bin/ptxas)")
	}
	for _, arch := range []string{"sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"} {
		out, err := exec.Command(ptxas, "-v", "-arch="+arch, "kernels/mergebot.ptx", "-o", filepath.Join(t.TempDir(), arch)).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", arch, err, out)
			continue
		}
		if n := strings.Count(string(out), "Compiling entry function"); n != len(kernels) {
			t.Errorf("%s: %d kernels, want %d", arch, n, len(kernels))
		}
		if n := strings.Count(string(out), " 0 bytes spill stores, 0 bytes spill loads"); n != len(kernels) {
			t.Errorf("%s: only %d of %d kernels keep to registers", arch, n, len(kernels))
		}
	}
}

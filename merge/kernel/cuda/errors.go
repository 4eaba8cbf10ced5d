package cuda

import (
	"errors"
	"fmt"
)

// ErrNone: there is no GPU to be used here. ErrLost: there was one, and it failed; what it held is gone, and nothing
// more is computed on it.
var (
	ErrNone = errors.New("no CUDA GPU")
	ErrLost = errors.New("the GPU is lost")
)

// code is a CUresult. These are told apart; the others are what the driver says of them.
type code int32

const (
	codeMemory   = 2
	codeStub     = 34
	codeBusy     = 46
	codeNoDevice = 100
	codeBinary   = 209
	codeECC      = 214
	codePTX      = 218
	codeJIT      = 221
	codeOldPTX   = 222
	codeAddress  = 700
	codeTimeout  = 702
	codeLaunch   = 719
	codeNotReady = 802
	codeMismatch = 803
	codeCompat   = 804
	codeMPSFirst = 805
	codeMPSLast  = 810
	codeUnknown  = 999
)

// Error is what the driver says of a failed call.
type Error struct {
	Call string // cuMemAlloc_v2
	Code int    // CUresult: 2
	Name string // CUDA_ERROR_OUT_OF_MEMORY
	Text string // out of memory
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %s (%s, %d)", e.Call, e.Text, e.Name, e.Code)
	if e.Name == "" {
		s = fmt.Sprintf("%s: error %d", e.Call, e.Code)
	}
	if r := e.remedy(); r != "" {
		s += ": " + r
	}
	return s
}

// remedy is what people can do about it, "" where there is nothing to say.
func (e *Error) remedy() string {
	switch e.Code {
	case codeMemory:
		return "end what else uses the GPU's memory, or lower device_memory"
	case codeStub:
		return "the library is the toolkit's stub, not the driver: take its folder out of LD_LIBRARY_PATH"
	case codeBusy:
		return "another process has the GPU alone: end it, or allow several by nvidia-smi -c DEFAULT"
	case codeNoDevice:
		return "see what nvidia-smi says; CUDA_VISIBLE_DEVICES may hide the GPU"
	case codeBinary, codePTX:
		return "the GPU is older than Turing (sm_75)"
	case codeOldPTX:
		return "the driver is too old: CUDA 10.0 (driver 410) or newer is needed"
	case codeJIT:
		return "libnvidia-ptxjitcompiler.so.1 of the driver is missing: install all of it, or give the container the capability compute,utility"
	case codeECC:
		return "the GPU's memory is damaged: see nvidia-smi -q -d ECC, and reset the GPU"
	case codeTimeout:
		return "a display's watchdog ended the kernel: use a GPU without a display"
	case codeNotReady:
		return "start nvidia-fabricmanager, which GPUs joined by NVSwitch need"
	case codeMismatch:
		return "the driver was updated: load its kernel module anew, or restart the machine"
	case codeCompat:
		return "the container's CUDA compatibility package does not suit this GPU: take /usr/local/cuda/compat out of LD_LIBRARY_PATH"
	case codeUnknown:
		return "see dmesg; nvidia-modprobe -u loads a missing nvidia_uvm"
	}
	if e.Code >= codeMPSFirst && e.Code <= codeMPSLast {
		return "the MPS daemon refuses: see its log, or end it by: echo quit | nvidia-cuda-mps-control"
	}
	return ""
}

// memory reports whether an error is a lack of memory, which leaves the GPU usable.
func memory(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == codeMemory || errors.Is(err, errBudget) || errors.Is(err, errRoom)
}

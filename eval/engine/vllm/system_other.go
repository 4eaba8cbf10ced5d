//go:build !(linux || darwin)

package vllm

import (
	"os"
	"syscall"
)

// vLLM itself does not run here.
const supported = false

func tryLock(*os.File) bool            { return false }
func owned(string) bool                { return false }
func freeBytes(string) (uint64, bool)  { return 0, false }
func inGroup(int) *syscall.SysProcAttr { return nil }
func killGroup(int)                    {}
func groupGone(int) bool               { return true }

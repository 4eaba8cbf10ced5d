//go:build !linux

package main

import (
	"errors"
	"os"
)

// What only Linux tells is left out elsewhere.

func peakResident(*os.ProcessState, int64) int64 { return 0 }

func residentOf(int) resident { return resident{} }

func memory() int64 { return 0 }

func processor() string { return "" }

func load() float64 { return 0 }

func forget(*os.File) error { return errors.ErrUnsupported }

func quiet(string) error { return nil }

//go:build !amd64 || purego

package lowrank

func assembly() []kernels { return nil }

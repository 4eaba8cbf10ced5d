//go:build !linux

package lease

// self is not known here: a dead holder's lease is free when its time has run out.
func self() *process { return nil }

func lives(*process) bool { return true }

package kernel

import "testing"

// Devices are all that this processor runs, for tests outside the package.
var Devices = devices

// TestNames: that dispatch was found out at all, and that the reference is there.
func TestNames(t *testing.T) {
	t.Parallel()
	all := devices()
	if CPU().Name() != all[0].Name() || all[len(all)-1] != Plain() {
		t.Errorf("%d devices, of which %s is used", len(all), CPU().Name())
	}
	for _, d := range all {
		t.Log(d.Name())
	}
}

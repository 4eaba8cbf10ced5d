package peertest

import "testing"

// stacks are the recipes of slices, gradients and filters, on the oldest layouts.
var stacks = corpus{folder: "slices", models: writeSliceModels}

// TestSlices needs no mergekit.
func TestSlices(t *testing.T) { stacks.recorded(t) }

// TestMergekitSlices asks mergekit.
func TestMergekitSlices(t *testing.T) { stacks.asked(t) }

// TestSliceGoldIsWhole finds recipes that were not recorded.
func TestSliceGoldIsWhole(t *testing.T) { stacks.whole(t) }

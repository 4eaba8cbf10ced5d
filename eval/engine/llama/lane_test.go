//go:build linux && (amd64 || arm64)

package llama

import (
	"errors"
	"math"
	"testing"

	"mergebot/eval/engine/wire"
)

func TestCutStop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		fresh int
		stop  []string
		want  string
		found bool
	}{
		{"abc", 1, nil, "abc", false},
		{"abc", 1, []string{""}, "abc", false},
		{"abc\n\n", 1, []string{"\n\n"}, "abc", true},
		{"abc", 3, []string{"c", "b"}, "a", true},
		{"xstopyz", 3, []string{"stop"}, "x", true},              // completed by a token that goes on
		{"stop later", 1, []string{"stop"}, "stop later", false}, // would have ended earlier
	} {
		if got, found := cutStop(c.text, c.fresh, c.stop); got != c.want || found != c.found {
			t.Errorf("%q %q: %q %v, want %q %v", c.text, c.stop, got, found, c.want, c.found)
		}
	}
}

func TestArgmax(t *testing.T) {
	t.Parallel()
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	if i, err := argmax([]float32{1, 3, 3, -inf}); err != nil || i != 1 {
		t.Errorf("%d %v", i, err)
	}
	for _, x := range [][]float32{{nan, 1}, {1, nan}, {1, inf, nan}} {
		if _, err := argmax(x); !errors.Is(err, errNaN) {
			t.Errorf("%v: %v", x, err)
		}
	}
}

func TestCommon(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b []int32
		want int
	}{
		{nil, nil, 0}, {nil, []int32{1}, 0}, {[]int32{1, 2}, []int32{1, 2}, 2}, {[]int32{1, 2, 3}, []int32{1, 2}, 2}, {[]int32{1, 2, 3}, []int32{1, 4, 3}, 1},
	} {
		if got := common(c.a, c.b); got != c.want {
			t.Errorf("%v and %v have %d in common, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	const position, gib = 1 << 20, int64(1) << 30 // a model of 7 billion parameters
	for _, c := range []struct {
		cache        int64
		n            int
		lanes, slots int
	}{
		{64 * gib, 512, 8, 16}, // 128 sequences of half a GiB
		{32 * gib, 512, 8, 8},
		{32 * gib, 4096, 8, 1},
		{20 * gib, 4096, 5, 1},
		{20 * gib, 512, 8, 5},
		{1 * gib, 4096, 1, 1}, // too little: tried all the same
		{0, 256, 1, 1},
	} {
		lanes, slots := fit(wire.LoadModel{Lanes: 8, Slots: 16, PositionBytes: position, CacheBytes: c.cache}, c.n)
		if lanes != c.lanes || slots != c.slots {
			t.Errorf("%d GiB for sequences of %d: %d lanes of %d slots, want %d of %d", c.cache/gib, c.n, lanes, slots, c.lanes, c.slots)
		}
	}
}

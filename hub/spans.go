package hub

import "slices"

// span is the bytes from (counted) up to (not counted) of a file.
type span struct{ from, to int64 }

func (s span) len() int64 { return s.to - s.from }

// spans are in order, and neither overlap nor touch.
type spans []span

// with adds a span.
func (s spans) with(n span) spans {
	if n.len() <= 0 {
		return s
	}
	// Those from i up to j overlap or touch it, and become one with it.
	i, _ := slices.BinarySearchFunc(s, n.from, func(a span, from int64) int {
		if a.to < from {
			return -1
		}
		return 1
	})
	j := i
	for j < len(s) && s[j].from <= n.to {
		n = span{min(n.from, s[j].from), max(n.to, s[j].to)}
		j++
	}
	return slices.Replace(s, i, j, n)
}

// total is how many bytes they hold.
func (s spans) total() int64 {
	var n int64
	for _, a := range s {
		n += a.len()
	}
	return n
}

// reach is up to where all bytes from at on are held; at itself if that byte is not.
func (s spans) reach(at int64) int64 {
	for _, a := range s {
		if a.from <= at && at < a.to {
			return a.to
		}
	}
	return at
}

// gaps are the bytes of a file of size bytes that are not held.
func (s spans) gaps(size int64) spans {
	var out spans
	at := int64(0)
	for _, a := range append(slices.Clone(s), span{size, size}) {
		if a.from > at {
			out = append(out, span{at, a.from})
		}
		at = a.to
	}
	return out
}

package kernel

func (cpu) Dot(sum *float64, x, y []float32) error {
	equal(len(x), len(y))
	for first := 0; first < len(x); first += BlockSize {
		last := min(first+BlockSize, len(x))
		a, b := x[first:last], y[first:last]
		b = b[:len(a)]
		var s float64
		for i, v := range a {
			s += float64(v) * float64(b[i]) // exact: 24 bits times 24, so fusing changes nothing
		}
		*sum += s
	}
	return nil
}

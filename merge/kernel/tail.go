package kernel

import (
	"math"
	"slices"
)

// Tail keeps a tensor's largest elements, with their places, as it is read. Of
// them outliers are counted once their threshold is known: it is a multiple of a
// mean that only a whole pass yields, and a second pass costs as much again.
type Tail struct {
	from float32
	most int
	keys []uint32 // the bits of |d|
	at   []uint32 // the element's index
	seen int64
	full bool
}

// NewTail keeps the elements with |d| ≥ from, which is above 0; or none, if there
// are more than most, 8 bytes each.
func NewTail(from float32, most int) *Tail { return &Tail{from: from, most: most} }

// Add takes the elements of d, which follow those that were added before.
func (t *Tail) Add(dev Device, d []float32) error {
	for first := 0; first < len(d); first += BlockSize {
		block := d[first:min(first+BlockSize, len(d))]
		if t.full = t.full || !(t.from > 0) || t.seen+int64(len(block)) > math.MaxUint32; t.full {
			t.keys, t.at = nil, nil
			return nil
		}
		n := len(t.keys)
		t.keys, t.at = slices.Grow(t.keys, len(block)), slices.Grow(t.at, len(block))
		_, found, err := dev.Sift(t.keys[n:n+len(block)], t.at[n:n+len(block)], block, t.from, fromMagnitude(math.MaxInt32))
		if err != nil {
			return err
		}
		t.keys, t.at = t.keys[:n+found], t.at[:n+found]
		for i := range t.at[n:] {
			t.at[n+i] += uint32(t.seen)
		}
		t.seen += int64(len(block))
		t.full = len(t.keys) > t.most
	}
	return nil
}

// Outliers are those of all elements that were added, the same to the last bit as
// [Device.Outliers] finds; false where some of them were not kept.
func (t *Tail) Outliers(above float64) (o Outliers, ok bool) {
	limit := floor32(above)
	if t.full || !(limit >= t.from) {
		return Outliers{}, false
	}
	var l lanes
	block := uint32(0)
	for i, key := range t.keys {
		a := fromMagnitude(key)
		if !(a > limit) {
			continue
		}
		if b := t.at[i] / BlockSize; b != block {
			o.SumAbs += l.total()
			l, block = lanes{}, b
		}
		l[t.at[i]%sumLanes] += float64(a)
		o.Count++
	}
	o.SumAbs += l.total()
	return o, true
}

package cuda

import (
	"fmt"
	"math"
	"slices"

	"mergebot/merge/kernel"
)

// prove runs every kernel once on a few blocks of awkward numbers and compares the bits with the reference's. It takes
// milliseconds, and no GPU, driver or compiler of the driver's that this program was never run on is trusted before it.
func prove(g *gpu) error {
	d := newDevice([]*gpu{g}, Options{CPU: kernel.Plain(), Least: 1, Lanes: 1})
	defer d.drain()
	for _, p := range proofs() {
		want, err := p.run(kernel.Plain())
		if err != nil {
			return err
		}
		got, err := p.run(d)
		if err != nil {
			return err
		}
		if err := d.Err(); err != nil {
			return fmt.Errorf("prove %s: %w", p.name, err)
		}
		if _, cpu := d.Counts(); cpu > 0 {
			return fmt.Errorf("prove %s: the GPU has no memory for it: end what else uses it", p.name)
		}
		if !slices.EqualFunc(want, got, sameBits) {
			return fmt.Errorf("%s gives other bits than the reference for %s: it is not used; update the driver, and report this with its version, CUDA %s",
				g.name, p.name, g.versionText())
		}
	}
	return nil
}

// sameBits compares numbers bit for bit; NaNs are all the same.
func sameBits(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b
}

// proof is an operation with its results, widened.
type proof struct {
	name string
	run  func(d kernel.Device) ([]float64, error)
}

// awkward are n numbers with zeros, subnormals, ties and extremes among them.
func awkward(n int, stream uint64) []float32 {
	special := []float32{0, float32(math.Copysign(0, -1)), 1e-45, -1e-45, 0x1p-12, -0x1p-12, 0x1.8p-25, 65519.996, 65520, 1 + 0x1p-11, 1 + 0x1.8p-7, math.MaxFloat32}
	x := make([]float32, n)
	for i := range x {
		u := kernel.Uniform(stream, int64(i))
		x[i] = float32((u - 0.5) * math.Ldexp(1, i*37%40-30))
		if i%5 == 0 {
			x[i] = special[int(u*float64(len(special)))]
		}
	}
	return x
}

func proofs() []proof {
	const n = 2*kernel.BlockSize + 77
	x, y, z := awkward(n, 1), awkward(n, 2), awkward(n, 3)
	v := [][]float32{x, y, z}
	cuts := []kernel.Cut{{Threshold: 0x1p-8}, {Threshold: 0x1p-12, Index: 2000}}
	vector := func(name string, f func(d kernel.Device, dst []float32) error) proof {
		return proof{name, func(d kernel.Device) ([]float64, error) {
			dst := slices.Clone(z)
			err := f(d, dst)
			return widened(dst), err
		}}
	}
	all := []proof{
		vector("delta", func(d kernel.Device, dst []float32) error { return d.Delta(dst, x, y) }),
		vector("scale", func(d kernel.Device, dst []float32) error { return d.Scale(dst, x, 1.1) }),
		vector("divide", func(d kernel.Device, dst []float32) error { return d.Divide(dst, x, 0.3) }),
		vector("add scaled", func(d kernel.Device, dst []float32) error { return d.AddScaled(dst, x, -0.7) }),
		vector("amplify", func(d kernel.Device, dst []float32) error {
			return d.Amplify(dst, x, y, 64, cuts, []float32{1.8, 0.5})
		}),
		vector("amplify random", func(d kernel.Device, dst []float32) error {
			return d.AmplifyRandom(dst, x, 1<<33, 7, []float64{0.9, 0.5}, []float32{1.8, 0.5})
		}),
		vector("elect", func(d kernel.Device, dst []float32) error { return d.Elect(dst, v, 1) }),
		vector("agree", func(d kernel.Device, dst []float32) error { return d.Agree(dst, y, v, []float32{1, 0.5, -1.5}) }),
	}
	for f, name := range formats {
		all = append(all, vector("round "+name, func(d kernel.Device, dst []float32) error { return d.Round(dst, x, f) }),
			vector("encode and decode "+name, func(d kernel.Device, dst []float32) error {
				b := make([]byte, n*f.Size())
				if err := d.Encode(b, x, f); err != nil {
					return err
				}
				return d.Decode(dst, b, f)
			}))
	}
	return append(all,
		proof{"stats", func(d kernel.Device) ([]float64, error) {
			var s kernel.Stats
			err := d.Stats(&s, x)
			return []float64{float64(s.Count), float64(s.Zeros), float64(s.NonFinite), s.SumAbs, s.SumSq, float64(s.Min), float64(s.Max)}, err
		}},
		proof{"outliers", func(d kernel.Device) ([]float64, error) {
			o := make([]kernel.Outliers, 2)
			err := d.Outliers(o, x, []float64{0x1p-12, 0.01})
			return []float64{float64(o[0].Count), o[0].SumAbs, float64(o[1].Count), o[1].SumAbs}, err
		}},
		proof{"dot", func(d kernel.Device) ([]float64, error) {
			sum := 0.1
			err := d.Dot(&sum, x, y)
			return []float64{sum}, err
		}},
		proof{"signs", func(d kernel.Device) ([]float64, error) {
			p, m, err := d.Signs(x)
			return []float64{float64(p), float64(m)}, err
		}},
		proof{"high", func(d kernel.Device) ([]float64, error) {
			h := new(kernel.HighCounts)
			err := d.High(h, x)
			return widened(h[:]), err
		}},
		proof{"low", func(d kernel.Device) ([]float64, error) {
			slot := new([1 << 15]uint8)
			slot[magnitude(0x1p-12)>>16], slot[0] = 1, 2
			h := make([]kernel.LowCounts, 2)
			err := d.Low(h, x, slot)
			return append(widened(h[0][:]), widened(h[1][:])...), err
		}},
		proof{"sift", func(d kernel.Device) ([]float64, error) {
			keys, at := make([]uint32, n), make([]uint32, n)
			below, found, err := d.Sift(keys, at, x, 0x1p-12, 0x1p-9)
			return append(append(widened(keys[:found]), widened(at[:found])...), float64(below)), err
		}},
		proof{"nth", func(d kernel.Device) ([]float64, error) {
			pos, seen, err := d.Nth(x, 0x1p-12, 20)
			return []float64{float64(pos), float64(seen)}, err
		}},
	)
}

func widened[T float32 | uint32 | int64](x []T) []float64 {
	all := make([]float64, len(x))
	for i, v := range x {
		all[i] = float64(v)
	}
	return all
}

package method

import (
	"context"
	"math"
)

// karcher is the mean of directions on the sphere, times the mean length. From
// the normalised mean of the unit vectors û_i it steps towards the point whose
// tangents to all of them sum to 0:
//
//	v = 1/n Σ θ_i/sin θ_i·(û_i − cos θ_i·m),  θ_i = ∠(m, û_i);  m ← cos ‖v‖·m + sin ‖v‖·v/‖v‖
//
// until ‖v‖ < tol, or max_iter times. Vectors of length tol at most count with
// their length alone; models are equal, there are no weights. A vector opposite
// to m has no tangent of its own and is passed over.
//
// mergekit takes angles in fp32, to which vectors less than some 3e-4 apart are
// the same; here the products are fp64.
//
// Source: Karcher 1977, "Riemannian center of mass and mollifier smoothing";
// mergekit v0.1.5, karcher.
func karcher() Method {
	return Method{
		Name:    "karcher",
		Summary: "Riemannian mean of the models' directions times their mean length",
		Formula: "(Σ‖Xᵢ‖/n) argminₘ Σ ∠(m, Xᵢ)², ‖m‖ = 1",
		Source:  "Karcher 1977; mergekit 0.1.5",
		Parameters: []Parameter{
			{"max_iter", false, "10", "most steps towards the mean"},
			{"tol", false, "1e-5", "stop when a step is shorter"},
		},
		begin: func(p *Problem) measure {
			return func(ctx context.Context, t Tensor) (Elementwise, error) {
				if len(p.Models) == 1 {
					return copied, nil
				}
				steps := int(p.Number(-1, "max_iter", t.Name, 10))
				tol := p.Number(-1, "tol", t.Name, 1e-5)
				return span{}.merge(ctx, p, t, func(g gram) ([]float64, error) {
					return riemannianMean(g, steps, tol), nil
				})
			}
		},
	}
}

func riemannianMean(g gram, steps int, tol float64) []float64 {
	out := make([]float64, len(g))
	var long []int
	var scale float64 // the mean length
	for k, n := range g.norms() {
		if n > tol {
			long = append(long, k)
		}
		scale += n / float64(len(g))
	}
	if long == nil {
		return out
	}
	unit := make(gram, len(long)) // of the unit vectors: cosines
	m := make([]float64, len(long))
	for i, j := range long {
		m[i] = 1 / float64(len(long))
		for _, k := range long {
			unit[i] = append(unit[i], g[j][k]/(g.norm(j)*g.norm(k)))
		}
	}
	if n := unit.length(m); n < tol {
		clear(m)
		m[0] = 1
	} else {
		scaleBy(m, 1/n)
	}
	for range steps {
		v := unit.tangent(m, tol)
		n := unit.length(v)
		if n < tol {
			break
		}
		for i := range m {
			m[i] = math.Cos(n)*m[i] + math.Sin(n)/n*v[i]
		}
		if n := unit.length(m); n > tol {
			scaleBy(m, 1/n)
		}
	}
	for i, k := range long {
		out[k] = scale * m[i] / g.norm(k)
	}
	return out
}

// tangent is the mean of the logarithms at m of unit vectors, in coefficients.
func (g gram) tangent(m []float64, tol float64) []float64 {
	v := make([]float64, len(m))
	for k := range g {
		var cos float64
		for j, c := range m {
			cos += float64(c * g[j][k])
		}
		cos = max(-1, min(1, cos))
		theta := math.Acos(cos)
		if theta < tol || math.Pi-theta < tol {
			continue
		}
		f := theta / math.Sin(theta) / float64(len(g))
		v[k] += f
		for j, c := range m {
			v[j] -= float64(f * cos * c)
		}
	}
	return v
}

func scaleBy(x []float64, c float64) {
	for i := range x {
		x[i] *= c
	}
}

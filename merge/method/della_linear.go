package method

// dellaLinear is DELLA's thinning without the election of signs:
//
//	out = B + λ·Σ w_i·r_i·(m_i ∘ δ_i)
//
// with m_i and r_i as for della.
//
// Source: Deep et al. 2024, "DELLA-Merging"; mergekit v0.1.5, della_linear, but
// for the generator.
func dellaLinear() Method {
	v := vectors{sparsify: keepByRank, rescale: true}
	return Method{
		Name:       "della_linear",
		Summary:    "deltas dropped at random, small ones rather; rescaled, summed",
		Formula:    "B + λ Σ wᵢrᵢ(mᵢ∘δᵢ)",
		Paper:      "rᵢ = 1/chance of each element",
		Source:     "DELLA (Deep et al. 2024); mergekit 0.1.5",
		Base:       true,
		Parameters: v.parameters(),
		begin:      v.begin,
	}
}

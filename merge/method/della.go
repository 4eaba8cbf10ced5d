package method

// della is TIES with DELLA's thinning, the larger deltas of a row having the
// better chance to stay:
//
//	v_i = w_i·r_i·(m_i ∘ δ_i);  s = sign(Σ v_i);  out = B + λ·Σ_{sign(v_i)=s} v_i / Σ_{sign(v_i)=s} w_i
//
// with the m_i of magprune and r_i = ‖δ_i‖₁/‖m_i∘δ_i‖₁ per tensor as in
// mergekit; with `semantics: paper` each element that stays is divided by its
// own chance, and signs are elected before weighting. ε is mergekit's in both:
// chances go from density − ε to density + ε.
//
// Source: Deep et al. 2024, "DELLA-Merging"; mergekit v0.1.5, della, but for the
// generator.
func della() Method {
	v := vectors{sparsify: keepByRank, consensus: true, normalize: true, rescale: true}
	return Method{
		Name:       "della",
		Summary:    "deltas dropped at random, small ones rather; majority sign, mean of those that agree",
		Formula:    "B + λ Σ{sign vᵢ = s} vᵢ / Σ{sign vᵢ = s} wᵢ, vᵢ = wᵢrᵢ(mᵢ∘δᵢ)",
		Paper:      "rᵢ = 1/chance of each element, s = sign(Σ rᵢ(mᵢ∘δᵢ))",
		Source:     "DELLA (Deep et al. 2024); mergekit 0.1.5",
		Base:       true,
		Parameters: v.parameters(),
		begin:      v.begin,
	}
}

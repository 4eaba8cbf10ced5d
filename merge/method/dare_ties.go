package method

// dareTies is dare_linear's thinning with TIES' election of signs:
//
//	v_i = w_i·r_i·(m_i ∘ δ_i);  s = sign(Σ v_i);  out = B + λ·Σ_{sign(v_i)=s} v_i
//
// not divided by the weights unless normalize is set. With `semantics: paper`
// r_i = 1/density and signs are elected before weighting.
//
// Source: Yu et al. 2023; Yadav et al. 2023; mergekit v0.1.4, dare_ties, but for
// the generator.
func dareTies() Method {
	v := vectors{sparsify: keepRandom, consensus: true, rescale: true}
	return Method{
		Name:       "dare_ties",
		Summary:    "DARE's thinning, TIES' election of signs",
		Formula:    "B + λ Σ{sign vᵢ = s} vᵢ, vᵢ = wᵢrᵢ(mᵢ∘δᵢ)",
		Paper:      "rᵢ = 1/density, s = sign(Σ rᵢ(mᵢ∘δᵢ))",
		Source:     "DARE, TIES; mergekit 0.1.4",
		Base:       true,
		Parameters: v.parameters(),
		begin:      v.begin,
	}
}

package method

// dareLinear drops deltas at random and rescales what is left:
//
//	out = B + λ·Σ w_i·r_i·(m_i ∘ δ_i),  m_i = [u ≥ 1 − density]
//
// with r_i = ‖δ_i‖₁/‖m_i∘δ_i‖₁ per tensor as in mergekit, or 1/density with
// `semantics: paper`.
//
// Source: Yu et al. 2023, "Language models are super Mario"; mergekit v0.1.4,
// dare_linear, but for the generator.
func dareLinear() Method {
	v := vectors{sparsify: keepRandom, rescale: true}
	return Method{
		Name:       "dare_linear",
		Summary:    "deltas dropped at random, rescaled, summed",
		Formula:    "B + λ Σ wᵢrᵢ(mᵢ∘δᵢ)",
		Paper:      "rᵢ = 1/density",
		Source:     "DARE (Yu et al. 2023); mergekit 0.1.4",
		Base:       true,
		Parameters: v.parameters(),
		begin:      v.begin,
	}
}

package method

// breadcrumbsTies is breadcrumbs' thinning with TIES' election of signs:
//
//	v_i = w_i·mid(δ_i);  s = sign(Σ v_i);  out = B + λ·Σ_{sign(v_i)=s} v_i
//
// not divided by the weights unless normalize is set. With `semantics: paper`
// signs are elected before weighting.
//
// Source: Davari and Belilovsky 2023; Yadav et al. 2023; mergekit v0.1.5,
// breadcrumbs_ties.
func breadcrumbsTies() Method {
	v := vectors{sparsify: keepMiddle, consensus: true}
	return Method{
		Name:       "breadcrumbs_ties",
		Summary:    "breadcrumbs' thinning, TIES' election of signs",
		Formula:    "B + λ Σ{sign vᵢ = s} vᵢ, vᵢ = wᵢ mid(δᵢ)",
		Paper:      "s = sign(Σ mid(δᵢ))",
		Source:     "Model Breadcrumbs, TIES; mergekit 0.1.5",
		Base:       true,
		Parameters: v.parameters(),
		begin:      v.begin,
	}
}

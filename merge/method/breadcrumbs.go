package method

import (
	"context"
	"fmt"

	"mergebot/merge/kernel"
)

// breadcrumbs sums what is left of the deltas without their outliers and without
// their small elements:
//
//	out = B + λ·Σ w_i·mid(δ_i)
//
// Of n elements of a tensor in the order of (|δ|, index), mid drops the
// int(γ·n) largest and keeps the int(density·n) that come next; where fewer than
// those are left, it drops fewer of the largest. A density of 1 keeps all.
//
// It is mergekit v0.1.5's: v0.1.4 and before keep nothing of a tensor of which
// γ drops less than one element (n < 100 by default).
//
// Source: Davari and Belilovsky 2023, "Model Breadcrumbs"; mergekit v0.1.5,
// breadcrumbs.
func breadcrumbs() Method {
	v := vectors{sparsify: keepMiddle}
	return Method{
		Name:       "breadcrumbs",
		Summary:    "deltas without the largest and the small ones, summed",
		Formula:    "B + λ Σ wᵢ mid(δᵢ)",
		Source:     "Model Breadcrumbs (Davari, Belilovsky 2023); mergekit 0.1.5",
		Base:       true,
		Parameters: v.parameters(),
		begin:      v.begin,
	}
}

// middle finds the cuts of breadcrumbs: the set of the outliers, which is
// dropped, and with them the set that is kept, which contains it.
func middle(ctx context.Context, dev kernel.Device, delta kernel.Source, density, gamma float64) ([]kernel.Cut, error) {
	if !(gamma >= 0 && gamma <= 1) {
		return nil, fmt.Errorf("gamma is %v: want 0 to 1", gamma)
	}
	n := delta.N
	kept, outliers := int64(density*float64(n)), int64(gamma*float64(n))
	small := max(0, n-kept-outliers)
	cuts, err := kernel.Select(ctx, dev, []kernel.Source{delta}, []int64{small + kept, small}, false)
	if err != nil {
		return nil, err
	}
	return cuts[0], nil
}

package eval

// AccuracyDifference is the accuracy of the first result minus that of the second, in fractions of 1, with its 95 %
// interval: the paired percentile bootstrap of [DomainRatioInterval], seed included. Unlike a ratio it is defined where the second
// model has nothing right. Where no item differs the interval has no width, which says nothing about items not asked:
// [CompareMcNemar] decides what may be claimed. ErrUnpaired if the results are not about the same items.
func AccuracyDifference(a, b Result) (float64, Interval, error) {
	o, err := Pair{a, b}.outcomes()
	if err != nil {
		return 0, Interval{}, err
	}
	n := float64(len(o))
	var all outcome
	for _, x := range o {
		all.merged += x.merged
		all.dense += x.dense
	}
	difference := func(sums []outcome) float64 { return float64(sums[0].merged-sums[0].dense) / n }
	return difference([]outcome{all}), bootstrap([][]outcome{o}, difference), nil
}

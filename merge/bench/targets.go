package main

import (
	"fmt"
	"slices"
)

// target is what the project set out to reach, and what it reached.
type target struct {
	What  string
	Want  string
	Got   string
	Met   bool
	Known bool // the run has the figures
}

// targets are judged on the medians.
func targets(s *speedReport, k []kernelRate) []target {
	var out []target
	for _, name := range []string{"ties", "dare_ties"} {
		t := s.timing(name)
		faster := ratio(over(t.Theirs, wall).median, over(t.Ours, wall).median)
		smaller := ratio(over(t.Ours, peak).median, over(t.Theirs, peak).median)
		out = append(out,
			target{What: name + ": times mergekit's speed", Want: "≥ 8", Got: figures(faster), Met: faster >= 8, Known: faster > 0},
			target{What: name + ": share of mergekit's peak memory", Want: "≤ 0.33", Got: figures(smaller), Met: smaller <= 1.0/3, Known: smaller > 0})
	}
	for _, name := range []string{"linear", "task_arithmetic"} {
		t := s.timing(name)
		share := ratio(over(t.Copies, durable).median, over(t.Ours, durable).median)
		out = append(out, target{What: name + ": share of a copy's speed, both to the disk", Want: "≥ 0.60", Got: figures(share), Met: share >= 0.6, Known: share > 0})
	}
	slower := ratio(over(s.timing("dppa").Ours, wall).median, over(s.timing("linear").Ours, wall).median)
	out = append(out, target{What: "dppa: times the time of linear", Want: "≤ 2.50", Got: figures(slower), Met: slower <= 2.5, Known: slower > 0})
	return append(out, kernelTargets(k)...)
}

// kernelTargets are those of the passes of a merge: statistics, selection,
// application.
func kernelTargets(k []kernelRate) []target {
	var out []target
	for _, d := range []struct {
		device string
		want   float64
	}{{"avx512", 0.6}, {"avx2", 0.45}} {
		for _, op := range []string{"stats", "outliers", "amplify two"} {
			i := slices.IndexFunc(k, func(r kernelRate) bool {
				return r.Operation == op && r.Size == "memory" && r.Device == d.device
			})
			t := target{What: fmt.Sprintf("%s with %s: share of memcpy's bytes per second", op, d.device), Want: fmt.Sprintf("≥ %.2f", d.want)}
			if i >= 0 {
				t.Known, t.Got, t.Met = true, figures(k[i].OfCopy), k[i].OfCopy >= d.want
			}
			out = append(out, t)
		}
	}
	return out
}

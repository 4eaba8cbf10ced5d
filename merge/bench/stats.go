package main

import (
	"fmt"
	"slices"
)

// spread is a figure over the rounds.
type spread struct{ median, least, most float64 }

// over takes a figure of every round; the zero spread without rounds.
func over(rounds []cost, figure func(cost) float64) spread {
	var v []float64
	for _, c := range rounds {
		v = append(v, figure(c))
	}
	if len(v) == 0 {
		return spread{}
	}
	slices.Sort(v)
	n := len(v)
	return spread{median: (v[(n-1)/2] + v[n/2]) / 2, least: v[0], most: v[n-1]}
}

// String is the median, and how far the rounds are from it.
func (s spread) String() string {
	if s.median == 0 {
		return ""
	}
	return fmt.Sprintf("%s (%s–%s)", figures(s.median), figures(s.least), figures(s.most))
}

func wall(c cost) float64 { return c.Wall }

func cpu(c cost) float64 { return c.CPU }

func durable(c cost) float64 { return c.durable() }

func peak(c cost) float64 { return float64(c.RSS) }

func unnamed(c cost) float64 { return float64(c.Anonymous) }

// ratio is a/b, 0 where one of them is missing.
func ratio(a, b float64) float64 {
	if a == 0 || b == 0 {
		return 0
	}
	return a / b
}

// figures writes a number with three figures.
func figures(x float64) string {
	switch {
	case x == 0:
		return ""
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

func gigabytes(n int64) string {
	if n == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}

func rate(x float64) string {
	if x == 0 {
		return "unknown"
	}
	return figures(x/1e9) + " GB/s"
}

package configs

import (
	"encoding/json"
	"strings"
)

// Parameters are the values of one `parameters:` mapping, by name.
type Parameters map[string]Value

// Value is what mergekit allows for a parameter: one number (or a switch, which
// is 0 or 1), a gradient of numbers over the layers, or a list of {filter,
// value}. The zero Value matches nothing.
type Value struct {
	numbers []float64 // one: a scalar; several: a gradient
	cases   []valueCase
}

type valueCase struct {
	filter string // part of a tensor's name; "" and "*" match all
	value  Value
}

func (c valueCase) matches(tensor string) bool {
	return c.filter == "" || c.filter == "*" || tensor != "" && strings.Contains(tensor, c.filter)
}

// Scalar is the Value of one number.
func Scalar(f float64) Value { return Value{numbers: []float64{f}} }

// Gradient is the Value that runs through the given numbers from the first
// layer to the last.
func Gradient(f ...float64) Value { return Value{numbers: append([]float64(nil), f...)} }

// Number gives the value for a tensor whose layer stands at t in [0,1]; tensors
// outside the layers have t = 0 and so take a gradient's first number. It is
// false when no filter matches the tensor. Rules and arithmetic are those of
// mergekit 0.1.5 (evaluate_setting in mergekit/config.py).
func (v Value) Number(tensor string, t float64) (float64, bool) {
	for _, c := range v.cases {
		if c.matches(tensor) {
			return c.value.Number(tensor, t)
		}
	}
	if len(v.numbers) == 0 {
		return 0, false
	}
	last := len(v.numbers) - 1
	scaled := min(max(t, 0), 1) * float64(last)
	i := int(scaled)
	f := scaled - float64(i)
	// The conversions forbid fused multiply-add: the same bits on every machine.
	return float64((1-f)*v.numbers[i]) + float64(f*v.numbers[min(i+1, last)]), true
}

// Bool is Number for a switch: anything but 0 is on. Between two switches of a
// gradient there is nothing, so each holds until the next one's place, and the
// last at t = 1 alone, as in mergekit 0.1.5.
func (v Value) Bool(tensor string, t float64) (value, ok bool) {
	for _, c := range v.cases {
		if c.matches(tensor) {
			return c.value.Bool(tensor, t)
		}
	}
	if len(v.numbers) == 0 {
		return false, false
	}
	return v.numbers[int(min(max(t, 0), 1)*float64(len(v.numbers)-1))] != 0, true
}

// Constant gives the number of a Value that is the same for every tensor, and
// false for gradients and filters.
func (v Value) Constant() (float64, bool) {
	if len(v.numbers) != 1 || len(v.cases) != 0 {
		return 0, false
	}
	return v.numbers[0], true
}

// All lists every number that the Value holds, for checks of range.
func (v Value) All() []float64 {
	all := append([]float64(nil), v.numbers...)
	for _, c := range v.cases {
		all = append(all, c.value.All()...)
	}
	return all
}

// total says that every tensor gets a number.
func (v Value) total() bool {
	if len(v.cases) == 0 {
		return len(v.numbers) > 0
	}
	last := v.cases[len(v.cases)-1].filter
	return last == "" || last == "*"
}

func (v Value) empty() bool { return len(v.numbers) == 0 && len(v.cases) == 0 }

// MarshalJSON writes the Value in the form that a recipe has it in.
func (v Value) MarshalJSON() ([]byte, error) {
	switch {
	case len(v.cases) > 0:
		type filtered struct {
			Filter string `json:"filter,omitempty"`
			Value  Value  `json:"value"`
		}
		list := make([]filtered, len(v.cases))
		for i, c := range v.cases {
			list[i] = filtered{c.filter, c.value}
		}
		return json.Marshal(list)
	case len(v.numbers) == 1:
		return json.Marshal(v.numbers[0])
	default:
		return json.Marshal(v.numbers)
	}
}

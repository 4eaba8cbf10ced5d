package web

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"mergebot/bot/run"
	"mergebot/eval/report"
)

// history is what a recipe's runs scored, one after another.
type history struct {
	Rows    []runRow // the newest first
	Domains []chart  // Domain-Ratios
	Tasks   []chart  // accuracies of the merged model
}

// farRatio is where a chart ends: a ratio to an expert that knows next to nothing runs off it.
const farRatio = 3

func newHistory(rows []runRow) history {
	var h history
	domains, tasks := map[string]int{}, map[string]int{}
	at := func(charts *[]chart, index map[string]int, name string, c chart) *chart {
		i, ok := index[name]
		if !ok {
			i = len(*charts)
			index[name] = i
			*charts = append(*charts, c)
		}
		return &(*charts)[i]
	}
	for n, row := range rows {
		if row.Report == nil {
			continue
		}
		for _, d := range row.Report.Domains {
			if d.Ratio != nil {
				c := at(&h.Domains, domains, d.Name, chart{Name: d.Name, Slots: len(rows), Full: 1, most: farRatio})
				c.Points = append(c.Points, point{Slot: n, Interval: *d.Ratio, Run: row.Record})
				c.Gate = gateOf(row.Report.Gates, d.Name, "")
			}
			for _, t := range d.Tasks {
				score, ok := t.Score(report.Merged)
				if !ok {
					continue
				}
				c := at(&h.Tasks, tasks, d.Name+"/"+t.Name, chart{Name: t.Name, Slots: len(rows), most: 1})
				c.Points = append(c.Points, point{Slot: n, Interval: report.Interval{Value: score.Accuracy, Low: score.Low, High: score.High}, N: score.N, Run: row.Record})
				if expert, ok := t.Score(report.Expert); ok {
					c.Full = expert.Accuracy
				}
			}
		}
	}
	for i := range h.Domains {
		h.Domains[i].lay()
	}
	for i := range h.Tasks {
		h.Tasks[i].lay()
	}
	h.Rows = slices.Clone(rows)
	slices.Reverse(h.Rows)
	return h
}

// gateOf is the least ratio that a gate asks for; 0 when there is none.
func gateOf(gates []report.Gate, domain, task string) float64 {
	for _, g := range gates {
		if g.Domain == domain && g.Task == task && g.MinRatio > 0 {
			return g.MinRatio
		}
	}
	return 0
}

// chart is one score over the runs of a recipe, each in a slot of its own.
type chart struct {
	Name   string
	Points []point
	Slots  int
	Full   float64 // the expert's score: a line; 0: none
	Gate   float64 // what is asked for: a line; 0: none

	Ticks    []tick
	FullY    string // where the lines are; "" for none
	GateY    string
	Line     string // through the points, as an SVG path
	low, top float64
	most     float64 // where the chart ends at the latest
}

// point is a run's score with its 95 % interval.
type point struct {
	report.Interval
	Slot int
	N    int
	Run  run.Record

	X, Y, LowY, HighY string
}

// Met says whether the run met its gates.
func (p point) Met() bool { return p.Run.State == run.Succeeded }

// tick is a line of the grid.
type tick struct{ Y, Text string }

// Last is the newest point.
func (c chart) Last() point { return c.Points[len(c.Points)-1] }

// First is the oldest point.
func (c chart) First() point { return c.Points[0] }

// The chart's place in its drawing of 340 by 150 units, which a phone shows about as large as a desk.
const (
	chartLeft, chartRight = 36.0, 330.0
	chartTop, chartBottom = 10.0, 128.0
)

// lay places everything.
func (c *chart) lay() {
	c.low, c.top = math.Inf(1), math.Inf(-1)
	for _, p := range c.Points {
		c.low, c.top = min(c.low, p.Low), max(c.top, p.High)
	}
	for _, v := range []float64{c.Full, c.Gate} {
		if v > 0 {
			c.low, c.top = min(c.low, v), max(c.top, v)
		}
	}
	c.low, c.top = max(0, c.low), min(c.top, c.most)
	step := gridStep(c.top - c.low)
	c.low, c.top = math.Floor(c.low/step+1e-9)*step, math.Ceil(c.top/step-1e-9)*step
	if c.top-c.low < step {
		c.top = c.low + step
	}
	for v := c.low; v < c.top+step/2; v += step {
		c.Ticks = append(c.Ticks, tick{c.y(v), fmt.Sprintf("%.0f", 100*v)}) // steps are whole per cents
	}
	if c.Full > 0 {
		c.FullY = c.y(c.Full)
	}
	if c.Gate > 0 {
		c.GateY = c.y(c.Gate)
	}
	for i := range c.Points {
		p := &c.Points[i]
		x := (chartLeft + chartRight) / 2
		if c.Slots > 1 {
			const margin = 10 // room for the first and the last dot
			x = chartLeft + margin + (chartRight-chartLeft-2*margin)*float64(p.Slot)/float64(c.Slots-1)
		}
		p.X, p.Y, p.LowY, p.HighY = coord(x), c.y(p.Value), c.y(p.Low), c.y(p.High)
		verb := "L"
		if i == 0 {
			verb = "M"
		}
		c.Line += verb + p.X + " " + p.Y
	}
}

func (c *chart) y(v float64) string {
	v = min(max(v, c.low), c.top)
	return coord(chartBottom - (chartBottom-chartTop)*(v-c.low)/(c.top-c.low))
}

// gridStep is a round distance between the lines of a grid, of which a span then has two to five.
func gridStep(span float64) float64 {
	for _, step := range []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5} {
		if span/step <= 4 {
			return step
		}
	}
	return 1
}

func coord(f float64) string { return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) }

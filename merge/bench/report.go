package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what docs/performance.md is made from. Its parts come from commands
// of their own, and each has its own date.
type report struct {
	Speed  *speedReport  `json:"speed,omitempty"`
	Memory *memoryReport `json:"memory,omitempty"`
}

// setting is where, when and how a part was measured.
type setting struct {
	Date    time.Time `json:"date"`
	Command string    `json:"command"`
	Machine machine   `json:"machine"`
	Threads int       `json:"threads"`
	Shape   string    `json:"shape"` // flags of the synth command
	Model   int64     `json:"model_bytes"`
	Largest int64     `json:"largest_tensor_bytes"`
}

type speedReport struct {
	setting
	Experts  int               `json:"experts"`
	Rounds   int               `json:"rounds"`
	Versions map[string]string `json:"versions"`
	Flags    string            `json:"mergekit_flags"`
	Before   speeds            `json:"speeds_before"`
	After    speeds            `json:"speeds_after"`
	Timings  []timing          `json:"timings"`
	Kernels  []kernelRate      `json:"kernels,omitempty"`
}

type memoryReport struct {
	setting
	Footprints []footprint `json:"footprints"`
}

func (s *speedReport) timing(name string) timing {
	for _, t := range s.Timings {
		if t.Recipe == name {
			return t
		}
	}
	return timing{}
}

// table writes rows of cells, in columns for people or as Markdown.
func table(w io.Writer, markdown bool, rows [][]string) {
	if !markdown {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, r := range rows {
			fmt.Fprintln(t, strings.Join(r, "\t"))
		}
		_ = t.Flush()
		return
	}
	for i, r := range rows {
		fmt.Fprintf(w, "| %s |\n", strings.ReplaceAll(strings.Join(r, " \x00 "), "\x00", "|"))
		if i == 0 {
			fmt.Fprintf(w, "|%s\n", strings.Repeat(" --- |", len(r)))
		}
	}
}

// comparison is the table of the two programs.
func (s *speedReport) comparison() [][]string {
	rows := [][]string{{"recipe", "mergebot, s", "mergekit, s", "times as fast", "to the disk", "CPU s", "its CPU s", "peak GB", "its peak GB", "anonymous GB", "its anonymous GB", "of its peak"}}
	gb := func(x spread) string { return figures(x.median / 1e9) }
	for _, t := range s.Timings {
		rows = append(rows, []string{t.Recipe, over(t.Ours, wall).String(), over(t.Theirs, wall).String(),
			figures(ratio(over(t.Theirs, wall).median, over(t.Ours, wall).median)),
			figures(ratio(over(t.Theirs, durable).median, over(t.Ours, durable).median)),
			figures(over(t.Ours, cpu).median), figures(over(t.Theirs, cpu).median),
			gb(over(t.Ours, peak)), gb(over(t.Theirs, peak)), gb(over(t.Ours, unnamed)), gb(over(t.Theirs, unnamed)),
			figures(ratio(over(t.Ours, peak).median, over(t.Theirs, peak).median))})
	}
	return rows
}

// throughput is the table of bytes per second against a copy of the same bytes.
func (s *speedReport) throughput() [][]string {
	rows := [][]string{{"recipe", "GB moved", "mergebot, GB/s", "mergekit, GB/s", "copy, GB/s", "copy and sync, GB/s", "share of copy and sync", "of which reading the models' SHA-256, s", "measuring, s", "merging, s"}}
	for _, t := range s.Timings {
		moved := float64(t.Moved)
		per := func(rounds []cost, f func(cost) float64) string {
			return figures(ratio(moved/1e9, over(rounds, f).median))
		}
		phase := func(name string) string {
			return figures(over(t.Ours, func(c cost) float64 { return c.Phases[name] }).median)
		}
		rows = append(rows, []string{t.Recipe, figures(moved / 1e9), per(t.Ours, durable), per(t.Theirs, durable), per(t.Copies, wall), per(t.Copies, durable),
			figures(ratio(over(t.Copies, durable).median, over(t.Ours, durable).median)), phase("resolve"), phase("measure"), phase("merge")})
	}
	return rows
}

func (s *speedReport) machineTable() [][]string {
	rows := [][]string{{"of the machine itself", "before", "after"}}
	add := func(what string, f func(speeds) float64) {
		rows = append(rows, []string{what, rate(f(s.Before)), rate(f(s.After))})
	}
	add("memory copy by Go, one core", func(v speeds) float64 { return v.Copy })
	add(fmt.Sprintf("memory copy by Go, %d cores", s.Threads), func(v speeds) float64 { return v.CopyAll })
	add("memory copy by the C library, one core", func(v speeds) float64 { return v.CopyC })
	add("read(2) from the page cache, one core", func(v speeds) float64 { return v.Read })
	add("write(2) and fsync", func(v speeds) float64 { return v.Write })
	add("read(2) from the disk", func(v speeds) float64 { return v.ReadDisk })
	return rows
}

// verdicts lists the targets, those that were missed first.
func verdicts(all []target) [][]string {
	rows := [][]string{{"target", "wanted", "reached", ""}}
	for _, missed := range []bool{true, false} {
		for _, t := range all {
			if t.Known && t.Met != missed {
				rows = append(rows, []string{t.What, t.Want, t.Got, map[bool]string{true: "met", false: "**missed**"}[t.Met]})
			}
		}
	}
	return rows
}

func (s *speedReport) kernelTable() [][]string {
	rows := [][]string{{"operation", "device", "cached, GB/s", "% of memcpy", "memory, GB/s", "% of memcpy"}}
	at := map[string]int{}
	for _, k := range s.Kernels {
		key := k.Operation + "/" + k.Device
		i, ok := at[key]
		if !ok {
			i = len(rows)
			at[key] = i
			rows = append(rows, []string{k.Operation, k.Device, "", "", "", ""})
		}
		column := 2
		if k.Size == "memory" {
			column = 4
		}
		rows[i][column], rows[i][column+1] = figures(k.Rate/1e9), figures(100*k.OfCopy)
	}
	return rows
}

func (m *memoryReport) table() [][]string {
	rows := [][]string{{"recipe", "experts", "weights mapped, GB", "peak resident, GB", "of that anonymous, GB", "resident / largest tensor", "anonymous / largest tensor", "wall, s"}}
	for _, f := range m.Footprints {
		rows = append(rows, []string{f.Recipe, fmt.Sprint(f.Experts), figures(float64(f.Mapped) / 1e9), figures(float64(f.RSS) / 1e9),
			figures(float64(f.Anonymous) / 1e9), figures(ratio(float64(f.RSS), float64(m.Largest))), figures(ratio(float64(f.Anonymous), float64(m.Largest))), figures(f.Wall)})
	}
	return rows
}

// wrong lists recipes whose results are not mergekit's.
func (s *speedReport) wrong() []string {
	var names []string
	for _, t := range s.Timings {
		if t.Difference != nil && !t.Difference.agrees() {
			names = append(names, t.Recipe)
		}
	}
	return names
}

// loadReport takes the figures of earlier commands; none are an empty report.
func loadReport(path string) (report, error) {
	var r report
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%s: %w; remove it and measure again", path, err)
	}
	return r, nil
}

// save writes the document and, beside it, the figures that it is made from.
func (r report) save(doc string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	var text bytes.Buffer
	r.document(&text)
	return errors.Join(os.WriteFile(figuresOf(doc), append(b, '\n'), 0o644), os.WriteFile(doc, text.Bytes(), 0o644))
}

func figuresOf(doc string) string { return strings.TrimSuffix(doc, ".md") + ".json" }

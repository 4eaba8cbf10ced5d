package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// document writes docs/performance.md.
func (r report) document(w io.Writer) {
	fmt.Fprint(w, `# Performance
Every figure here was written by the command that measured it: `+"`make bench`"+` the first part, `+"`make memory`"+` the second. Run them on your machine; figures of other machines say little.
`)
	if r.Speed != nil {
		r.Speed.document(w)
	}
	if r.Memory != nil {
		r.Memory.document(w)
	}
}

func (s setting) document(w io.Writer) {
	fmt.Fprintf(w, "%s, `%s`: %s, %d cores, %s of memory, %s, %s; %d threads. Models: `synth %s`, %s each; the largest tensor has %.0f MB.\n",
		s.Date.Format("2006-01-02 15:04 MST"), s.Command, s.Machine.Processor, s.Machine.Cores, gigabytes(s.Machine.Memory), s.Machine.System, s.Machine.Go,
		s.Threads, s.Shape, gigabytes(s.Model), float64(s.Largest)/1e6)
	if s.Machine.Load > 0.5 {
		fmt.Fprintf(w, "**The machine was busy** with %.1f other processes when this began: trust the ratios more than the seconds, and neither much.\n", s.Machine.Load)
	}
	fmt.Fprintln(w)
}

func (s *speedReport) document(w io.Writer) {
	fmt.Fprintln(w, "\n## Against mergekit")
	s.setting.document(w)
	var versions []string
	for _, name := range slices.Sorted(maps.Keys(s.Versions)) {
		versions = append(versions, name+" "+s.Versions[name])
	}
	fmt.Fprintf(w, "%s. mergekit runs on the CPU with `--num-threads %d %s`: flags that speed it up and leave the result as it is.\n\n", strings.Join(versions, ", "), s.Threads, s.Flags)
	fmt.Fprintf(w, `A base and %d experts in bfloat16. Both programs take turns, rounds: %d, each merge in its own process, with all that it reads in the page cache; the first figure is the median, in parentheses are the fastest and the slowest round.
- **Times as fast** compares the processes' wall time. mergebot's ends when the result is on the disk; mergekit does not wait for that. **To the disk** adds, for both, the time of an fsync after the process has ended.
- **Peak** is resident memory: pages of mapped files count, though the system can take them back. **Anonymous** is the part that it cannot, sampled every %d ms.
- The output of every round has the same SHA-256. mergekit has no `+"`magnitude` and no `dppa`"+`.

`, s.Experts, s.Rounds, samplePeriod.Milliseconds())
	table(w, true, s.comparison())

	fmt.Fprint(w, `
### Against a copy
**GB moved** are the weights that a merge must read, once, and write. A **copy** of the same bytes is `+"`cp --reflink=never`"+` of one model and read(2) of the others, both from a disk at rest, every other round the copy first; **and sync** adds an fsync, which mergebot's time contains. For mergekit the fsync is added.
mergebot first reads the models for their SHA-256, which the result's lock and card name; DPPA's methods then measure the deltas: the last columns are the seconds of these steps.

`)
	table(w, true, s.throughput())
	fmt.Fprintln(w)
	table(w, true, s.machineTable())
	fmt.Fprintln(w, "\nCopies of memory count what is read and what is written.")

	fmt.Fprintln(w, "\n### The same results")
	fmt.Fprintf(w, "Of the first round, %d tensors or so are compared with mergekit's, which computes in bfloat16 where mergebot computes in float32 and rounds once; float32 comparisons are [held by tests](methods.md).\n\n", sampled)
	for _, t := range s.Timings {
		if t.Difference != nil {
			fmt.Fprintf(w, "- %s: %s\n", t.Recipe, t.Difference)
		}
	}

	fmt.Fprintln(w, "\n### Against the targets")
	all := targets(s, s.Kernels)
	missed := slices.ContainsFunc(all, func(t target) bool { return t.Known && !t.Met })
	if missed {
		fmt.Fprint(w, "What falls short comes first.\n\n")
	} else {
		fmt.Fprint(w, "Those that this run has figures of are met.\n\n")
	}
	table(w, true, verdicts(all))

	if len(s.Kernels) > 0 {
		fmt.Fprint(w, `
### Kernels
`+"`make bench-kernels`"+`, in the same run: bytes that an operation must read and write, per second on one core, and how much that is of a memory copy's between its rounds. cached is 1 MiB a slice, as merging works; memory is 64 MiB.

`)
		table(w, true, s.kernelTable())
	}
}

func (m *memoryReport) document(w io.Writer) {
	fmt.Fprintln(w, "\n## Memory")
	m.setting.document(w)
	fmt.Fprint(w, `Of these models only some blocks have values, the others are holes in the files, which take no disk but are mapped and read as any page; merging does everything it does else, and writes the whole result.
Resident memory is what the process holds, mapped pages among it, which the system takes back when it needs them; anonymous memory it cannot take back. What is wanted: neither grows with the size of the models, and anonymous memory stays within a few of the largest tensors, whatever the number of experts.

`)
	table(w, true, m.table())
}

package talk

import (
	"fmt"
	"strings"

	"mergebot/bot/run"
	"mergebot/eval/report"
)

// models is the table of what a plan is made of, each at its commit.
func (c Conversation) models(p *run.Plan) string {
	t := newTable("Used as", "What", "Commit", "Licence", ">Size")
	left := maxRows
	var row func(role string, m run.LockedModel)
	row = func(role string, m run.LockedModel) {
		if left--; left < 0 {
			return
		}
		name, commit := m.Repo, c.revision("model", m.Repo, m.SHA)
		if name == "" {
			name, commit = m.Name, span(short(m.Digest))
		}
		size := ""
		if m.Bytes > 0 {
			size = report.Size(m.Bytes)
		}
		t.row(role, span(name)+asked(m.Asked), commit, licence(m), size)
		if m.Adapter != nil {
			row("adapter", *m.Adapter)
		}
	}
	if p.Lock.Base != nil {
		row("base", *p.Lock.Base)
	}
	for _, m := range p.Lock.Models {
		row("model", m)
	}
	for _, s := range p.Lock.Datasets {
		if left--; left < 0 {
			continue
		}
		rows := ""
		if n := s.Rows(); n > 0 {
			rows = plural(n, "row")
		}
		t.row("task "+span(s.Task), span(s.Repo)+asked(s.Asked), c.revision("dataset", s.Repo, s.SHA), "", rows)
	}
	return t.String() + rest(-left)
}

// asked is the revision as the recipe writes it.
func asked(revision string) string {
	if revision == "" || hexadecimal(revision) && len(revision) == 40 {
		return ""
	}
	return " at " + span(revision)
}

// licence is what a model's card states, and in brackets what the models that it was made from state.
func licence(m run.LockedModel) string {
	s := stated(m.License)
	var parents []string
	for i, a := range m.Lineage {
		if i == 4 {
			parents = append(parents, fmt.Sprintf("%d more", len(m.Lineage)-i))
			break
		}
		what := stated(a.License)
		if a.Unread != "" {
			what = plain(a.Unread, 60)
		}
		parents = append(parents, span(a.Repo)+": "+what)
	}
	if len(parents) > 0 {
		s += " (from " + strings.Join(parents, ", ") + ")"
	}
	return s
}

func stated(license string) string {
	if license == "" {
		return "not stated"
	}
	return plain(license, 60)
}

// needs is a list of what was checked, what comes out, and what that takes.
func needs(p *run.Plan) string {
	var items []string
	if s := checked(p); s != "" {
		items = append(items, s)
	}
	out := fmt.Sprintf("**Result:** %s, %s", plural(p.Output.Tensors, "tensor"), plural64(p.Output.Parameters, "parameter"))
	if p.Output.Tensors == 0 {
		out = "**Result:** its size shows once the models are here"
	}
	if p.Output.Layers > 0 { // stacked from slices
		out += ", " + plural(p.Output.Layers, "layer")
	}
	if p.Output.DType != "" {
		out += ", " + span(p.Output.DType)
	}
	if p.Output.Bytes > 0 {
		out += fmt.Sprintf(", %s in %s", report.Size(p.Output.Bytes), plural(p.Output.Shards, "file"))
	}
	items = append(items, out, "**Licence of the result:** "+resultLicence(p))
	d := p.Download
	fetch := fmt.Sprintf("**To fetch:** %s of %s", report.Size(d.Missing), report.Size(d.Bytes))
	if d.Missing == 0 && d.Bytes > 0 {
		fetch = "**To fetch:** nothing, all " + report.Size(d.Bytes) + " are here"
	}
	items = append(items, fetch, "**Disk:** "+report.Size(d.DiskBytes))
	if d.EngineBytes > 0 {
		items = append(items, "**Memory:** "+report.Size(d.EngineBytes)+" for the embedded engine")
	}
	if v := d.VRAM; v != nil {
		s := "**VRAM:** " + report.Size(v.Weights) + " of weights in " + span(v.DType)
		if v.KV > 0 {
			s += fmt.Sprintf(" and %s for one sequence of %s", report.Size(v.KV), plural(int(v.Context), "token"))
		}
		items = append(items, s)
	}
	if e := p.Lock.Engine; e != nil {
		items = append(items, strings.TrimSpace("**Scored by:** "+span(e.Engine)+" "+plain(e.Version, 40)))
	}
	items = append(items, "**Time:** about "+duration(d.Seconds)+" to measure and merge"+evaluation(d.Evaluation)+"; the network comes on top")
	return bullets(items, len(items))
}

// evaluation is how long scoring takes, as far as that is known.
func evaluation(e *run.PlannedEvaluation) string {
	if e == nil {
		return ""
	}
	of := ""
	if e.Items > 0 {
		of = " " + plural(int(e.Items), "answer")
	}
	if e.Seconds == 0 {
		return ", then to score" + of + ", which was not timed here yet"
	}
	return ", " + duration(e.Seconds) + " to score" + of
}

// duration is a guess of seconds, without false precision.
func duration(seconds int64) string {
	switch {
	case seconds < 90:
		return plural(int(seconds), "second")
	case seconds < 90*60:
		return plural(int(seconds+30)/60, "minute")
	}
	return plural(int(seconds+1800)/3600, "hour")
}

// checked says which tensors were compared, from the files' headers.
func checked(p *run.Plan) string {
	tensors, n := 0, len(p.Lock.Models)
	for _, m := range p.Lock.Models {
		if m.Tensors == 0 {
			return "" // the warnings say so
		}
		tensors += m.Tensors
	}
	if b := p.Lock.Base; b != nil {
		tensors, n = tensors+b.Tensors, n+1
	}
	if tensors == 0 {
		return ""
	}
	return fmt.Sprintf("**Checked:** names, shapes and types of %s in %s, from their headers", plural(tensors, "tensor"), plural(n, "checkpoint"))
}

func resultLicence(p *run.Plan) string {
	l := p.License
	s := plain(or(l.ID, "unknown"), 60)
	if l.Name != "" {
		s += " (" + plain(l.Name, 60) + ")"
	}
	if l.Rule != "" {
		s += ": " + plain(l.Rule, messageLength)
	}
	return s
}

func download(p *run.Plan) string {
	if p.Download.Missing == 0 {
		return "nothing to fetch"
	}
	return report.Size(p.Download.Missing) + " to fetch"
}

func plural64(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

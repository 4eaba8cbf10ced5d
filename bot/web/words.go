package web

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"mergebot/bot/change"
	"mergebot/bot/run"
	"mergebot/eval/report"
)

// words are what the templates may call.
func (s *site) words() template.FuncMap {
	return template.FuncMap{
		"asset": assetPath, "link": s.Link, "ago": s.ago, "took": s.took, "size": size, "count": count, "seconds": duration, "short": short,
		"percent": percent, "interval": func(low, high float64) string { return percent(low) + "–" + percent(high) },
		"clip": clip, "oneLine": oneLine, "key": change.Key, "kind": kind, "mark": mark, "capital": capital, "lines": splitLines, "changeID": changeID, "plural": plural,
		"over":     func(state run.State) bool { return state.Over() },
		"ratioBar": func(i *report.Interval) template.HTML { return report.RatioBar(*i, max(1.2, min(3, i.High))) },
		"track":    report.ScoreTrack,
		"score": func(t report.Task, role string) *report.Score {
			if x, ok := t.Score(report.Role(role)); ok {
				return &x
			}
			return nil
		},
		"asked":   func(g report.Gate) string { a, _ := g.Words(); return a },
		"reached": func(g report.Gate) string { _, r := g.Words(); return r },
		"dict":    dict,
	}
}

// dict hands several values to a part of a page.
func dict(pairs ...any) (map[string]any, error) {
	out := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no name", pairs[i])
		}
		out[name] = pairs[i+1]
	}
	return out, nil
}

// ago is a time in words, with the exact one beside it for the pointer and for machines.
func (s *site) ago(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	text := humanize.RelTime(t, s.Now(), "ago", "from now")
	if d := s.Now().Sub(t); d < time.Second && d > -time.Second {
		text = "just now"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, t.UTC().Format(time.RFC3339), t.UTC().Format("2006-01-02 15:04:05 UTC"), text))
}

// took is how long a run took, or has been going.
func (s *site) took(r run.Record) string {
	switch {
	case r.Started.IsZero():
		return ""
	case !r.Ended.IsZero():
		return duration(r.Ended.Sub(r.Started).Seconds())
	case r.State.Over():
		return ""
	}
	return duration(s.Now().Sub(r.Started).Seconds())
}

// size writes bytes in decimal units: 13.5 GB.
func size(n int64) string {
	if n < 0 {
		n = 0
	}
	return humanize.Bytes(uint64(n))
}

func count(n int64) string { return strings.ReplaceAll(humanize.Comma(n), ",", "\u202f") }

// duration writes seconds.
func duration(s float64) string {
	switch {
	case s < 0:
		return "0 s"
	case s < 0.01:
		return "< 0.01 s"
	case s < 1:
		return fmt.Sprintf("%.2f s", s)
	case s < 60:
		return fmt.Sprintf("%.1f s", s)
	case s < 3600:
		d := int(math.Round(s))
		return fmt.Sprintf("%d min %02d s", d/60, d%60)
	case s < 48*3600:
		d := int(math.Round(s / 60))
		return fmt.Sprintf("%d h %02d min", d/60, d%60)
	}
	d := int(math.Round(s / 3600))
	return fmt.Sprintf("%d d %d h", d/24, d%24)
}

// percent writes a fraction as per cent without the sign.
func percent(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "n/a"
	}
	return fmt.Sprintf("%.1f", 100*f)
}

// short is the beginning of a hash or a plan id, enough for the eye.
func short(hash string) string {
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}

// clip cuts a text to n runes; the ellipsis says so.
func clip(n int, s string) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func capital(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return strings.ToUpper(s[:n]) + s[n:]
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(int64(n)) + " " + many
}

// changeID names a change: #17, or its branch.
func changeID(id string) string {
	if _, err := strconv.Atoi(id); err == nil {
		return "#" + id
	}
	return clip(40, id)
}

// kind says what a run is for.
func kind(k run.Kind) string {
	if k == "" {
		return "terminal"
	}
	return string(k)
}

// mark is a state's sign, so that no reader depends on colour.
func mark(s run.State) string {
	switch s {
	case run.Succeeded:
		return "✓"
	case run.Gated:
		return "!"
	case run.RunFailed:
		return "✗"
	case run.Cancelled:
		return "–"
	case run.Running, run.Planned:
		return "●"
	}
	return "○"
}

// line is a line of a diff.
type line struct{ Class, Text string }

// splitLines marks the lines of a unified diff.
func splitLines(diff string) []line {
	var out []line
	for text := range strings.Lines(diff) {
		text = strings.TrimRight(text, "\r\n")
		class := ""
		switch {
		case strings.HasPrefix(text, "+++"), strings.HasPrefix(text, "---"), strings.HasPrefix(text, "@@"):
			class = "hunk"
		case strings.HasPrefix(text, "+"):
			class = "add"
		case strings.HasPrefix(text, "-"):
			class = "del"
		}
		out = append(out, line{class, text})
	}
	return out
}

package report

import "html/template"

// What other pages show of a report, in its own drawings and words. The drawings take their colours from the
// classes ink-text, ink-muted, ink-rule and ink-mark.

// RatioBar draws a ratio with its interval on a track from 0 to limit, with a tick at 1.
func RatioBar(i Interval, limit float64) template.HTML { return ratioBar(i, limit) }

// ScoreTrack draws a task's scores from 0 to 100 %: base a ring, expert a bar, merged a dot, each on its interval.
func ScoreTrack(t Task) template.HTML { return scoreTrack(t) }

// Words says how a ratio lies to 1.
func (i Interval) Words() string { return i.comparison() }

// Words says how merged lies to expert, and by which test; "" where nothing was tested.
func (t Task) Words() string { return t.verdict() }

// Words says what a gate asks for, and what became of it.
func (g Gate) Words() (asked, reached string) { return g.text(), g.reached() }

package grade

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// ErrLine is returned by ScoreJSONL for a line that cannot be graded; the text has its number.
var ErrLine = errors.New("cannot grade")

// Options of ScoreJSONL.
type Options struct {
	// Task decides whether golds are answers or indices, and the default grader. Upper and lower case are alike.
	Task string
	// Grader is a name from Names; empty means the task's default.
	Grader string
	// Bare: outputs are answers already, nothing is to be extracted from them.
	Bare bool
	// Format of the lines: "" for {"id","gold","output","options"?}, "lm-eval" for the samples that lm-evaluation-harness
	// logs, of which each doc is graded once, whatever the number of filters.
	Format string
}

// FormatLMEval is a value of Options.Format.
const FormatLMEval = "lm-eval"

// Summary of graded outputs.
type Summary struct {
	Grader   string  `json:"grader"`
	N        int     `json:"n"`
	Correct  int     `json:"correct"`
	NoAnswer int     `json:"no_answer"`
	Several  int     `json:"several"`
	Accuracy float64 `json:"accuracy"`
	// StdErr is the standard error of the accuracy, sqrt(p(1-p)/(n-1)) as in lm-evaluation-harness; 0 for one item.
	StdErr float64 `json:"stderr"`
	// Lo and Hi are the 95 % Wilson interval of the accuracy.
	Lo float64 `json:"lo"`
	Hi float64 `json:"hi"`
}

// Default is the grader of a task by the paper's rules.
func Default(task string) (string, error) {
	switch strings.ToLower(task) {
	case "gsm8k", "math":
		return "abel", nil
	case "fiqa_sa", "fpb", "scotus", "unfair_tos":
		return "contains", nil
	}
	return "", fmt.Errorf("unknown task %q: use one of gsm8k, math, fiqa_sa, fpb, scotus, unfair_tos", task)
}

// maxLine bounds a line, in bytes: 2,048 tokens of output and any real options are some 100 kB.
const maxLine = 8 << 20

// scoreInput is one line: the gold is an answer for maths, the index of an option or a list of indices for choices.
type scoreInput struct {
	ID      json.RawMessage `json:"id"`
	Gold    json.RawMessage `json:"gold"`
	Output  *string         `json:"output"`
	Options []string        `json:"options"`
}

type scoreOutput struct {
	ID        json.RawMessage `json:"id"`
	Extracted string          `json:"extracted"`
	Correct   bool            `json:"correct"`
}

// ScoreJSONL grades lines {"id","gold","output","options"?} and writes a line {"id","extracted","correct"} for each, in
// order. Blank lines are skipped. It stops at the first line that it cannot grade (ErrLine): a score over part of the
// lines would look like one over all.
func ScoreJSONL(ctx context.Context, in io.Reader, out io.Writer, o Options) (Summary, error) {
	name, err := Default(o.Task)
	if err != nil {
		return Summary{}, err
	}
	choice := name == "contains"
	if o.Grader != "" {
		name = o.Grader
	}
	g, err := find(name)
	if err != nil {
		return Summary{}, err
	}
	if g.Choice != choice {
		return Summary{}, fmt.Errorf("grader %s is not for task %s: use one of %s", name, o.Task, strings.Join(For(choice), ", "))
	}
	rule := g.grade
	if o.Bare && !choice {
		if rule = g.bare; rule == nil {
			return Summary{}, fmt.Errorf("grader %s cannot grade bare answers: its rule is how to extract them", name)
		}
	}
	read := func(line []byte) (json.RawMessage, Question, string, error) { return parseLine(line, choice) }
	switch o.Format {
	case "":
	case FormatLMEval:
		read = onceADoc(func(line []byte) (json.RawMessage, Question, string, error) { return parseLMEval(line, o.Task, choice) })
	default:
		return Summary{}, fmt.Errorf("unknown format %q: use %s, or none for lines of id, gold and output", o.Format, FormatLMEval)
	}
	w := bufio.NewWriter(out)
	s, err := score(ctx, in, w, g.Name(), read, rule)
	return s, errors.Join(err, w.Flush())
}

// reader takes a line apart; errAgain says that it repeats an earlier one.
type reader func(line []byte) (id json.RawMessage, q Question, output string, err error)

var errAgain = errors.New("seen before")

func score(ctx context.Context, in io.Reader, w io.Writer, name string, read reader, rule func(Question, string) Verdict) (Summary, error) {
	s := Summary{Grader: name}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	lines := bufio.NewReaderSize(in, 64<<10)
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		line, err := readLine(lines)
		if err == io.EOF {
			break
		} else if err != nil {
			return s, fmt.Errorf("line %d: %w", n, err)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		id, q, output, err := read(line)
		if errors.Is(err, errAgain) {
			continue
		}
		if err != nil {
			return s, fmt.Errorf("line %d: %w: %w", n, ErrLine, err)
		}
		v := rule(q, output)
		if err := enc.Encode(scoreOutput{id, v.Extracted, v.Correct}); err != nil {
			return s, fmt.Errorf("write verdict of line %d: %w", n, err)
		}
		s.add(v)
	}
	if s.N > 0 {
		s.Accuracy = float64(s.Correct) / float64(s.N)
		s.StdErr = math.Sqrt(s.Accuracy * (1 - s.Accuracy) / float64(max(1, s.N-1)))
	}
	s.Lo, s.Hi = Wilson(s.Correct, s.N)
	return s, nil
}

func (s *Summary) add(v Verdict) {
	s.N++
	if v.Correct {
		s.Correct++
	}
	if v.NoAnswer {
		s.NoAnswer++
	}
	if v.Several {
		s.Several++
	}
}

// readLine returns a line without its newline, io.EOF behind the last, ErrLine for one that is too long.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("%w: more than %d bytes", ErrLine, maxLine)
		case err == bufio.ErrBufferFull:
		case err == io.EOF && len(line) > 0:
			return line, nil
		case err != nil:
			return nil, err
		default:
			return line, nil
		}
	}
}

func parseLine(line []byte, choice bool) (id json.RawMessage, q Question, output string, err error) {
	var in scoreInput
	if err := json.Unmarshal(line, &in); err != nil {
		return nil, q, "", err
	}
	switch {
	case in.ID == nil:
		return nil, q, "", errors.New(`no "id"`)
	case in.Output == nil:
		return nil, q, "", errors.New(`no "output"`)
	case in.Gold == nil:
		return nil, q, "", errors.New(`no "gold"`)
	}
	if choice {
		q.Options = in.Options
		q.GoldIndex, err = goldIndices(in.Gold, len(in.Options))
	} else {
		q.Gold, err = goldAnswer(in.Gold)
	}
	return in.ID, q, *in.Output, err
}

// goldAnswer takes text, or a number as it is written.
func goldAnswer(raw json.RawMessage) (string, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return "", err
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	}
	return "", fmt.Errorf(`"gold" is %.40s: want the answer as text or a number`, raw)
}

func goldIndices(raw json.RawMessage, options int) ([]int, error) {
	if options == 0 {
		return nil, errors.New(`no "options": a choice needs them`)
	}
	var list []int
	if err := json.Unmarshal(raw, &list); err != nil || list == nil {
		var one int
		if err := json.Unmarshal(raw, &one); err != nil || string(raw) == "null" {
			return nil, fmt.Errorf(`"gold" is %.40s: want the index of an option or a list of indices`, raw)
		}
		list = []int{one}
	}
	if len(list) == 0 {
		return nil, errors.New(`"gold" is an empty list`)
	}
	for _, i := range list {
		if i < 0 || i >= options {
			return nil, fmt.Errorf(`"gold" %d is not the index of one of the %d options`, i, options)
		}
	}
	return list, nil
}

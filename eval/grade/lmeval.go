package grade

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// lmEvalSample is a line of samples_*.jsonl, which lm-evaluation-harness writes for --log_samples. A task with several
// filters has as many lines for each doc, all with the same response.
type lmEvalSample struct {
	ID     *json.RawMessage  `json:"doc_id"`
	Doc    map[string]any    `json:"doc"`
	Target any               `json:"target"`
	Resps  []json.RawMessage `json:"resps"`
	Filter string            `json:"filter"`
}

// parseLMEval reads a sample: the first response as the output, and as the gold what the target or the doc has.
func parseLMEval(line []byte, task string, choice bool) (id json.RawMessage, q Question, output string, err error) {
	var s lmEvalSample
	if err := decode(line, &s); err != nil {
		return nil, q, "", err
	}
	switch {
	case s.ID == nil:
		return nil, q, "", errors.New(`no "doc_id": not a sample of lm-evaluation-harness (run it with --log_samples)`)
	case len(s.Resps) == 0:
		return nil, q, "", errors.New(`no "resps"`)
	}
	if output, err = firstText(s.Resps[0]); err != nil {
		return nil, q, "", err
	}
	if choice {
		q.Options, q.GoldIndex, err = s.choice()
	} else {
		q.Gold, err = s.answer(task)
	}
	return *s.ID, q, output, err
}

// decode is json.Unmarshal that keeps numbers as they are written: 1200000 is not 1.2e+06.
func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}

// onceADoc leaves out the lines of a doc that was read before with the same output; with another one it is an error. Docs
// are counted anew in each of the task's subsets, whose logs may follow each other: they are told apart by what is in them.
func onceADoc(read reader) reader {
	seen := map[[sha256.Size]byte]string{}
	return func(line []byte) (json.RawMessage, Question, string, error) {
		id, q, output, err := read(line)
		if err != nil {
			return id, q, output, err
		}
		var s struct {
			Doc    json.RawMessage `json:"doc"`
			Target json.RawMessage `json:"target"`
		}
		if err := json.Unmarshal(line, &s); err != nil {
			return id, q, output, err
		}
		doc := sha256.Sum256(slices.Concat(id, []byte{0}, s.Doc, []byte{0}, s.Target))
		switch before, again := seen[doc]; {
		case again && before == output:
			return id, q, output, errAgain
		case again:
			return id, q, output, fmt.Errorf(`doc_id %s has two different responses: are these the samples of several runs?`, id)
		}
		seen[doc] = output
		return id, q, output, nil
	}
}

// firstText is the first of the responses to a request. Log-likelihoods come as pairs of a number and whether it is the
// greedy choice.
func firstText(raw json.RawMessage) (string, error) {
	var texts []string
	if json.Unmarshal(raw, &texts) == nil && len(texts) > 0 && !isLogLikelihood(texts) {
		return texts[0], nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	return "", fmt.Errorf(`"resps" has %.40s: log-likelihoods, not text; only tasks that generate (output_type: generate_until) can be graded`, raw)
}

func isLogLikelihood(r []string) bool {
	return len(r) == 2 && (r[1] == "True" || r[1] == "False") && json.Unmarshal([]byte(r[0]), new(float64)) == nil
}

// text is the first of the doc's fields of these names that is there, and is text or a number.
func (s lmEvalSample) text(names ...string) (string, bool) {
	for _, n := range names {
		switch v := s.Doc[n].(type) {
		case string:
			return v, true
		case json.Number:
			return v.String(), true
		}
	}
	return "", false
}

// answer is the gold of a mathematical question: of GSM8K what follows "#### ", of MATH the last \boxed{} of the
// solution. A target without these marks is the answer already.
func (s lmEvalSample) answer(task string) (string, error) {
	target, ok := s.Target.(string)
	if n, isNumber := s.Target.(json.Number); isNumber {
		target, ok = n.String(), true
	}
	if strings.EqualFold(task, "gsm8k") {
		if !ok || target == "" {
			if target, ok = s.text("answer", "target"); !ok {
				return "", errors.New(`no "target" and no "doc" with an "answer"`)
			}
		}
		if i := strings.LastIndex(target, "#### "); i >= 0 {
			target = target[i+len("#### "):]
		}
		return strip(target), nil
	}
	solution, _ := s.text("solution")
	for _, text := range []string{target, solution} {
		if gold, found := GoldFromSolution(text); found {
			return gold, nil
		}
	}
	if answer, found := s.text("answer"); found && (!ok || target == "" || target == solution) {
		target, ok = answer, true
	}
	if !ok || target == "" {
		return "", errors.New(`no "target", and no "doc" with a "solution" or an "answer"`)
	}
	return strip(target), nil
}

// choice is the options of the doc and which of them are right, by index or by name.
func (s lmEvalSample) choice() ([]string, []int, error) {
	var options []string
	for _, name := range []string{"options", "choices"} {
		list := s.Doc[name]
		if m, ok := list.(map[string]any); ok {
			list = m["text"]
		}
		if l, ok := list.([]any); ok && options == nil {
			for _, o := range l {
				options = append(options, fmt.Sprint(o))
			}
		}
	}
	if options == nil {
		return nil, nil, errors.New(`no "doc" with "options" or "choices"`)
	}
	for _, v := range []any{s.Doc["gold_index"], s.Doc["gold"], s.Doc["label"], s.Doc["answer"], s.Target} {
		if gold, ok := indices(v, options); ok {
			return options, gold, nil
		}
	}
	return nil, nil, fmt.Errorf(`neither "target" nor the "doc" says which of the %d options is right`, len(options))
}

// indices finds options by index, by name, or by a list of these.
func indices(v any, options []string) ([]int, bool) {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		i := int(f)
		return []int{i}, err == nil && float64(i) == f && i >= 0 && i < len(options)
	case string:
		var parsed any
		if i := slices.Index(options, v); i >= 0 {
			return []int{i}, true
		}
		if i := slices.IndexFunc(options, func(o string) bool { return strip(o) == strip(v) }); i >= 0 {
			return []int{i}, true
		}
		// The harness writes the target as text whatever it is.
		if decode([]byte(v), &parsed) != nil {
			return nil, false
		}
		if _, text := parsed.(string); text {
			return nil, false
		}
		return indices(parsed, options)
	case []any:
		var out []int
		for _, x := range v {
			i, ok := indices(x, options)
			if !ok {
				return nil, false
			}
			out = append(out, i...)
		}
		return out, len(out) > 0
	}
	return nil, false
}

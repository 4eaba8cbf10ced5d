//go:build linux && (amd64 || arm64)

package llama

import (
	"context"
	"errors"
	"fmt"
	"strings"

	native "github.com/hybridgroup/yzma/pkg/llama"

	"mergebot/eval/engine/wire"
)

// errNaN means that the weights give no usable logits.
var errNaN = errors.New("logits are not numbers")

// lane is one llama.cpp context: a cache for some sequences that are decoded together, used by one goroutine.
type lane struct {
	m     *model
	slots int
	ctx   native.Context
	mem   native.Memory
	batch native.Batch
}

func newLane(m *model, slots, seqLen int) (*lane, error) {
	p := native.ContextDefaultParams()
	p.NCtx, p.NSeqMax = uint32(seqLen*slots), uint32(slots)
	p.NBatch, p.NUbatch = uint32(m.o.Batch), uint32(m.o.MicroBatch)
	p.NThreads, p.NThreadsBatch = int32(m.o.Threads), int32(m.o.Threads)
	p.FlashAttentionType = native.FlashAttentionTypeDisabled // costs 2.5e-3 in the logits
	p.TypeK, p.TypeV = native.GGMLTypeF32, native.GGMLTypeF32
	p.KVUnified = 0
	ctx, err := native.InitFromModel(m.handle, p)
	if err != nil {
		return nil, fmt.Errorf("make a context of %d sequences of %d positions (is there enough memory?): %w", slots, seqLen, err)
	}
	mem, err := native.GetMemory(ctx)
	if err != nil {
		_ = native.Free(ctx)
		return nil, err
	}
	return &lane{m: m, slots: slots, ctx: ctx, mem: mem, batch: native.BatchInit(int32(m.o.Batch), 0, 1)}, nil
}

func (l *lane) close() {
	_ = native.BatchFree(l.batch)
	_ = native.Free(l.ctx)
}

// reset empties the cache, data included: masked cells still enter the sums as 0·x, so one NaN left by bad weights
// would spoil everything after it.
func (l *lane) reset() error {
	_ = l.batch.Clear()
	return native.MemoryClear(l.mem, true)
}

func (l *lane) decode() error {
	if rc, err := native.Decode(l.ctx, l.batch); err != nil || rc != 0 {
		return fmt.Errorf("llama_decode: code %d: %w", rc, errors.Join(err, errors.New("decoding failed")))
	}
	return nil
}

// row is the logits of a batch entry, valid until the next decode.
func (l *lane) row(i int32) ([]float32, error) {
	r, err := native.GetLogitsIth(l.ctx, i, l.m.o.Vocab)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, fmt.Errorf("no logits for batch entry %d", i)
	}
	return r, nil
}

// job is a prompt on its way.
type job struct {
	index int
	ids   []int32
	max   int
	stop  []string
}

// slot is one sequence of a lane.
type slot struct {
	job    *job    // nil: idle
	cached []int32 // prompt whose keys and values the cache still holds, from the job before
	feed   []int32
	pos    int
	row    int32 // batch entry whose logits give the next token, -1 for none
	tokens []int32
	text   strings.Builder
}

// run completes jobs in their order by continuous batching: a slot takes the next job as soon as its last one is done.
func (l *lane) run(ctx context.Context, jobs []*job, finished func(wire.Completion)) error {
	if err := l.reset(); err != nil {
		return err
	}
	slots := make([]slot, l.slots)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		_ = l.batch.Clear()
		for i := range slots {
			s := &slots[i]
			if s.job == nil && len(jobs) > 0 {
				if err := l.begin(s, native.SeqId(i), jobs[0]); err != nil {
					return err
				}
				jobs = jobs[1:]
			}
			if err := l.fill(s, native.SeqId(i)); err != nil {
				return err
			}
		}
		if l.batch.NTokens == 0 {
			return nil
		}
		if err := l.decode(); err != nil {
			return err
		}
		for i := range slots {
			if err := l.advance(&slots[i], finished); err != nil {
				return err
			}
		}
	}
}

// begin gives a job to a slot. The cache keeps what the prompt has in common with the slot's last one: prompts of a
// task begin with the same words, few-shot examples above all, which are thus computed once a slot and not once a job.
func (l *lane) begin(s *slot, id native.SeqId, j *job) error {
	keep := common(s.cached, j.ids[:len(j.ids)-1]) // the last token is computed anew, for its logits
	if ok, err := native.MemorySeqRm(l.mem, id, native.Pos(keep), -1); err != nil {
		return err
	} else if !ok {
		return fmt.Errorf("sequence %d cannot be cut at position %d", id, keep)
	}
	*s = slot{job: j, cached: j.ids, feed: j.ids[keep:], pos: keep}
	return nil
}

// common is the length of the longest common prefix.
func common(a, b []int32) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// fill adds what the slot has to feed to the batch, as far as there is room.
func (l *lane) fill(s *slot, id native.SeqId) error {
	s.row = -1
	for s.job != nil && len(s.feed) > 0 && int(l.batch.NTokens) < l.m.o.Batch {
		last := len(s.feed) == 1
		if last {
			s.row = l.batch.NTokens
		}
		if err := l.batch.Add(native.Token(s.feed[0]), native.Pos(s.pos), []native.SeqId{id}, last); err != nil {
			return err
		}
		s.pos++
		s.feed = s.feed[1:]
	}
	return nil
}

// advance takes the slot's next token from the logits.
func (l *lane) advance(s *slot, finished func(wire.Completion)) error {
	if s.job == nil || s.row < 0 {
		return nil
	}
	logits, err := l.row(s.row)
	if err != nil {
		return err
	}
	id, err := argmax(logits)
	if err != nil {
		return err
	}
	finish := ""
	for _, end := range l.m.o.Prompting.End {
		if id == end {
			finish = "stop"
		}
	}
	text := ""
	if finish == "" {
		s.tokens = append(s.tokens, id)
		s.text.WriteString(l.m.pieces[id])
		s.feed = []int32{id}
		if len(s.tokens) == s.job.max {
			finish = "length"
		}
		var stopped bool
		if text, stopped = cutStop(s.text.String(), len(l.m.pieces[id]), s.job.stop); stopped {
			finish = "stop"
		}
	} else {
		text = s.text.String()
	}
	if finish != "" {
		finished(wire.Completion{Index: s.job.index, Text: validText(text), Tokens: s.tokens, Finish: finish, PromptTokens: len(s.job.ids)})
		s.job = nil
	}
	return nil
}

// cutStop cuts text before the first stop string, of which only the last fresh bytes can have completed one.
func cutStop(text string, fresh int, stop []string) (string, bool) {
	cut := -1
	for _, s := range stop {
		if s == "" {
			continue
		}
		from := max(0, len(text)-fresh-len(s)+1)
		if i := strings.Index(text[from:], s); i >= 0 && (cut < 0 || from+i < cut) {
			cut = from + i
		}
	}
	if cut < 0 {
		return text, false
	}
	return text[:cut], true
}

// argmax takes the first of equal maxima, as torch does.
func argmax(x []float32) (int32, error) {
	best := 0
	for i, v := range x {
		if v != v {
			return 0, errNaN
		}
		if v > x[best] {
			best = i
		}
	}
	return int32(best), nil
}

//go:build linux && (amd64 || arm64)

// Package llama runs a GGUF model by llama.cpp's shared libraries, without cgo. It is meant for a process of its own:
// native code may end the process it runs in.
package llama

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	native "github.com/hybridgroup/yzma/pkg/llama"

	"mergebot/eval/engine/wire"
)

// library loads llama.cpp and returns the name of the CPU library that it chose for this machine.
func library(dir string) (string, error) {
	if err := native.Load(dir); err != nil {
		return "", fmt.Errorf("load llama.cpp from %s (it needs glibc and libstdc++): %w", dir, err)
	}
	native.Init()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return "", err
	}
	for line := range bytes.Lines(maps) {
		if i := bytes.LastIndex(line, []byte("/libggml-cpu")); i >= 0 {
			return strings.TrimSpace(filepath.Base(string(line[i:]))), nil
		}
	}
	return "", errors.New("llama.cpp found no CPU library for this machine in " + dir)
}

// model is a loaded model with its lanes.
type model struct {
	o      wire.LoadModel
	handle native.Model
	vocab  native.Vocab
	pieces []string // text of every token, "" for control tokens
	lanes  []*lane
	seqLen int // positions of a sequence in the lanes that exist
}

// load maps the model file.
func load(o wire.LoadModel) (*model, error) {
	p := native.ModelDefaultParams()
	p.LoadMode = native.LoadModeMmap // what the program writes to the file is what is computed with
	p.UseExtraBufts = 0              // no repacked copies of the weights
	p.NGpuLayers = 0
	h, err := native.ModelLoadFromFile(fmt.Sprintf("/proc/self/fd/%d", wire.ModelFD), p)
	if err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	m := &model{o: o, handle: h, vocab: native.ModelGetVocab(h)}
	if n := native.VocabNTokens(m.vocab); int(n) != o.Vocab {
		m.close()
		return nil, fmt.Errorf("load model: vocabulary of %d tokens, want %d", n, o.Vocab)
	}
	buf := make([]byte, 1<<14)
	m.pieces = make([]string, o.Vocab)
	for i := range m.pieces {
		if n := native.TokenToPiece(m.vocab, native.Token(i), buf, 0, false); n > 0 {
			m.pieces[i] = string(buf[:n])
		}
	}
	return m, nil
}

func (m *model) close() {
	m.freeLanes()
	_ = native.ModelFree(m.handle) // fails only for a handle of 0
}

func (m *model) freeLanes() {
	for _, l := range m.lanes {
		l.close()
	}
	m.lanes, m.seqLen = nil, 0
}

// ensure makes lanes whose sequences hold at least n positions. Caches are only as large as the prompts need, since
// in F32 they cost a megabyte a position for a model of 7 billion parameters.
func (m *model) ensure(n int) error {
	n = (n + 255) / 256 * 256 // what llama.cpp would round to
	lanes, slots := fit(m.o, n)
	// Lanes that hold more will do, but not another number of them or of their slots, although there is room for it
	// already: what is computed together must not depend on earlier calls.
	if n <= m.seqLen && len(m.lanes) == lanes && m.lanes[0].slots == slots {
		return nil
	}
	m.freeLanes()
	for range lanes {
		l, err := newLane(m, slots, n)
		if err != nil {
			m.freeLanes()
			return err
		}
		m.lanes = append(m.lanes, l)
	}
	m.seqLen = n
	return nil
}

// fit is how many lanes of how many slots there are for sequences of n positions: as many as asked for, fewer where
// their caches would be larger than allowed. First lanes lose slots, then there are fewer lanes; one sequence is always
// tried.
func fit(o wire.LoadModel, n int) (lanes, slots int) {
	sequences := max(1, int(o.CacheBytes/(int64(n)*o.PositionBytes)))
	lanes = min(o.Lanes, sequences)
	return lanes, min(o.Slots, sequences/lanes)
}

// tokenize returns a prompt's ids.
func (m *model) tokenize(prompt string) ([]int32, error) {
	text, err := m.o.Prompting.Text(prompt)
	if err != nil {
		return nil, err
	}
	toks := native.Tokenize(m.vocab, text, false, true)
	ids := make([]int32, len(toks))
	for i, t := range toks {
		ids[i] = int32(t)
	}
	return m.o.Prompting.IDs(ids), nil
}

// text joins the tokens' texts; llama.cpp's own detokenizer would clean up blanks for some vocabularies.
func (m *model) text(ids []int32) (string, error) {
	var b strings.Builder
	for _, id := range ids {
		if id < 0 || int(id) >= len(m.pieces) {
			return "", fmt.Errorf("token id %d is outside the vocabulary", id)
		}
		b.WriteString(m.pieces[id])
	}
	return validText(b.String()), nil
}

// validText replaces what is not UTF-8, such as a character that was cut off.
func validText(s string) string { return strings.ToValidUTF8(s, string(utf8.RuneError)) }

// logits returns the logits after each id of one sequence, computed in one batch.
func (m *model) logits(ids []int32) ([][]float32, error) {
	if len(ids) == 0 || len(ids) > min(m.o.Batch, m.o.Context) {
		return nil, fmt.Errorf("logits of %d tokens: want 1 to %d", len(ids), min(m.o.Batch, m.o.Context))
	}
	for _, id := range ids {
		if id < 0 || int(id) >= m.o.Vocab {
			return nil, fmt.Errorf("token id %d is outside the vocabulary", id)
		}
	}
	if err := m.ensure(len(ids)); err != nil {
		return nil, err
	}
	l := m.lanes[0]
	if err := l.reset(); err != nil {
		return nil, err
	}
	for i, id := range ids {
		if err := l.batch.Add(native.Token(id), native.Pos(i), []native.SeqId{0}, true); err != nil {
			return nil, err
		}
	}
	if err := l.decode(); err != nil {
		return nil, err
	}
	out := make([][]float32, len(ids))
	for i := range ids {
		row, err := l.row(int32(i))
		if err != nil {
			return nil, err
		}
		out[i] = slices.Clone(row)
	}
	return out, nil
}

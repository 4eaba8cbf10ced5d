package merge

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"sync"

	"mergebot/merge/tokenizer"
)

// gathered is a tensor with a row for each token whose rows are put in the
// result's order as they are read.
type gathered struct {
	*tokenizer.Gather
	width int64       // elements of a row
	means []meanOfRow // by source
}

// meanOfRow is the mean of a source's rows, taken when it is first needed.
type meanOfRow struct {
	once sync.Once
	row  []float32
	err  error
}

func newGathered(g *tokenizer.Gather, shape []int64, sources int) *gathered {
	return &gathered{Gather: g, width: volume(shape[1:]), means: make([]meanOfRow, sources)}
}

// hasTokenRows says that a tensor's rows are tokens.
func hasTokenRows(name string, shape []int64) bool {
	return len(shape) > 0 && (hasVocabulary(name) || name == "lm_head.bias" || name == "embed_out.bias")
}

// gather reads elements [from, from+len(dst)) of a gathered tensor, as read does.
func (ms *models) gather(i int, t *tensor, dst []float32, from int64) error {
	g, own := t.gathered, t.gathered.Own[i]
	for len(dst) > 0 {
		row, column := from/g.width, from%g.width
		n := min(g.width-column, int64(len(dst)))
		var err error
		switch at := own[row]; at {
		case tokenizer.Mean:
			var mean []float32
			if mean, err = ms.meanRow(i, t); err == nil {
				copy(dst[:n], mean[column:])
			}
		case tokenizer.Elsewhere:
			err = ms.origins(t, g.Others[int32(row)], dst[:n], column)
		default: // with the rows that follow in both
			for next := row + 1; n < int64(len(dst)) && own[next] == at+int32(next-row); next++ {
				n = min(n+g.width, int64(len(dst)))
			}
			err = ms.stored(i, t, dst[:n], int64(at)*g.width+column)
		}
		if err != nil {
			return err
		}
		dst, from = dst[n:], from+n
	}
	return nil
}

// origins is the mean of other sources' rows, from a column on; zero without any.
// It is summed in fp32 in the sources' order, as in mergekit.
func (ms *models) origins(t *tensor, all []tokenizer.Origin, dst []float32, column int64) error {
	clear(dst)
	if len(all) == 0 {
		return nil
	}
	read := func(o tokenizer.Origin, into []float32) error {
		return ms.stored(o.Model, t, into, int64(o.Row)*t.gathered.width+column)
	}
	if err := read(all[0], dst); err != nil || len(all) == 1 {
		return err
	}
	more := make([]float32, len(dst))
	for _, o := range all[1:] {
		if err := read(o, more); err != nil {
			return err
		}
		for k, x := range more {
			dst[k] += x
		}
	}
	for k := range dst {
		dst[k] /= float32(len(all))
	}
	return nil
}

// meanRow is the mean of all rows that are tokens: what padding rows are, so that
// no padding token is more likely than a real one. It is summed in fp64, row by row.
func (ms *models) meanRow(i int, t *tensor) ([]float32, error) {
	m := &t.gathered.means[i]
	m.once.Do(func() {
		g := t.gathered
		sum := make([]float64, g.width)
		buf := make([]float32, max(1, blockElements/g.width)*g.width)
		for rows := g.Gather.Mean; len(rows) > 0 && m.err == nil; {
			n := 1
			for n < len(rows) && rows[n] == rows[0]+int32(n) && int64(n+1)*g.width <= int64(len(buf)) {
				n++
			}
			part := buf[:int64(n)*g.width]
			m.err = ms.gather(i, t, part, int64(rows[0])*g.width)
			for k, x := range part {
				sum[int64(k)%g.width] += float64(x)
			}
			rows = rows[n:]
		}
		m.row = make([]float32, g.width)
		for k, s := range sum {
			m.row[k] = float32(s / float64(max(1, len(g.Gather.Mean))))
		}
	})
	return m.row, m.err
}

// rowsDigest identifies where the parts' rows come from; "" where they stay.
func rowsDigest(parts []*part) string {
	h := sha256.New()
	some := false
	put := func(x ...int32) { _ = binary.Write(h, binary.LittleEndian, x) }
	for _, p := range parts {
		if p.rows == nil {
			put(-1)
			continue
		}
		some = true
		put(int32(p.rows.Size))
		for _, own := range p.rows.Own {
			put(own...)
		}
		for _, id := range slices.Sorted(maps.Keys(p.rows.Others)) {
			put(id, int32(len(p.rows.Others[id])))
			for _, o := range p.rows.Others[id] {
				put(int32(o.Model), o.Row)
			}
		}
		put(p.rows.Mean...)
	}
	if !some {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

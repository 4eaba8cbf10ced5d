package task

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Limits of one Parquet file beside maxFile and maxRows.
const (
	maxPage     = 64 << 20  // bytes of a page, compressed or not
	maxDecoded  = 256 << 20 // bytes of all pages that are read, uncompressed, and of all values
	maxElements = 1 << 22   // elements of all lists that are read
	maxFooter   = 1 << 20   // nodes of the metadata, see bounded
	maxHeader   = 1 << 12   // nodes of a page header
	maxSchema   = 1 << 10   // columns, those that hold others included
)

// bounded reads Thrift as the library does, and ends where the metadata has more nodes than left: the library makes
// room for whatever a list claims, and recurses as deep as the bytes say. Structures and lists count 16, numbers and
// texts 1. The largest structure takes 560 bytes in memory, which bounds the library's copy to some 40 MB.
type bounded struct {
	thrift.BytesReader
	left int64
}

// unthrift decodes a structure with at most that many nodes, and returns how many bytes it had.
func unthrift(b []byte, nodes int64, v any) (int, error) {
	r := &bounded{new(thrift.CompactProtocol).NewReaderFromBytes(b), nodes}
	err := thrift.NewDecoder(r).Decode(v)
	for inner := err; inner != nil; inner = errors.Unwrap(inner) { // it names every level on the way, thousands perhaps
		err = inner
	}
	return r.BytesRead(), err
}

func (r *bounded) spend(n int32, t thrift.Type) error {
	cost := int64(n)
	if t == thrift.STRUCT || t == thrift.LIST {
		cost *= 16
	}
	if r.left -= cost; r.left < 0 {
		return errors.New("its metadata is larger than any real file's")
	}
	return nil
}

func (r *bounded) ReadField() (thrift.Field, error) {
	f, err := r.BytesReader.ReadField()
	if err != nil {
		return f, err
	}
	return f, r.spend(1, f.Type)
}

func (r *bounded) ReadList() (thrift.List, error) {
	l, err := r.BytesReader.ReadList()
	if err != nil {
		return l, err
	}
	return l, r.spend(l.Size, l.Type)
}

func (r *bounded) ReadSet() (thrift.Set, error) { return thrift.Set{}, errSetOrMap }
func (r *bounded) ReadMap() (thrift.Map, error) { return thrift.Map{}, errSetOrMap }

var errSetOrMap = errors.New("its metadata has a set or a map, which Parquet's never has")

// Discard is what the decoder skips by; the interface does not show it.
func (r *bounded) Discard(n int) (int, error) {
	return r.BytesReader.(interface{ Discard(int) (int, error) }).Discard(n)
}

// checkFooter makes sure that the library can open the file in bounded memory.
func checkFooter(file []byte) error {
	const mark, tail = "PAR1", 8
	if len(file) < len(mark)+tail {
		return errors.New("not a Parquet file, or cut short")
	}
	if string(file[:4]) != mark {
		return errors.New("not a Parquet file")
	}
	end := len(file) - tail
	if string(file[end+4:]) != mark {
		return errors.New("cut short: it does not end as a Parquet file does")
	}
	n := int64(binary.LittleEndian.Uint32(file[end:]))
	if n > int64(end-len(mark)) {
		return fmt.Errorf("damaged: its footer claims %d bytes, the file has %d", n, len(file))
	}
	var m format.FileMetaData
	if _, err := unthrift(file[end-int(n):end], maxFooter, &m); err != nil {
		return fmt.Errorf("damaged footer: %w", noEOF(err))
	}
	if m.NumRows < 0 || m.NumRows > maxRows {
		return fmt.Errorf("it claims %d rows, more than %d", m.NumRows, maxRows)
	}
	if len(m.Schema) > maxSchema { // the library keeps every column's path
		return fmt.Errorf("%d columns, more than %d", len(m.Schema), maxSchema)
	}
	leaves := 0
	for i := range m.Schema {
		if m.Schema[i].Type.Valid {
			leaves++
		}
	}
	rows := m.NumRows
	for i := range m.RowGroups {
		g := &m.RowGroups[i]
		if g.NumRows < 0 || g.NumRows > rows || len(g.Columns) != leaves {
			return fmt.Errorf("damaged footer: a row group of %d rows and %d of %d columns, where %d rows are left", g.NumRows, len(g.Columns), leaves, rows)
		}
		rows -= g.NumRows
	}
	if rows > 0 {
		return fmt.Errorf("damaged footer: %d of its rows are in no group", rows)
	}
	return nil
}

// guard walks the pages of the columns that are read before the library decodes them. What a page claims of its
// lengths (compressed, uncompressed, values, runs, differences, shared prefixes) is checked against its bytes, so that
// the library takes no more than the limits above, a few times over: its buffers grow by half, and hold a page
// compressed and not. The most that a hostile file was seen to take is 605 MB of resident memory, by three columns of
// one page of 64 MiB each. Whether values make sense is left to the library: a damaged file may still be read as other
// values where nothing contradicts it, and the library prints a warning of its own on stderr where an optional column
// has fewer texts than its levels say.
type guard struct {
	file              []byte
	groups            []format.RowGroup
	decoded, elements int64

	buf  []byte // the page last decompressed
	gzip gzip.Reader
	zstd *zstd.Decoder
}

// chunk checks a column of a row group.
func (g *guard) chunk(l leaf, group int) error {
	c := &g.groups[group].Columns[l.column.Index()]
	m := &c.MetaData
	rows := g.groups[group].NumRows
	// The library decompresses all groups as it does the first.
	if first := g.groups[0].Columns[l.column.Index()].MetaData.Codec; m.Codec != first {
		return fmt.Errorf("its row groups are compressed in different ways, %v and %v", first, m.Codec)
	}
	if c.FilePath != "" {
		return errors.New("its data is in another file")
	}
	if l.list() {
		g.elements += max(m.NumValues, 0)
	}
	if m.NumValues < 0 || !l.list() && m.NumValues != rows || g.elements > maxElements {
		return fmt.Errorf("damaged footer: %d values in %d rows", m.NumValues, rows)
	}
	start, length, size := m.DataPageOffset, m.TotalCompressedSize, int64(len(g.file))
	if m.DictionaryPageOffset != 0 {
		start = m.DictionaryPageOffset
	}
	if start < 4 || length < 0 || start > size || length > size-start {
		return fmt.Errorf("damaged footer: %d bytes from %d in a file of %d", length, start, size)
	}
	left := m.NumValues
	for b := g.file[start : start+length]; len(b) > 0; {
		var h format.PageHeader
		n, err := unthrift(b, maxHeader, &h)
		if err != nil {
			return fmt.Errorf("page header: %w", noEOF(err))
		}
		compressed, size := int(h.CompressedPageSize), int(h.UncompressedPageSize)
		g.decoded += int64(max(size, 0))
		switch b = b[n:]; {
		case compressed < 0 || size < 0 || compressed > maxPage || size > maxPage:
			return fmt.Errorf("a page of %d bytes (%d compressed), more than %d", size, compressed, maxPage)
		case compressed > len(b):
			return fmt.Errorf("a page has %d of %d bytes", len(b), compressed)
		case g.decoded > maxDecoded:
			return fmt.Errorf("more than %d MiB of pages", maxDecoded>>20)
		}
		values, err := g.page(l, &h, m.Codec, b[:compressed])
		if err != nil {
			return err
		}
		if left -= values; left < 0 {
			return fmt.Errorf("damaged page header: %d values where %d are left", values, left+values)
		}
		b = b[compressed:]
	}
	if left > 0 {
		return fmt.Errorf("it ends too early: %d of its %d values are in no page", left, m.NumValues)
	}
	return nil
}

// page checks one page and returns how many of the column's values it has, nulls included.
func (g *guard) page(l leaf, h *format.PageHeader, codec format.CompressionCodec, b []byte) (values int64, err error) {
	size := int(h.UncompressedPageSize)
	v1, v2, dict := h.DataPageHeader, h.DataPageHeaderV2, h.DictionaryPageHeader
	switch {
	case h.Type == format.DictionaryPage && dict.Valid && !v1.Valid && !v2.Valid:
		if n := dict.V.NumValues; n < 0 || n > maxRows {
			return 0, fmt.Errorf("a dictionary of %d values, more than %d", n, maxRows)
		}
		if e := dict.V.Encoding; e != format.Plain && e != plainDictionary {
			return 0, fmt.Errorf("a dictionary in the encoding %v is not read", e)
		}
		if b, err = g.decompress(b, codec, size); err != nil {
			return 0, err
		}
		if err := g.values(l, format.Plain, b, int64(dict.V.NumValues)); err != nil {
			return 0, fmt.Errorf("dictionary: %w", err)
		}
		return 0, nil
	case h.Type == format.DataPage && v1.Valid && !v2.Valid && !dict.Valid:
		n := int64(v1.V.NumValues)
		if err := g.limit(l, n); err != nil {
			return 0, err
		}
		if b, err = g.decompress(b, codec, size); err != nil {
			return 0, err
		}
		for _, level := range []struct {
			most     int
			encoding format.Encoding
		}{{l.column.MaxRepetitionLevel(), v1.V.RepetitionLevelEncoding}, {l.column.MaxDefinitionLevel(), v1.V.DefinitionLevelEncoding}} {
			if level.most == 0 {
				continue
			}
			if level.encoding != format.RLE {
				return 0, errors.New("levels in an encoding that is not read")
			}
			runs, rest, err := prefixed(b)
			if err == nil {
				err = checkRuns(runs, width(level.most), n)
			}
			if err != nil {
				return 0, fmt.Errorf("levels: %w", err)
			}
			b = rest
		}
		return n, g.values(l, v1.V.Encoding, b, n)
	case h.Type == format.DataPageV2 && v2.Valid && !v1.Valid && !dict.Valid:
		n, rep, def := int64(v2.V.NumValues), int(v2.V.RepetitionLevelsByteLength), int(v2.V.DefinitionLevelsByteLength)
		if err := g.limit(l, n); err != nil {
			return 0, err
		}
		if rep < 0 || def < 0 || rep > len(b) || def > len(b)-rep || rep+def > size || v2.V.NumNulls < 0 || int64(v2.V.NumNulls) > n {
			return 0, errors.New("damaged page header: levels longer than the page")
		}
		if err := errors.Join(checkRuns(b[:rep], width(l.column.MaxRepetitionLevel()), n),
			checkRuns(b[rep:rep+def], width(l.column.MaxDefinitionLevel()), n)); err != nil {
			return 0, fmt.Errorf("levels: %w", err)
		}
		if v2.V.IsCompressed.Valid && !v2.V.IsCompressed.V {
			codec = format.Uncompressed
		}
		if b, err = g.decompress(b[rep+def:], codec, size-rep-def); err != nil {
			return 0, err
		}
		return n, g.values(l, v2.V.Encoding, b, n)
	}
	return 0, fmt.Errorf("damaged page header: a page of type %v without a header of that type alone", h.Type)
}

// limit checks a page's count of values.
func (g *guard) limit(l leaf, n int64) error {
	most := int64(maxRows)
	if l.list() {
		most = maxElements
	}
	if n < 0 || n > most {
		return fmt.Errorf("damaged page header: %d values, more than %d", n, most)
	}
	return nil
}

// decompress returns exactly size bytes, which the caller has bounded; they are good until the next call. The library's
// own would go on for as long as the data does.
func (g *guard) decompress(b []byte, codec format.CompressionCodec, size int) ([]byte, error) {
	if len(b) == 0 && size == 0 {
		return nil, nil // a page of nulls
	}
	if cap(g.buf) < size {
		g.buf = make([]byte, size)
	}
	out := g.buf[:size]
	wrong := func(err error) error {
		return fmt.Errorf("a page does not decompress to the %d bytes that it claims: %w", size, noEOF(err))
	}
	switch codec {
	case format.Uncompressed:
		if len(b) != size {
			return nil, fmt.Errorf("a page has %d bytes instead of %d", len(b), size)
		}
		return b, nil
	case format.Snappy:
		if n, err := snappy.DecodedLen(b); err != nil || n != size {
			return nil, wrong(fmt.Errorf("it claims %d inside", n))
		}
		if _, err := snappy.Decode(out, b); err != nil {
			return nil, wrong(err)
		}
	case format.Gzip:
		if err := g.gzip.Reset(bytes.NewReader(b)); err != nil {
			return nil, wrong(err)
		}
		if _, err := io.ReadFull(&g.gzip, out); err != nil {
			return nil, wrong(err)
		}
		if _, err := io.ReadFull(&g.gzip, make([]byte, 1)); err != io.EOF {
			return nil, wrong(errors.New("it goes on, or is damaged"))
		}
	case format.Zstd:
		if g.zstd == nil {
			var err error
			if g.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true)); err != nil {
				return nil, err
			}
		}
		got, err := g.zstd.DecodeAll(b, out[:0:size])
		if err == nil && len(got) != size {
			err = fmt.Errorf("it has %d", len(got))
		}
		if err != nil {
			return nil, wrong(err)
		}
	default:
		return nil, fmt.Errorf("compression %v is not read: write the file with snappy, gzip or zstd", codec)
	}
	return out, nil
}

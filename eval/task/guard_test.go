package task

import (
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := thrift.Marshal(new(thrift.CompactProtocol), v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// footed is a file with a footer made by hand.
func footed(pages, footer []byte) []byte {
	return join([]byte("PAR1"), pages, footer, binary.LittleEndian.AppendUint32(nil, uint32(len(footer))), []byte("PAR1"))
}

// claims is what the footer of a hostile file says of its only column, "s".
type claims struct {
	kind         format.Type
	list         bool // of required elements
	codec        format.CompressionCodec
	values, rows int64
}

func texts(n int64) claims { return claims{kind: format.ByteArray, values: n, rows: n} }

func (c claims) packed(codec format.CompressionCodec) claims { c.codec = codec; return c }

func hostile(t testing.TB, c claims, pages ...[]byte) []byte {
	t.Helper()
	repetition := format.Required
	if c.list {
		repetition = format.Repeated
	}
	all := join(pages...)
	return footed(all, marshal(t, format.FileMetaData{
		Version: 1, NumRows: c.rows,
		Schema: []format.SchemaElement{
			{Name: "root", NumChildren: thrift.New[int32](1)},
			{Name: "s", Type: thrift.New(c.kind), RepetitionType: thrift.New(repetition)},
		},
		RowGroups: []format.RowGroup{{NumRows: c.rows, Columns: []format.ColumnChunk{{MetaData: format.ColumnMetaData{
			Type: c.kind, PathInSchema: []string{"s"}, Codec: c.codec, NumValues: c.values, DataPageOffset: 4, TotalCompressedSize: int64(len(all)),
		}}}}},
	}))
}

func header(t testing.TB, size, compressed int, values int32, encoding format.Encoding) []byte {
	return marshal(t, format.PageHeader{
		Type: format.DataPage, UncompressedPageSize: int32(size), CompressedPageSize: int32(compressed),
		DataPageHeader: thrift.New(format.DataPageHeader{NumValues: values, Encoding: encoding, RepetitionLevelEncoding: format.RLE, DefinitionLevelEncoding: format.RLE}),
	})
}

// page is a page that is as long as it says.
func page(t testing.TB, values int32, encoding format.Encoding, body ...[]byte) []byte {
	b := join(body...)
	return join(header(t, len(b), len(b), values, encoding), b)
}

func dictionary(t testing.TB, values int32, encoding format.Encoding, body []byte) []byte {
	return join(marshal(t, format.PageHeader{
		Type: format.DictionaryPage, UncompressedPageSize: int32(len(body)), CompressedPageSize: int32(len(body)),
		DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: values, Encoding: encoding}),
	}), body)
}

// run repeats a value of up to eight bits.
func run(n uint64, value byte) []byte { return append(binary.AppendUvarint(nil, n<<1), value) }

// prefix puts a length in front.
func prefix(b []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// equal writes that many equal numbers as differences, which are all 0.
func equal(n uint64, value int64) []byte {
	const block = 1 << 16
	b := join(binary.AppendUvarint(nil, block), []byte{1}, binary.AppendUvarint(nil, n), binary.AppendVarint(nil, value))
	return append(b, make([]byte, 2*((n-1+block-1)/block))...)
}

// TestHostile holds files that claim more than they are to an error, and the memory they take to a bound.
func TestHostile(t *testing.T) { // not parallel: it looks at the process's memory
	hello := []byte("\x05\x00\x00\x00hello")
	good := hostile(t, texts(1), page(t, 1, format.Plain, hello))
	if rows, err := read(good, "s"); err != nil || len(rows) != 1 || rows[0]["s"] != "hello" {
		t.Fatalf("the maker of hostile files makes no good ones: %v, %v", rows, err)
	}
	bomb := func(codec compress.Codec, n int) []byte {
		b, err := codec.Encode(nil, make([]byte, n))
		if err != nil {
			t.Fatal(err)
		}
		return hostile(t, texts(1).packed(codec.CompressionCodec()), header(t, 1<<20, len(b), 1, format.Plain), b)
	}
	// 1,048,576 rows that are all one text of 1 MiB must not take a TiB.
	long := prefix(bytes.Repeat([]byte("x"), 1<<20))
	indices := append([]byte{1}, run(maxRows, 0)...)
	// A thousand texts that each share all of the one before, 1 MiB long.
	const sharing, block = 1000, 65536
	differences := func(first, least int64, step func(i int) bool) []byte { // each difference is least, or 1 MiB more
		part := make([]byte, block*21/8)
		for i := range block {
			if at := 21*i + 20; step(i) {
				part[at/8] |= 1 << (at % 8)
			}
		}
		return join(binary.AppendUvarint(nil, block), binary.AppendUvarint(nil, 1), binary.AppendUvarint(nil, sharing), binary.AppendVarint(nil, first),
			binary.AppendVarint(nil, least), []byte{21}, part)
	}
	prefixes := join(differences(0, 0, func(i int) bool { return i == 0 }), differences(1<<20, -1<<20, func(i int) bool { return i > 0 }), make([]byte, 1<<20))
	large, err := parquet.Zstd.Encode(nil, prefix(make([]byte, maxPage-4))) // one text
	if err != nil {
		t.Fatal(err)
	}
	numbers := claims{kind: format.Int64, values: 1, rows: 1}
	lists := claims{kind: format.Int64, list: true, values: 1, rows: 1}
	column := func(n int) []byte { return bytes.Repeat([]byte{0}, n) } // structures without fields
	list := func(field byte, kind thrift.Type, n uint64, rest ...byte) []byte {
		return append(append([]byte{field<<4 | byte(thrift.LIST), 0xf0 | byte(kind)}, binary.AppendUvarint(nil, n)...), rest...)
	}
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"billions of rows", hostile(t, texts(1<<40)), "claims 1099511627776 rows"},
		{"more values than rows", hostile(t, claims{kind: format.ByteArray, values: 1 << 40, rows: 5}), "1099511627776 values in 5 rows"},
		{"more elements than rows can have", hostile(t, claims{kind: format.Int64, list: true, values: 1 << 40, rows: 5}), "1099511627776 values in 5 rows"},
		{"values without pages", hostile(t, texts(5)), "ends too early"},
		{"a page of gigabytes", hostile(t, texts(1), header(t, 1<<31-1, 1<<31-1, 1, 0)), "a page of 2147483647 bytes"},
		{"a page of more than there is", hostile(t, texts(1), header(t, 1<<25, 1<<25, 1, 0)), "a page has 0 of 33554432 bytes"},
		{"pages of gigabytes together", hostile(t, texts(100).packed(format.Zstd), bytes.Repeat(join(header(t, maxPage, len(large), 1, 0), large), 100)), "more than 256 MiB of pages"},
		{"a gzip bomb", bomb(&parquet.Gzip, 1<<28), "does not decompress to the 1048576 bytes"},
		{"a zstd bomb", bomb(&parquet.Zstd, 1<<28), "does not decompress to the 1048576 bytes"},
		{"a snappy bomb", bomb(&parquet.Snappy, 1<<26), "does not decompress to the 1048576 bytes"},
		{"another compression", hostile(t, texts(1).packed(format.Brotli), header(t, 1, 1, 1, 0), []byte{0}), "compression BROTLI is not read"},
		{"values that are not there", hostile(t, texts(maxRows), page(t, maxRows, format.Plain, make([]byte, 4))), "a page ends in a value: it has 1 of 1048576"},
		{"values of a group that is not there", hostile(t, texts(1), page(t, 1<<30, format.Plain, hello)), "1073741824 values, more than"},
		{"a text longer than its page", hostile(t, texts(1), page(t, 1, format.Plain, []byte{255, 255, 255, 255})), "a page ends in a value"},
		{"a million texts for one", hostile(t, texts(1), page(t, 1, format.Plain, make([]byte, 4<<20))), "more texts than the page's 1 values"},
		{"a million texts for one in a dictionary", hostile(t, texts(1), dictionary(t, 1, format.Plain, make([]byte, 4<<20))), "dictionary: more texts than the page's 1 values"},
		{"shared prefixes", hostile(t, texts(sharing), page(t, sharing, format.DeltaByteArray, prefixes)), "share most of them: more than 64 MiB a page"},
		{"no dictionary", hostile(t, texts(maxRows), page(t, maxRows, format.RLEDictionary, indices)), "missing page header"},
		{"one text a million times", hostile(t, texts(maxRows), dictionary(t, 1, format.Plain, long), page(t, maxRows, format.RLEDictionary, indices)), "more than 256 MiB of values"},
		{"a dictionary of billions", hostile(t, texts(1), dictionary(t, 1<<31-1, format.Plain, hello), page(t, 1, format.RLEDictionary, indices)), "a dictionary of 2147483647 values"},
		{"lengths of billions in a dictionary", hostile(t, texts(1), dictionary(t, 1, format.DeltaLengthByteArray, equal(1, 1<<31-1))), "a dictionary in the encoding DELTA_LENGTH_BYTE_ARRAY is not read"},
		{"a run of billions of indices", hostile(t, texts(1), dictionary(t, 1, format.Plain, hello), page(t, 1, format.RLEDictionary, []byte{1}, run(1<<31-1, 0))), "runs of more than the page's 1 values"},
		{"packed indices by the billion", hostile(t, texts(1), dictionary(t, 1, format.Plain, hello), page(t, 1, format.RLEDictionary, []byte{1}, binary.AppendUvarint(nil, 1<<31|1))), "a run of 1073741824 groups"},
		{"many short runs", hostile(t, texts(1), dictionary(t, 1, format.Plain, hello), page(t, 1, format.RLEDictionary, []byte{1}, bytes.Repeat(run(500, 0), 1<<20))), "runs of more than the page's 1 values"},
		{"a run of billions of levels", hostile(t, lists, page(t, 1, format.Plain, prefix(run(1, 0)), prefix(run(1<<31-1, 0)))), "levels: runs of more than the page's 1 values"},
		{"billions of booleans", hostile(t, claims{kind: format.Boolean, values: 1, rows: 1}, page(t, 1, format.RLE, prefix(run(1<<31-1, 0)))), "runs of more than the page's 1 values"},
		{"billions of differences", hostile(t, numbers, page(t, 1, format.DeltaBinaryPacked, equal(1<<31-1, 0))), "2147483647 of 1 values"},
		{"billions of lengths", hostile(t, texts(1), page(t, 1, format.DeltaLengthByteArray, equal(1<<31-1, 0))), "2147483647 of 1 values"},
		{"billions of suffixes", hostile(t, texts(1), page(t, 1, format.DeltaByteArray, equal(1, 0), equal(1<<31-1, 0))), "2147483647 of 1 values"},
		{"a suffix of gigabytes", hostile(t, texts(1), page(t, 1, format.DeltaByteArray, equal(1, 0), equal(1, 1<<31-1))), "texts of 2147483647 bytes"},
		{"a length of gigabytes", hostile(t, texts(1), page(t, 1, format.DeltaLengthByteArray, equal(1, 1<<31-1))), "larger than the input"},
		{"a list of billions in the footer", footed(nil, list(2, thrift.STRUCT, 1<<31-1)), "larger than any real file's"},
		{"a list of billions in a page header", hostile(t, texts(1), list(1, thrift.STRUCT, 1<<31-1)), "larger than any real file's"},
		{"as many columns as bytes", footed(nil, list(2, thrift.STRUCT, 1<<16, column(1<<16)...)), "larger than any real file's"},
		{"a text of gigabytes in the footer", footed(nil, append([]byte{4<<4 | byte(thrift.BINARY)}, binary.AppendUvarint(nil, 1<<30)...)), "damaged footer"},
		{"structures without end", footed(nil, bytes.Repeat([]byte{1<<4 | byte(thrift.STRUCT)}, 1<<20)), "larger than any real file's"},
		{"lists without end", footed(nil, append([]byte{2<<4 | byte(thrift.LIST)}, bytes.Repeat([]byte{1<<4 | byte(thrift.LIST)}, 1<<20)...)), "larger than any real file's"},
		{"maps", footed(nil, []byte{1<<4 | byte(thrift.MAP)}), "a set or a map"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := readParquet(bytes.NewReader(c.b), int64(len(c.b)), []string{"s"}, func(row) error { return nil })
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %.300v, want %q", c.name, err, c.want)
		} else if len(err.Error()) > 300 {
			t.Errorf("%s: an error of %d bytes", c.name, len(err.Error()))
		}
		// What the texts take that are handed over one by one is freed one by one.
		if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 128 && c.name != "one text a million times" {
			t.Errorf("%s: a file of %d kB took %d MiB", c.name, len(c.b)>>10, n)
		}
	}
}

func FuzzParquet(f *testing.F) {
	in, _ := records(5)
	f.Add(write(f, in))
	f.Add(write(f, in, parquet.DataPageVersion(1), parquet.Compression(&parquet.Snappy)))
	f.Add(write(f, in, parquet.Compression(&parquet.Gzip)))
	f.Add(write(f, in, parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(2)))
	f.Add(hostile(f, texts(1), page(f, 1, format.Plain, []byte("\x05\x00\x00\x00hello"))))
	f.Add(hostile(f, texts(2), page(f, 2, format.DeltaByteArray, equal(2, 0), equal(2, 1), []byte("ab"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		if err := readParquet(bytes.NewReader(b), int64(len(b)), append(slices.Clone(everything), "s"), func(row) error { n++; return nil }); err == io.EOF {
			t.Error("a bare EOF")
		}
		if n > maxRows*64 {
			t.Errorf("%d rows", n)
		}
	})
}

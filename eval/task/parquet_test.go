package task

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
)

type record struct {
	Text   string    `parquet:"text"`
	Maybe  *string   `parquet:"maybe,optional"`
	Number int64     `parquet:"number"`
	Small  int32     `parquet:"small"`
	Real   float64   `parquet:"real"`
	Flag   bool      `parquet:"flag"`
	List   []string  `parquet:"list,list"`
	Bare   []int64   `parquet:"bare"`
	Half   []float32 `parquet:"half,list"`
}

func records(n int) ([]record, []map[string]any) {
	var in []record
	var want []map[string]any
	for i := range n {
		text := strings.Repeat("ä", i%7) + fmt.Sprint("text ", i/3)
		r := record{Text: text, Number: int64(i)*-977 + 5, Small: int32(i % 5), Real: float64(i) / 8, Flag: i%3 == 0}
		w := map[string]any{"text": text, "maybe": nil, "number": r.Number, "small": int64(r.Small), "real": r.Real, "flag": r.Flag,
			"list": []any{}, "bare": []any{}, "half": []any{}}
		if i%4 != 0 {
			r.Maybe, w["maybe"] = &text, text
		}
		for j := range i % 4 {
			s := fmt.Sprint("option ", j)
			r.List, w["list"] = append(r.List, s), append(w["list"].([]any), s)
			r.Bare, w["bare"] = append(r.Bare, int64(j)), append(w["bare"].([]any), int64(j))
			r.Half, w["half"] = append(r.Half, float32(j)/2), append(w["half"].([]any), float64(j)/2)
		}
		in, want = append(in, r), append(want, w)
	}
	return in, want
}

func write[T any](t testing.TB, rows []T, options ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// everything names the columns of record.
var everything = []string{"text", "maybe", "number", "small", "real", "flag", "list", "bare", "half"}

func read(b []byte, columns ...string) (rows []map[string]any, err error) {
	err = readParquet(bytes.NewReader(b), int64(len(b)), columns, func(r row) error {
		rows = append(rows, maps.Clone(r))
		return nil
	})
	return rows, err
}

func TestParquet(t *testing.T) {
	t.Parallel()
	in, want := records(1000)
	for name, options := range map[string][]parquet.WriterOption{
		"as it comes":     nil,
		"snappy":          {parquet.Compression(&parquet.Snappy)},
		"gzip":            {parquet.Compression(&parquet.Gzip)},
		"zstd":            {parquet.Compression(&parquet.Zstd)},
		"version 1 pages": {parquet.DataPageVersion(1), parquet.Compression(&parquet.Snappy)},
		"small pages":     {parquet.PageBufferSize(300)},
		"row groups":      {parquet.MaxRowsPerRowGroup(77), parquet.Compression(&parquet.Zstd)},
		"plain":           {parquet.DefaultEncoding(&parquet.Plain)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := read(write(t, in, options...), everything...)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("%d rows", len(got))
			}
			for i := range got {
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Fatalf("row %d:\n%v\nwant\n%v", i, got[i], want[i])
				}
			}
		})
	}
}

func TestParquetEncodings(t *testing.T) {
	t.Parallel()
	type dictionary struct {
		S string `parquet:"s,dict"`
		N int64  `parquet:"n,dict"`
	}
	type delta struct {
		S string `parquet:"s,delta"`
		N int64  `parquet:"n,delta"`
	}
	var d []dictionary
	var e []delta
	for i := range 700 {
		d = append(d, dictionary{fmt.Sprint("class ", i%9), int64(i % 11)})
		e = append(e, delta{fmt.Sprint("a common beginning ", i), int64(i*i) - 3000})
	}
	for _, version := range []int{1, 2} {
		got, err := read(write(t, d, parquet.DataPageVersion(version)), "s", "n")
		if err != nil || len(got) != len(d) {
			t.Fatalf("%d rows, %v", len(got), err)
		}
		for i := range got {
			if got[i]["s"] != d[i].S || got[i]["n"] != d[i].N {
				t.Fatalf("row %d: %v", i, got[i])
			}
		}
		got, err = read(write(t, e, parquet.DataPageVersion(version)), "s", "n")
		if err != nil || len(got) != len(e) {
			t.Fatalf("%d rows, %v", len(got), err)
		}
		for i := range got {
			if got[i]["s"] != e[i].S || got[i]["n"] != e[i].N {
				t.Fatalf("row %d: %v", i, got[i])
			}
		}
	}
	// Shared prefixes, and lengths as differences.
	for _, enc := range []encoding.Encoding{&parquet.DeltaByteArray, &parquet.DeltaLengthByteArray} {
		got, err := read(write(t, e, parquet.DefaultEncodingFor(parquet.ByteArray, enc)), "s")
		if err != nil || len(got) != len(e) || got[699]["s"] != e[699].S {
			t.Errorf("%v: %d rows, %v", enc, len(got), err)
		}
	}
}

func TestUnwantedColumns(t *testing.T) {
	t.Parallel()
	type nested struct {
		Wanted string `parquet:"wanted"`
		Other  struct {
			A string `parquet:"a"`
			B int64  `parquet:"b"`
		} `parquet:"other"`
		Deep []struct {
			C []string `parquet:"c,list"`
		} `parquet:"deep,list"`
	}
	b := write(t, []nested{{Wanted: "x"}})
	rows, err := read(b, "wanted")
	if err != nil || len(rows) != 1 || rows[0]["wanted"] != "x" || len(rows[0]) != 3 || rows[0]["other"] != nil {
		t.Errorf("%v, %v", rows, err)
	}
	if _, err := read(b, "other"); err == nil || !strings.Contains(err.Error(), "is a structure") {
		t.Error(err)
	}
	if _, err := read(b, "deep"); err == nil {
		t.Error("a list of lists was read")
	}
}

// TestDamage changes every byte of files: rows or an error, but no panic.
func TestDamage(t *testing.T) {
	t.Parallel()
	in, _ := records(6)
	for name, good := range map[string][]byte{
		"v2": write(t, in, parquet.Compression(&parquet.Snappy)), "v1": write(t, in, parquet.DataPageVersion(1)),
	} {
		refused := 0
		for i := range good {
			for _, v := range []byte{0, 0x7f, 0xff, good[i] ^ 0x10} {
				data := bytes.Clone(good)
				data[i] = v
				if _, err := read(data, everything...); err != nil {
					refused++
				}
			}
		}
		if refused == 0 {
			t.Errorf("%s: no damage was noticed", name)
		}
		for n := range good {
			if _, err := read(good[:n], everything...); err == nil {
				t.Errorf("%s: the first %d of %d bytes are taken for a file", name, n, len(good))
			}
		}
	}
}

// TestOtherWriters reads what pyarrow, DuckDB and Polars wrote: testdata/make.py.
func TestOtherWriters(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.parquet")
	if err != nil || len(files) != 6 {
		t.Fatalf("%v, %v", files, err)
	}
	labels := []any{"Negative", "Neutral", "Positive"}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := read(b, "id", "input", "options", "gold_index", "score", "sure")
		if err != nil || len(rows) != 300 {
			t.Errorf("%s: %d rows, %v", name, len(rows), err)
			continue
		}
		for i, r := range rows {
			want := map[string]any{"id": int64(i), "input": fmt.Sprintf("Sentence %d, naïve — “quoted”\nAnswer:", i),
				"options": append([]any{}, labels[:i%4]...), "gold_index": int64(i % 3), "score": float64(i) / 4, "sure": i%2 == 0}
			if i%5 == 0 {
				want["score"] = nil
			}
			if !reflect.DeepEqual(r, want) {
				t.Errorf("%s row %d:\n%v\nwant\n%v", name, i, r, want)
				break
			}
		}
	}
}

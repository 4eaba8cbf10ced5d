package task

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// readParquet calls yield for each row with all top-level columns by name. Values are string, int64, float64, bool, nil
// or []any of these; columns other than those named are not decoded and are nil. The row is reused.
//
// The library believes what a file claims of itself and panics on some damage; data from outside must neither end the
// program nor take its memory. So guard looks at everything first that the library will decode, and columns are read
// side by side, a few values at a time.
func readParquet(r io.ReaderAt, size int64, columns []string, yield func(row) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged: %v", p)
		}
	}()
	file := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), file); err != nil {
		return err
	}
	if err := checkFooter(file); err != nil {
		return err
	}
	f, err := parquet.OpenFile(bytes.NewReader(file), size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return fmt.Errorf("damaged footer: %w", noEOF(err))
	}
	leaves, err := findLeaves(f.Root(), columns)
	if err != nil {
		return err
	}
	g := guard{file: file, groups: f.Metadata().RowGroups}
	memory := int64(maxDecoded)
	current := make(row)
	for _, c := range f.Root().Columns() {
		current[c.Name()] = nil
	}
	for i, group := range f.RowGroups() {
		cursors := make([]*cursor, len(leaves))
		for j, l := range leaves {
			if err := g.chunk(l, i); err != nil {
				return fmt.Errorf("column %q: %w", l.path, noEOF(err))
			}
			pages := group.ColumnChunks()[l.column.Index()].Pages()
			defer pages.Close()
			cursors[j] = &cursor{leaf: l, pages: pages, memory: &memory}
		}
		for n := range group.NumRows() {
			for _, c := range cursors {
				if current[c.name], err = c.next(); err != nil {
					return fmt.Errorf("column %q, row %d of %d of its group: %w", c.path, n, group.NumRows(), noEOF(err))
				}
			}
			if err := yield(current); err != nil {
				return err
			}
		}
		for _, c := range cursors {
			if _, err := c.peek(); err != io.EOF {
				return fmt.Errorf("column %q: more than the %d rows of its group", c.path, group.NumRows())
			}
		}
	}
	return nil
}

// noEOF keeps the end of a page or footer from looking like a good end of file.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends too early")
	}
	return err
}

// leaf is a column that is read: one value a row, or a flat list.
type leaf struct {
	name, path string
	column     *parquet.Column
	// element is the definition level from which a list has an element, be it null.
	element int
}

func (l leaf) list() bool { return l.column.MaxRepetitionLevel() > 0 }

// findLeaves places the named columns; those that the file does not have are left to who reads its rows.
func findLeaves(root *parquet.Column, names []string) ([]leaf, error) {
	var out []leaf
	for _, c := range root.Columns() {
		l := leaf{name: c.Name()}
		if !slices.Contains(names, l.name) {
			continue
		}
		for definition := 0; ; c = c.Columns()[0] {
			if !c.Required() {
				definition++
			}
			if c.Repeated() {
				l.element = definition
			}
			if c.Leaf() {
				break
			}
			if len(c.Columns()) != 1 {
				return nil, fmt.Errorf("column %q is a structure", l.name)
			}
		}
		l.column, l.path = c, strings.Join(c.Path(), ".")
		if c.MaxRepetitionLevel() > 1 {
			return nil, fmt.Errorf("column %q: lists of lists are not read", l.path)
		}
		switch c.Type().Kind() {
		case parquet.Boolean, parquet.Int32, parquet.Int64, parquet.Float, parquet.Double, parquet.ByteArray:
		default:
			return nil, fmt.Errorf("column %q: values of type %v are not read", l.path, c.Type())
		}
		out = append(out, l)
	}
	return out, nil
}

// cursor hands out a column of a row group row by row.
type cursor struct {
	leaf
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buf    [64]parquet.Value
	have   []parquet.Value // of buf; they lie in the page's memory
	memory *int64          // bytes left for the file's values
}

// peek returns the next value, io.EOF behind the last.
func (c *cursor) peek() (parquet.Value, error) {
	for len(c.have) == 0 {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if err != nil {
				return parquet.Value{}, err
			}
			parquet.Release(c.page)
			c.page, c.values = page, page.Values()
		}
		n, err := c.values.ReadValues(c.buf[:])
		c.have = c.buf[:n]
		switch {
		case err == io.EOF:
			c.values = nil
		case err != nil:
			return parquet.Value{}, err
		case n == 0:
			return parquet.Value{}, errors.New("a page ends in a value")
		}
	}
	return c.have[0], nil
}

// next returns what the column has in the next row.
func (c *cursor) next() (any, error) {
	v, err := c.peek()
	switch {
	case err != nil:
		return nil, err
	case v.RepetitionLevel() != 0:
		return nil, errors.New("a list goes on that never began")
	case !c.list():
		return c.take()
	}
	list := []any{}
	for first := true; first || err == nil && v.RepetitionLevel() > 0; v, err = c.peek() {
		x, err := c.take()
		if err != nil {
			return nil, err
		}
		if v.DefinitionLevel() >= c.element {
			list = append(list, x)
		}
		first = false
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	return list, nil
}

// take copies the value that peek returned and goes on behind it.
func (c *cursor) take() (any, error) {
	const slot = 48 // bytes that a value takes beside its content
	v := c.have[0]
	c.have = c.have[1:]
	n := int64(slot)
	if v.Kind() == parquet.ByteArray {
		n += int64(len(v.ByteArray()))
	}
	if *c.memory -= n; *c.memory < 0 { // a few bytes of a file may name one text a million times
		return nil, fmt.Errorf("more than %d MiB of values", maxDecoded>>20)
	}
	if v.IsNull() {
		return nil, nil
	}
	switch v.Kind() {
	case parquet.Boolean:
		return v.Boolean(), nil
	case parquet.Int32:
		return int64(v.Int32()), nil
	case parquet.Int64:
		return v.Int64(), nil
	case parquet.Float:
		return float64(v.Float()), nil
	case parquet.Double:
		return v.Double(), nil
	}
	return string(v.ByteArray()), nil
}

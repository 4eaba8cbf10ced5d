package task

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
)

// maxFile, maxRows and maxColumn bound a data file: the largest real one is 3.2 MB, the longest 7,473 rows.
const (
	maxFile   = 64 << 20 // bytes
	maxRows   = 1 << 20
	maxColumn = 8 << 20 // bytes of JSON in one column of a row
)

// ErrMalformed is returned for a data file that does not hold what its task expects.
var ErrMalformed = errors.New("malformed data file")

// readFile calls yield for each row of a Parquet, JSON (one array) or JSON lines file; the row is not to be kept.
// Columns other than those named are there without their values.
func readFile(ctx context.Context, f Files, name string, columns []string, yield func(row) error) error {
	r, size, err := f.Open(ctx, name)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	if size > maxFile {
		return fmt.Errorf("%w: %s has %d bytes, more than %d", ErrMalformed, name, size, maxFile)
	}
	n := 0
	var rowErr error
	counted := func(r row) error {
		rowErr = ctx.Err()
		if rowErr == nil && n >= maxRows {
			rowErr = fmt.Errorf("%w: %s has more than %d rows", ErrMalformed, name, maxRows)
		}
		if rowErr == nil {
			if err := yield(r); err != nil {
				rowErr = fmt.Errorf("%w: %s row %d: %w", ErrMalformed, name, n, err)
			}
		}
		n++
		return rowErr
	}
	if path.Ext(name) == ".parquet" {
		err = readParquet(r, size, columns, counted)
	} else {
		err = readJSON(io.NewSectionReader(r, 0, size), columns, counted)
	}
	switch {
	case rowErr != nil:
		return rowErr
	case err != nil:
		return fmt.Errorf("%w: %s after %d rows: %w", ErrMalformed, name, n, err)
	}
	return nil
}

// readJSON reads an array of objects, or objects one after another (JSON lines).
func readJSON(r io.Reader, columns []string, yield func(row) error) error {
	buf := bufio.NewReader(r)
	dec := json.NewDecoder(buf)
	first, err := firstByte(buf)
	if err == io.EOF {
		return errors.New("empty file")
	} else if err != nil {
		return err
	}
	array := first == '['
	if array {
		if _, err := dec.Token(); err != nil {
			return err
		}
	}
	for dec.More() {
		var object map[string]json.RawMessage
		if err := dec.Decode(&object); err != nil {
			return short(err)
		}
		v, err := values(object, columns)
		if err != nil {
			return err
		}
		if err := yield(v); err != nil {
			return err
		}
	}
	if array {
		if _, err := dec.Token(); err != nil {
			return short(err)
		}
	}
	switch _, err := dec.Token(); {
	case err == nil:
		return errors.New("more behind the end of the array")
	case err != io.EOF:
		return err
	}
	return nil
}

// short says what an end in the middle means.
func short(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("cut short: the JSON does not end")
	}
	return err
}

// values decodes an object's columns that are read.
func values(object map[string]json.RawMessage, columns []string) (row, error) {
	r := make(row, len(object))
	for name, raw := range object {
		r[name] = nil
		if !slices.Contains(columns, name) {
			continue
		}
		if len(raw) > maxColumn {
			return nil, fmt.Errorf("column %q: %d bytes, more than %d", name, len(raw), maxColumn)
		}
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, fmt.Errorf("column %q: %w", name, err)
		}
		r[name] = v
	}
	return r, nil
}

// firstByte skips blanks and a byte order mark, and leaves the first other byte unread.
func firstByte(b *bufio.Reader) (byte, error) {
	if mark, err := b.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		if _, err := b.Discard(3); err != nil {
			return 0, err
		}
	}
	for {
		c, err := b.ReadByte()
		if err != nil {
			return 0, err
		}
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c, b.UnreadByte()
		}
	}
}

package task

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/format"
)

// plainDictionary is deprecated and what many writers still write.
const plainDictionary format.Encoding = 2

var errShort = errors.New("a page ends in a value")

// values checks that the values section of a page stands for no more than the n values that it claims: a run of five
// bytes may otherwise mean gigabytes. Formats: https://parquet.apache.org/docs/file-format/data-pages/encodings/.
func (g *guard) values(l leaf, encoding format.Encoding, b []byte, n int64) error {
	switch encoding {
	case format.Plain:
		if l.column.Type().Kind() == parquet.ByteArray {
			return checkTexts(b, n, l.column.MaxDefinitionLevel() == 0)
		}
		return nil // as long as the page
	case plainDictionary, format.RLEDictionary:
		if len(b) == 0 {
			return nil // a page of nulls
		}
		return checkRuns(b[1:], uint(b[0]), n)
	case format.RLE:
		runs, _, err := prefixed(b)
		if err == nil {
			err = checkRuns(runs, 1, n)
		}
		return err
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray:
		_, err := skipDeltas(b, n)
		return err
	case format.DeltaByteArray:
		if l.column.Type().Kind() != parquet.ByteArray {
			break
		}
		suffixes, err := skipDeltas(b, n)
		if err != nil {
			return err
		}
		if _, err = skipDeltas(suffixes, n); err != nil {
			return err
		}
		shared, err := sum(b)
		if err != nil {
			return err
		}
		own, err := sum(suffixes)
		if err != nil {
			return err
		}
		if g.decoded += shared; shared+own > maxPage || g.decoded > maxDecoded {
			return fmt.Errorf("texts of %d bytes that share most of them: more than %d MiB a page or %d MiB together", shared+own, maxPage>>20, maxDecoded>>20)
		}
		return nil
	}
	return fmt.Errorf("encoding %v of values of type %v is not read", encoding, l.column.Type())
}

// width is how many bits hold levels up to most.
func width(most int) uint { return uint(bits.Len(uint(most))) }

// prefixed cuts off a part that has its length in front.
func prefixed(b []byte) (part, rest []byte, err error) {
	if len(b) < 4 || int64(binary.LittleEndian.Uint32(b)) > int64(len(b)-4) {
		return nil, nil, errShort
	}
	k := 4 + binary.LittleEndian.Uint32(b)
	return b[4:k], b[k:], nil
}

// checkTexts refuses texts with their lengths in front that are more than n, or fewer where all n must be there.
func checkTexts(b []byte, n int64, all bool) error {
	count := int64(0)
	for ; len(b) > 0; count++ {
		_, rest, err := prefixed(b)
		if err != nil {
			return err
		}
		if b = rest; count == n {
			return fmt.Errorf("more texts than the page's %d values", n)
		}
	}
	if all && count < n {
		return fmt.Errorf("%w: it has %d of %d", errShort, count, n)
	}
	return nil
}

// checkRuns refuses run-length encoded or bit-packed numbers that are more than n; writers may fill up the last group.
func checkRuns(b []byte, width uint, n int64) error {
	const filling = 512
	if width > 32 {
		return fmt.Errorf("numbers of %d bits", width)
	}
	most := uint64(n) + filling
	for total := uint64(0); len(b) > 0; {
		head, k := binary.Uvarint(b)
		if k <= 0 {
			return errShort
		}
		b = b[k:]
		count, size := head>>1, uint64(width+7)/8
		if head&1 == 1 { // groups of eight
			if count > most {
				return fmt.Errorf("a run of %d groups in a page of %d values", count, n)
			}
			count, size = count*8, count*uint64(width)
		}
		if count > most-total {
			return fmt.Errorf("runs of more than the page's %d values", n)
		}
		if count == 0 {
			continue // the library takes no value for it
		}
		total += count
		if size > uint64(len(b)) {
			return errShort
		}
		b = b[size:]
	}
	return nil
}

// skipDeltas goes behind numbers that are written as differences, of which there may be n.
func skipDeltas(b []byte, n int64) ([]byte, error) {
	const largest = 1 << 16 // values in a block
	var head [4]uint64      // block size, parts of a block, values, first value
	for i := range head {
		var k int
		if head[i], k = binary.Uvarint(b); k <= 0 {
			return nil, errShort
		}
		b = b[k:]
	}
	block, parts, values := head[0], head[1], head[2]
	if block == 0 || block > largest || parts == 0 || block%parts != 0 || values > uint64(n) {
		return nil, fmt.Errorf("damaged differences: blocks of %d in %d parts, %d of %d values", block, parts, values, n)
	}
	part := block / parts
	for left := int64(values) - 1; left > 0; {
		_, k := binary.Uvarint(b) // the least difference
		if k <= 0 || uint64(len(b)-k) < parts {
			return nil, errShort
		}
		widths := b[k : k+int(parts)]
		b = b[k+int(parts):]
		for _, w := range widths {
			if left <= 0 {
				break // parts behind the last value are not there
			}
			size := part * uint64(w) / 8
			if w > 64 || size > uint64(len(b)) {
				return nil, errShort
			}
			b = b[size:]
			left -= int64(part)
		}
	}
	return b, nil
}

// sum adds up lengths that are written as differences, which skipDeltas has seen.
func sum(b []byte) (total int64, err error) {
	lengths, err := new(delta.BinaryPackedEncoding).DecodeInt32(nil, b)
	for _, n := range lengths {
		if n < 0 {
			return 0, fmt.Errorf("a text of %d bytes", n)
		}
		total += int64(n)
	}
	return total, err
}

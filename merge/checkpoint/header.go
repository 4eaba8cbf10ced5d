package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// maxHeader is the cap of the format's reference reader.
	maxHeader = 100_000_000
	// maxDims is far above any weight; it bounds what a header can allocate.
	maxDims = 32
)

// Tensor is what a header says about one tensor.
type Tensor struct {
	Name   string  `json:"name"`
	DType  DType   `json:"dtype"`
	Shape  []int64 `json:"shape"`
	File   string  `json:"file,omitempty"` // path of the file that holds it; "" from ParseHeader
	Offset int64   `json:"offset"`         // first byte of its data in File
	Size   int64   `json:"size"`           // bytes of its data
	// Adapted says that an adapter changes it: its values are computed, fp32, and DType is that of the model's own.
	Adapted bool `json:"adapted,omitempty"`
}

// Elements is the product of the shape; 1 for a scalar.
func (t Tensor) Elements() int64 {
	if t.DType.Size() == 0 {
		return 0
	}
	return t.Size / int64(t.DType.Size())
}

// ParseHeader reads the JSON header of a safetensors file. header holds the
// header's bytes without the 8-byte length before them, padding included;
// dataSize is what remains of the file after it, in bytes. Tensors come sorted
// by name, offsets count from the start of the file. The second result is the
// header's __metadata__.
//
// Stricter than [github.com/nlpodyssey/safetensors], whose decoder keeps the
// last of two equal names, replaces invalid UTF-8, accepts any number of
// dimensions and does not say which tensor is at fault: every name must be
// unique and every byte of the data must belong to exactly one tensor of
// matching dtype and shape. Errors are ErrCorrupt or ErrUnsupported.
func ParseHeader(header []byte, dataSize int64) ([]Tensor, map[string]string, error) {
	if len(header) > maxHeader {
		return nil, nil, corrupt("the header has %d bytes, more than the format's %d", len(header), maxHeader)
	}
	if dataSize < 0 {
		return nil, nil, corrupt("the file ends before its header does")
	}
	if !utf8.Valid(header) {
		return nil, nil, corrupt("the header is not UTF-8")
	}
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, corrupt("the header is not a JSON object")
	}
	var tensors []Tensor
	var metadata map[string]string
	err := members(header, func(name string, raw json.RawMessage) error {
		if name == "__metadata__" {
			if err := json.Unmarshal(raw, &metadata); err != nil {
				return corrupt("__metadata__ is not an object of strings")
			}
			return nil
		}
		t, err := parseEntry(raw)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		t.Name = name
		tensors = append(tensors, t)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if err := checkCover(tensors, dataSize); err != nil {
		return nil, nil, err
	}
	base := 8 + int64(len(header))
	for i := range tensors {
		tensors[i].Offset += base
	}
	sortTensors(tensors)
	return tensors, metadata, refusePacked(tensors)
}

func sortTensors(ts []Tensor) {
	slices.SortFunc(ts, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
}

// parseEntry decodes one tensor's entry and checks dtype × shape = length.
func parseEntry(raw json.RawMessage) (Tensor, error) {
	var e struct {
		DType   *DType   `json:"dtype"`
		Shape   *[]int64 `json:"shape"`
		Offsets *[]int64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return Tensor{}, corrupt("its entry does not decode: %v", err)
	}
	if e.DType == nil || e.Shape == nil || e.Offsets == nil || len(*e.Offsets) != 2 {
		return Tensor{}, corrupt("its entry lacks dtype, shape or two data_offsets")
	}
	t := Tensor{DType: *e.DType, Shape: *e.Shape, Offset: (*e.Offsets)[0]}
	end := (*e.Offsets)[1]
	if t.Offset < 0 || end < t.Offset {
		return Tensor{}, corrupt("its data_offsets [%d, %d] are not a range", t.Offset, end)
	}
	t.Size = end - t.Offset
	if t.DType.quantised() {
		return Tensor{}, unsupported("dtype %s is quantised; use the float16 or bfloat16 version of the model", t.DType)
	}
	if t.DType.Size() == 0 {
		return Tensor{}, unsupported("dtype %q is not known", t.DType)
	}
	want, err := bytesOf(t.DType, t.Shape)
	if err != nil {
		return Tensor{}, err
	}
	if want != t.Size {
		return Tensor{}, corrupt("%s%v takes %d bytes, its data_offsets span %d", t.DType, t.Shape, want, t.Size)
	}
	return t, nil
}

// bytesOf returns the size of a dense tensor, refusing shapes that overflow.
func bytesOf(d DType, shape []int64) (int64, error) {
	if len(shape) > maxDims {
		return 0, corrupt("%d dimensions", len(shape))
	}
	n, zero := int64(d.Size()), false
	for _, s := range shape {
		switch {
		case s < 0:
			return 0, corrupt("a negative dimension in %v", shape)
		case s == 0:
			zero = true
		case n > math.MaxInt64/s:
			return 0, corrupt("shape %v overflows", shape)
		default:
			n *= s
		}
	}
	if zero {
		return 0, nil
	}
	return n, nil
}

// checkCover demands that the tensors tile [0, size) without overlap or hole.
func checkCover(tensors []Tensor, size int64) error {
	byOffset := slices.Clone(tensors)
	slices.SortFunc(byOffset, func(a, b Tensor) int {
		if a.Offset != b.Offset {
			return cmpInt(a.Offset, b.Offset)
		}
		return cmpInt(a.Size, b.Size)
	})
	var end int64
	for _, t := range byOffset {
		switch {
		case t.Offset < end:
			return corrupt("tensor %q overlaps the one before it", t.Name)
		case t.Offset > end:
			return corrupt("%d bytes before tensor %q belong to no tensor", t.Offset-end, t.Name)
		}
		end += t.Size
	}
	switch {
	case end > size:
		return corrupt("the header promises %d bytes of data, the file holds %d: it was cut short", end, size)
	case end < size:
		return corrupt("%d bytes after the last tensor belong to no tensor", size-end)
	}
	return nil
}

func cmpInt(a, b int64) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// packedSuffixes mark weights stored as packed integers with scales beside
// them: GPTQ and AWQ, compressed-tensors, bitsandbytes, fp8 with scales.
var packedSuffixes = []string{
	".qweight", ".qzeros", ".weight_packed", ".weight_scale", ".weight_scale_inv",
	".absmax", ".quant_map", ".nested_absmax", ".SCB", ".weight_format",
}

func refusePacked(tensors []Tensor) error {
	for _, t := range tensors {
		for _, s := range packedSuffixes {
			if strings.HasSuffix(t.Name, s) {
				return unsupported("tensor %q shows that the weights are quantised; use the float16 or bfloat16 version of the model", t.Name)
			}
		}
	}
	return nil
}

// members calls each for every member of a JSON object, in order, and refuses
// a name that comes twice and anything after the object.
func members(object []byte, each func(name string, raw json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return corrupt("not a JSON object")
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return corrupt("JSON: %v", err)
		}
		name, _ := t.(string)
		if seen[name] {
			return corrupt("the name %q comes twice", name)
		}
		seen[name] = true
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return corrupt("JSON, at %q: %v", name, err)
		}
		if err := each(name, raw); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return corrupt("JSON: %v", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return corrupt("something follows the JSON object")
	}
	return nil
}

// readHeader reads and parses the header of an open safetensors file.
func readHeader(f *os.File, size int64) ([]Tensor, map[string]string, error) {
	var length [8]byte
	if size < 8 {
		return nil, nil, corrupt("it has %d bytes, too few for a safetensors file", size)
	}
	if _, err := f.ReadAt(length[:], 0); err != nil {
		return nil, nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > size-8 {
		if err := wrongKind(f); err != nil {
			return nil, nil, err
		}
	}
	if n > maxHeader {
		return nil, nil, corrupt("it claims a header of %d bytes, more than the format's %d", n, maxHeader)
	}
	if int64(n) > size-8 {
		return nil, nil, corrupt("it has %d bytes, its header alone needs %d: it was cut short", size, n+8)
	}
	header := make([]byte, n)
	if _, err := f.ReadAt(header, 8); err != nil {
		return nil, nil, err
	}
	return ParseHeader(header, size-8-int64(n))
}

// Package wire is what the program and its inference process say to each other: JSON frames, each after its length.
// Both ends are the same binary, so there is no version to agree on. Weights never cross it.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"mergebot/eval/engine/gguf"
)

// MaxFrame bounds a frame: logits of a 2048-token prompt over a vocabulary of 4096, or one very long prompt.
const MaxFrame = 64 << 20

// File descriptors that the inference process inherits.
const (
	ModelFD    = 3 // the GGUF file, in memory
	RequestsFD = 4
	RepliesFD  = 5
)

// Kind says which fields of a Request or a Reply count.
type Kind string

// Requests. Each is answered by replies of which the last is Done or Failed; Item and Cancel have no answer.
const (
	Load     Kind = "load"     // Load: load the library and the model
	Reload   Kind = "reload"   // load the model anew
	Fresh    Kind = "fresh"    // IDs: their logits by a second, freshly loaded copy of the model
	Logits   Kind = "logits"   // IDs: the logits after each of them
	Tokenize Kind = "tokenize" // Text: its ids as a prompt
	Detok    Kind = "detok"    // IDs: their text
	Item     Kind = "item"     // Prompt: one more prompt of the next Generate; as a reply, one finished Completion
	Generate Kind = "generate" // complete the items sent before
	Cancel   Kind = "cancel"   // end the running Generate early; it then fails
)

// Replies besides Item.
const (
	Done     Kind = "done"
	Failed   Kind = "failed"   // Error
	Unusable Kind = "unusable" // a Generate whose logits were not numbers
)

// Request goes to the inference process.
type Request struct {
	Kind   Kind
	Load   *LoadModel `json:",omitempty"`
	Prompt *Prompt    `json:",omitempty"`
	IDs    []int32    `json:",omitempty"`
	Text   string     `json:",omitempty"`
}

// LoadModel says how to load and run the model at ModelFD.
type LoadModel struct {
	LibDir                string
	Vocab                 int
	Lanes, Slots, Threads int
	Context               int   // positions of a sequence, at most
	PositionBytes         int64 // of keys and values, for one position of a sequence
	CacheBytes            int64 // of keys and values, for all sequences of all lanes
	Batch, MicroBatch     int
	Prompting             gguf.Prompting
}

// Prompt is one prompt to complete.
type Prompt struct {
	Text      string
	MaxTokens int
	Stop      []string
}

// Reply comes from the inference process.
type Reply struct {
	Kind       Kind
	Error      string      `json:",omitempty"`
	Completion *Completion `json:",omitempty"`
	IDs        []int32     `json:",omitempty"`
	Text       string      `json:",omitempty"`
	Data       []byte      `json:",omitempty"` // float32s, little endian: logits, position by position
	Kernels    string      `json:",omitempty"` // Load: the CPU library in use
}

// Completion is one finished prompt; Index counts the items of a Generate.
type Completion struct {
	Index        int
	Text         string
	Tokens       []int32
	Finish       string
	PromptTokens int
	Error        string `json:",omitempty"`
}

// Write writes v as one frame, by one call of w.Write.
func Write(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > MaxFrame {
		return fmt.Errorf("message of %d bytes is larger than the %d allowed", len(b), MaxFrame)
	}
	_, err = w.Write(append(binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...))
	return err
}

// Read reads one frame into v. It returns io.EOF at the end of the stream between frames.
func Read(r io.Reader, v any) error {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return err
	}
	size := binary.LittleEndian.Uint32(n[:])
	if size > MaxFrame {
		return fmt.Errorf("message of %d bytes is larger than the %d allowed", size, MaxFrame)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return fmt.Errorf("truncated message: %w", err)
	}
	return json.Unmarshal(b, v)
}

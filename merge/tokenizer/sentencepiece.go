package tokenizer

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
)

// sentencepieceClasses are the tokenizers whose ids are the places of the pieces
// in tokenizer.model. Others, such as XLM-R's and T5's, put tokens before them.
var sentencepieceClasses = []string{"", "LlamaTokenizer", "LlamaTokenizerFast", "CodeLlamaTokenizer", "CodeLlamaTokenizerFast", "GemmaTokenizer", "GemmaTokenizerFast"}

// parseSentencepiece reads tokenizer.model, a ModelProto of sentencepiece, and
// added_tokens.json.
func (t *Tokenizer) parseSentencepiece(files Files) error {
	config, err := decodeObject(files, fileConfig)
	if err != nil {
		return err
	}
	var class string
	_ = json.Unmarshal(config["tokenizer_class"], &class) // absent: ""
	if !slices.Contains(sentencepieceClasses, class) {
		return fmt.Errorf("%w: there is a tokenizer.model for %.60q and no tokenizer.json; save the tokenizer with transformers' AutoTokenizer once, which writes one", ErrUnsupported, class)
	}
	pieces, err := sentencepieces(files[fileSentencepiece])
	if err != nil {
		return err
	}
	vocab := make(map[string]int32, len(pieces))
	for i, p := range pieces {
		if _, twice := vocab[p]; twice {
			return corrupt("tokenizer.model: piece %.60q comes twice", p)
		}
		vocab[p] = int32(i)
	}
	if err := t.take(vocab); err != nil {
		return fmt.Errorf("tokenizer.model: %w", err)
	}
	return t.parseAdded(files)
}

// sentencepieces lists the pieces' texts: field 1 of each message in field 1.
func sentencepieces(model []byte) ([]string, error) {
	var pieces []string
	err := fields(model, func(number uint64, value []byte) error {
		if number != 1 {
			return nil
		}
		text := ""
		err := fields(value, func(number uint64, value []byte) error {
			if number == 1 {
				text = string(value)
			}
			return nil
		})
		pieces = append(pieces, text)
		return err
	})
	if err == nil && len(pieces) == 0 {
		err = corrupt("tokenizer.model holds no pieces")
	}
	return pieces, err
}

// fields visits those fields of a protocol buffers message that have a length.
func fields(message []byte, visit func(number uint64, value []byte) error) error {
	bad := corrupt("tokenizer.model is no sentencepiece model")
	for len(message) > 0 {
		key, n := binary.Uvarint(message)
		if n <= 0 {
			return bad
		}
		message = message[n:]
		size := uint64(0)
		switch key & 7 {
		case 0:
			_, n = binary.Uvarint(message)
			if n <= 0 {
				return bad
			}
			size = uint64(n)
		case 1:
			size = 8
		case 5:
			size = 4
		case 2:
			if size, n = binary.Uvarint(message); n <= 0 {
				return bad
			}
			message = message[n:]
		default:
			return bad
		}
		if size > uint64(len(message)) {
			return bad
		}
		if key&7 == 2 {
			if err := visit(key>>3, message[:size]); err != nil {
				return err
			}
		}
		message = message[size:]
	}
	return nil
}

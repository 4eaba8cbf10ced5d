// Package tokenizer lays vocabularies side by side: it reads models' tokenizer
// files and says, for the tokenizer that a merged model is to have, which row of
// which model's embeddings belongs in each row of the result's, and what the
// result's tokenizer files are. It reads no weights.
//
// The rules are those of mergekit 0.1.5 (tokenizer/build.py, tokenizer/embed.py),
// where those depend on the order of a Python set or of a hash table, the
// recipe's order and the order of ids.
package tokenizer

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Names are the files that are read, each of which a model may lack.
var Names = []string{fileTokenizer, fileConfig, fileSpecial, fileAdded, fileVocab, fileSentencepiece, fileTemplate}

const (
	fileTokenizer = "tokenizer.json"
	fileConfig    = "tokenizer_config.json"
	fileSpecial   = "special_tokens_map.json"
	fileAdded     = "added_tokens.json"
	fileVocab     = "vocab.json"
	fileTemplate  = "chat_template.jinja"
	// fileSentencepiece is read where there is no tokenizer.json.
	fileSentencepiece = "tokenizer.model"
)

// bases are files that hold the vocabulary without added tokens in other forms
// than tokenizer.json.
var bases = []string{fileVocab, "merges.txt", "vocab.txt", fileSentencepiece}

// maxFile bounds one file, maxTokens a vocabulary: the largest real ones have 34
// MB and 262,144 tokens.
const (
	maxFile   = 128 << 20
	maxTokens = 1 << 22
	maxText   = 1 << 12
)

// Errors that callers tell apart.
var (
	// ErrNone: there are no tokenizer files.
	ErrNone = errors.New("no tokenizer")
	// ErrCorrupt: a file is not what its name says.
	ErrCorrupt = errors.New("damaged tokenizer")
	// ErrUnsupported: the files may be right, but cannot be merged.
	ErrUnsupported = errors.New("unsupported tokenizer")
)

// Files are a model's tokenizer files by name.
type Files map[string][]byte

// Open reads a model's folder.
func Open(dir string) (Files, error) {
	files := Files{}
	for _, name := range Names {
		path := filepath.Join(dir, name)
		st, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && (!st.Mode().IsRegular() || st.Size() > maxFile) {
			err = fmt.Errorf("%w: %s is too large, or not a file", ErrCorrupt, path)
		}
		var data []byte
		if err == nil {
			data, err = os.ReadFile(path)
		}
		if err != nil {
			return nil, fmt.Errorf("read tokenizer: %w", err)
		}
		files[name] = data
	}
	return files, nil
}

// Added is a token beside those of the model that splits text: it is found in the
// text before all else.
type Added struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// Tokenizer is a vocabulary as transformers has it after loading the files.
type Tokenizer struct {
	files Files
	kind  string           // tokenizer.json's model.type; "" without that file
	model map[string]int32 // the tokens of the model that splits text
	ids   map[string]int32 // these and the added ones
	added map[string]Added
	next  int32 // the id that the next new token gets
}

// ID finds a token.
func (t *Tokenizer) ID(token string) (int32, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// Len is the number of tokens.
func (t *Tokenizer) Len() int { return len(t.ids) }

// Vocabulary returns all tokens with their ids.
func (t *Tokenizer) Vocabulary() map[string]int32 { return maps.Clone(t.ids) }

// Added lists the added tokens by id.
func (t *Tokenizer) Added() []Added {
	return slices.SortedFunc(maps.Values(t.added), func(a, b Added) int { return int(a.ID) - int(b.ID) })
}

// clone has tables of its own, so that tokens can be added.
func (t *Tokenizer) clone() *Tokenizer {
	c := *t
	c.ids, c.added = maps.Clone(t.ids), maps.Clone(t.added)
	return &c
}

// add puts a token behind all others, or makes an existing one an added one,
// as the tokenizers library does: the new id is one more than the largest of the
// added ones, and no less than the number of the model's tokens.
func (t *Tokenizer) add(a Added) {
	if a.Content == "" {
		return
	}
	id, known := t.ids[a.Content]
	if !known {
		id = t.next
	}
	a.ID = id
	t.ids[a.Content], t.added[a.Content] = id, a
	t.next = max(t.next, id+1)
}

// plain is a token that is added by its text alone.
func plain(text string) Added { return Added{Content: text, Normalized: true} }

// within leaves out the tokens that the model has no rows for: ids of rows and
// above. It is t itself where there are none.
func (t *Tokenizer) within(rows int) *Tokenizer {
	beyond := func(_ string, id int32) bool { return int(id) >= rows }
	within := true
	for text, id := range t.ids {
		within = within && !beyond(text, id)
	}
	if within {
		return t
	}
	c := t.clone()
	maps.DeleteFunc(c.ids, beyond)
	c.model = maps.Clone(t.model)
	maps.DeleteFunc(c.model, beyond)
	maps.DeleteFunc(c.added, func(_ string, a Added) bool { return int(a.ID) >= rows })
	c.next = int32(len(c.model))
	for _, a := range c.added {
		c.next = max(c.next, a.ID+1)
	}
	return c
}

// texts are the tokens in the order of their ids.
func (t *Tokenizer) texts() []string {
	return inOrder(t.ids)
}

// inOrder sorts by id, of which there is one a token and none beyond maxTokens.
func inOrder(ids map[string]int32) []string {
	last := int32(-1)
	for _, id := range ids {
		last = max(last, id)
	}
	at, used := make([]string, last+1), make([]bool, last+1)
	for text, id := range ids {
		at[id], used[id] = text, true
	}
	out := make([]string, 0, len(ids))
	for id, text := range at {
		if used[id] {
			out = append(out, text)
		}
	}
	return out
}

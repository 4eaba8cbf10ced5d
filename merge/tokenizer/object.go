package tokenizer

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
)

// object is a JSON object whose members keep their order and spelling.
type object struct {
	names  []string
	values map[string]json.RawMessage
}

func parseObject(file string, data []byte) (*object, error) {
	o := &object{values: map[string]json.RawMessage{}}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, corrupt("%s is not a JSON object", file)
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, corrupt("%s: %v", file, err)
		}
		name, _ := t.(string)
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, corrupt("%s, at %.60q: %v", file, name, err)
		}
		o.set(name, raw) // of several the last counts, as in Python
	}
	if _, err := dec.Token(); err != nil {
		return nil, corrupt("%s: %v", file, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, corrupt("%s: something follows the JSON object", file)
	}
	return o, nil
}

func (o *object) set(name string, value json.RawMessage) {
	if _, known := o.values[name]; !known {
		o.names = append(o.names, name)
	}
	o.values[name] = value
}

func (o *object) remove(name string) {
	delete(o.values, name)
	o.names = slices.DeleteFunc(o.names, func(n string) bool { return n == name })
}

// bytes are the object indented by two.
func (o *object) bytes() ([]byte, error) {
	var out bytes.Buffer
	if err := json.Indent(&out, o.compact(), "", "  "); err != nil {
		return nil, corrupt("JSON: %v", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func (o *object) compact() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range o.names {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(encode(name))
		b.WriteByte(':')
		b.Write(o.values[name])
	}
	b.WriteByte('}')
	return b.Bytes()
}

// encode is JSON without escapes that only HTML needs.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("tokenizer: " + err.Error()) // texts, numbers and lists of them
	}
	return bytes.TrimSpace(b.Bytes())
}

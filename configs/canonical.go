package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
)

// Canonical gives the recipe's meaning as JSON: defaults filled in, keys
// sorted, zero values left out; no comments, formatting, positions or file
// name. The order of models, slices and domains is kept, since sums and
// searches run in it.
func (r *Recipe) Canonical() []byte {
	b, err := json.Marshal(canonical(reflect.ValueOf(r)))
	if err != nil {
		panic("configs: recipe is not JSON: " + err.Error()) // numbers are finite, by Parse
	}
	return b
}

// Hash is the SHA-256 of [Recipe.Canonical] in hex. Two files that mean the
// same have the same hash.
func (r *Recipe) Hash() string {
	sum := sha256.Sum256(r.Canonical())
	return hex.EncodeToString(sum[:])
}

// canonical turns a value into maps and lists that encoding/json writes in one
// way only.
func canonical(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case ModelRef:
		return canonicalRef(x)
	case Value:
		return x
	case Range:
		return x.Grid()
	case []Domain:
		list := make([]any, len(x))
		for i, d := range x {
			list[i] = []any{d.Name, canonicalStruct(reflect.ValueOf(d))}
		}
		return list
	case []Token:
		list := make([]any, len(x))
		for i, t := range x {
			list[i] = []any{t.Text, canonicalStruct(reflect.ValueOf(t))}
		}
		return list
	}
	switch v.Kind() {
	case reflect.Pointer:
		return canonical(v.Elem())
	case reflect.Struct:
		return canonicalStruct(v)
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = canonical(v.Index(i))
		}
		return list
	case reflect.Map:
		out := map[string]any{}
		for k, one := range v.Seq2() {
			out[k.String()] = canonical(one)
		}
		return out
	}
	return v.Interface()
}

func canonicalStruct(v reflect.Value) any {
	out := map[string]any{}
	names, fields := fieldsOf(v.Type())
	for _, name := range names {
		if f := v.Field(fields[name]); !f.IsZero() && !emptyMap(f) {
			out[name] = canonical(f)
		}
	}
	return out
}

func emptyMap(v reflect.Value) bool { return v.Kind() == reflect.Map && v.Len() == 0 }

func canonicalRef(r ModelRef) any {
	if r.Architecture == "" {
		return r.String()
	}
	return map[string]string{"model": r.String(), "override_architecture": r.Architecture}
}

package configs

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
)

const schemaID = "https://json-schema.org/draft/2020-12/schema"

// schemaBuilder makes recipe.schema.json: keys and words from the types,
// parameters from the table of methods.
type schemaBuilder struct {
	defs jsonschema.Definitions
}

func buildSchema(t *testing.T) []byte {
	t.Helper()
	b := &schemaBuilder{defs: jsonschema.Definitions{}}
	reflector := &jsonschema.Reflector{
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true,
		DoNotReference:             true,
		Anonymous:                  true,
	}
	if err := reflector.AddGoComments("mergebot/configs", "."); err != nil {
		t.Fatal(err)
	}
	reflector.Mapper = func(of reflect.Type) *jsonschema.Schema { return b.special(reflector, of) }
	b.defs["model"] = b.model(reflector)
	root := reflector.Reflect(&Recipe{})
	root.Version = schemaID
	root.Title = "mergebot recipe"
	b.words(root)
	b.rules(root)
	root.Definitions = b.defs
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

// special gives the types that are more than their fields.
func (b *schemaBuilder) special(r *jsonschema.Reflector, of reflect.Type) *jsonschema.Schema {
	switch of {
	case reflect.TypeFor[ModelRef]():
		return ref("model")
	case reflect.TypeFor[Parameters]():
		// The rules of the method say which names are allowed.
		return &jsonschema.Schema{Type: "object"}
	case reflect.TypeFor[Range]():
		fields := jsonschema.NewProperties()
		for _, name := range []string{"min", "max", "step"} {
			fields.Set(name, &jsonschema.Schema{Type: "number", Minimum: "0"})
		}
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
			{Type: "object", Properties: fields, AdditionalProperties: jsonschema.FalseSchema},
			{Type: "array", Items: &jsonschema.Schema{Type: "number", Minimum: "0"}, MinItems: ptr(1), UniqueItems: true},
		}}
	case reflect.TypeFor[[]Domain]():
		return &jsonschema.Schema{
			Type:                 "object",
			PropertyNames:        &jsonschema.Schema{Pattern: plainName.String()},
			AdditionalProperties: b.inline(r, Domain{}),
			MinProperties:        ptr(1),
		}
	case reflect.TypeFor[[]Gate]():
		gate := b.inline(r, Gate{})
		gate.OneOf = []*jsonschema.Schema{
			{Required: []string{"domain", "min_ratio"}, Properties: never("task", "min_score").Properties},
			{Required: []string{"task"}, Properties: never("domain").Properties, AnyOf: []*jsonschema.Schema{{Required: []string{"min_ratio"}}, {Required: []string{"min_score"}}}},
		}
		return &jsonschema.Schema{Type: "array", Items: gate}
	case reflect.TypeFor[[]Token]():
		return &jsonschema.Schema{Type: "object", AdditionalProperties: b.inline(r, Token{})}
	case reflect.TypeFor[TokenSource]():
		zero := object("kind", &jsonschema.Schema{Const: "zero"})
		token := object("kind", &jsonschema.Schema{Const: "model_token"}, "model", ref("model"),
			"token", &jsonschema.Schema{Type: "string", MinLength: ptr(1)}, "token_id", &jsonschema.Schema{Type: "integer", Minimum: "0"})
		token.OneOf = []*jsonschema.Schema{{Required: []string{"token"}}, {Required: []string{"token_id"}}}
		for _, s := range []*jsonschema.Schema{zero, token} {
			s.Type, s.Required, s.AdditionalProperties = "object", []string{"kind"}, jsonschema.FalseSchema
		}
		token.Required = append(token.Required, "model")
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{ref("model"), zero, token}}
	case reflect.TypeFor[map[string]TaskOptions]():
		return &jsonschema.Schema{
			Type:                 "object",
			PropertyNames:        &jsonschema.Schema{Enum: anys(tasks)},
			AdditionalProperties: b.inline(r, TaskOptions{}),
		}
	}
	return nil
}

func (b *schemaBuilder) inline(r *jsonschema.Reflector, v any) *jsonschema.Schema {
	s := r.Reflect(v)
	s.Version = ""
	return s
}

// model is a reference, short or long.
func (b *schemaBuilder) model(r *jsonschema.Reflector) *jsonschema.Schema {
	return &jsonschema.Schema{
		Description: "org/name[@revision][+adapter], s3://bucket/prefix (or gs://, az://), or a path such as ./folder",
		AnyOf:       []*jsonschema.Schema{{Type: "string", Pattern: `^[^\s]`}, b.inline(r, longRef{})},
	}
}

// words narrows texts to the words that Parse knows.
func (b *schemaBuilder) words(root *jsonschema.Schema) {
	var names []string
	for _, m := range Methods() {
		if m.Refused == "" {
			names = append(names, m.Name)
		}
	}
	property(root, "merge_method").Enum = anys(names)
	property(root, "dtype").Enum = anys(dtypes)
	property(root, "out_dtype").Enum = anys(dtypes)
	property(root, "chat_template").Enum = anys(chatTemplates)
	property(property(root, "models").Items, "parameters").Type = "object"
	padding := property(property(root, "tokenizer"), "pad_to_multiple_of")
	padding.Minimum, padding.Maximum = "0", json.Number(fmt.Sprint(maxPadding))
	property(root, "models").MinItems = ptr(1)
	property(root, "slices").MinItems = ptr(1)
	layers := property(property(property(root, "slices").Items, "sources").Items, "layer_range")
	layers.MinItems, layers.MaxItems = ptr(2), ptr(2)
	layers.Items.Minimum = "0"
	property(root, "slices").Items.Properties.Delete("residual_weight") // refused

	mb := property(root, "mergebot")
	property(mb, "seed").Minimum = "0"
	methods := property(property(mb, "search"), "methods")
	methods.Items = &jsonschema.Schema{Enum: []any{1, 2}}
	methods.UniqueItems = true
	methods.Default = []int{1, 2}
	property(property(mb, "domains").AdditionalProperties, "tasks").Items = &jsonschema.Schema{Enum: anys(tasks)}
	property(property(mb, "publish"), "repo").Pattern = `^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$`
	property(property(mb, "publish"), "license").Pattern = licensePattern.String()
	property(property(mb, "evaluate"), "engine").Pattern = `^(auto|llama\.cpp|https?://.+)$`
}

// rules says what each method takes.
func (b *schemaBuilder) rules(root *jsonschema.Schema) {
	root.OneOf = []*jsonschema.Schema{{Required: []string{"models"}}, {Required: []string{"slices"}}}
	root.DependentSchemas = map[string]*jsonschema.Schema{"tokenizer": never("tokenizer_source")}
	for _, m := range Methods() {
		if m.Refused != "" {
			continue
		}
		shared := slices.DeleteFunc(slices.Concat(m.Model, m.Recipe), func(p Param) bool { return p.Kind == List })
		source := object("parameters", b.parameters(m.Model))
		slice := object("parameters", b.parameters(shared), "sources", list(source))
		then := object(
			"parameters", b.parameters(shared),
			"models", list(object("parameters", b.parameters(m.Model))),
			"slices", list(slice))
		if m.Base == BaseRequired { // each slice may have its own
			then.AnyOf = []*jsonschema.Schema{{Required: []string{"base_model"}}, {Required: []string{"slices"}}}
		}
		var idle []string
		if !m.Prunes() {
			idle = append(idle, "dppa")
		}
		if !m.Sums() {
			idle = append(idle, "search")
		}
		then.Properties.Set("mergebot", never(idle...))
		if m.Max > 0 {
			most := m.Max
			if m.Base != BaseIsModel {
				most++ // the base may be listed, too
			}
			models, _ := then.Properties.Get("models")
			models.MaxItems = ptr(uint64(most))
		}
		method := object("merge_method", &jsonschema.Schema{Const: m.Name})
		method.Required = []string{"merge_method"}
		root.AllOf = append(root.AllOf, &jsonschema.Schema{If: method, Then: then})
	}
}

// parameters allows exactly the given ones.
func (b *schemaBuilder) parameters(params []Param) *jsonschema.Schema {
	s := object()
	s.AdditionalProperties = jsonschema.FalseSchema
	for _, p := range params {
		value := b.value(p)
		value.Description = p.Doc
		if !p.Required && p.Kind != List {
			value.Default = p.Default
			if p.Kind == Switch {
				value.Default = p.Default != 0
			}
		}
		s.Properties.Set(p.Name, value)
	}
	return s
}

// value defines a form of values once and refers to it.
func (b *schemaBuilder) value(p Param) *jsonschema.Schema {
	kind := map[Kind]string{Number: "number", Switch: "switch", Plain: "plain", Whole: "whole", List: "list"}[p.Kind]
	name := kind
	one := &jsonschema.Schema{Type: "number"}
	if p.Kind == Switch {
		one = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "boolean"}, {Enum: []any{0, 1}}}}
	} else {
		name += " " + p.Allowed.String()
		bound(one, p.Allowed)
	}
	name = strings.Trim(regexp.MustCompile(`[^a-z0-9.]+`).ReplaceAllString(name, "-"), "-")
	if b.defs[name] != nil {
		return ref(name)
	}
	gradient := list(one)
	gradient.Type, gradient.MinItems = "array", ptr(1)
	switch p.Kind {
	case Plain:
		b.defs[name] = one
	case Whole:
		one.Type = "integer"
		b.defs[name] = one
	case List:
		b.defs[name] = gradient
	default:
		filtered := object("filter", &jsonschema.Schema{Type: "string"},
			"value", &jsonschema.Schema{AnyOf: []*jsonschema.Schema{one, gradient}})
		filtered.Type, filtered.Required, filtered.AdditionalProperties = "object", []string{"value"}, jsonschema.FalseSchema
		cases := list(filtered)
		cases.Type, cases.MinItems = "array", ptr(1)
		b.defs[name] = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{one, gradient, cases, filtered}}
	}
	return ref(name)
}

func bound(s *jsonschema.Schema, i Interval) {
	number := func(f float64) json.Number { return json.Number(fmt.Sprint(f)) }
	if !math.IsInf(i.Low, 0) {
		if s.Minimum = number(i.Low); i.OpenLow {
			s.Minimum, s.ExclusiveMinimum = "", s.Minimum
		}
	}
	if !math.IsInf(i.High, 0) {
		if s.Maximum = number(i.High); i.OpenHigh {
			s.Maximum, s.ExclusiveMaximum = "", s.Maximum
		}
	}
}

func ref(def string) *jsonschema.Schema { return &jsonschema.Schema{Ref: "#/$defs/" + def} }

func ptr(n uint64) *uint64 { return &n }

func list(of *jsonschema.Schema) *jsonschema.Schema { return &jsonschema.Schema{Items: of} }

// object takes names and schemas in turn.
func object(properties ...any) *jsonschema.Schema {
	p := jsonschema.NewProperties()
	for i := 0; i < len(properties); i += 2 {
		p.Set(properties[i].(string), properties[i+1].(*jsonschema.Schema))
	}
	return &jsonschema.Schema{Properties: p}
}

// never forbids keys.
func never(keys ...string) *jsonschema.Schema {
	s := object()
	for _, k := range keys {
		s.Properties.Set(k, jsonschema.FalseSchema)
	}
	return s
}

func property(s *jsonschema.Schema, name string) *jsonschema.Schema {
	p, ok := s.Properties.Get(name)
	if !ok {
		panic("schema: no property " + name)
	}
	return p
}

func anys(words []string) []any {
	out := make([]any, len(words))
	for i, w := range words {
		out[i] = w
	}
	return out
}

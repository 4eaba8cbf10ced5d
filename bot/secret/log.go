package secret

import (
	"context"
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
)

// Handler makes a handler that hands records to h without secrets: in messages, in keys, and in values of any kind, also
// where they would only show when h writes them out.
func (r *Redactor) Handler(h slog.Handler) slog.Handler { return handler{r, h} }

type handler struct {
	secrets *Redactor
	next    slog.Handler
}

func (h handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, h.secrets.String(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(h.attr(a))
		return true
	})
	return h.next.Handle(ctx, out)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.secrets, h.next.WithAttrs(h.attrs(attrs))}
}

func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.secrets, h.next.WithGroup(h.secrets.String(name))}
}

func (h handler) attrs(attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = h.attr(a)
	}
	return out
}

func (h handler) attr(a slog.Attr) slog.Attr {
	a.Key = h.secrets.String(a.Key)
	a.Value = a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindGroup:
		a.Value = slog.GroupValue(h.attrs(a.Value.Group())...)
	case slog.KindAny:
		a.Value = h.value(a.Value)
	default:
		if s := a.Value.String(); h.secrets.String(s) != s {
			a.Value = slog.StringValue(h.secrets.String(s))
		}
	}
	return a
}

// value keeps what shows no secret in any of the ways in which handlers write values out; of the rest it makes text.
func (h handler) value(v slog.Value) (out slog.Value) {
	defer func() {
		if p := recover(); p != nil { // of a value's own methods
			out = slog.StringValue(h.secrets.String(fmt.Sprintf("!PANIC: %v", p)))
		}
	}()
	x := v.Any()
	text := fmt.Sprintf("%+v", x)
	if b, ok := x.([]byte); ok {
		text = string(b)
	}
	redacted := h.secrets.String(text)
	changed := redacted != text
	if !changed {
		if b, err := json.Marshal(x); err == nil {
			changed = h.secrets.String(string(b)) != string(b)
		}
	}
	if m, ok := x.(encoding.TextMarshaler); ok && !changed {
		if b, err := m.MarshalText(); err == nil {
			changed = h.secrets.String(string(b)) != string(b)
		}
	}
	if !changed {
		return v
	}
	return slog.StringValue(redacted)
}

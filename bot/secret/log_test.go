package secret

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"
	"time"
)

const planted = "s3cretvalue"

type stringer struct{}

func (stringer) String() string { return planted }

type valuer struct{}

func (valuer) LogValue() slog.Value {
	return slog.GroupValue(slog.String("in", planted), slog.Any("deep", errors.New(planted)))
}

type marshaler struct{}

func (marshaler) MarshalJSON() ([]byte, error) { return []byte(`"` + planted + `"`), nil }
func (marshaler) MarshalText() ([]byte, error) { return []byte(planted), nil }
func (marshaler) String() string               { return "harmless" }

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic(planted) }

func TestHandler(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		var h slog.Handler = slog.NewTextHandler(&out, nil)
		if format == "json" {
			h = slog.NewJSONHandler(&out, nil)
		}
		log := slog.New(New(planted, "1234567890").Handler(h)).With("with", planted).WithGroup("g-" + planted)
		log.Info("message "+planted,
			"string", planted, planted, "key", "error", fmt.Errorf("get https://u:%s@h: %w", planted, errors.New("refused")),
			"stringer", stringer{}, "valuer", valuer{}, "marshaler", marshaler{}, "bytes", []byte(planted), "panics", panics{},
			slog.Group("group", slog.Group("inner", slog.String("x", planted))),
			"struct", struct{ P *struct{ Q string } }{&struct{ Q string }{planted}}, "map", map[string]any{planted: []string{planted}},
			"number", 1234567890, "kept", []int{1, 2}, "took", 3*time.Second)
		got := out.String()
		if strings.Contains(got, planted) || strings.Contains(got, "1234567890") {
			t.Errorf("%s: %s", format, got)
		}
		for _, want := range []string{"took", "refused", "[redacted]"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s in %s", format, want, got)
			}
		}
		if format == "json" && !strings.Contains(got, `"kept":[1,2]`) {
			t.Errorf("a harmless value has another form: %s", got)
		}
		if log.Enabled(context.Background(), slog.LevelDebug) {
			t.Error("debug is on")
		}
	}
}

// TestHandlerIsOne holds it to slog's own rules for handlers.
func TestHandlerIsOne(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	h := New(planted).Handler(slog.NewJSONHandler(&out, nil))
	if err := slogtest.TestHandler(h, func() (all []map[string]any) {
		for line := range bytes.Lines(out.Bytes()) {
			m := map[string]any{}
			if err := json.Unmarshal(line, &m); err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
		return all
	}); err != nil {
		t.Error(err)
	}
}

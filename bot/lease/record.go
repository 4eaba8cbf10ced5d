package lease

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mergebot/bot/run"
)

// store is what leases ask of a [run.Storage].
type store interface {
	Create(ctx context.Context, key string, v any) (bool, error)
	Put(ctx context.Context, key string, v any) error
	ReadBytes(ctx context.Context, key string) ([]byte, bool, error)
	Children(ctx context.Context, folder string) ([]string, error)
	Delete(ctx context.Context, key string) error
}

// record is what lies under a token.
type record struct {
	Owner    string    `json:"owner,omitempty"` // "" of one that was broken
	Host     string    `json:"host,omitempty"`
	PID      int       `json:"pid,omitempty"`
	Process  *process  `json:"process,omitempty"` // that the lease lives with; nil: it outlives it
	Until    time.Time `json:"until,omitzero"`    // when its holder stops; zero: never
	TTL      float64   `json:"ttl_seconds,omitempty"`
	Released bool      `json:"released,omitempty"`
}

// tip is the newest token of a lease; token 0: there was none yet.
type tip struct {
	name   string
	token  int64
	record record
}

// attempts bounds how often a lease is tried for while others change it.
const attempts = 100

func busy(name string) error {
	return fmt.Errorf("%w: lease %s: others changed it %d times meanwhile; try again", run.ErrStorage, name, attempts)
}

// newest reads the highest token.
func newest(ctx context.Context, s store, name string) (tip, error) {
	for range attempts {
		tokens, err := tokensOf(ctx, s, name)
		if err != nil || len(tokens) == 0 {
			return tip{name: name}, err
		}
		t := tip{name: name, token: tokens[len(tokens)-1]}
		b, ok, err := s.ReadBytes(ctx, key(name, t.token))
		if err != nil {
			return tip{}, err
		}
		if !ok {
			continue // cleaned away since: there are newer ones
		}
		if json.Unmarshal(b, &t.record) != nil {
			// Blobs appear whole, so this one was torn by a power cut, and who wrote it is gone.
			t.record = record{}
		}
		return t, nil
	}
	return tip{}, busy(name)
}

// held says who has the lease; nil: it is free.
func (t tip) held(now time.Time) *Held {
	r := t.record
	if r.Owner == "" || r.Released {
		return nil
	}
	h := &Held{Name: t.name, Owner: r.Owner}
	if !r.Until.IsZero() {
		h.Until = r.Until.Add(time.Duration(r.TTL / 3 * float64(time.Second)))
		if !now.Before(h.Until) {
			return nil
		}
	}
	if r.Process.dead() {
		return nil
	}
	return h
}

// Held is the error that says who has a lease.
type Held struct {
	Name, Owner string
	Until       time.Time // when it is free unless it is renewed; zero: never
}

func (h *Held) Error() string {
	if h.Until.IsZero() {
		return fmt.Sprintf("lease %s is held by %s until it is released", h.Name, h.Owner)
	}
	return fmt.Sprintf("lease %s is held by %s; unless renewed it is free at %s", h.Name, h.Owner, h.Until.UTC().Format(time.RFC3339))
}

// Peek says who has a lease; nil: it is free.
func Peek(ctx context.Context, s *run.Storage, name string) (*Held, error) {
	last, err := newest(ctx, s, name)
	if err != nil {
		return nil, err
	}
	return last.held(time.Now()), nil
}

// Break takes a lease from whoever has it, and leaves it free.
func Break(ctx context.Context, s *run.Storage, name string) error {
	for range attempts {
		last, err := newest(ctx, s, name)
		if err != nil || last.record.Owner == "" || last.record.Released {
			return err
		}
		ok, err := s.Create(ctx, key(name, last.token+1), record{Released: true})
		if err != nil {
			return err
		}
		if ok {
			clean(ctx, s, name, last.token+1)
			return nil
		}
	}
	return busy(name)
}

// clean removes all but the last two tokens. What it leaves behind does no harm.
func clean(ctx context.Context, s store, name string, token int64) {
	tokens, _ := tokensOf(ctx, s, name)
	for _, t := range tokens {
		if t < token-1 {
			_ = s.Delete(ctx, key(name, t))
		}
	}
}

// tokensOf lists what is there, ascending.
func tokensOf(ctx context.Context, s store, name string) ([]int64, error) {
	names, err := s.Children(ctx, folder(name))
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, n := range names {
		digits, ok := strings.CutSuffix(n, ".json")
		if t, err := strconv.ParseInt(digits, 10, 64); ok && err == nil && t > 0 {
			out = append(out, t)
		}
	}
	slices.Sort(out)
	return out, nil
}

func key(name string, token int64) string { return fmt.Sprintf("%s%012d.json", folder(name), token) }

func folder(name string) string { return "bot/leases/" + escape(name) + "/" }

// escape makes a folder's name of any text, another one of another text: letters, digits and hyphens stay, the rest is
// %XX; a long one is its beginning and a hash.
func escape(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() <= 160 {
		return b.String()
	}
	sum := sha256.Sum256([]byte(name))
	return b.String()[:80] + "~" + hex.EncodeToString(sum[:])
}

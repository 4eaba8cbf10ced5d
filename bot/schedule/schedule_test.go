package schedule

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestNext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expr, after, want string }{
		{"0 2 * * *", "2026-03-01T01:59:59Z", "2026-03-01T02:00:00Z"},
		{"0 2 * * *", "2026-03-01T02:00:00Z", "2026-03-02T02:00:00Z"},
		{"0 2 * * *", "2026-03-01T01:30:00-01:00", "2026-03-02T02:00:00Z"}, // in UTC, whatever the zone of the question
		{"TZ=Europe/Berlin 0 2 * * *", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"},
		{"CRON_TZ=Europe/Berlin 0 2 * * *", "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z"},
		{"TZ=Local 0 2 * * *", "2026-03-01T00:00:00Z", "2026-03-01T02:00:00Z"}, // the server's zone decides nothing
		{"@daily", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"},
		{"TZ=Asia/Tokyo @daily", "2026-03-01T00:00:00Z", "2026-03-01T15:00:00Z"},
		{"0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"},
		{"0 0 30 2 *", "2026-03-01T00:00:00Z", "0001-01-01T00:00:00Z"},
		{"@every 6h", "2026-03-01T05:59:59Z", "2026-03-01T06:00:00Z"},
		{"@every 6h", "2026-03-01T06:00:00Z", "2026-03-01T12:00:00Z"},
		{"@every 6h", "1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z"},
		// 29 March 2026: Berlin goes from 2:00 to 3:00; 2:30 falls out.
		{"TZ=Europe/Berlin 30 2 * * *", "2026-03-28T02:00:00Z", "2026-03-30T00:30:00Z"},
		// 25 October 2026: from 3:00 to 2:00; 2:30 comes twice.
		{"TZ=Europe/Berlin 30 2 * * *", "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z"},
		{"TZ=Europe/Berlin 30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
		{"TZ=Europe/Berlin 30 2 * * *", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"},
	} {
		got, err := Next(c.expr, at(c.after))
		if err != nil || got.Format(time.RFC3339) != c.want {
			t.Errorf("%s after %s: got %v, %v, want %s", c.expr, c.after, got, err, c.want)
		}
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expr, last, now, want string }{
		{"0 2 * * *", "2026-03-01T02:00:00Z", "2026-03-02T01:59:59Z", ""},
		{"0 2 * * *", "2026-03-01T01:59:59Z", "2026-03-01T02:00:00Z", "2026-03-01T02:00:00Z"},
		{"0 2 * * *", "2026-03-01T02:00:00Z", "2026-03-01T02:00:00Z", ""},
		{"0 2 * * *", "2026-03-01T02:00:00Z", "2026-04-01T12:00:00Z", "2026-04-01T02:00:00Z"}, // a month of them is one
		{"0 2 * * *", "2026-04-01T02:00:00Z", "2026-03-01T02:00:00Z", ""},                     // the clock was put back
		{"* * * 1 *", "0001-01-01T00:00:00Z", "2026-06-01T00:00:00Z", "2026-01-31T23:59:00Z"},
		{"0 0 30 2 *", "2026-03-01T00:00:00Z", "2036-03-01T00:00:00Z", ""},
		{"TZ=Pacific/Apia 0 0 31 * *", "2011-12-20T00:00:00Z", "2026-02-01T00:00:00Z", "2026-01-30T11:00:00Z"}, // never back, from there
		{"@every 24h", "2026-03-01T23:59:00Z", "2026-03-02T00:00:30Z", "2026-03-02T00:00:00Z"},                 // looked at every minute
		{"TZ=Europe/Berlin 30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", ""},
		{"TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z", "2026-10-25T01:30:00Z"},
	} {
		got, due, err := Due(c.expr, at(c.last), at(c.now))
		if err != nil || due != (c.want != "") || due && got.Format(time.RFC3339) != c.want {
			t.Errorf("%s in (%s, %s]: got %v, %v, %v, want %q", c.expr, c.last, c.now, got, due, err, c.want)
		}
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{"", "x", "0 0 2 * * *", "TZ=Europe/Berlin", "CRON_TZ=Europe/Berlin", "TZ=Nowhere/Else 0 2 * * *", "60 * * * *", "@every 59s", "@every -1h", "@reboot"} {
		if _, err := Next(expr, time.Now()); !errors.Is(err, ErrLine) {
			t.Errorf("Next(%q): %v", expr, err)
		}
		if _, _, err := Due(expr, time.Now(), time.Now()); !errors.Is(err, ErrLine) {
			t.Errorf("Due(%q): %v", expr, err)
		}
	}
}

// zones change their clocks in all ways there are: at midnight, by half an hour, to and from UTC.
var zones = []string{"", "Europe/Berlin", "America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut", "America/Havana", "America/Santiago",
	"Atlantic/Azores", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu"}

// randomLine makes a line of five fields.
func randomLine(r *rand.Rand) string {
	field := func(low, high int) string {
		a, b := low+r.IntN(high-low+1), low+r.IntN(high-low+1)
		switch r.IntN(5) {
		case 0:
			return fmt.Sprint(a)
		case 1:
			return fmt.Sprintf("%d-%d", min(a, b), max(a, b))
		case 2:
			return fmt.Sprintf("*/%d", 1+r.IntN(high))
		case 3:
			return fmt.Sprintf("%d,%d", a, b)
		}
		return "*"
	}
	line := fmt.Sprint(field(0, 59), " ", field(0, 23), " ", field(1, 31), " ", field(1, 12), " ", field(0, 6))
	if zone := zones[r.IntN(len(zones))]; zone != "" {
		line = "TZ=" + zone + " " + line
	}
	return line
}

// TestAgainstCron: Next is the library's, and Due the last of what Next counts up to.
func TestAgainstCron(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	start := at("2012-01-01T00:00:00Z") // before, St. John's put its clocks back at 0:01, which loses the library a day
	ticks := 0
	for range 1000 {
		line := randomLine(r)
		s, err := cron.ParseStandard(line)
		if err != nil {
			t.Fatal(err)
		}
		last := start.Add(time.Duration(r.Int64N(25*365*24*3600)) * time.Second)
		now := last.Add(time.Duration(r.Int64N(1<<uint(5+r.IntN(20)))) * time.Second)
		want := time.Time{}
		for tick := s.Next(last); !tick.IsZero() && !tick.After(now); tick = s.Next(tick) {
			if want.IsZero() {
				if got, err := Next(line, last); err != nil || !got.Equal(tick) {
					t.Fatalf("%s: next after %v: got %v, %v, want %v", line, last, got, err, tick)
				}
			}
			want = tick
			ticks++
		}
		got, due, err := Due(line, last, now)
		if err != nil || due == want.IsZero() || !got.Equal(want) {
			t.Fatalf("%s in (%v, %v]: got %v, %v, %v, want %v", line, last, now, got, due, err, want)
		}
	}
	if ticks < 1000 {
		t.Errorf("%d ticks: too few to mean anything", ticks)
	}
}

func FuzzDue(f *testing.F) {
	f.Add("0 2 * * *", int64(1_700_000_000), int64(1_700_100_000))
	f.Add("TZ=America/Sao_Paulo 0 0 * * 0", int64(1_500_000_000), int64(1_600_000_000))
	f.Add("@every 61m", int64(-5), int64(5))
	f.Add("TZ= ", int64(0), int64(0))
	f.Fuzz(func(t *testing.T, expr string, from, to int64) {
		const begin, years = 1_767_225_600, 20 * 365 * 24 * 3600 // from 2026 on
		last, now := time.Unix(begin+from%years, 0), time.Unix(begin+max(to%years, -to%years), 0)
		tick, due, err := Due(expr, last, now)
		if err != nil {
			return
		}
		last = time.Unix(max(last.Unix(), now.AddDate(-9, 0, 0).Unix()), 0)
		after, err := Next(expr, last)
		if err != nil {
			t.Fatal(err)
		}
		if due != (!after.IsZero() && !after.After(now)) {
			t.Errorf("%q in (%v, %v]: due %v, but the next is %v", expr, last, now, due, after)
		}
		if !due {
			return
		}
		if !tick.After(last) || tick.After(now) || tick.Location() != time.UTC {
			t.Errorf("%q in (%v, %v]: tick %v", expr, last, now, tick)
		}
		if next, err := Next(expr, tick); err != nil || !next.IsZero() && !next.After(now) {
			t.Errorf("%q in (%v, %v]: tick %v, but %v is newer, %v", expr, last, now, tick, next, err)
		}
	})
}

// Package schedule says when a recipe's cron line falls due. It knows no state and no clock: the caller says what time
// it is and when it looked last.
package schedule

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"
	_ "time/tzdata" // a container may have no zones of its own

	"github.com/robfig/cron/v3"
)

// ErrLine is returned for what is no cron line, or one that a recipe may not have.
var ErrLine = errors.New("not a schedule")

// Next is the first time after a time that a cron line names, in UTC; the zero time when it names none (30 February).
//
// A line has five fields (minute, hour, day of the month, month, weekday) or is @hourly, @daily, @weekly, @monthly,
// @yearly or "@every 90m". Its times are those of UTC, or of the zone that it begins with: "TZ=Europe/Berlin 0 2 * * *",
// CRON_TZ= too. A local time that a day skips falls out, one that comes twice counts twice. @every counts from
// 1970-01-01 00:00 UTC, so that a restart shifts nothing: "@every 6h" is at 0, 6, 12 and 18 o'clock.
func Next(expr string, after time.Time) (time.Time, error) {
	s, err := parse(expr)
	if err != nil {
		return time.Time{}, err
	}
	return next(s, after), nil
}

// Due says whether a time that the line names lies in (last, now], and the newest of them, in UTC. Any number of missed
// ones is thus one.
func Due(expr string, last, now time.Time) (tick time.Time, due bool, err error) {
	s, err := parse(expr)
	if err != nil {
		return time.Time{}, false, err
	}
	now = now.UTC()
	// Two ticks are at most eight years apart. Further back lie the days that Samoa and others left out, on which the
	// library never comes back.
	if horizon := now.AddDate(-9, 0, 0); last.Before(horizon) {
		last = horizon
	}
	past := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	first := next(s, last)
	if !past(first) {
		return time.Time{}, false, nil
	}
	// The newest is what follows the last second that a tick up to now follows.
	following := func(i int) time.Time { return next(s, time.Unix(first.Unix()+int64(i), 0)) }
	i := sort.Search(int(now.Unix()-first.Unix()), func(i int) bool { return !past(following(i)) })
	if i == 0 {
		return first, true, nil
	}
	return following(i - 1), true, nil
}

func next(s cron.Schedule, after time.Time) time.Time {
	after = after.UTC()
	if every, ok := s.(cron.ConstantDelaySchedule); ok {
		delay := int64(every.Delay / time.Second)
		n := after.Unix() / delay
		if after.Unix()%delay < 0 { // before 1970
			n--
		}
		return time.Unix((n+1)*delay, 0).UTC()
	}
	// The library looks ahead five years; from one 29 February to the next it can be eight.
	for range 2 {
		if t := s.Next(after); !t.IsZero() {
			return t.UTC()
		}
		after = after.AddDate(5, 0, 0)
	}
	return time.Time{}
}

// parse reads a line as recipes may have it. The library cuts at the blank after a time zone without looking for it.
func parse(expr string) (cron.Schedule, error) {
	if zone, _, blank := strings.Cut(expr, " "); !blank && strings.Contains(zone, "TZ=") {
		return nil, fmt.Errorf("%w: %q has a time zone and no times; write \"TZ=Europe/Berlin 0 2 * * *\"", ErrLine, expr)
	}
	s, err := cron.ParseStandard(expr)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w; write minute, hour, day, month, weekday, such as \"0 2 * * *\"", ErrLine, expr, err)
	}
	if every, ok := s.(cron.ConstantDelaySchedule); ok && every.Delay < time.Minute {
		return nil, fmt.Errorf("%w: %q is more often than once a minute", ErrLine, expr)
	}
	return s, nil
}

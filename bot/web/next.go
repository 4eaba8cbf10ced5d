package web

import (
	"time"

	"mergebot/bot/schedule"
)

// next is when a schedule comes due next; zero when there is none, or it cannot be read.
func (s *site) next(expr string) time.Time {
	if expr == "" {
		return time.Time{}
	}
	t, err := schedule.Next(expr, s.Now())
	if err != nil {
		return time.Time{}
	}
	return t
}

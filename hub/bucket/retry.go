package bucket

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"gocloud.dev/gcerrors"
)

// attempts bounds how often [Retry] tries, on top of what the clouds' own libraries do for one request.
const attempts = 8

// Retry does something again that failed for a reason that passes: an overloaded server, or a connection that broke off
// in the middle of a body, which the clouds' libraries leave to their callers.
func Retry(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if err == nil || try == attempts || ctx.Err() != nil || !passes(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(backoff(try)):
		}
	}
}

// backoff is the wait after a failed try, the first of which is 1: twice as long each time, from 0.1 to 5 s, and by chance
// up to a half more or less, so that many do not come back at once.
func backoff(try int) time.Duration {
	wait := min(50*time.Millisecond<<min(try, 10), 5*time.Second)
	return wait/2 + rand.N(wait)
}

// passes says whether the same request may succeed a little later.
func passes(err error) bool {
	switch gcerrors.Code(err) {
	case gcerrors.NotFound, gcerrors.PermissionDenied, gcerrors.FailedPrecondition, gcerrors.InvalidArgument, gcerrors.Unimplemented:
		return false
	case gcerrors.Canceled:
		return errors.Is(err, errSilent)
	}
	if errors.Is(err, errChanged) {
		return false
	}
	switch status := statusOf(err); {
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooManyRequests:
		return true
	case status >= 400 && status < 500:
		return false
	}
	return true
}

// statusOf is the HTTP status that a server answered with; 0: it did not.
func statusOf(err error) int {
	var answered interface{ HTTPStatusCode() int }
	if errors.As(err, &answered) {
		return answered.HTTPStatusCode()
	}
	return 0
}

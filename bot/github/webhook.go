package github

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"
)

// Event is what a delivery says: where to look. What is true there is read from the API.
type Event struct {
	Delivery string // its id: the same one may come again
	Name     string // of the event: pull_request
	Action   string // opened; "rerequested" asks for a check to be made again
	Repo     string // owner/name as it is now
	Change   string // pull request's number, "" if none
	Main     bool   // the default branch was pushed to
	// Commit whose check is to be made again; GitHub names no pull request where it comes from a fork.
	Commit string
}

// maxPayload in bytes: GitHub sends nothing larger. https://docs.github.com/webhooks/webhook-events-and-payloads
const maxPayload = 25 << 20

// A payload is held in memory before anybody knows who sent it. GitHub's of interest here have some ten kilobytes; of
// larger ones, and of those that do not say how large they are, only a few are read at once.
const (
	smallPayload = 256 << 10
	largeAtOnce  = 4
)

// Outcomes of deliveries.
const (
	Accepted     = "accepted"
	Duplicate    = "duplicate"
	Ignored      = "ignored"
	BadSignature = "bad_signature"
	Failed       = "failed" // could not be read, or not be stored
)

var (
	signaturePattern = regexp.MustCompile(`^sha256=[0-9a-f]{64}$`)
	deliveryPattern  = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)
	eventPattern     = regexp.MustCompile(`^[a-z_]{1,64}$`)
)

// Webhook takes deliveries of GitHub for one repository. Nothing of a delivery is looked at before its signature holds.
// accept stores what an event says and returns whether it is new; then the answer is 202, and if accept fails 500, which
// GitHub shows as a failed delivery. Each of heard is told every delivery's outcome.
//
// Without a secret anyone could speak for GitHub: then every delivery is refused with 503.
func Webhook(secret []byte, repo string, accept func(ctx context.Context, e Event) (fresh bool, err error), heard ...func(outcome string)) http.Handler {
	large := make(chan struct{}, largeAtOnce)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := answer{http.StatusServiceUnavailable, Failed, "too many large deliveries at once: deliver it again"}
		if r.ContentLength >= 0 && r.ContentLength <= smallPayload {
			a = take(secret, repo, accept, w, r)
		} else {
			select {
			case large <- struct{}{}:
				defer func() { <-large }()
				a = take(secret, repo, accept, w, r)
			default:
			}
		}
		for _, hear := range heard {
			hear(a.Outcome)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(a.status)
		_ = json.NewEncoder(w).Encode(a) // who does not listen gets no answer
	})
}

// answer to a delivery.
type answer struct {
	status  int
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
}

func take(secret []byte, repo string, accept func(context.Context, Event) (bool, error), w http.ResponseWriter, r *http.Request) answer {
	if len(secret) == 0 {
		return answer{http.StatusServiceUnavailable, Failed, "no webhook secret is set: set MERGEBOT_WEBHOOK_SECRET to the one in the webhook's settings"}
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return answer{http.StatusMethodNotAllowed, Failed, "deliveries come by POST"}
	}
	signatures := r.Header.Values("X-Hub-Signature-256")
	if len(signatures) != 1 || !signaturePattern.MatchString(signatures[0]) {
		return answer{http.StatusUnauthorized, BadSignature, "X-Hub-Signature-256 is missing or malformed"}
	}
	if r.ContentLength > maxPayload {
		return answer{http.StatusRequestEntityTooLarge, Failed, "the payload is too large"}
	}
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return answer{http.StatusRequestEntityTooLarge, Failed, "the payload is too large"}
	case err != nil:
		return answer{http.StatusBadRequest, Failed, "the payload cannot be read"}
	}
	if !signed256(secret, payload, signatures[0]) {
		return answer{http.StatusUnauthorized, BadSignature, "the signature does not fit: the secret is not the one in the webhook's settings"}
	}
	e, why, err := readEvent(r.Header, payload, repo)
	switch {
	case errors.Is(err, errMediaType):
		return answer{http.StatusUnsupportedMediaType, Failed, err.Error()}
	case err != nil:
		return answer{http.StatusBadRequest, Failed, err.Error()}
	case why != "":
		return answer{http.StatusAccepted, Ignored, why}
	}
	fresh, err := accept(r.Context(), e)
	switch {
	case err != nil:
		return answer{http.StatusInternalServerError, Failed, "the delivery could not be stored: deliver it again"}
	case !fresh:
		return answer{http.StatusAccepted, Duplicate, ""}
	}
	return answer{http.StatusAccepted, Accepted, ""}
}

// signed256 compares in constant time. The signature is well-formed.
func signed256(secret, payload []byte, signature string) bool {
	want, err := hex.DecodeString(strings.TrimPrefix(signature, "sha256="))
	mac := hmac.New(sha256.New, secret)
	mac.Write(payload)
	return err == nil && hmac.Equal(mac.Sum(nil), want)
}

var errMediaType = errors.New("set the webhook's content type to application/json")

// readEvent reads a delivery whose signature holds. why: it is of no interest, and for what reason.
func readEvent(h http.Header, payload []byte, repo string) (e Event, why string, err error) {
	e.Delivery, e.Name = h.Get("X-GitHub-Delivery"), h.Get("X-GitHub-Event")
	if !deliveryPattern.MatchString(e.Delivery) || !eventPattern.MatchString(e.Name) {
		return e, "", errors.New("X-GitHub-Delivery or X-GitHub-Event is missing or malformed")
	}
	if media, _, err := mime.ParseMediaType(h.Get("Content-Type")); err != nil || media != "application/json" {
		return e, "", errMediaType
	}
	var p delivery
	if err := json.Unmarshal(payload, &p); err != nil {
		return e, "", fmt.Errorf("the payload of %s is not what GitHub sends: check the sender", e.Name)
	}
	if e.Name == "ping" {
		return e, "ping: the secret is right", nil
	}
	if !p.of(e.Name, repo) {
		return e, "another repository", nil
	}
	e.Repo = p.Repository.FullName
	return p.event(e)
}

package githubtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Delivery is a webhook that was sent, or would have been.
type Delivery struct {
	GUID, Event, Action string
	Header              http.Header
	Body                []byte
	Status              int   // of the answer; 0 where there was none
	Err                 error // why there was none
	At                  time.Time
	Took                time.Duration
}

// hooks sends what happens, one after the other, as GitHub does: once, without trying again.
type hooks struct {
	mu      sync.Mutex
	change  *sync.Cond
	queue   []event
	busy    bool
	held    int
	over    bool
	target  string
	secret  []byte
	log     []Delivery
	client  *http.Client
	stopped chan struct{}
}

// event is what happened, as the emulator tells it.
type event struct {
	name string
	body []byte
}

func (h *hooks) start(s *Server) {
	h.change = sync.NewCond(&h.mu)
	h.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	h.stopped = make(chan struct{})
	go func() {
		defer close(h.stopped)
		for {
			h.mu.Lock()
			h.busy = false
			h.change.Broadcast()
			for !h.over && (len(h.queue) == 0 || h.held > 0) {
				h.change.Wait()
			}
			if h.over {
				h.mu.Unlock()
				return
			}
			e := h.queue[0]
			h.queue, h.busy = h.queue[1:], true
			h.mu.Unlock()
			s.deliver(e)
		}
	}()
}

func (h *hooks) stop() {
	h.mu.Lock()
	h.over = true
	h.change.Broadcast()
	h.mu.Unlock()
	h.client.CloseIdleConnections()
	<-h.stopped
}

// hold keeps events back until release.
func (h *hooks) hold() { h.count(1) }

func (h *hooks) release() { h.count(-1) }

func (h *hooks) count(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held += n
	h.change.Broadcast()
}

func (h *hooks) add(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue = append(h.queue, e)
	h.change.Broadcast()
}

// forget drops what has been said so far.
func (h *hooks) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.queue) > 0 || h.busy {
		h.change.Wait()
	}
	h.log = nil
}

// Deliver says where webhooks go and with which secret they are signed; "" is nowhere: they are recorded all the same.
func (s *Server) Deliver(url string, secret []byte) {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	s.hooks.target, s.hooks.secret = url, secret
}

// Deliveries are those so far. What people did a moment ago may still be on its way: see [Server.Settle].
func (s *Server) Deliveries() []Delivery {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	return append([]Delivery(nil), s.hooks.log...)
}

// Settle waits until an event of that name and action has been sent for the n-th time.
func (s *Server) Settle(name, action string, n int) Delivery {
	s.t.Helper()
	expired := time.AfterFunc(time.Minute, func() { s.hooks.count(0) })
	defer expired.Stop()
	until := time.Now().Add(time.Minute)
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	for {
		found := 0
		for _, d := range s.hooks.log {
			if d.Event == name && d.Action == action {
				if found++; found == n {
					return d
				}
			}
		}
		if time.Now().After(until) {
			s.t.Fatalf("%d events %s %s, want %d", found, name, action, n)
		}
		s.hooks.change.Wait()
	}
}

// Redeliver sends a delivery once more, as the button does, and returns the answer's status.
func (s *Server) Redeliver(d Delivery) (int, error) {
	s.hooks.mu.Lock()
	target := s.hooks.target
	s.hooks.mu.Unlock()
	return s.post(target, d.Header, d.Body)
}

// receive takes what the emulator says has happened.
func (s *Server) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.hooks.add(event{r.Header.Get("X-GitHub-Event"), body})
	w.WriteHeader(http.StatusOK)
}

// deliver makes an event GitHub's and sends it.
func (s *Server) deliver(e event) {
	body, action, err := s.completeEvent(e)
	if err != nil {
		s.failed("githubtest: event %s: %v\n%s", e.name, err, e.body)
		return
	}
	s.hooks.mu.Lock()
	target, secret := s.hooks.target, s.hooks.secret
	s.hooks.mu.Unlock()
	d := Delivery{GUID: newGUID(), Event: e.name, Action: action, Body: body, At: time.Now()}
	d.Header = s.Header(d.Event, d.GUID, secret, body)
	if err := s.description.checkEvent(d.Header, e.name, action, body); err != nil {
		s.failed("GitHub's description does not know this event: %s %s\n%s\n%v", e.name, action, short(body), short([]byte(err.Error())))
	}
	if target != "" {
		d.Status, d.Err = s.post(target, d.Header, body)
		d.Took = time.Since(d.At)
	}
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	s.hooks.log = append(s.hooks.log, d)
}

func (s *Server) post(target string, header http.Header, body []byte) (int, error) {
	r, err := http.NewRequest(http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header = header.Clone()
	resp, err := s.hooks.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, nil
}

// Header are the headers of a delivery.
func (s *Server) Header(name, guid string, secret, body []byte) http.Header {
	h := http.Header{
		"Content-Type":                           {"application/json"},
		"User-Agent":                             {"GitHub-Hookshot/0123abc"},
		"X-Github-Event":                         {name},
		"X-Github-Delivery":                      {guid},
		"X-Github-Hook-Id":                       {"12312312"},
		"X-Github-Hook-Installation-Target-Id":   {fmt.Sprint(s.App.ID)},
		"X-Github-Hook-Installation-Target-Type": {"integration"},
	}
	if len(secret) > 0 {
		m := hmac.New(sha256.New, secret)
		m.Write(body)
		h.Set("X-Hub-Signature-256", fmt.Sprintf("sha256=%x", m.Sum(nil)))
		m = hmac.New(sha1.New, secret)
		m.Write(body)
		h.Set("X-Hub-Signature", fmt.Sprintf("sha1=%x", m.Sum(nil)))
	}
	return h
}

// newGUID names a delivery. The emulator names it by the clock, which two may share.
func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

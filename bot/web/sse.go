package web

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"mergebot/bot/run"
)

// How a reader of live events is served.
const (
	pace      = 100 * time.Millisecond // least time between two looks: progress in between is passed over
	poll      = 2 * time.Second        // between looks at storage, for runs of other processes
	heartbeat = 15 * time.Second       // between comments, so that nothing on the way gives the connection up
	patience  = 10 * time.Second       // for a reader to take what was written; then it is dropped
)

// message is the data of a server-sent event.
type message struct {
	Event *run.Event               `json:"event,omitempty"`
	Line  string                   `json:"line,omitempty"`  // of the log
	Parts map[string]template.HTML `json:"parts,omitempty"` // of the page, by the id of what they replace
}

// events sends a run's kept log from Last-Event-ID (or ?after=) on, then what happens, until the run is over:
// "kept" events with their number in the log as id, "progress" events without one, "end" with the state.
func (s *site) events(w http.ResponseWriter, r *http.Request) {
	rec, ok, err := s.store.record(r.Context(), r.PathValue("id"))
	if err == nil && !ok {
		err = errNotFound
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return
	}
	st := &stream{site: s, w: w, to: http.NewResponseController(w), r: r, id: rec.ID, line: new(timeline), sent: lastSeen(r)}
	st.serve() // an error means that the reader is gone, or too slow: it comes back with the last id it has
}

// lastSeen is the number of the last kept event that the reader has.
func lastSeen(r *http.Request) int {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("after")
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// stream is one reader of one run.
type stream struct {
	*site
	w    http.ResponseWriter
	to   *http.ResponseController
	r    *http.Request
	id   string
	line *timeline
	sent int // kept events that the reader has
}

func (st *stream) serve() error {
	ctx := st.r.Context()
	beat, look := time.NewTicker(heartbeat), time.NewTicker(poll)
	defer beat.Stop()
	defer look.Stop()
	f, release := st.feeds.get(st.id)
	defer func() { release() }()
	seen := glance{kept: -1}
	for {
		at := f.look()
		if at.kept != seen.kept || at.over != seen.over || seen.changed == nil {
			over, err := st.tail(at)
			if err != nil || over {
				return err
			}
		} else if at.shown != seen.shown {
			if err := st.progress(at); err != nil {
				return err
			}
		}
		seen = at
		changed := at.changed
		if at.over {
			changed = nil // what has ended changes no more
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			// An event is shown before it is kept: by the end of the pause it is.
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pace):
			}
		case <-look.C:
			seen.changed = nil // look at storage whatever the feed says
			if at.over {       // it may have been taken up again
				release()
				f, release = st.feeds.get(st.id)
			}
		case <-beat.C:
			if err := st.write(": still here\n\n"); err != nil {
				return err
			}
		}
	}
}

// tail sends what has been kept since, and says whether the run is over.
func (st *stream) tail(at glance) (over bool, err error) {
	ctx := st.r.Context()
	rec, ok, err := st.store.record(ctx, st.id) // before the events: what has ended has kept them all
	if err != nil || !ok {
		return true, err
	}
	next, err := st.fresh(rec)
	if err != nil {
		return true, err
	}
	before := st.sent
	for k, e := range next {
		st.line.add(e)
		if st.line.count <= st.sent {
			continue
		}
		m := message{Event: &e, Line: st.line.Lines[st.line.count-1]}
		if k == len(next)-1 { // the page is drawn once for all of them
			if m.Parts, err = st.parts(rec, at, true); err != nil {
				return true, err
			}
		}
		if err := st.send("kept", strconv.Itoa(st.line.count), m); err != nil {
			return true, err
		}
		st.sent = st.line.count
	}
	if rec.State.Over() {
		return true, st.send("end", "", map[string]run.State{"state": rec.State})
	}
	if st.sent == before {
		return false, st.progress(at)
	}
	return false, nil
}

// fresh reads the events after those already read: by name, one by one, so that no folder is listed again and again.
func (st *stream) fresh(rec run.Record) ([]run.Event, error) {
	ctx := st.r.Context()
	if st.line.count == 0 || rec.State.Over() {
		return st.store.events(ctx, st.id, st.line.count)
	}
	var out []run.Event
	for {
		var e run.Event
		ok, err := st.store.storage.Get(ctx, fmt.Sprintf("%sevents/%06d.json", rec.Path(), st.line.count+len(out)+1), &e)
		if err != nil || !ok {
			return out, err
		}
		redacted(&e, st.store.clean)
		out = append(out, e)
	}
}

// progress sends what the run is doing.
func (st *stream) progress(at glance) error {
	rec, ok, err := st.store.record(st.r.Context(), st.id)
	if err != nil || !ok {
		return err
	}
	m := message{}
	if at.progress.Step != "" {
		e := at.progress
		redacted(&e, st.store.clean)
		m.Event = &e
	}
	if m.Parts, err = st.parts(rec, at, false); err != nil {
		return err
	}
	return st.send("progress", "", m)
}

// parts draws what has changed of the page.
func (st *stream) parts(rec run.Record, at glance, steps bool) (map[string]template.HTML, error) {
	progress := at.progress
	redacted(&progress, st.store.clean)
	head, err := st.pages.part("now", st.line.now(rec, progress))
	if err != nil {
		return nil, err
	}
	out := map[string]template.HTML{"now": head}
	if steps {
		if out["steps"], err = st.pages.part("steps", stepsView{st.line.Stages, rec.State}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// send writes one server-sent event.
func (st *stream) send(name, id string, data any) error {
	b, err := json.Marshal(data) // on one line
	if err != nil {
		return err
	}
	text := "event: " + name + "\n"
	if id != "" {
		text += "id: " + id + "\n"
	}
	return st.write(text + "data: " + string(b) + "\n\n")
}

func (st *stream) write(text string) error {
	if err := st.to.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := st.w.Write([]byte(text)); err != nil {
		return err
	}
	return st.to.Flush()
}

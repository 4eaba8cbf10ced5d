package bot

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"mergebot/bot/change"
	"mergebot/bot/github"
	"mergebot/bot/run"
	"mergebot/bot/web"
)

// serve answers the page's readers, and takes webhooks where there is a secret to know them by.
func (d *Daemon) serve(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("/", web.New(web.Options{Storage: d.o.Storage, Repo: d.o.Forge.Repo(), URL: d.o.Forge.Link("", ""), Version: run.Version(),
		Link: d.o.Forge.Link, Watch: d.watch.open, Ready: d.ready, Metrics: d.o.Metrics.Handler(), Redact: d.o.Redact}))
	if len(d.o.WebhookSecret) > 0 {
		mux.Handle("/webhook", inTime(github.Webhook(d.o.WebhookSecret, d.o.Forge.Repo(), d.accept, d.o.Metrics.Delivery)))
	}
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx }} // ends the logs that readers follow
	closed := make(chan error, 1)
	go func() {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		err := s.Shutdown(last)
		if errors.Is(err, context.DeadlineExceeded) { // readers of a log that goes on
			err = s.Close()
		}
		closed <- err
	}()
	d.o.Log.Info("serving", "page", "http://"+d.o.Listener.Addr().String(), "webhook", len(d.o.WebhookSecret) > 0)
	if err := s.Serve(d.o.Listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-closed
}

// delivery is what is kept of a webhook's delivery.
type delivery struct {
	At     time.Time `json:"at"`
	Event  string    `json:"event"`
	Action string    `json:"action,omitempty"`
	Change string    `json:"change,omitempty"`
}

const (
	deliveries = "bot/deliveries/"
	// deliveryAge is how long GitHub lets a delivery be sent again.
	deliveryAge = 3 * 24 * time.Hour
)

// accept keeps a delivery and has what it names looked at; false when it was here before.
func (d *Daemon) accept(ctx context.Context, e github.Event) (bool, error) {
	ctx = context.WithoutCancel(ctx) // neither a stop nor a sender that hangs up leaves it half done
	fresh, err := d.o.Storage.Create(ctx, deliveries+e.Delivery+".json", delivery{At: time.Now().UTC(), Event: e.Name, Action: e.Action, Change: e.Change})
	if err != nil {
		return false, err
	}
	if e.Action == "rerequested" && fresh {
		if err := d.planAgain(ctx, e); err != nil {
			return false, err
		}
	}
	// One that was here before is looked at, too: the first time may have ended in a kill. It costs one look.
	if e.Change != "" {
		d.heardOf(e.Change)
	}
	if e.Main {
		d.queue.add(mainKey)
	}
	return fresh, nil
}

// heardOf has a change looked at that something happened to.
func (d *Daemon) heardOf(id string) {
	d.sight.moved(id)
	d.queue.add(changeKey(id))
}

// planAgain has changes planned anew although their commits are the same: somebody asked for a check again.
func (d *Daemon) planAgain(ctx context.Context, e github.Event) error {
	known, err := change.List(ctx, d.o.Storage)
	if err != nil {
		return err
	}
	for _, c := range known {
		if c.ID == e.Change || e.Change == "" && e.Commit != "" && c.Head == e.Commit {
			d.mu.Lock()
			d.again[c.ID] = true
			d.mu.Unlock()
			d.heardOf(c.ID)
		}
	}
	return nil
}

// inTime ends deliveries whose bodies do not come: the page's own answers, logs that go on, may take as long as they like.
func inTime(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
			http.Error(w, "no deadline can be set", http.StatusInternalServerError)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// forgetDeliveries removes what GitHub will not send again.
func (d *Daemon) forgetDeliveries(ctx context.Context) error {
	d.mu.Lock()
	due := time.Since(d.tidied) > time.Hour
	if due {
		d.tidied = time.Now()
	}
	d.mu.Unlock()
	if !due {
		return nil
	}
	names, err := d.o.Storage.List(ctx, deliveries)
	if err != nil {
		return err
	}
	for _, name := range names {
		var one delivery
		if ok, err := d.o.Storage.Get(ctx, name, &one); err != nil {
			return err
		} else if ok && time.Since(one.At) > deliveryAge {
			if err := d.o.Storage.Delete(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

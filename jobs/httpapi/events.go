package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/events"
)

const (
	codeTooManyStreams = "too_many_streams"

	// maxStreams bounds the streams of one server that are open at once.
	maxStreams = 64
	// streamPiece is how many changes are written at once, some 25 kB: within the time
	// that a client may take for a request it must take that much.
	streamPiece = 100
	// streamPace is the least time between two readings of one stream that has all.
	streamPace = 100 * time.Millisecond
	// streamRetry is after how long clients should come back.
	streamRetry = 2 * time.Second
	// streamRest is how long a stream waits after an error of Redis.
	streamRest = time.Second
)

// streams serves changes of states as server-sent events.
type streams struct {
	s     *Server
	feed  *events.Feed
	slots chan struct{}
	open  prometheus.Gauge
}

func newStreams(s *Server) *streams {
	feed, err := events.NewFeed(events.FeedOptions{Redis: s.o.Redis, Ledger: s.o.Jobs.Ledger(), Logger: s.log})
	if err != nil {
		panic(err) // New has seen to both
	}
	st := &streams{s: s, feed: feed, slots: make(chan struct{}, maxStreams)}
	st.open = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "flowroute_worker_event_streams", Help: "Clients that follow GET /v1/events of this process.",
	})
	s.counted.MustRegister(st.open)
	return st
}

// serve answers with the changes after Last-Event-ID, or else the parameter after, or
// else from now on, until the client goes or the server ends. A client that reads too
// slowly is cut off, and may go on where it was.
func (st *streams) serve(w http.ResponseWriter, r *http.Request) error {
	after, given, err := placeOf(r)
	if err != nil {
		return err
	}
	select {
	case st.slots <- struct{}{}:
		defer func() { <-st.slots }()
	default:
		return newProblem(http.StatusServiceUnavailable, codeTooManyStreams,
			"%d clients follow this server already. Share one stream, or ask another server.", maxStreams).with("Retry-After", "30")
	}
	over := st.s.drains.of(r)
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	newest, err := st.feed.Newest(ctx) // also to say at once that Redis is not there
	cancel()
	if err != nil {
		return err
	}
	if !given {
		after = newest
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep it back
	if r.Method == http.MethodHead {
		return nil
	}
	st.open.Inc()
	defer st.open.Dec()
	defer st.feed.Join(r.Context())()
	out := &stream{w: w, control: http.NewResponseController(w), patience: st.s.o.ReadTimeout, at: after}
	st.follow(r.Context(), out, over)
	return nil // whatever it was, the answer has begun
}

// placeOf reads where a client wants to go on.
func placeOf(r *http.Request) (after events.ID, given bool, err error) {
	q, err := readQuery(r, "after")
	if err != nil {
		return after, false, err
	}
	field, text := "after", q.text("after")
	given = q.values.Has("after")
	// A browser keeps the address and adds the header when it comes back.
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		field, text, given = "Last-Event-ID", last, true
	}
	if given {
		var ok bool
		if after, ok = events.ParseID(text); !ok {
			q.refuse(field, jobs.CodeInvalid, "give the id of an event, like 1767225600000-0, or 0 for all that are kept")
		}
	}
	return after, given, q.err()
}

// follow writes what comes after the client's place until something ends it.
func (st *streams) follow(ctx context.Context, out *stream, over <-chan struct{}) {
	beat := time.NewTicker(max(st.s.o.ReadTimeout/2, time.Millisecond))
	defer beat.Stop()
	if out.hello() != nil {
		return
	}
	for {
		began, pace, changed := time.Now(), streamPace, st.feed.Changed()
		page, err := st.feed.Page(ctx, out.at)
		switch {
		case err != nil:
			st.s.log.DebugContext(ctx, "events not read", slog.Any("err", err))
			pace, changed = streamRest, nil
		case out.page(page, over) != nil:
			return
		case page.More:
			pace, changed = 0, nil
		}
		pacer := time.NewTimer(pace - time.Since(began))
		ready := out.wait(ctx, over, beat.C, changed, pacer.C)
		pacer.Stop()
		if !ready {
			return
		}
	}
}

// stream is one client.
type stream struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration // with a client that takes nothing
	at       events.ID     // what it has
}

// hello tells the client its place, so that it misses nothing when it comes back
// before anything has happened.
func (o *stream) hello() error {
	return o.write(fmt.Appendf(nil, "retry: %d\nid: %s\n\n", streamRetry.Milliseconds(), o.at))
}

// page writes what was read, in pieces.
func (o *stream) page(page events.Page, over <-chan struct{}) error {
	var b bytes.Buffer
	if page.Gap != nil {
		put(&b, "event: gap\n", page.Gap)
	}
	for i, event := range page.Events {
		put(&b, "id: "+event.ID+"\n", events.ViewOf(event))
		if (i+1)%streamPiece != 0 {
			continue
		}
		if err := o.write(b.Bytes()); err != nil {
			return err
		}
		b.Reset()
		select {
		case <-over:
			return http.ErrServerClosed
		default:
		}
	}
	o.at = page.Next
	return o.write(b.Bytes())
}

// put adds one event.
func put(b *bytes.Buffer, fields string, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		panic(err) // structs of texts and times
	}
	b.WriteString(fields + "data: ")
	b.Write(text)
	b.WriteString("\n\n")
}

func (o *stream) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	// Without it, the time of the server for a whole answer would hold.
	_ = o.control.SetWriteDeadline(time.Now().Add(o.patience))
	if _, err := o.w.Write(b); err != nil {
		return err
	}
	return o.control.Flush()
}

// wait returns true when it is time to read again: after a change (nil: without one),
// and not before the pace allows. Meanwhile it keeps proxies from closing the stream.
func (o *stream) wait(ctx context.Context, over <-chan struct{}, beat <-chan time.Time, changed <-chan struct{}, pace <-chan time.Time) bool {
	for changed != nil || pace != nil {
		select {
		case <-ctx.Done():
			return false
		case <-over:
			return false
		case <-beat:
			if o.write([]byte(":\n\n")) != nil {
				return false
			}
			changed = nil // to look, should nothing have told of a change
		case <-changed:
			changed = nil
		case <-pace:
			pace = nil
		}
	}
	return true
}

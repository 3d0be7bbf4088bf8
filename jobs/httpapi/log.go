package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// note is what is known of a request while it runs, for its line in the log.
type note struct {
	route, login string
	quiet        bool
	err          error  // of the handler
	code         string // of the problem that was answered
}

type noteKey struct{}

func withNote(ctx context.Context, n *note) context.Context {
	return context.WithValue(ctx, noteKey{}, n)
}

func noteOf(ctx context.Context) *note {
	if n, ok := ctx.Value(noteKey{}).(*note); ok {
		return n
	}
	return &note{}
}

// ServeHTTP answers one request and writes one line about it: method, pattern of
// the route, status and duration; never the query, a header or a body.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	out, n := &tracker{ResponseWriter: w}, &note{}
	defer func() {
		panicked := recover()
		if panicked == http.ErrAbortHandler {
			panic(panicked) // net/http's own way to cut a connection
		}
		if panicked != nil {
			n.err = fmt.Errorf("panic: %v", panicked)
			s.log.ErrorContext(r.Context(), "http handler panicked", slog.Any("err", n.err), slog.String("stack", string(debug.Stack())))
			s.fail(out, r, n)
		}
		s.logRequest(r, out, n, time.Since(began))
		if out.status == statusClientGone {
			panic(http.ErrAbortHandler) // else net/http would answer 200 for us, should anybody still be there
		}
	}()
	if n.err = s.dispatch(out, r, n); n.err != nil {
		s.fail(out, r, n)
	}
}

func (s *Server) fail(out *tracker, r *http.Request, n *note) {
	p := problemOf(r.Context(), n.err)
	n.code = p.Code
	if out.status != 0 {
		return // the answer has begun; cutting it short is all that is left
	}
	if p.Status == statusClientGone {
		out.status = p.Status
		return
	}
	p.write(out)
}

func (s *Server) logRequest(r *http.Request, out *tracker, n *note, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case out.status >= 500:
		level = slog.LevelWarn
	case n.quiet && out.status < 400:
		level = slog.LevelDebug
	}
	if !s.log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", method(r)), slog.String("route", n.route), slog.Int("status_code", out.status),
		slog.Int64("duration_ms", took.Milliseconds()),
	}
	if n.login != "" {
		attrs = append(attrs, slog.String("login", n.login))
	}
	if n.code != "" {
		attrs = append(attrs, slog.String("reason", n.code))
	}
	if out.status >= 500 && n.err != nil {
		attrs = append(attrs, slog.Any("err", n.err))
	}
	s.log.LogAttrs(r.Context(), level, "http request", attrs...)
}

// method is the request's method, which a client may choose freely.
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return r.Method
	}
	return "other"
}

// tracker remembers the status of an answer.
type tracker struct {
	http.ResponseWriter
	status int
}

func (t *tracker) WriteHeader(status int) {
	if t.status == 0 && status >= 200 {
		t.status = status
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *tracker) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	return t.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (t *tracker) Unwrap() http.ResponseWriter { return t.ResponseWriter }

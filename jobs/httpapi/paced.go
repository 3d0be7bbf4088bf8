package httpapi

import (
	"bufio"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// stream answers with a file that write makes. What goes wrong after it has begun cuts
// the connection, so that nobody takes half a list for a whole one.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, media string, write func(io.Writer) error) error {
	to := &pacedWriter{w: w, control: http.NewResponseController(w), idle: s.o.ReadTimeout, media: media}
	out := bufio.NewWriterSize(to, answerPiece)
	err := write(out)
	if err == nil {
		to.begin() // it may be empty
		err = out.Flush()
	}
	if err != nil && to.begun {
		s.log.WarnContext(r.Context(), "list cut", slog.String("path", r.URL.Path), slog.Any("err", err))
		panic(http.ErrAbortHandler)
	}
	return err
}

// pacedWriter gives its client time for each piece, not for the whole.
type pacedWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	idle    time.Duration
	media   string
	begun   bool
}

func (p *pacedWriter) begin() {
	if !p.begun {
		p.begun = true
		p.w.Header().Set("Content-Type", p.media)
	}
}

func (p *pacedWriter) Write(b []byte) (int, error) {
	p.begin()
	_ = p.control.SetWriteDeadline(time.Now().Add(p.idle))
	return p.w.Write(b)
}

// serverEnds is the answer to a long request while the server drains.
func serverEnds() error {
	return newProblem(http.StatusServiceUnavailable, codeUnavailable, "This server ends.").with("Retry-After", strconv.Itoa(retryAfter))
}

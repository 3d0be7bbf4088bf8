package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

const (
	// maxUploads bounds the streams of messages that one server takes at once: each has
	// some MiB in memory and up to SpoolSize on the disk.
	maxUploads = 16
	// uploadRows is how many messages go to Redis at once, and uploadBytes how long
	// their lines may be together.
	uploadRows  = 2000
	uploadBytes = 1 << 20
	// uploadPause is how long a message waits for others to go with it.
	uploadPause = 100 * time.Millisecond
)

// row is a line of messages.
type row struct {
	line    int
	size    int
	message jobs.Message
	err     error // what is wrong with it
}

// upload is one request with messages as NDJSON.
type upload struct {
	s          *Server
	d          *duplex
	ctx        context.Context // the request's
	key        string          // of the header
	errorsOnly bool

	lines *lines
	rows  chan []row // as they come; they hold until the next are taken
	ended error      // the end of the input; to be read after rows is closed

	// Of the goroutine that asks.
	waiting, spare []row // have come, and were not asked for; what next ones are put into
	stream         *jobs.Stream
	failed         bool   // nothing is tried any more
	muted          bool   // nothing but the total is told any more
	release        func() // gives up the time that the last asking had

	// Of the goroutine that answers.
	answer  bytes.Buffer
	total   totals
	trouble *problem // what the total has to say
	gone    bool     // the client takes no answers
}

// postMessageLines takes messages as lines and answers each, in order, as they come.
func (s *Server) postMessageLines(w http.ResponseWriter, r *http.Request) error {
	if err := wantContentType(r, ndjson); err != nil {
		return err
	}
	q, err := readQuery(r, "results")
	if err != nil {
		return err
	}
	u := &upload{s: s, ctx: r.Context(), errorsOnly: q.oneOf("results", "all", "errors") == "errors", rows: make(chan []row), stream: s.o.Jobs.Stream(), release: func() {}}
	if err := q.err(); err != nil {
		return err
	}
	if err := u.readKey(r); err != nil {
		return err
	}
	select {
	case s.uploads <- struct{}{}:
		defer func() { <-s.uploads }()
	default:
		return newProblem(http.StatusServiceUnavailable, codeTooManyStreams,
			"%d clients send lines to this server already. Try again, or ask another server.", maxUploads).with("Retry-After", "5")
	}
	over := s.drains.of(r)
	if u.d, err = s.openDuplex(w, r, ndjson); err != nil {
		return err
	}
	u.lines = newLines(u.d.Body, int(s.o.MaxBody), u.d.Moved)
	go u.read()
	err = u.run(over)
	u.stop()
	return u.finish(err)
}

// readKey takes the key of the header, which makes one for each line.
func (u *upload) readKey(r *http.Request) error {
	if err := headerKey(r, &u.key); err != nil || u.key == "" {
		return err
	}
	const longest = 9_999_999_999
	err := jobs.Message{Key: u.rowKey(longest)}.Validate(time.Now())
	if invalid, ok := errors.AsType[*jobs.ValidationError](err); ok {
		for _, p := range invalid.Problems {
			if p.Field == "key" {
				return keyProblem(p.Code, "Idempotency-Key, with the number of a line after it, "+p.Message)
			}
		}
	}
	return nil
}

func (u *upload) rowKey(line int) string { return u.key + "#" + strconv.Itoa(line) }

// read checks lines as they come, ahead of what is written down. It passes them on
// before it would have to wait for more.
func (u *upload) read() {
	defer close(u.rows)
	var rows, passed []row // what was passed on last is copied when the next is taken
	size, tooLong := 0, tooLargeLine(u.lines.max)
	for u.ended == nil {
		text, err := u.lines.next()
		switch {
		case errors.Is(err, errLineTooLong):
			rows = append(rows, row{line: u.lines.number, err: tooLong})
		case err != nil:
			u.ended = err
		case len(text) > 0:
			rows = append(rows, u.decode(text))
			size += len(text)
		}
		if len(rows) == 0 || len(rows) < uploadRows && size < uploadBytes && u.ended == nil && u.lines.whole() {
			continue
		}
		select {
		case u.rows <- rows:
			rows, passed, size = passed[:0], rows, 0
		case <-u.d.Stopped:
			u.ended = errStopped
		}
	}
}

func (u *upload) decode(text []byte) row {
	r := row{line: u.lines.number, size: len(text)}
	r.message, r.err = jobs.ReadMessage(text)
	if r.err == nil && r.message.Key == "" && u.key != "" {
		r.message.Key = u.rowKey(r.line)
	}
	return r
}

func tooLargeLine(most int) error {
	return &jobs.ValidationError{Problems: []jobs.FieldError{{
		Code: jobs.CodeTooLarge, Message: "the line has more than " + strconv.Itoa(most) + " bytes: shorten it",
	}}}
}

// errGone: the client takes no answers.
var errGone = errors.New("httpapi: the client takes no answers")

// run answers what comes until it ends, or something else does. It returns what the
// input ended with, nil when that is its end. Of the rows that come, some are asked for
// while those before are answered.
func (u *upload) run(over <-chan struct{}) error {
	asked, answered := make(chan chunk), make(chan struct{})
	go func() {
		defer close(answered)
		for c := range asked {
			u.tell(c)
		}
	}()
	err := u.take(over, asked)
	close(asked)
	<-answered
	u.stream.Wait()
	u.release()
	switch {
	case err != nil:
		return err
	case u.gone:
		return errGone
	}
	u.total.Lines = u.lines.number
	if errors.Is(u.ended, io.EOF) {
		return nil
	}
	return u.ended
}

// take asks for what comes, a chunk at a time, and passes it on.
func (u *upload) take(over <-chan struct{}, asked chan<- chunk) error {
	for more := true; more || len(u.waiting) > 0; {
		var err error
		if more, err = u.collect(over); err != nil {
			return err
		}
		rows := u.waiting[:min(len(u.waiting), uploadRows)]
		if len(rows) == 0 {
			continue
		}
		c, done, err := u.ask(rows)
		if err != nil {
			return err
		}
		asked <- c
		// The one before was announced by now, and answered: its rows may be written over.
		u.release()
		u.release = done
		u.waiting, u.spare = append(u.spare[:0], u.waiting[len(rows):]...), u.waiting
	}
	return nil
}

// collect waits until enough rows have come to be worth a way to Redis, or no more come
// for a moment. It reports whether there may be more.
func (u *upload) collect(over <-chan struct{}) (more bool, err error) {
	select { // whatever else there is
	case <-over:
		return false, http.ErrServerClosed
	case <-u.d.Gone:
		return false, errGone
	default:
	}
	var pause <-chan time.Time
	size := 0
	for len(u.waiting) < uploadRows && size < uploadBytes {
		if pause == nil && len(u.waiting) > 0 {
			timer := time.NewTimer(uploadPause)
			defer timer.Stop()
			pause = timer.C
		}
		select {
		case rows, ok := <-u.rows:
			if !ok {
				return false, nil
			}
			u.waiting = append(u.waiting, rows...)
			for _, r := range rows {
				size += r.size
			}
		case <-pause:
			return true, nil
		case <-over:
			return false, http.ErrServerClosed
		case <-u.d.Gone:
			return false, errGone
		}
	}
	return true, nil
}

// stop ends the reading, so that nothing touches the body any more.
func (u *upload) stop() {
	u.d.Stop()
	for range u.rows {
	}
}

// finish tells the total, unless nothing was answered: then the error alone does. ended
// is what has ended the input, nil for its end.
func (u *upload) finish(ended error) error {
	none := u.total == totals{Lines: u.total.Lines}
	switch {
	case errors.Is(ended, errGone):
		u.d.Answers.Close()
	case ended == nil && none:
		u.d.Abandon()
		return newProblem(http.StatusUnprocessableEntity, jobs.CodeRequired, "There are no lines: send one JSON object on each.")
	case errors.Is(ended, http.ErrServerClosed):
		u.fail(newProblem(http.StatusServiceUnavailable, codeUnavailable,
			"This server ends. Lines after %d were not looked at: send them again, or to another one.", u.total.Lines))
	case ended != nil && none:
		u.d.Abandon()
		return inputProblem(ended, "Nothing was taken.")
	case ended != nil:
		u.fail(inputProblem(ended, "The line at which it ended, "+strconv.Itoa(u.total.Lines+1)+", was not taken."))
	}
	if !errors.Is(ended, errGone) {
		u.answer.Reset()
		u.put(u.summary())
		_, _ = u.d.Answers.Write(u.answer.Bytes()) // the client may be gone
	}
	if err := u.d.Finish(); err != nil {
		return newProblem(statusClientGone, codeGone, "The client went away.").because(err)
	}
	if u.trouble != nil {
		return u.trouble
	}
	return nil
}

// fail notes what the total has to say. What went wrong first is the reason.
func (u *upload) fail(p *problem) {
	if u.trouble == nil {
		u.trouble = p
	}
}

package httpapi

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// duplex is a request that is answered while its body still comes: what is written to
// Answers goes to the client as it takes it, and rests there while it does not, so that
// a client may write all of it before it reads.
//
// A client that is stuck, in that nothing whole comes from it and nothing goes to it for
// the time that a request may take, is cut off. One that goes on may take for ever.
type duplex struct {
	Body    io.Reader     // unpacked. One goroutine at a time reads it
	Answers *spool        // for one goroutine to write to
	Gone    chan struct{} // closed when the client takes no answers any more
	Stopped chan struct{} // closed by Stop

	w       http.ResponseWriter
	control *http.ResponseController
	media   string
	idle    time.Duration
	failed  error // of writing to the client; to be read after done
	done    chan struct{}

	mu       sync.Mutex
	moved    bool // something whole came from the client since it was waited for last
	finished bool // the body has ended
}

// errStopped is what reading the body ends with after [duplex.Stop].
var errStopped = errors.New("httpapi: reading was stopped")

// openDuplex begins; the answer's head is written with its first bytes. The caller calls
// Moved while it reads, and in the end Finish or Abandon, when nobody reads any more.
func (s *Server) openDuplex(w http.ResponseWriter, r *http.Request, media string) (*duplex, error) {
	d := &duplex{
		w: w, control: http.NewResponseController(w), media: media, idle: s.o.ReadTimeout, moved: true,
		Answers: newSpool(spoolOptions{File: s.o.SpoolSize, Dir: s.o.SpoolDir, Logger: s.log}),
		Gone:    make(chan struct{}), Stopped: make(chan struct{}), done: make(chan struct{}),
	}
	var err error
	if d.Body, err = unpacked(r, &pacedBody{d, r.Body}); err != nil {
		return nil, err
	}
	// Else the server would first read the rest of the body to answer a byte. A kind
	// of connection that cannot do without that needs no permission.
	_ = d.control.EnableFullDuplex()
	go d.answer()
	return d, nil
}

// Moved says that something whole has come from the client, say a line. Single bytes
// now and then do not keep a connection.
func (d *duplex) Moved() {
	d.mu.Lock()
	d.moved = true
	d.mu.Unlock()
}

// Stop ends reading of the body, which may be waiting for the client.
func (d *duplex) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !isClosed(d.Stopped) {
		close(d.Stopped)
	}
	if !d.finished { // else it is no more the body that is waited for
		_ = d.control.SetReadDeadline(time.Unix(1, 0))
	}
}

// IsGone reports whether the client takes no answers any more.
func (d *duplex) IsGone() bool { return isClosed(d.Gone) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Finish ends the answer and waits until the client has it. The error says why it has
// not.
func (d *duplex) Finish() error {
	d.Answers.Close()
	<-d.done
	d.part()
	return d.failed
}

// Abandon ends without an answer: nothing was written, so that the caller may.
func (d *duplex) Abandon() {
	d.Answers.Drop()
	<-d.done
	d.part()
}

// lastWords is how long a client may still send when its answer is whole.
const lastWords = 500 * time.Millisecond

// part lets package http read on for a moment from a client that still sends. It closes
// the connection softly then; else it would reset it, and with it goes whatever the client
// has not read.
func (d *duplex) part() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.finished {
		_ = d.control.SetReadDeadline(time.Now().Add(lastWords))
	}
}

// answerPiece is how many bytes are written to the client at once.
const answerPiece = 32 << 10

// answer writes to the client what there is.
func (d *duplex) answer() {
	defer close(d.done)
	defer d.Answers.Drop()
	begun, piece := false, make([]byte, answerPiece)
	for {
		n, err := d.Answers.Read(piece)
		if n > 0 {
			if !begun {
				d.w.Header().Set("Content-Type", d.media)
				d.w.Header().Set("X-Accel-Buffering", "no") // nginx would keep it back
			}
			begun = true
			_ = d.control.SetWriteDeadline(time.Now().Add(d.idle))
			if _, err = d.w.Write(piece[:n]); err == nil && d.Answers.Empty() {
				err = d.control.Flush()
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe):
			return
		default:
			d.failed = err
			close(d.Gone)
			return
		}
	}
}

// pacedBody is the body as it comes, with the time that a client may take.
type pacedBody struct {
	d    *duplex
	body io.Reader
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if err := b.wait(); err != nil {
		return 0, err
	}
	n, err := b.body.Read(p)
	if err != nil {
		b.d.mu.Lock()
		b.d.finished = true
		b.d.mu.Unlock()
	}
	return n, err
}

// wait gives the client time for the next whole thing. As long as it writes, it may
// leave alone what it is to read.
func (b *pacedBody) wait() error {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	switch {
	case isClosed(b.d.Stopped):
		return errStopped
	case b.d.finished: // a deadline would be taken for the next request's
		return nil
	case b.d.moved:
		b.d.moved = false
		end := time.Now().Add(b.d.idle)
		_, _ = b.d.control.SetReadDeadline(end), b.d.control.SetWriteDeadline(end)
	}
	return nil
}

// unpacked reads a body that may be compressed by gzip.
func unpacked(r *http.Request, body io.Reader) (io.Reader, error) {
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		return &unzipped{packed: body}, nil
	}
	return nil, newProblem(http.StatusUnsupportedMediaType, codeEncoding, "Send the body as it is, or with Content-Encoding: gzip.").
		with("Accept-Encoding", "gzip, identity")
}

// unzipped waits for the head of gzip when it is read, not before: the client may wait to
// be told that it is welcome.
type unzipped struct {
	packed io.Reader
	zip    *gzip.Reader
	err    error
}

func (u *unzipped) Read(p []byte) (int, error) {
	if u.zip == nil && u.err == nil {
		u.zip, u.err = gzip.NewReader(bufio.NewReaderSize(u.packed, 16<<10))
		if errors.Is(u.err, io.EOF) {
			u.err = io.ErrUnexpectedEOF // not even a head
		}
	}
	if u.err != nil {
		return 0, u.err
	}
	return u.zip.Read(p)
}

// inputProblem says what ended a body early. taken says what is true of what was asked
// for.
func inputProblem(err error, taken string) *problem {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return newProblem(http.StatusRequestTimeout, codeSlow, "The body took too long to arrive. %s", taken).with("Connection", "close").because(err)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), isDamaged(err):
		return newProblem(http.StatusBadRequest, codeBadGzip, "The body is not gzip, or damaged. %s", taken).with("Connection", "close").because(err)
	}
	return newProblem(http.StatusBadRequest, codeCut, "The body ended early. %s", taken).with("Connection", "close").because(err)
}

func isDamaged(err error) bool {
	_, damaged := errors.AsType[flate.CorruptInputError](err)
	return damaged
}

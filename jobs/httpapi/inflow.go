package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// inflowRoom is how many bytes of a body are read ahead of who takes them in.
	inflowRoom = 512 << 10
	// inflowPiece is how many are asked for at once.
	inflowPiece = 64 << 10
)

// inflow reads a body ahead of who takes it in, and gives it in large pieces: each piece
// is a way to Redis. It begins with the first Read, not before: a client may wait to be
// told that it is welcome.
//
// A Read that gives less than was asked for has waited [uploadPause] for more. It ends
// with [errGone], [http.ErrServerClosed], or an [*inputError]; errors stay.
type inflow struct {
	d    *duplex
	over <-chan struct{}

	arrived, left chan struct{} // something was read; something was taken
	ended         chan struct{} // nobody reads the body any more; nil: nobody ever did

	mu  sync.Mutex
	buf []byte
	at  int // what is not taken yet is buf[at:]
	err error
}

// inputError is what reading a body ended with, other than its end.
type inputError struct{ err error }

func (e *inputError) Error() string { return e.err.Error() }
func (e *inputError) Unwrap() error { return e.err }

func newInflow(d *duplex, over <-chan struct{}) *inflow {
	return &inflow{d: d, over: over, arrived: make(chan struct{}, 1), left: make(chan struct{}, 1)}
}

// fill reads the body until its end, as far as there is room.
func (f *inflow) fill() {
	defer close(f.ended)
	body, piece, quiet := &sniffed{r: f.d.Body}, make([]byte, inflowPiece), 0
	for {
		n, err := body.Read(piece)
		// Something whole: a line, or as much of one as a message may have.
		if quiet += n; quiet >= inflowPiece || bytes.IndexByte(piece[:n], '\n') >= 0 {
			quiet = 0
			f.d.Moved()
		}
		if full := f.put(piece[:n], err); err != nil {
			return
		} else if !full {
			continue
		}
		for f.full() {
			select {
			case <-f.left:
			case <-f.d.Stopped:
				f.put(nil, errStopped)
				return
			}
		}
		f.d.Moved() // the client has waited for us
	}
}

func (f *inflow) put(piece []byte, err error) (full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at > 0 && len(f.buf)+len(piece) > cap(f.buf) {
		f.buf = f.buf[:copy(f.buf, f.buf[f.at:])]
		f.at = 0
	}
	f.buf = append(f.buf, piece...)
	if f.err = err; err != nil && !errors.Is(err, io.EOF) {
		f.err = &inputError{err}
	}
	signal(f.arrived)
	return len(f.buf)-f.at >= inflowRoom
}

func (f *inflow) full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.buf)-f.at >= inflowRoom
}

// Read is for one goroutine.
func (f *inflow) Read(p []byte) (int, error) {
	if f.ended == nil {
		f.ended = make(chan struct{})
		go f.fill()
	}
	select { // whatever has come
	case <-f.over:
		return 0, http.ErrServerClosed
	case <-f.d.Gone:
		return 0, errGone
	default:
	}
	var pause <-chan time.Time
	for late := false; ; {
		n, begun, err := f.take(p, late)
		if n > 0 || err != nil {
			return n, err
		}
		if begun && pause == nil {
			timer := time.NewTimer(uploadPause)
			defer timer.Stop()
			pause = timer.C
		}
		select {
		case <-f.arrived:
		case <-pause:
			late = true
		case <-f.over:
			return 0, http.ErrServerClosed
		case <-f.d.Gone:
			return 0, errGone
		}
	}
}

// take gives what there is, if it is enough, or no more comes. begun: there is something.
func (f *inflow) take(p []byte, late bool) (n int, begun bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	have := len(f.buf) - f.at
	if have == 0 {
		return 0, false, f.err
	}
	if have < min(len(p), inflowRoom) && f.err == nil && !late {
		return 0, true, nil
	}
	n = copy(p, f.buf[f.at:])
	if f.at += n; f.at == len(f.buf) {
		f.buf, f.at = f.buf[:0], 0
	}
	signal(f.left)
	return n, true, nil
}

// Rest reads what is left and forgets it, so that a client that writes all before it
// reads comes to its answer. It ends as Read does, and after limit if there is one.
func (f *inflow) Rest(limit time.Duration) {
	if limit > 0 {
		defer time.AfterFunc(limit, f.d.Stop).Stop()
	}
	_, _ = io.Copy(io.Discard, f)
}

// Stop ends the reading, so that nothing touches the body any more.
func (f *inflow) Stop() {
	f.d.Stop()
	if f.ended != nil {
		<-f.ended
	}
}

// sniffed unpacks gzip where the first bytes are those of gzip.
type sniffed struct{ r, from io.Reader }

func (s *sniffed) Read(p []byte) (int, error) {
	if s.from == nil {
		in := bufio.NewReaderSize(s.r, 16<<10)
		s.from = in
		if begin, _ := in.Peek(2); string(begin) == "\x1f\x8b" { // errors come again when it is read
			s.from = &unzipped{packed: in}
		}
	}
	return s.from.Read(p)
}

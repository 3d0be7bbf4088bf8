package httpapi

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// spoolOptions are the bounds of a [spool]. The zero value is the documented default.
type spoolOptions struct {
	Memory int          // bytes that rest in memory. Defaults to 256 KiB.
	File   int64        // bytes that rest in the file beside them. Defaults to 512 MiB; negative: there is no file.
	Dir    string       // where the file is made. Defaults to [os.TempDir].
	Logger *slog.Logger // told when there can be no file. Defaults to none.
}

// spool is a queue of bytes between one who writes and must not wait, and one who
// reads when it likes: in memory first, then in one file, which has no name any more
// from the moment it is there and ends with the process at the latest.
//
// Its bound is soft. Write takes whatever it is given, since what it is given has been
// done already and has to be told; the writer asks [spool.Full] or [spool.WaitRoom]
// before it does more, and so exceeds the bound by the answers to one piece of work,
// which rest in memory. When there can be no file, or the disk is full, the bound is
// what there is.
//
// One goroutine writes, another one reads. Close and Drop may come from either.
type spool struct {
	o       spoolOptions
	arrived chan struct{} // something can be read, or never will be
	left    chan struct{} // something was read

	mu       sync.Mutex
	memory   []byte // what comes after the file's
	file     *os.File
	from, to int64 // what of the file is unread. It is a ring: a place in it is that modulo o.File
	noFile   bool
	closed   bool // no more is written
	dropped  bool // no more is read
}

func newSpool(o spoolOptions) *spool {
	if o.Memory == 0 {
		o.Memory = 256 << 10
	}
	if o.File == 0 {
		o.File = 512 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &spool{o: o, noFile: o.File < 0, arrived: make(chan struct{}, 1), left: make(chan struct{}, 1)}
}

// Write takes all of p and does not wait for the reader. It fails with
// [io.ErrClosedPipe] after Close and Drop.
func (s *spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.dropped {
		return 0, io.ErrClosedPipe
	}
	s.memory = append(s.memory, p...)
	if len(s.memory) > s.o.Memory {
		s.spill()
	}
	signal(s.arrived)
	return len(p), nil
}

// spill moves what is in memory to the file, as far as there is room.
func (s *spool) spill() {
	if s.file == nil && !s.noFile {
		if err := s.open(); err != nil {
			s.giveUp(err)
		}
	}
	moved := 0
	for !s.noFile && moved < len(s.memory) {
		place, room := s.to%s.o.File, s.o.File-(s.to-s.from)
		piece := min(int64(len(s.memory)-moved), room, s.o.File-place)
		if piece == 0 {
			break
		}
		n, err := s.file.WriteAt(s.memory[moved:moved+int(piece)], place)
		moved, s.to = moved+n, s.to+int64(n)
		if err != nil {
			s.giveUp(err)
		}
	}
	s.memory = s.memory[:copy(s.memory, s.memory[moved:])]
}

func (s *spool) open() error {
	file, err := os.CreateTemp(s.o.Dir, "flowroute-worker-*")
	if err != nil {
		return err
	}
	if err := os.Remove(file.Name()); err != nil {
		_ = file.Close()
		return err
	}
	s.file = file
	return nil
}

// giveUp goes on without the file; what is in it can be read.
func (s *spool) giveUp(err error) {
	s.noFile = true
	s.o.Logger.Warn("answers are not spooled to a file", slog.Any("err", err))
}

// Read waits until there is something. It ends with [io.EOF] when all that was written
// before Close was read, and with [io.ErrClosedPipe] after Drop.
func (s *spool) Read(p []byte) (int, error) {
	for {
		n, err, ready := s.take(p)
		if ready {
			if n > 0 {
				signal(s.left)
			}
			return n, err
		}
		<-s.arrived
	}
}

func (s *spool) take(p []byte) (n int, err error, ready bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.dropped:
		return 0, io.ErrClosedPipe, true
	case s.from < s.to:
		place := s.from % s.o.File
		piece := min(int64(len(p)), s.to-s.from, s.o.File-place)
		n, err = s.file.ReadAt(p[:piece], place)
		if n == int(piece) {
			err = nil
		}
		if s.from += int64(n); s.from == s.to && s.from > 0 {
			s.from, s.to = 0, 0
			_ = s.file.Truncate(0) // to give the disk back; it goes on without
		}
		if err != nil {
			err = fmt.Errorf("read what was spooled: %w", err)
		}
		return n, err, true
	case len(s.memory) > 0:
		n = copy(p, s.memory)
		s.memory = s.memory[:copy(s.memory, s.memory[n:])]
		return n, nil, true
	case s.closed:
		return 0, io.EOF, true
	}
	return 0, nil, false
}

// Empty reports whether all that was written was read.
func (s *spool) Empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.from == s.to && len(s.memory) == 0
}

// Full reports whether the bound is reached.
func (s *spool) Full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch unread := s.to - s.from + int64(len(s.memory)); {
	case s.dropped:
		return false
	case s.noFile:
		return unread >= int64(s.o.Memory)
	default:
		return unread >= int64(s.o.Memory)+s.o.File
	}
}

// WaitRoom waits while the spool is full, as long as its reader goes on: it returns
// false when nothing was read for so long, or ctx has ended.
func (s *spool) WaitRoom(ctx context.Context, patience time.Duration) bool {
	for s.Full() {
		timer := time.NewTimer(patience)
		select {
		case <-s.left:
			timer.Stop()
		case <-timer.C:
			return false
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
	return true
}

// Close says that no more is written.
func (s *spool) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	signal(s.arrived)
}

// Drop says that no more is read, and gives back file and memory. Whoever is done with a
// spool must call it.
func (s *spool) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		return
	}
	s.dropped, s.memory, s.from, s.to = true, nil, 0, 0
	if s.file != nil {
		_ = s.file.Close() // it has no name: nobody misses it
	}
	signal(s.arrived)
	signal(s.left)
}

// signal wakes the one who waits, now or when it looks next.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

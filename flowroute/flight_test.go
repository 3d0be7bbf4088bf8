package flowroute

// These tests are inside the package: they bring about what a network does only
// by chance.

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// endings records the ends of a Pass.
type endings struct {
	freePass
	calls []string
}

func (e *endings) Responded() { e.calls = append(e.calls, "Responded") }
func (e *endings) Abandoned() { e.calls = append(e.calls, "Abandoned") }
func (e *endings) Unsent()    { e.calls = append(e.calls, "Unsent") }

// aboard returns a flight with a body on a connection whose other end is peer.
func aboard(t *testing.T, payload string) (f *flight, c *conn, body io.Reader, peer net.Conn, told *endings) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := wireDialer{tcp: net.Dialer{Timeout: time.Second}}
	dialled, err := d.dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close(); peer.Close() })
	told = new(endings)
	f = new(flight)
	f.admit(told)
	body = f.load([]byte(payload))
	c = dialled.(*conn)
	c.board(f)
	return f, c, body, peer, told
}

func expectEnd(t *testing.T, f *flight, told *endings, want Result, call string) {
	t.Helper()
	if got := f.giveUp(); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	f.settle()
	if !slices.Equal(told.calls, []string{call}) {
		t.Errorf("the pass was told %v, want %s once", told.calls, call)
	}
}

// TestHeaderWaitsForBody: before the body is read nothing is written, and then
// all leaves together.
func TestHeaderWaitsForBody(t *testing.T) {
	t.Parallel()
	_, c, body, peer, _ := aboard(t, "body")
	if n, err := c.Write([]byte("header ")); n != len("header ") || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	peer.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := peer.Read(make([]byte, 1)); n != 0 {
		t.Fatalf("the header left before the body was read: %d, %v", n, err)
	}
	p, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Write(p); n != len(p) || err != nil {
		t.Errorf("got %d, %v, want the body alone counted", n, err)
	}
	peer.SetReadDeadline(time.Time{})
	got := make([]byte, 100)
	if n, err := peer.Read(got); string(got[:n]) != "header body" {
		t.Errorf("got %q, %v, want it in one piece", got[:n], err)
	}
}

func TestGivenUpBeforeBodyIsRead(t *testing.T) {
	t.Parallel()
	f, c, body, _, told := aboard(t, "body")
	c.Write([]byte("header "))
	expectEnd(t, f, told, NotSent, "Unsent")
	if _, err := body.Read(make([]byte, 10)); !errors.Is(err, errShut) {
		t.Errorf("got %v, want that the body can no longer be read", err)
	}
}

func TestGivenUpBetweenBodyAndWire(t *testing.T) {
	t.Parallel()
	f, c, body, _, told := aboard(t, "body")
	c.Write([]byte("header "))
	p, _ := io.ReadAll(body)
	expectEnd(t, f, told, NotSent, "Unsent")
	if n, err := c.Write(p); n != 0 || !errors.Is(err, errShut) {
		t.Errorf("got %d, %v, want that nothing can be written", n, err)
	}
}

// TestStoppedBetweenBodyAndWire: the process slept after net/http had the body.
func TestStoppedBetweenBodyAndWire(t *testing.T) {
	t.Parallel()
	f, c, body, _, told := aboard(t, "body")
	c.Write([]byte("header "))
	p, _ := io.ReadAll(body)
	f.deadline = time.Now().Add(-time.Millisecond)
	if n, err := c.Write(p); n != 0 || !errors.Is(err, ErrWriteDeadline) {
		t.Errorf("got %d, %v, want the deadline to hold", n, err)
	}
	expectEnd(t, f, told, NotSent, "Unsent")
}

// TestWriteToDeadConnection: the kernel takes no byte, so none left.
func TestWriteToDeadConnection(t *testing.T) {
	t.Parallel()
	f, c, body, _, told := aboard(t, "body")
	c.Write([]byte("header "))
	p, _ := io.ReadAll(body)
	c.abort()
	if n, err := c.Write(p); n != 0 || err == nil {
		t.Errorf("got %d, %v, want an error", n, err)
	}
	expectEnd(t, f, told, NotSent, "Unsent")
}

// TestConnectionDiesInTheMiddle: some bytes left, so it is unknown.
func TestConnectionDiesInTheMiddle(t *testing.T) {
	t.Parallel()
	f, c, body, _, told := aboard(t, "a body in two pieces")
	half := make([]byte, 10)
	io.ReadFull(body, half)
	if _, err := c.Write(half); err != nil {
		t.Fatal(err)
	}
	c.abort()
	if _, err := c.Write(half); err == nil {
		t.Error("got no error")
	}
	expectEnd(t, f, told, OutcomeUnknown, "Abandoned")
}

// TestSecondConnection: a request whose bytes have left gets no other connection.
func TestSecondConnection(t *testing.T) {
	t.Parallel()
	f, c, body, _, _ := aboard(t, "body")
	p, _ := io.ReadAll(body)
	if _, err := c.Write(p); err != nil {
		t.Fatal(err)
	}
	_, other, _, _, _ := aboard(t, "another")
	other.board(f)
	if n, err := other.Write(p); n != 0 || !errors.Is(err, errOneShot) {
		t.Errorf("got %d, %v, want that it is not sent again", n, err)
	}
}

func TestDeadlinesOnBothClocks(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tests := []struct {
		name     string
		now      time.Time
		deadline time.Time
		want     bool
	}{
		{"none", now, time.Time{}, false},
		{"ahead", now, now.Add(time.Second), false},
		{"now", now, now, false},
		{"behind", now, now.Add(-1), true},
		{"behind on the wall clock alone", now.Round(0).Add(time.Hour), now.Add(time.Second), true},
		{"without monotonic reading", now, now.Round(0).Add(-1), true},
	}
	for _, test := range tests {
		if got := after(test.now, test.deadline); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// TestLatch: of many who pass and shut at once, one kind wins.
func TestLatch(t *testing.T) {
	t.Parallel()
	for range 1000 {
		var l latch
		var passed, shut bool
		var wg sync.WaitGroup
		wg.Go(func() { passed = l.pass() })
		wg.Go(func() { shut = l.shut() })
		wg.Wait()
		if passed == shut || l.pass() != passed || l.shut() != shut {
			t.Fatalf("passed %v, shut %v: want one, for good", passed, shut)
		}
	}
}

// TestPassOrder: nothing comes after the end, and Written once.
func TestPassOrder(t *testing.T) {
	t.Parallel()
	told := new(endings)
	tick := ticket{Pass: told}
	tick.end(Pass.Responded)
	tick.wrote(nil)
	tick.end(Pass.Abandoned)
	tick.end(Pass.Unsent)
	if !slices.Equal(told.calls, []string{"Responded"}) {
		t.Errorf("got %v, want Responded alone", told.calls)
	}
}

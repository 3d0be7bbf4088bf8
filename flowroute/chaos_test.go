package flowroute_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// TestNotSentIsTrue sends many messages at once through all kinds of trouble, and
// compares what the errors say with what the server has seen.
func TestNotSentIsTrue(t *testing.T) {
	t.Parallel()
	const senders, each = 16, 40

	var mu sync.Mutex
	arrived := map[string]int{} // complete requests, by the job in the body
	job := regexp.MustCompile(`job \d+`)
	server := newWire(t, func(c *net.TCPConn, _ func() error) {
		r := bufio.NewReader(c)
		for {
			switch rand.IntN(8) {
			case 0:
				c.SetLinger(0)
				return
			case 1:
				c.CloseWrite()
			case 2:
				r.Peek(1 + rand.IntN(600))
				return
			}
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			mu.Lock()
			arrived[job.FindString(string(body))]++
			mu.Unlock()
			switch rand.IntN(6) {
			case 0:
				return
			case 1:
				r.Peek(1) // never answers
				return
			case 2:
				io.WriteString(c, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
			default:
				io.WriteString(c, accepted+"Content-Length: 2\r\n\r\n{}")
			}
		}
	})

	outcomes := map[string]error{}
	var wg sync.WaitGroup
	for sender := range senders {
		c := newClient(t, server.url, timeout(50*time.Millisecond))
		wg.Go(func() {
			for i := range each {
				m := hello
				m.Body = fmt.Sprintf("job %d", sender*each+i)
				p := new(pass)
				_, err := c.SendMessage(t.Context(), m, flowroute.Write{
					Pass:     p,
					Deadline: time.Now().Add(time.Duration(rand.IntN(1000)) * time.Microsecond),
				})
				p.expectOneEnd(t)
				mu.Lock()
				outcomes[m.Body] = err
				mu.Unlock()
			}
		})
	}
	wg.Wait()

	mu.Lock()
	defer mu.Unlock()
	count := map[flowroute.Result]int{}
	for body, err := range outcomes {
		if n := arrived[body]; n > 1 || n == 1 && errors.Is(err, flowroute.ErrNotSent) {
			t.Errorf("%s: %v, but the server has it %d times", body, err, n)
		}
		if err == nil && arrived[body] == 0 {
			t.Errorf("%s: accepted, but the server has not seen it", body)
		}
		if err != nil {
			count[flowroute.ResultOf(err)]++
		}
	}
	t.Logf("%d sent, %d arrived; errors: %v", len(outcomes), len(arrived), count)
}

// expectOneEnd checks what a pass may rely on.
func (p *pass) expectOneEnd(t *testing.T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := p.calls
	if len(calls) == 2 && calls[0] == "Written" {
		calls = calls[1:]
	}
	if len(calls) != 1 || calls[0] == "Written" {
		t.Errorf("calls of the pass: %v, want one end", p.calls)
	}
}

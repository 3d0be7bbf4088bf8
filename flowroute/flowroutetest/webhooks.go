package flowroutetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Flowroute posts an inbound message until 200, four times in all.
const inboundTries = 4

// hookJob is a row of posts to one webhook, one after the other.
type hookJob struct {
	at     int64 // by the simulator's clock
	url    string
	end    bool            // waits for the message's end, which Complete may hasten
	render func() [][]byte // called when it is due
	retry  *hookJob        // what comes when a post is not answered with 200
}

// dispatcher makes the posts. Its goroutine starts with the first job.
type dispatcher struct {
	s      *Simulator
	client *http.Client
	slots  chan struct{} // bounds posts at once
	kick   chan struct{}

	mu      sync.Mutex
	jobs    []hookJob // by time
	running bool
	stopped bool
	wg      sync.WaitGroup
}

func newDispatcher(s *Simulator) *dispatcher {
	d := &dispatcher{s: s, slots: make(chan struct{}, 16), kick: make(chan struct{}, 1)}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	d.client = &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     5 * time.Second,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if host, _, err := net.SplitHostPort(addr); err != nil || !d.allowed(host) {
					return nil, fmt.Errorf("webhook host %q is neither loopback nor allowed", host)
				}
				return dialer.DialContext(ctx, network, addr)
			},
		},
	}
	return d
}

// allowed keeps the simulator from posting to anybody in the real world.
func (d *dispatcher) allowed(host string) bool {
	if host == "localhost" || slices.Contains(d.s.o.Callbacks.AllowHosts, host) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func (d *dispatcher) enqueue(j hookJob) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return
	}
	d.insert(j)
	if !d.running {
		d.running = true
		d.wg.Go(d.run)
	}
	d.prod()
}

func (d *dispatcher) insert(j hookJob) {
	i, _ := slices.BinarySearchFunc(d.jobs, j, func(a, b hookJob) int { return cmp.Or(cmp.Compare(a.at, b.at), -1) })
	d.jobs = slices.Insert(d.jobs, i, j)
}

// prod has the goroutine look at the time again.
func (d *dispatcher) prod() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// hasten makes the jobs that wait for a message's end due now.
func (d *dispatcher) hasten(now int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.jobs {
		if d.jobs[i].end {
			d.jobs[i].at = min(d.jobs[i].at, now)
		}
	}
	slices.SortStableFunc(d.jobs, func(a, b hookJob) int { return cmp.Compare(a.at, b.at) })
	d.prod()
}

func (d *dispatcher) clear() { d.mu.Lock(); defer d.mu.Unlock(); d.jobs = nil }

// wait returns when the goroutine and all posts have ended; the simulator is
// closed already.
func (d *dispatcher) wait() {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	d.wg.Wait()
	d.client.CloseIdleConnections()
}

func (d *dispatcher) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		d.mu.Lock()
		now := d.s.now().UnixNano()
		n := 0
		for n < len(d.jobs) && d.jobs[n].at <= now {
			n++
		}
		due := slices.Clone(d.jobs[:n])
		d.jobs = slices.Delete(d.jobs, 0, n)
		timer.Stop()
		if len(d.jobs) > 0 && d.jobs[0].at != never {
			timer.Reset(time.Duration(d.jobs[0].at - now))
		}
		d.mu.Unlock()
		for _, j := range due {
			select {
			case d.slots <- struct{}{}:
			case <-d.s.closed:
				return
			}
			d.wg.Go(func() {
				defer func() { <-d.slots }()
				d.post(j)
			})
		}
		if len(due) > 0 {
			continue
		}
		select {
		case <-timer.C:
		case <-d.kick:
		case <-d.s.closed:
			return
		}
	}
}

// post makes a job's posts in their order.
func (d *dispatcher) post(j hookJob) {
	for _, body := range j.render() {
		status, err := d.send(j.url, body)
		d.s.counts.callback(err == nil && status == http.StatusOK)
		if err != nil || status != http.StatusOK {
			d.s.log.Debug("webhook not answered with 200", "status_code", status, "err", err)
			if j.retry != nil {
				next := *j.retry
				next.at = d.s.now().Add(d.s.o.Callbacks.RetryEvery).UnixNano()
				d.enqueue(next)
			}
		}
	}
}

func (d *dispatcher) send(url string, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(closing{d.s.closed}, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := d.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, nil
}

// closing is the context of what ends with the simulator.
type closing struct{ closed <-chan struct{} }

func (closing) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c closing) Done() <-chan struct{}     { return c.closed }
func (closing) Value(any) any               { return nil }
func (c closing) Err() error {
	select {
	case <-c.closed:
		return context.Canceled
	default:
		return nil
	}
}

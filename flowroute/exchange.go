package flowroute

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"
)

const (
	mediaType = "application/vnd.api+json"

	maxReply = 1 << 20  // one record, or the answer to a write
	maxList  = 64 << 20 // a page of a list
	maxError = 64 << 10

	// statusGrace is how long a 2xx may wait for its body before Write.OnStatus
	// is told: bodies normally come in the same packet.
	statusGrace = 50 * time.Millisecond
)

// call describes one request.
type call struct {
	op       string // for errors: "send message"
	endpoint Endpoint
	method   string
	path     string // below the base URL, made of safe characters only
	masked   string // the path as errors may show it; defaults to path
	query    url.Values
	limit    int64 // of the response body
	body     any   // marshalled as JSON; nil for reads

	// invalid is what is wrong with the arguments; the request is then not made.
	invalid error
}

// reply is a 2xx response to a write. Its body is nil when it could not be read,
// which does not change that the request was accepted.
type reply struct {
	status int
	body   []byte
}

// read makes a request that changes nothing and decodes the body of its 2xx
// response into out.
func (c *Client) read(ctx context.Context, q call, out any) error {
	if q.invalid != nil {
		return fmt.Errorf("%s: %w: %w", q.op, ErrInvalid, q.invalid)
	}
	pass, err := c.gate(ctx, q.endpoint)
	if err != nil {
		return fmt.Errorf("%s: %w", q.op, err)
	}
	f := new(flight)
	defer f.settle()
	f.admit(pass)

	report := c.watch(ctx, q)
	status, err := c.readOnce(ctx, q, f, out)
	if err != nil {
		report(status, "error", err)
		return fmt.Errorf("%s: %w", q.op, err)
	}
	report(status, "ok", nil)
	return nil
}

func (c *Client) readOnce(ctx context.Context, q call, f *flight, out any) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.roundTrip(ctx, q, f, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if !success(resp.StatusCode) {
		return resp.StatusCode, c.apiError(q, resp)
	}
	body, err := readAll(resp.Body, q.limit)
	if err != nil {
		return resp.StatusCode, fmt.Errorf("read response: %w", err)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return resp.StatusCode, fmt.Errorf("decode response: %w", err)
	}
	return resp.StatusCode, nil
}

// write makes a request that changes something. Every error is a [*WriteError],
// and w.Pass gets its end even when the request is never formed.
func (c *Client) write(ctx context.Context, w Write, q call) (reply, error) {
	f := new(flight)
	defer f.settle() // whatever happens from here, a Pass gets its end
	f.deadline = w.Deadline
	if w.Pass != nil {
		f.admit(w.Pass)
	}

	if q.invalid != nil {
		return reply{}, notSent(q.op, fmt.Errorf("%w: %w", ErrInvalid, q.invalid))
	}
	payload, err := json.Marshal(q.body)
	if err != nil {
		return reply{}, notSent(q.op, err)
	}
	if w.Pass == nil {
		pass, err := c.gate(ctx, q.endpoint)
		if err != nil {
			return reply{}, notSent(q.op, err)
		}
		f.admit(pass)
	}
	report := c.watch(ctx, q)
	answer, failure := c.writeOnce(ctx, w, q, f, payload)
	if failure != nil {
		report(answer.status, failure.Result.String(), failure.Err)
		return reply{}, failure
	}
	report(answer.status, "ok", nil)
	return answer, nil
}

func (c *Client) writeOnce(ctx context.Context, w Write, q call, f *flight, payload []byte) (reply, *WriteError) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.roundTrip(ctx, q, f, payload)
	if err != nil {
		return reply{}, &WriteError{Op: q.op, Result: f.giveUp(), Err: err}
	}
	defer resp.Body.Close()
	answer := reply{status: resp.StatusCode}
	if !success(resp.StatusCode) {
		err := c.apiError(q, resp)
		return answer, &WriteError{Op: q.op, Result: err.result(), Err: err}
	}
	answer.body = readAccepted(resp, w.OnStatus)
	return answer, nil
}

// roundTrip sends one request over one connection. A response ends the flight;
// after an error it is the caller's to give up.
func (c *Client) roundTrip(ctx context.Context, q call, f *flight, payload []byte) (*http.Response, error) {
	target := *c.base
	target.Path += q.path
	target.RawQuery = q.query.Encode()
	header := http.Header{
		"Authorization": {c.auth},
		"Accept":        {mediaType},
		"User-Agent":    {c.agent},
	}
	if payload != nil {
		header["Content-Type"] = []string{mediaType}
	}
	req := (&http.Request{
		Method:        q.method,
		URL:           &target,
		Header:        header,
		Body:          f.load(payload),
		ContentLength: int64(len(payload)), // else net/http would probe the body
	}).WithContext(httptrace.WithClientTrace(ctx, f.trace()))

	// Not through an http.Client: it would follow redirects, with the body and
	// the credentials.
	resp, err := c.wire.RoundTrip(req)
	if err != nil {
		if f.late.Load() {
			err = ErrWriteDeadline
		}
		return nil, err
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		f.pass.limited(retryAfter(resp.Header.Get("Retry-After"), time.Now()))
	}
	f.pass.end(Pass.Responded)
	return resp, nil
}

func success(status int) bool { return 200 <= status && status <= 299 }

// readAccepted reads the body of a 2xx. It returns nil when it cannot be read:
// the request is accepted all the same.
func readAccepted(resp *http.Response, onStatus func(int)) []byte {
	if onStatus != nil {
		told := make(chan any, 1)
		late := time.AfterFunc(statusGrace, func() {
			defer func() { told <- recover() }()
			onStatus(resp.StatusCode)
		})
		defer func() {
			if late.Stop() {
				return
			}
			if panicked := <-told; panicked != nil {
				panic(panicked)
			}
		}()
	}
	body, _ := readAll(resp.Body, maxReply)
	return body
}

// readAll reads r to its end and refuses more than limit bytes.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	return body, nil
}

// watch starts the clock of a request and returns the function that reports it.
func (c *Client) watch(ctx context.Context, q call) func(status int, outcome string, err error) {
	start := time.Now()
	return func(status int, outcome string, err error) {
		took := time.Since(start)
		c.observe(Observation{
			Op: q.op, Endpoint: q.endpoint, Method: q.method,
			Status: status, Duration: took, Outcome: outcome,
		})
		attrs := []slog.Attr{
			slog.String("op", q.op),
			slog.String("limit_key", string(q.endpoint)),
			slog.Int("status_code", status),
			slog.String("outcome", outcome),
			slog.Int64("duration_ms", took.Milliseconds()),
		}
		if err != nil {
			attrs = append(attrs, slog.Any("err", err))
		}
		c.logger.LogAttrs(ctx, slog.LevelDebug, "flowroute request", attrs...)
	}
}

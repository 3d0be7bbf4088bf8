package courier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// maxAnswer is how much of an answer is read, so that its connection can be used again.
	maxAnswer = 16 << 10
	// maxRetryAfter bounds what a receiver may ask for.
	maxRetryAfter = 5 * time.Minute
)

// refusal is an answer that is no 2xx.
type refusal struct {
	status int
	after  time.Duration // it asked for
}

func (e *refusal) Error() string {
	return "the receiver answered with status " + strconv.Itoa(e.status)
}

// newHTTPClient follows no redirect, which would take the body to somebody else, and
// knows no proxy but by the address itself.
func newHTTPClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: timeout}).DialContext,
			TLSHandshakeTimeout: timeout,
			ForceAttemptHTTP2:   true,
			MaxIdleConns:        1,
			IdleConnTimeout:     time.Minute,
		},
	}
}

// post tries once. The error never shows the address, which may hold a token.
func (c *Courier) post(ctx context.Context, m Message) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.o.URL, bytes.NewReader(m.Body))
	if err != nil {
		return ErrAddress
	}
	if m.ContentType != "" {
		r.Header.Set("Content-Type", m.ContentType)
	}
	r.Header.Set("User-Agent", c.o.UserAgent)
	if c.o.Dress != nil {
		c.o.Dress(r.Header, m, time.Now())
	}
	response, err := c.client.Do(r)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return fmt.Errorf("post: %w", err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)) // the status is the answer
	if response.StatusCode/100 == 2 {
		return nil
	}
	refused := &refusal{status: response.StatusCode}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		refused.after = min(time.Duration(min(seconds, 1<<20))*time.Second, maxRetryAfter)
	}
	return refused
}

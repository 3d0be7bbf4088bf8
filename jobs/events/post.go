package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const (
	// batchSize keeps a body below 100 kB, which is what many servers take.
	batchSize = 200
	// maxAnswer is how much of an answer is read, so that its connection can be used again.
	maxAnswer = 16 << 10
	// maxRetryAfter bounds what a receiver may ask for.
	maxRetryAfter = 5 * time.Minute
)

// batch is the body of a post.
type batch struct {
	Version int    `json:"v"`
	Gap     *Gap   `json:"gap,omitempty"` // what is missing before the first event
	Events  []View `json:"events"`
}

// message is a batch as it is posted, again and again until it is taken.
type message struct {
	id   string
	body []byte
	last ID // where it ends
}

func newMessage(events []ledger.Event, gap *Gap) (message, error) {
	b := batch{Version: 1, Gap: gap, Events: make([]View, len(events))}
	for i, e := range events {
		b.Events[i] = ViewOf(e)
	}
	body, err := json.Marshal(b)
	first, final := events[0].ID, events[len(events)-1].ID
	last, ok := ParseID(final)
	if err == nil && !ok {
		err = fmt.Errorf("event with the id %.40q", final)
	}
	return message{id: first + "_" + final, body: body, last: last}, err
}

// refusal is an answer that is no 2xx.
type refusal struct {
	status int
	after  time.Duration // it asked for
}

func (e *refusal) Error() string {
	return "the receiver answered with status " + strconv.Itoa(e.status)
}

// newHTTPClient follows no redirect, which would take the signed body to somebody
// else, and knows no proxy but by the address itself.
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
func (s *Sender) post(ctx context.Context, m message) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.URL, bytes.NewReader(m.body))
	if err != nil {
		return errAddress
	}
	now := time.Now()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", s.o.UserAgent)
	r.Header.Set(headerID, m.id)
	r.Header.Set(headerTimestamp, strconv.FormatInt(now.Unix(), 10))
	r.Header.Set(headerSignature, sign(s.o.Key, m.id, now, m.body))
	response, err := s.client.Do(r)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return fmt.Errorf("post events: %w", err)
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

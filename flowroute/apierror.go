package flowroute

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// APIError is a response that is not 2xx. It works for every body: Flowroute's
// error envelope in all its forms, HTML of a proxy, none at all. Texts are
// bounded, free of control characters and of the client's credentials.
//
// See https://developer.flowroute.com/docs/errors.
type APIError struct {
	Method string
	Path   string // below the base URL, without query; phone numbers masked
	Status int    // of HTTP

	RequestID string // for Flowroute's support
	Title     string
	Detail    string              // as given, or Fields as one line
	Fields    map[string][]string // when Flowroute names the fields at fault
	Code      string              // Flowroute's own code, such as "1110"

	RetryAfter time.Duration // from the header; 0 when there was none

	// Envelope says that the body was Flowroute's JSON error envelope: it is the
	// API that speaks, not something on the way to it.
	Envelope bool

	// StringStatus says that the envelope's status was text, "404 Not Found: …":
	// the URL is not served at all, so the client or its base URL is wrong.
	StringStatus bool
}

const (
	codeOptedOut   = "1110" // DLR response codes, support.flowroute.com/681766
	maxErrorText   = 500
	maxRetryAfter  = 24 * time.Hour
	longestVisible = 9 // digits in a row that an error may show
)

func (e *APIError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %d", e.Method, e.Path, e.Status)
	if name := http.StatusText(e.Status); e.Title == "" && name != "" {
		b.WriteString(" " + name)
	}
	if e.Title != "" {
		b.WriteString(" " + maskDigits(e.Title))
	}
	if e.Detail != "" {
		b.WriteString(": " + maskDigits(e.Detail))
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	return strings.TrimSpace(b.String())
}

// Is answers for [ErrNotFound], [ErrRateLimited] and [ErrUnauthorized].
func (e *APIError) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == http.StatusNotFound && e.Envelope && !e.StringStatus
	case ErrRateLimited:
		return e.Status == http.StatusTooManyRequests
	case ErrUnauthorized:
		return e.Status == http.StatusUnauthorized
	default:
		return false
	}
}

// OptedOut reports whether the recipient has sent STOP to the sender: a 400 with
// code 1110. It is final until the recipient sends UNSTOP.
func (e *APIError) OptedOut() bool {
	return e.Status == http.StatusBadRequest && e.Code == codeOptedOut
}

// result is what this response says about a write. Only the API itself can
// refuse, so a bare 4xx of a proxy decides nothing; a 408 may have been sent
// after the request went on; and a 429 means that it was not processed, whoever
// says so. All else, redirects included, is unknown.
func (e *APIError) result() Result {
	switch {
	case e.Status == http.StatusTooManyRequests:
		return Refused
	case e.Status == http.StatusRequestTimeout:
		return OutcomeUnknown
	case e.Envelope && 400 <= e.Status && e.Status <= 499:
		return Refused
	default:
		return OutcomeUnknown
	}
}

// apiError reads the response to q, whatever its body.
func (c *Client) apiError(q call, resp *http.Response) *APIError {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxError))
	e := &APIError{
		Method:     q.method,
		Path:       cmp.Or(q.masked, q.path),
		Status:     resp.StatusCode,
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
	e.readEnvelope(body, c.clean)
	return e
}

// readEnvelope takes what it can from a body. Every field of the envelope may be
// missing or of another type than documented; texts go through clean.
func (e *APIError) readEnvelope(body []byte, clean func(string) string) {
	var envelope struct {
		Errors []map[string]json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(body, &envelope) != nil || len(envelope.Errors) == 0 {
		return
	}
	var details []string
	for _, object := range envelope.Errors {
		if len(object) == 0 {
			continue
		}
		e.Envelope = true
		e.RequestID = cmp.Or(e.RequestID, clean(looseText(object["id"])))
		e.Title = cmp.Or(e.Title, clean(looseText(object["title"])))
		e.Code = cmp.Or(e.Code, clean(looseText(object["code"])))
		if bytes.HasPrefix(object["status"], []byte(`"`)) {
			status := looseText(object["status"])
			if _, err := strconv.Atoi(status); err != nil {
				e.StringStatus = true
				e.Title = cmp.Or(e.Title, clean(status))
			}
		}
		if detail := e.readDetail(object["detail"], clean); detail != "" {
			details = append(details, detail)
		}
		if e.Code == "" && mentions(object, codeOptedOut) {
			e.Code = codeOptedOut
		}
	}
	e.Detail = clean(strings.Join(details, "; "))
}

// readDetail returns a detail as one line. When it is an object of field to
// messages, it is kept in Fields too.
func (e *APIError) readDetail(raw json.RawMessage, clean func(string) string) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields == nil {
		return looseText(raw)
	}
	if e.Fields == nil {
		e.Fields = make(map[string][]string, len(fields))
	}
	var lines []string
	for field, raw := range fields {
		var messages []json.RawMessage
		if json.Unmarshal(raw, &messages) != nil {
			messages = []json.RawMessage{raw}
		}
		field = clean(field)
		for _, m := range messages {
			text := clean(looseText(m))
			e.Fields[field] = append(e.Fields[field], text)
			lines = append(lines, field+": "+text)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

// mentions reports whether a text of the error object, its id apart, contains
// code as a word. Where Flowroute puts the code is not documented.
func mentions(object map[string]json.RawMessage, code string) bool {
	for key, raw := range object {
		if key == "id" || key == "status" {
			continue
		}
		notInWord := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
		if slices.Contains(strings.FieldsFunc(string(raw), notInWord), code) {
			return true
		}
	}
	return false
}

// looseText returns a JSON string's content, nothing for null, and for any other
// value its JSON.
func looseText(raw json.RawMessage) string {
	if s, ok := plainString(raw); ok {
		return s
	}
	var s *string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	if s == nil {
		return ""
	}
	return *s
}

// plainString reads a JSON string that has nothing to unescape, as most have.
func plainString(raw json.RawMessage) (string, bool) {
	last := len(raw) - 1
	if last < 1 || raw[0] != '"' || raw[last] != '"' {
		return "", false
	}
	for _, b := range raw[1:last] {
		if b < ' ' || b > '~' || b == '"' || b == '\\' {
			return "", false
		}
	}
	return string(raw[1:last]), true
}

// clean makes text of a response fit for errors and logs.
func (c *Client) clean(s string) string {
	s = c.scrub.Replace(strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxErrorText {
		s = strings.ToValidUTF8(s[:maxErrorText], "") + "…"
	}
	return s
}

// retryAfter reads the header's two forms; nonsense and the past are 0.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil {
		return time.Duration(min(max(seconds, 0), int(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// maskDigits shortens runs of digits that are long enough for a phone number to
// their last four.
func maskDigits(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		plain := strings.IndexFunc(s, isDigit)
		if plain < 0 {
			plain = len(s)
		}
		b.WriteString(s[:plain])
		s = s[plain:]
		run := strings.IndexFunc(s, func(r rune) bool { return !isDigit(r) })
		if run < 0 {
			run = len(s)
		}
		if run > longestVisible {
			b.WriteString("…" + s[run-4:run])
		} else {
			b.WriteString(s[:run])
		}
		s = s[run:]
	}
	return b.String()
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

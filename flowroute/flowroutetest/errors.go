package flowroutetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// wireError is one error object. Flowroute leaves out what it has not got:
// every field but status may be missing, detail is a string or an object, and
// status is a string where the path itself is unknown.
type wireError struct {
	Code   any     `json:"code,omitempty"`
	Detail any     `json:"detail,omitempty"`
	ID     string  `json:"id,omitempty"`
	Status any     `json:"status"`
	Title  *string `json:"title,omitempty"`
}

// encode is json.Marshal without escaping <, > and &, as the API's links are.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("flowroutetest: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func errorReply(status int, e wireError) reply {
	return reply{status: status, body: encode(map[string]any{"errors": []wireError{e}})}
}

// apiError is the complete envelope: detail, id, status and, unless empty, title.
func (s *Simulator) apiError(status int, title, detail string) reply {
	e := wireError{Detail: detail, ID: s.errIDs.uuid(), Status: status}
	if title != "" {
		e.Title = &title
	}
	return errorReply(status, e)
}

// notAuthorized is the 403 of the messages and route endpoints: no id, and an empty detail.
func notAuthorized() reply {
	title := "ActionNotAuthorizedError"
	return errorReply(http.StatusForbidden, wireError{Detail: "", Status: http.StatusForbidden, Title: &title})
}

// fieldErrors is the 422 of a request whose fields are wrong: detail is an object.
type fieldErrors map[string][]string

func (f fieldErrors) add(field, problem string) { f[field] = append(f[field], problem) }

func (f fieldErrors) reply() reply {
	return errorReply(http.StatusUnprocessableEntity, wireError{Detail: map[string][]string(f), Status: http.StatusUnprocessableEntity})
}

func invalidField(field, problem string) reply { return fieldErrors{field: {problem}}.reply() }

const missingField = "Missing data for required field."

// noSuchResource is the 404 of something that is not on the account, with a numeric status.
func (s *Simulator) noSuchResource(detail string) reply {
	return s.apiError(http.StatusNotFound, "Resource not found", detail)
}

// noSuchURL is the 404 of a path the API does not serve: status is a string, and there is nothing else.
func noSuchURL() reply {
	return errorReply(http.StatusNotFound, wireError{Status: "404 Not Found: The requested URL was not found on the server. " +
		"If you entered the URL manually please check your spelling and try again."})
}

func (s *Simulator) methodNotAllowed(ep endpoint) reply {
	rep := s.apiError(http.StatusMethodNotAllowed, "Method Not Allowed", "The method is not allowed for the requested URL.")
	rep.header = http.Header{"Allow": {strings.Join(slices.Sorted(maps.Keys(ep)), ", ")}}
	return rep
}

// tooManyRequests is the 429; Flowroute documents neither its body nor Retry-After.
func (s *Simulator) tooManyRequests(retryAfter bool) reply {
	rep := reply{status: http.StatusTooManyRequests}
	if !s.o.Choices.BareRateLimit {
		rep = s.apiError(http.StatusTooManyRequests, "Too Many Requests", "Rate limit exceeded.")
	}
	if retryAfter {
		rep.header = http.Header{"Retry-After": {"1"}}
	}
	return rep
}

func bareHTML(status int) reply {
	text := fmt.Sprintf("%d %s", status, http.StatusText(status))
	return reply{status: status, html: true, body: []byte("<html><head><title>" + text + "</title></head><body><h1>" + text + "</h1></body></html>\n")}
}

// retryAfterDate is the HTTP-date form of Retry-After, d after now.
func retryAfterDate(now time.Time, d time.Duration) string {
	return now.Add(d).UTC().Format(http.TimeFormat)
}

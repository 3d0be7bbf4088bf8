package flowroute_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// TestAPIError reads every error body that is known of the API, and some of
// those that stand in its way.
func TestAPIError(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		body   string
		want   flowroute.APIError
		is     []error
		text   string
	}{
		{
			name: "401", status: 401, body: golden(t, "error_401_unauthorized"),
			want: flowroute.APIError{Envelope: true, Title: "Unauthorized", Detail: "Authentication failed.", RequestID: "7fc8c70a-ca58-430c-b383-b89df84f8083"},
			is:   []error{flowroute.ErrUnauthorized},
			text: "GET /v2.1/messages/mdr2-abc: 401 Unauthorized: Authentication failed. (request 7fc8c70a-ca58-430c-b383-b89df84f8083)",
		},
		{
			name: "403 without id and detail", status: 403, body: golden(t, "error_403_empty_detail"),
			want: flowroute.APIError{Envelope: true, Title: "ActionNotAuthorizedError"},
			text: "GET /v2.1/messages/mdr2-abc: 403 ActionNotAuthorizedError",
		},
		{
			name: "403 in use", status: 403, body: golden(t, "error_403_in_use"),
			want: flowroute.APIError{Envelope: true, Title: "This Route has numbers still associated to it.", Detail: "Please disassociate all numbers before deleting.", RequestID: "…"},
			text: "GET /v2.1/messages/mdr2-abc: 403 This Route has numbers still associated to it.: Please disassociate all numbers before deleting. (request …)",
		},
		{
			name: "400", status: 400, body: golden(t, "error_400_client_error"),
			want: flowroute.APIError{Envelope: true, Title: "Client Error", Detail: "Could not geocode this address. Please check the validity of your address.", RequestID: "7fcfd1cd-486b-4159-8484-b710bd4bbab4"},
			text: "GET /v2.1/messages/mdr2-abc: 400 Client Error: Could not geocode this address. Please check the validity of your address. (request 7fcfd1cd-486b-4159-8484-b710bd4bbab4)",
		},
		{
			name: "422 without title", status: 422, body: golden(t, "error_422_no_title"),
			want: flowroute.APIError{Envelope: true, Detail: `Error fetching media: File at "https://s3-us-west-2.amazonaws.com/testing/1503617641_12067392634" is over 767840 byte limit.`, RequestID: "8f20a349-ebc0-4246-81ae-b4e7caef324c"},
			text: `GET /v2.1/messages/mdr2-abc: 422 Unprocessable Entity: Error fetching media: File at "https://s3-us-west-2.amazonaws.com/testing/…7641_…2634" is over 767840 byte limit. (request 8f20a349-ebc0-4246-81ae-b4e7caef324c)`,
		},
		{
			name: "422 with fields", status: 422, body: golden(t, "error_422_fields"),
			want: flowroute.APIError{Envelope: true, Detail: "start_date: Missing data for required field.", Fields: map[string][]string{"start_date": {"Missing data for required field."}}},
			text: "GET /v2.1/messages/mdr2-abc: 422 Unprocessable Entity: start_date: Missing data for required field.",
		},
		{
			name: "404 without title", status: 404, body: golden(t, "error_404_no_title"),
			want: flowroute.APIError{Envelope: true, Detail: "Could not find that resource on your account.", RequestID: "d66802f3-b56b-43da-8c55-e8c9ec3e0a6d"},
			is:   []error{flowroute.ErrNotFound},
			text: "GET /v2.1/messages/mdr2-abc: 404 Not Found: Could not find that resource on your account. (request d66802f3-b56b-43da-8c55-e8c9ec3e0a6d)",
		},
		{
			name: "404 absent", status: 404, body: golden(t, "error_404_absent"),
			want: flowroute.APIError{Envelope: true, Title: "Resource not found", Detail: "No such port order", RequestID: "2faefde3-…"},
			is:   []error{flowroute.ErrNotFound},
			text: "GET /v2.1/messages/mdr2-abc: 404 Resource not found: No such port order (request 2faefde3-…)",
		},
		{
			name: "404 of a URL", status: 404, body: golden(t, "error_404_string_status"),
			want: flowroute.APIError{Envelope: true, StringStatus: true, Title: "404 Not Found: The requested URL was not found on the server…"},
			text: "GET /v2.1/messages/mdr2-abc: 404 404 Not Found: The requested URL was not found on the server…",
		},
		{
			name: "404 html", status: 404, body: "<html>not here</html>",
			text: "GET /v2.1/messages/mdr2-abc: 404 Not Found",
		},
		{
			name: "status as a numeric string", status: 404, body: `{"errors":[{"status":"404"}]}`,
			want: flowroute.APIError{Envelope: true},
			is:   []error{flowroute.ErrNotFound},
			text: "GET /v2.1/messages/mdr2-abc: 404 Not Found",
		},
		{
			name: "429 empty", status: 429,
			is:   []error{flowroute.ErrRateLimited},
			text: "GET /v2.1/messages/mdr2-abc: 429 Too Many Requests",
		},
		{
			name: "fields of all shapes", status: 422, body: `{"errors":[{"id":17,"title":null,"detail":{"to":"Not a number.","from":[{"code":3},null]}}]}`,
			want: flowroute.APIError{Envelope: true, RequestID: "17", Detail: `from: , from: {"code":3}, to: Not a number.`, Fields: map[string][]string{"to": {"Not a number."}, "from": {`{"code":3}`, ""}}},
			text: `GET /v2.1/messages/mdr2-abc: 422 Unprocessable Entity: from: , from: {"code":3}, to: Not a number. (request 17)`,
		},
		{
			name: "several errors", status: 422, body: `{"errors":[{"detail":"one"},{"detail":"two","code":9,"id":"x"}]}`,
			want: flowroute.APIError{Envelope: true, Detail: "one; two", Code: "9", RequestID: "x"},
			text: "GET /v2.1/messages/mdr2-abc: 422 Unprocessable Entity: one; two (request x)",
		},
		{
			name: "control characters", status: 400, body: `{"errors":[{"title":"a\nb\u001b[31m"}]}`,
			want: flowroute.APIError{Envelope: true, Title: "a b [31m"},
			text: "GET /v2.1/messages/mdr2-abc: 400 a b [31m",
		},
		{
			name: "500 empty", status: 500,
			text: "GET /v2.1/messages/mdr2-abc: 500 Internal Server Error",
		},
		{
			name: "599", status: 599, body: "[]",
			text: "GET /v2.1/messages/mdr2-abc: 599",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, reply(test.status, test.body))
			_, err := newClient(t, server.URL).MDR(t.Context(), "mdr2-abc")
			got, ok := errors.AsType[*flowroute.APIError](err)
			if !ok {
				t.Fatalf("got %v, want an APIError", err)
			}
			test.want.Method, test.want.Path, test.want.Status = "GET", "/v2.1/messages/mdr2-abc", test.status
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.Error() != test.text {
				t.Errorf("text:\n got %s\nwant %s", got, test.text)
			}
			for _, sentinel := range []error{flowroute.ErrNotFound, flowroute.ErrRateLimited, flowroute.ErrUnauthorized} {
				want := len(test.is) > 0 && test.is[0] == sentinel
				if errors.Is(err, sentinel) != want {
					t.Errorf("is %q: got %v, want %v", sentinel, !want, want)
				}
			}
		})
	}
}

// TestOptedOut finds 1110 wherever it may be, but not in a request id.
func TestOptedOut(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		body   string
		want   bool
	}{
		{"code", 400, `{"errors":[{"code":1110,"title":"Bad Request"}]}`, true},
		{"code as text", 400, `{"errors":[{"code":"1110"}]}`, true},
		{"title", 400, `{"errors":[{"title":"Error 1110"}]}`, true},
		{"detail", 400, `{"errors":[{"detail":"User Opted Out (STOP), code=1110."}]}`, true},
		{"field", 400, `{"errors":[{"detail":{"to":["1110"]}}]}`, true},
		{"second error", 400, `{"errors":[{"detail":"x"},{"detail":"1110"}]}`, true},
		{"request id", 400, `{"errors":[{"id":"7fc8c70a-1110-430c-b383-b89df84f8083"}]}`, false},
		{"part of a number", 400, `{"errors":[{"detail":"12065551110 is not text enabled"}]}`, false},
		{"another code", 400, `{"errors":[{"code":1116,"detail":"1110"}]}`, false},
		{"another status", 422, `{"errors":[{"code":1110}]}`, false},
		{"not the API", 400, `error 1110`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, reply(test.status, test.body))
			_, err := newClient(t, server.URL).SendMessage(t.Context(), hello, flowroute.Write{})
			e, ok := errors.AsType[*flowroute.APIError](err)
			if !ok || e.OptedOut() != test.want {
				t.Errorf("got %v, want %v (%v)", !test.want, test.want, err)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	tests := []struct {
		header   string
		min, max time.Duration
	}{
		{"", 0, 0},
		{"3", 3 * time.Second, 3 * time.Second},
		{"-3", 0, 0},
		{"soon", 0, 0},
		{"99999999999", 24 * time.Hour, 24 * time.Hour},
		{time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), time.Minute, time.Hour},
		{time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat), 0, 0},
	}
	for _, test := range tests {
		t.Run(test.header, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", test.header)
				w.WriteHeader(429)
			})
			_, err := newClient(t, server.URL).SendMessage(t.Context(), hello, flowroute.Write{})
			e, ok := errors.AsType[*flowroute.APIError](err)
			if !ok || e.RetryAfter < test.min || e.RetryAfter > test.max {
				t.Errorf("got %v, want from %v to %v", e.RetryAfter, test.min, test.max)
			}
		})
	}
}

// TestNumbersAreMaskedInErrors: an error goes to logs.
func TestNumbersAreMaskedInErrors(t *testing.T) {
	t.Parallel()
	server := newAPI(t, reply(404, `{"errors":[{"detail":"12065550100 is not yours","status":404}]}`))
	_, err := newClient(t, server.URL).Number(t.Context(), sender)
	if want := "look up number: GET /v2/numbers/…0100: 404 Not Found: …0100 is not yours"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestZeroErrorsPrint(t *testing.T) {
	t.Parallel()
	for _, err := range []error{new(flowroute.APIError), new(flowroute.WriteError), new(flowroute.NumberError)} {
		if err.Error() == "" {
			t.Errorf("%T prints nothing", err)
		}
	}
	if got := flowroute.ResultOf(nil); got != flowroute.OutcomeUnknown {
		t.Errorf("got %v of no error, want the safe answer", got)
	}
}

func TestWriteErrorIsOneOfThree(t *testing.T) {
	t.Parallel()
	sentinels := map[flowroute.Result]error{
		flowroute.OutcomeUnknown: flowroute.ErrOutcomeUnknown,
		flowroute.NotSent:        flowroute.ErrNotSent,
		flowroute.Refused:        flowroute.ErrRefused,
	}
	for result := range sentinels {
		err := fmt.Errorf("job: %w", &flowroute.WriteError{Op: "send message", Result: result, Err: io.ErrUnexpectedEOF})
		if got := flowroute.ResultOf(err); got != result {
			t.Errorf("got %v, want %v", got, result)
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v: the cause is lost", result)
		}
		for other, sentinel := range sentinels {
			if got, want := errors.Is(err, sentinel), other == result; got != want {
				t.Errorf("%v is %q: got %v, want %v", result, sentinel, got, want)
			}
		}
	}
}

// secrets are the forms in which the credentials must not appear.
var secrets = []string{accessKey, secretKey, basicAuth}

func expectNoSecrets(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows %q: %s", what, secret, text)
		}
	}
}

// TestCredentialsStayOutOfErrors: even when a server sends them back.
func TestCredentialsStayOutOfErrors(t *testing.T) {
	t.Parallel()
	echo := strings.Join(secrets, " ")
	bodies := map[string]string{
		"envelope": `{"errors":[{"id":"` + echo + `","title":"` + echo + `","code":"` + echo + `","detail":"` + echo + `"}]}`,
		"fields":   `{"errors":[{"status":"` + echo + `","detail":{"` + echo + `":["` + echo + `"]}}]}`,
		"html":     "<html><pre>Authorization: Basic " + basicAuth + "</pre></html>",
		"text":     echo,
		"cut off":  `{"errors":[{"detail":"` + strings.Repeat("x", 485) + secretKey + `"}]}`,
		"empty":    "",
	}
	for name, body := range bodies {
		for _, status := range []int{200, 302, 400, 401, 403, 404, 429, 500} {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				t.Parallel()
				server := newAPI(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Location", "http://"+accessKey+":"+secretKey+"@127.0.0.1:1/")
					w.WriteHeader(status)
					io.WriteString(w, body)
				})
				var logged strings.Builder
				c := newClient(t, server.URL, func(o *flowroute.Options) {
					o.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
				})
				_, readErr := c.MDR(t.Context(), "mdr2-abc")
				_, writeErr := c.SendMessage(t.Context(), hello, flowroute.Write{})
				expectNoSecrets(t, "log", logged.String())
				for _, err := range []error{readErr, writeErr} {
					expectNoSecrets(t, "error", fmt.Sprintf("%v %+v", err, err))
					if e, ok := errors.AsType[*flowroute.APIError](err); ok {
						expectNoSecrets(t, "APIError", fmt.Sprintf("%#v", *e))
						if name == "cut off" && strings.Contains(e.Detail, secretKey[:8]) {
							t.Errorf("shows the beginning of the secret: %s", e.Detail)
						}
					}
				}
			})
		}
	}
}

// TestCredentialsStayOutOfTransportErrors has the errors of connections.
func TestCredentialsStayOutOfTransportErrors(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://127.0.0.1:1", "https://127.0.0.1:1", "http://host.invalid"} {
		_, err := newClient(t, url).SendMessage(t.Context(), hello, flowroute.Write{})
		if err == nil {
			t.Errorf("%s: got no error", url)
			continue
		}
		expectNoSecrets(t, url, fmt.Sprintf("%v %+v %#v", err, err, err))
	}
}

// TestCredentialsDoNotPrint: nor do they when somebody prints what holds them.
func TestCredentialsDoNotPrint(t *testing.T) {
	t.Parallel()
	c := newClient(t, "http://127.0.0.1:1")
	options := flowroute.Options{Credentials: credentials}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, value := range []any{credentials, &credentials, options, c} {
			expectNoSecrets(t, verb, fmt.Sprintf(verb, value))
		}
	}
	expectNoSecrets(t, "String", credentials.String()+credentials.GoString())
	b, err := json.Marshal(credentials)
	if err != nil {
		t.Error(err)
	}
	expectNoSecrets(t, "JSON", string(b))
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("start", slog.Any("credentials", credentials), slog.Any("client", c))
	expectNoSecrets(t, "log", logged.String())
}

package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// contract is the description as a server gives it.
type contract struct {
	t      *testing.T
	doc    *openapi3.T
	router routers.Router
	seen   map[string]bool // "POST /v1/messages 202": has been answered
}

// readContract fails the test when the description is not OpenAPI 3.1, or one of its
// examples is not what it describes. Objects are closed: a property that no schema
// knows is refused, unless the schema says that there may be others.
func readContract(t *testing.T, b *bundle) *contract {
	t.Helper()
	text := b.do("GET", "/openapi.yaml", "", "Authorization", "").want(t, 200).body
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := doc.OpenAPIMajorMinor(); got != "3.1" {
		t.Errorf("got OpenAPI %s, want 3.1", got)
	}
	if err := doc.WalkSchemas(func(_ string, schema *openapi3.SchemaRef) error {
		if s := schema.Value; len(s.Properties) > 0 && s.AdditionalProperties.Has == nil && s.AdditionalProperties.Schema == nil {
			s.AdditionalProperties.Has = new(false)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaDefaultsValidation(),
		openapi3.EnableSchemaPatternValidation(), openapi3.EnableSchemaFormatValidation(), openapi3.EnableMultiError()); err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &contract{t, doc, router, map[string]bool{}}
}

// operations are the description's, as patterns of routes.
func (c *contract) operations() map[string]*openapi3.Operation {
	all := map[string]*openapi3.Operation{}
	for path, item := range c.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			all[method+" "+path] = operation
		}
	}
	return all
}

// exchange is a request and what is to be answered.
type exchange struct {
	op      string // pattern of the route
	path    string // defaults to the pattern's
	body    string
	headers []string
	status  int
	code    string // of the problem
	// unsaid: what is wrong with the request, the description cannot say.
	unsaid bool
	// partly: some lines of it are wrong, which costs them alone.
	partly bool
}

// try makes the request and holds it and its answer against the description.
func (c *contract) try(b *bundle, e exchange) answer {
	c.t.Helper()
	method, path, _ := strings.Cut(e.op, " ")
	if e.path != "" {
		path = e.path
	}
	name := fmt.Sprintf("%s %.100s %.100q: %d %s", method, path, e.body, e.status, e.code)
	r := b.request(method, path, e.body, e.headers...)
	again := r.Clone(r.Context()) // the body of a request is used up when it is sent
	again.Body = io.NopCloser(strings.NewReader(e.body))
	send := b.send
	if e.op == follow && e.status == 200 {
		send = b.firstEvent
	}
	got := send(r)
	if got.status != e.status {
		c.t.Fatalf("%s: got %d: %s", name, got.status, got.body)
	}
	if e.code != "" {
		got.wantProblem(c.t, e.status, e.code)
	}

	route, params, err := c.router.FindRoute(again)
	if err != nil {
		c.t.Fatalf("%s: not described: %v", name, err)
	}
	if op := method + " " + route.Path; op != e.op {
		c.t.Fatalf("%s: described as %s, want %s", name, op, e.op)
	}
	asked := &openapi3filter.RequestValidationInput{Request: again, PathParams: params, Route: route, Options: &openapi3filter.Options{
		AuthenticationFunc: authenticate, IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true, SkipSettingDefaults: true, MultiError: true,
	}}
	refused := c.request(asked, e.body)
	wrong := slices.Contains([]int{303, 400, 401, 413, 415, 422}, e.status)
	switch {
	case refused != nil && !e.partly && (!wrong || e.unsaid):
		c.t.Errorf("%s: by the description the request is wrong: %v", name, refused)
	case refused == nil && (e.partly || wrong && !e.unsaid):
		c.t.Errorf("%s: by the description the request is right", name)
	}
	if err := c.answer(asked, got); err != nil {
		c.t.Errorf("%s: the answer is not as described: %v\n%.2000s", name, err, got.body)
	}
	c.seen[e.op+" "+strconv.Itoa(e.status)] = true
	return got
}

// authenticate holds the credentials against a scheme of the description.
func authenticate(_ context.Context, in *openapi3filter.AuthenticationInput) error {
	r, ok := in.RequestValidationInput.Request, false
	switch scheme := in.SecurityScheme; scheme.Type + scheme.Scheme + scheme.In {
	case "httpbearer":
		ok = r.Header.Get("Authorization") == "Bearer "+appToken
	case "httpbasic":
		_, _, ok = r.BasicAuth()
	case "apiKeycookie":
		_, err := r.Cookie(scheme.Name)
		ok = err == nil
	}
	if !ok {
		return in.NewError(errors.New("no such credentials"))
	}
	return nil
}

// request says what is wrong with a request by the description.
func (c *contract) request(in *openapi3filter.RequestValidationInput, body string) error {
	query, err := url.ParseQuery(in.Request.URL.RawQuery)
	if err != nil {
		return err
	}
	for name := range query {
		if in.Route.Operation.Parameters.GetByInAndName("query", name) == nil {
			return fmt.Errorf("no such parameter: %s", name)
		}
	}
	if in.Request.Header.Get("Content-Type") == asLines {
		in.Options.ExcludeRequestBody = true
		if err := c.sequence(in.Route.Operation.RequestBody.Value.Content, asLines, []byte(body)); err != nil {
			return err
		}
	}
	return openapi3filter.ValidateRequest(in.Request.Context(), in)
}

// answer says what is wrong with an answer by the description.
func (c *contract) answer(asked *openapi3filter.RequestValidationInput, got answer) error {
	described := asked.Route.Operation.Responses.Status(got.status)
	if described == nil {
		return errors.New("no such status")
	}
	known := everywhere()
	for name := range described.Value.Headers {
		known = append(known, http.CanonicalHeaderKey(name))
	}
	for name := range got.header {
		if !slices.Contains(known, name) {
			return fmt.Errorf("no such header: %s", name)
		}
	}
	// net/http puts a link of its own into a redirect.
	if len(described.Value.Content) == 0 && len(got.body) > 0 && got.status != http.StatusSeeOther {
		return errors.New("a body is not described")
	}
	in := &openapi3filter.ResponseValidationInput{RequestValidationInput: asked, Status: got.status, Header: got.header, Options: asked.Options}
	in.SetBodyBytes(got.body)
	if media := got.header.Get("Content-Type"); media == asLines || media == asEvents {
		if err := c.sequence(described.Value.Content, media, got.body); err != nil {
			return err
		}
		in.Options.ExcludeResponseBody = true
	}
	return openapi3filter.ValidateResponse(asked.Request.Context(), in)
}

// everywhere is the headers that any answer may have.
func everywhere() []string {
	return []string{
		"Content-Type", "Content-Length", "Date", "Connection", "Vary", "Cache-Control", "Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options",
		"Referrer-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy",
	}
}

// sequence holds each line, or the data of each event, against the schema of its type,
// since OpenAPI 3.1 has no way to describe a sequence.
func (c *contract) sequence(content openapi3.Content, media string, body []byte) error {
	described := content[media]
	if described == nil {
		return fmt.Errorf("%s is not described", media)
	}
	for line := range bytes.Lines(body) {
		text, isData := bytes.TrimSpace(line), true
		if media == asEvents {
			text, isData = bytes.CutPrefix(text, []byte("data: "))
		}
		if !isData || len(text) == 0 {
			continue
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			return err
		}
		if err := described.Schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020(), openapi3.MultiErrors()); err != nil {
			return err
		}
	}
	return nil
}

const (
	asEvents = "text/event-stream"
	follow   = "GET /v1/events"
)

// firstEvent is the beginning of a stream, up to the first event that has data.
func (b *bundle) firstEvent(r *http.Request) answer {
	b.t.Helper()
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	got := answer{response.StatusCode, response.Header, nil}
	for lines := bufio.NewScanner(response.Body); !bytes.Contains(got.body, []byte("\ndata: ")); {
		if !lines.Scan() {
			b.t.Fatalf("the stream has ended: %v: %s", lines.Err(), got.body)
		}
		got.body = append(append(got.body, lines.Bytes()...), '\n')
	}
	return got
}

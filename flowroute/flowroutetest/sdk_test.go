package flowroutetest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

// recorded is a request as an official SDK made it, against this simulator
// with nothing but the base address and the credentials changed.
type recorded struct {
	Method      string `json:"method"`
	Path        string `json:"path"`
	Query       string `json:"query"`
	ContentType string `json:"content_type"`
	Accept      string `json:"accept"`
	UserAgent   string `json:"user_agent"`
	Body        string `json:"body"`
	Status      int    `json:"status"`
	After       string `json:"after"` // the clock moved so far before it
}

// documented is what Flowroute's documentation says an operation answers: the
// status, and a sample whose fields must all be there with the same JSON types.
type documented struct {
	method, path string // path is a regular expression
	status       int
	shape        string // testdata/shapes/<shape>.json; empty: no body
}

func documentation() []documented {
	const number, id = `/v2/numbers/\d{11}`, `/[^/]+`
	return []documented{
		{"GET", `/v2/numbers/available/areacodes`, 200, "areacodes"},
		{"GET", `/v2/numbers/available/exchanges`, 200, "exchanges"},
		{"GET", `/v2/numbers/available`, 200, "available"},
		{"GET", `/v2/numbers`, 200, "numbers"},
		{"POST", number, 201, "number"},
		{"GET", number, 200, "number"},
		{"PATCH", number, 200, "number"},
		{"DELETE", number, 204, ""},
		{"POST", number + `/relationships/\w+_callback`, 204, ""},
		{"PATCH", number + `/relationships/(primary|failover)_route`, 204, ""},
		{"GET", `/v2/routes/edge_strategies`, 200, "list"},
		{"GET", `/v2/routes`, 200, "routes"},
		{"POST", `/v2/routes`, 201, "route"},
		{"POST", `/v2.1/messages`, 202, "sent"},
		{"GET", `/v2.1/messages`, 200, "mdrs"},
		{"PUT", `/v2.1/messages/\w+_callback`, 204, ""},
		{"GET", `/v2.1/messages/mdr2-[0-9a-f]{32}`, 200, "mdr"},
		{"POST", `/v2/e911s/validate`, 204, ""},
		{"POST", `/v2/e911s`, 201, "e911"},
		{"GET", `/v2/e911s`, 200, "e911s"},
		{"GET", `/v2/e911s/\d+/relationships/numbers`, 200, "list"},
		{"GET", `/v2/e911s` + id, 200, "e911"},
		{"PATCH", `/v2/e911s` + id, 200, "e911"},
		{"DELETE", `/v2/e911s` + id, 204, ""},
		{"PATCH", number + `/relationships/e911s` + id, 204, ""},
		{"DELETE", number + `/relationships/e911s`, 204, ""},
		{"GET", `/v2/cnams`, 200, "cnams"},
		{"POST", `/v2/cnams`, 201, "cnam"},
		{"GET", `/v2/cnams` + id, 200, "cnam"},
		{"DELETE", `/v2/cnams` + id, 204, ""},
		{"PATCH", number + `/relationships/cnams?` + id, 202, "cnam_assigned"},
		{"DELETE", number + `/relationships/cnams?`, 202, "cnam_assigned"},
		{"POST", `/v2/portorders/portability`, 200, "list"},
		{"POST", `/v2/cdrs/exports`, 201, "object"},
		{"GET", `/v2/cdrs/exports`, 200, "list"},
		{"GET", `/v2/cdrs/exports` + id, 200, "object"},
	}
}

// TestOfficialSDKs replays what Flowroute's Python v3 and Node v3 SDKs sent.
// The ids in later requests are those that earlier answers gave: the same
// seed and order give them again.
func TestOfficialSDKs(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/sdk/*.json")
	if err != nil || len(files) != 2 {
		t.Fatalf("got recordings %v (%v), want two", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			var recording struct{ Requests []recorded }
			readJSON(t, file, &recording)
			b := setup(t, flowroutetest.Options{})
			routes := 0
			for i, r := range recording.Requests {
				if r.After != "" {
					d, err := time.ParseDuration(r.After)
					if err != nil {
						t.Fatal(err)
					}
					b.Advance(d)
				}
				a := b.replay(r)
				want := lookUp(t, r)
				if r.Method == "POST" && r.Path == "/v2/routes" {
					if routes++; routes == 2 {
						want.status, want.shape = 403, "error" // the same route again
					}
				}
				name := fmt.Sprintf("request %d: %s %s?%s", i, r.Method, r.Path, r.Query)
				if a.status != want.status || r.Status != want.status {
					t.Fatalf("%s: got status %d (recorded %d), want %d: %s", name, a.status, r.Status, want.status, a.body)
				}
				if want.shape == "" {
					if a.body != "" {
						t.Errorf("%s: got body %q, want none", name, a.body)
					}
					continue
				}
				if got := a.header.Get("Content-Type"); got != vndMedia {
					t.Errorf("%s: got Content-Type %q, want %q", name, got, vndMedia)
				}
				var shape any
				readJSON(t, "testdata/shapes/"+want.shape+".json", &shape)
				for _, problem := range differences("", shape, any(a.json(t))) {
					t.Errorf("%s: %s", name, problem)
				}
			}
		})
	}
}

func (b *bundle) replay(r recorded) answer {
	b.t.Helper()
	path := r.Path
	if r.Query != "" {
		path += "?" + r.Query
	}
	return b.do(r.Method, path, r.Body, "Content-Type", r.ContentType, "Accept", r.Accept, "User-Agent", r.UserAgent)
}

func lookUp(t *testing.T, r recorded) documented {
	t.Helper()
	for _, d := range documentation() {
		if d.method == r.Method && regexp.MustCompile("^"+d.path+"$").MatchString(r.Path) {
			return d
		}
	}
	t.Fatalf("%s %s is in no row of the documentation", r.Method, r.Path)
	return documented{}
}

func readJSON(t *testing.T, file string, v any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// differences lists where got lacks something of the sample want, or has
// another JSON type. Null in either fits everything; of a list the first
// elements are compared.
func differences(path string, want, got any) (out []string) {
	if want == nil || got == nil {
		return nil
	}
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s: got %v, want an object", path, got)}
		}
		for k, v := range w {
			if _, ok := g[k]; !ok && k != "next" {
				out = append(out, fmt.Sprintf("%s.%s is missing", path, k))
				continue
			}
			out = append(out, differences(path+"."+k, v, g[k])...)
		}
	case []any:
		g, ok := got.([]any)
		if !ok {
			return []string{fmt.Sprintf("%s: got %v, want a list", path, got)}
		}
		if len(w) > 0 && len(g) > 0 {
			return differences(path+".0", w[0], g[0])
		}
		if len(w) > 0 {
			return []string{path + ": got an empty list, want one like the sample's"}
		}
	default:
		if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
			return []string{fmt.Sprintf("%s: got %v (%T), want a %T", path, got, got, want)}
		}
	}
	return out
}

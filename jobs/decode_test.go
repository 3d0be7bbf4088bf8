package jobs_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

func TestDecodeMessage(t *testing.T) {
	t.Parallel()
	yes := true
	full := jobs.Message{
		From: from, To: to, Body: "hi 👋", MediaURLs: []string{"https://example.com/a"}, IsMMS: &yes,
		SendAt: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), Priority: "bulk", Campaign: "c", Key: "k",
	}
	tests := map[string]struct {
		json string
		want jobs.Message
	}{
		"least":             {`{"from":"+12065550100","to":"+12065550123","body":"hello"}`, hello()},
		"version, nulls":    {`{"v":1,"from":"+12065550100","to":"+12065550123","body":"hello","media_urls":null,"is_mms":null,"send_at":null,"key":null}`, hello()},
		"space around":      {" \n{\"from\":\"+12065550100\",\"to\":\"+12065550123\",\"body\":\"hello\"}\r\n", hello()},
		"escapes":           {`{"from":"+12065550100","to":"+12065550123","body":"h\u0065llo"}`, hello()},
		"all":               {`{"from":"+12065550100","to":"+12065550123","body":"hi \ud83d\udc4b","media_urls":["https://example.com/a"],"is_mms":true,"send_at":"2020-01-01T00:00:00Z","priority":"bulk","campaign":"c","key":"k"}`, full},
		"what Go writes":    {string(mustJSON(t, full)), full},
		"escaped backslash": {`{"from":"+12065550100","to":"+12065550123","body":"hello","key":"\\ud83d"}`, func() jobs.Message { m := hello(); m.Key = `\ud83d`; return m }()},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := jobs.DecodeMessage([]byte(tt.json))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeMessageRefuses(t *testing.T) {
	t.Parallel()
	with := func(more string) string {
		return `{"from":"+12065550100","to":"+12065550123","body":"hello",` + more + `}`
	}
	whole := func(code string) []problem { return []problem{{"", code}} }
	tests := map[string]struct {
		json string
		want []problem
	}{
		"nothing":             {"", whole("malformed_json")},
		"blank":               {"  \n", whole("malformed_json")},
		"cut":                 {`{"from":"+1206`, whole("malformed_json")},
		"trailing garbage":    {with(`"key":"k"`) + "x", whole("malformed_json")},
		"two objects":         {with(`"key":"k"`) + with(`"key":"k"`), whole("malformed_json")},
		"trailing comma":      {`{"from":"+12065550100",}`, whole("malformed_json")},
		"null":                {"null", whole("wrong_type")},
		"a list":              {"[" + with(`"key":"k"`) + "]", whole("wrong_type")},
		"a string":            {`"hello"`, whole("wrong_type")},
		"not utf-8":           {with("\"key\":\"caf\xe9\""), whole("not_utf8")},
		"too large":           {with(`"key":"` + strings.Repeat("k", jobs.MaxPayload) + `"`), whole("too_large")},
		"deep":                {with(`"x":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000)), whole("malformed_json")},
		"unknown field":       {with(`"boddy":"x"`), []problem{{"boddy", "unknown_field"}}},
		"name in other case":  {with(`"Body":"x"`), []problem{{"Body", "unknown_field"}}},
		"repeated field":      {with(`"body":"other"`), []problem{{"body", "repeated_field"}}},
		"repeated by escape":  {with(`"bod\u0079":"other"`), []problem{{"body", "repeated_field"}}},
		"wrong types":         {`{"from":12065550100,"to":["+12065550123"],"body":{},"media_urls":"https://example.com","is_mms":"true","send_at":"tomorrow","expires_at":5,"priority":1,"campaign":false,"key":7}`, []problem{{"from", "wrong_type"}, {"to", "wrong_type"}, {"body", "wrong_type"}, {"media_urls", "wrong_type"}, {"is_mms", "wrong_type"}, {"send_at", "wrong_type"}, {"expires_at", "wrong_type"}, {"priority", "wrong_type"}, {"campaign", "wrong_type"}, {"key", "wrong_type"}}},
		"wrong media":         {with(`"media_urls":["https://example.com",1,null,{}]`), []problem{{"media_urls[1]", "wrong_type"}, {"media_urls[2]", "wrong_type"}, {"media_urls[3]", "wrong_type"}}},
		"half an emoji":       {with(`"key":"\ud83d"`), []problem{{"key", "not_utf8"}}},
		"other half":          {with(`"key":"\udc4b"`), []problem{{"key", "not_utf8"}}},
		"halves swapped":      {with(`"key":"\udc4b\ud83d"`), []problem{{"key", "not_utf8"}}},
		"half and text":       {with(`"key":"\ud83d\u0041"`), []problem{{"key", "not_utf8"}}},
		"newer version":       {with(`"v":2`), []problem{{"v", "unsupported_version"}}},
		"version as text":     {with(`"v":"1"`), []problem{{"v", "unsupported_version"}}},
		"unknown and invalid": {`{"from":"1","to":"+12065550123","text":"hello"}`, []problem{{"text", "unknown_field"}, {"from", "invalid"}, {"body", "required"}}},
		"foreign conventions": {`{"data":{"type":"message","attributes":{"to":"1"}}}`, []problem{{"data", "unknown_field"}, {"from", "required"}, {"to", "required"}, {"body", "required"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := jobs.DecodeMessage([]byte(tt.json))
			if diff := cmp.Diff(tt.want, problemsOf(t, err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeIsBounded(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	b.WriteString("{")
	for i := range 5000 {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(`"a` + strings.Repeat("\u2028", i%2) + strings.Repeat("x", i%4) + `":1`)
	}
	b.WriteString("}")
	_, err := jobs.DecodeMessage(b.Bytes())
	if n := len(problemsOf(t, err)); n > 20 {
		t.Errorf("got %d problems, want at most 20", n)
	}
	if text := err.Error(); strings.ContainsAny(text, "\n\u2028") || len(text) > 10_000 {
		t.Errorf("got %d bytes, want few and in one line: %.200q", len(text), text)
	}
	long, err := jobs.DecodeMessage([]byte(`{"` + strings.Repeat("n", 60_000) + `":1}`))
	if len(err.Error()) > 1000 {
		t.Errorf("got an error of %d bytes for a long name (%+v)", len(err.Error()), long)
	}
}

// Whatever comes in: no panic, and what is taken stays the same when it is
// written and read again, which is what a worker does with it.
func FuzzDecodeMessage(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", `{"from":"+12065550100","to":"+12065550123","body":"hello"}`,
		`{"v":1,"from":"2065550100","to":"(206) 555-0123","body":"\ud83d\udc4b","media_urls":["https://example.com/a"],"is_mms":true,"key":"k"}`,
		`{"from":"+12065550100","to":"+12065550123","body":"\ud83d","send_at":"2026-11-22T18:00:00-08:00","expires_at":"2027-11-22T18:00:00Z"}`,
		`{"body":"a","body":"b","Body":"c","priority":"otp","campaign":"x y"}`, "{\"body\":\"\xff\"}", `{"media_urls":[[]],"v":1e400}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := jobs.DecodeMessage(b)
		if err != nil {
			if len(problemsOf(t, err)) == 0 || err.Error() == "" {
				t.Errorf("an error that says nothing: %#v", err)
			}
			return
		}
		if !json.Valid(b) {
			t.Errorf("took what is no JSON: %q", b)
		}
		again, err := jobs.DecodeMessage(mustJSON(t, m))
		if err != nil {
			t.Fatalf("took %q but not its own form: %v", b, err)
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Errorf("read again (-first +second):\n%s", diff)
		}
	})
}

package flowroutetest_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

func TestSendFormats(t *testing.T) {
	t.Parallel()
	jsonAPI := `{"data":{"type":"message","attributes":{"to":"12065550199","from":"12065550100","body":"hi","is_mms":%s}}}`
	for _, c := range []struct {
		name, path, body, contentType string
		mms                           bool
	}{
		{"flat", "/v2.1/messages", `{"to":"12065550199","from":"12065550100","body":"hi"}`, vndMedia, false},
		{"flat with a plus", "/v2.2/messages", `{"to":"+12065550199","from":"+12065550100","body":"hi"}`, vndMedia, false},
		{"JSON:API", "/v2.1/messages", fmt.Sprintf(jsonAPI, "false"), vndMedia, false},
		{"JSON:API with is_mms", "/v2.1/messages", fmt.Sprintf(jsonAPI, "true"), vndMedia, true},
		{"is_mms as the string true", "/v2.1/messages", fmt.Sprintf(jsonAPI, `"true"`), vndMedia, true},
		{"is_mms as the string false", "/v2.1/messages", fmt.Sprintf(jsonAPI, `"false"`), vndMedia, false},
		{"is_mms null", "/v2.1/messages", fmt.Sprintf(jsonAPI, `null`), vndMedia, false},
		{"application/json", "/v2.1/messages", fmt.Sprintf(jsonAPI, "false"), "application/json; charset=utf-8", false},
		{"no content type", "/v2.1/messages", fmt.Sprintf(jsonAPI, "false"), "", false},
		{"unknown fields", "/v2.1/messages", `{"to":"12065550199","from":"12065550100","body":"hi","extra":[1]}`, vndMedia, false},
		{"media alone", "/v2.1/messages", `{"to":"12065550199","from":"12065550100","media_urls":["https://media.example.com/a.gif"]}`, vndMedia, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, flowroutetest.Options{})
			a := b.do("POST", c.path, c.body, "Content-Type", c.contentType)
			wantStatus(t, a, 202)
			id := a.at(t, "data.id").(string)
			if !regexp.MustCompile(`^mdr2-[0-9a-f]{32}$`).MatchString(id) {
				t.Errorf("got id %q", id)
			}
			if got, want := a.at(t, "data.links.self"), b.URL+c.path+"/"+id; got != want {
				t.Errorf("got self link %v, want %v", got, want)
			}
			got := b.Truth().Messages
			if len(got) != 1 || got[0].MMS != c.mms || got[0].From != ours || got[0].To != theirs || got[0].MDRIDs[0] != id || got[0].Fault != "" {
				t.Errorf("got truth %+v, want one message %s from %s to %s, MMS %t", got, id, ours, theirs, c.mms)
			}
		})
	}
}

func TestSendRefused(t *testing.T) {
	t.Parallel()
	object := func(field, problem string) string {
		return fmt.Sprintf(`{"errors":[{"detail":{"%s":["%s"]},"status":422}]}`, field, problem)
	}
	const missing, notOurs = "Missing data for required field.", `{"errors":[{"detail":"","status":403,"title":"ActionNotAuthorizedError"}]}`
	long := strings.Repeat("x", 41)
	for _, c := range []struct {
		name, body string
		status     int
		want       string // with ids replaced; empty: only the status
	}{
		{"no to", `{"from":"12065550100","body":"hi"}`, 422, object("to", missing)},
		{"no from", `{"to":"12065550199","body":"hi"}`, 422, object("from", missing)},
		{"no body", `{"to":"12065550199","from":"12065550100"}`, 422, object("body", missing)},
		{"empty body", message(""), 422, object("body", "Shorter than minimum length 1.")},
		{"number as a number", `{"to":12065550199,"from":"12065550100","body":"hi"}`, 422, object("to", "Not a valid string.")},
		{"to is no number", `{"to":"2065550199","from":"12065550100","body":"hi"}`, 422, object("to", "Not a valid phone number.")},
		{"body is an object", `{"to":"12065550199","from":"12065550100","body":{}}`, 422, object("body", "Not a valid string.")},
		{"is_mms is a word", `{"to":"12065550199","from":"12065550100","body":"hi","is_mms":"maybe"}`, 422, object("is_mms", "Not a valid boolean.")},
		{"media is no list", `{"to":"12065550199","from":"12065550100","body":"hi","media_urls":"https://x.example.com"}`, 422, object("media_urls", "Not a valid list of URLs.")},
		{"media is no URL", `{"to":"12065550199","from":"12065550100","body":"hi","media_urls":["ftp://x"]}`, 422, object("media_urls", "Not a valid URL.")},
		{"too much media", `{"to":"12065550199","from":"12065550100","media_urls":["https://a.example.com","https://b.example.com","https://c.example.com"]}`, 422, object("media_urls", "Longer than maximum length 2.")},
		{"too long", message(long), 422, object("body", "Longer than maximum length 40.")},
		{"callback is no URL", `{"to":"12065550199","from":"12065550100","body":"hi","dlr_callback":"x"}`, 422, object("dlr_callback", "Not a valid URL.")},
		{"encoded twice", fmt.Sprintf("%q", message("hi")), 422, object("_schema", "Invalid input type.")},
		{"a list", `[]`, 422, object("_schema", "Invalid input type.")},
		{"data without attributes", `{"data":{"type":"message"}}`, 422, object("attributes", missing)},
		{"cut", `{"to":"1206`, 400, ""},
		{"nothing", "", 400, ""},
		{"not UTF-8", "{\"to\":\"12065550199\",\"from\":\"12065550100\",\"body\":\"\xff\"}", 400, ""},
		{"sender not ours", `{"to":"12065550199","from":"12125550100","body":"hi"}`, 403, notOurs},
		{"opted out", `{"to":"12065550177","from":"12065550100","body":"hi"}`, 400, `{"errors":[{"code":1110,"detail":"User Opted Out (STOP)","id":"ID","status":400,"title":"Client Error"}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, flowroutetest.Options{
				OptedOut: []flowroutetest.OptOutPair{{From: ours, To: "12065550177"}},
				Choices:  flowroutetest.Choices{MaxMediaURLs: 2, MaxBodyRunes: 40},
			})
			a := b.do("POST", "/v2.1/messages", c.body)
			wantStatus(t, a, c.status)
			if got := withoutIDs(a.body); c.want != "" && got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := b.Truth(); len(got.Messages) != 0 || got.Counts.Refused != 1 {
				t.Errorf("got %d messages and %d refused, want 0 and 1", len(got.Messages), got.Counts.Refused)
			}
		})
	}
}

// withoutIDs replaces the request ids of errors.
func withoutIDs(s string) string {
	return regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`).ReplaceAllString(s, "ID")
}

func TestErrorShapes(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{})
	b.AllowUnknownPaths()
	for _, c := range []struct {
		name, method, path string
		status             int
		want               string
	}{
		{"unknown path", "GET", "/v2/nothing", 404,
			`{"errors":[{"status":"404 Not Found: The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again."}]}`},
		{"legacy version", "GET", "/v2/messages", 404, ""},
		{"unknown message", "GET", "/v2.1/messages/mdr2-00000000000000000000000000000000", 404,
			`{"errors":[{"detail":"No such message","id":"ID","status":404,"title":"Resource not found"}]}`},
		{"id of another form", "GET", "/v2.1/messages/mdr1-0", 404, ""},
		{"number not ours", "DELETE", "/v2/numbers/12125550100", 404,
			`{"errors":[{"detail":"Could not find that resource on your account.","id":"ID","status":404}]}`},
		{"method", "DELETE", "/v2.1/messages", 405,
			`{"errors":[{"detail":"The method is not allowed for the requested URL.","id":"ID","status":405,"title":"Method Not Allowed"}]}`},
		{"listing without a start", "GET", "/v2.1/messages", 422,
			`{"errors":[{"detail":{"start_date":["Missing data for required field."]},"status":422}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := b.do(c.method, c.path, "")
			wantStatus(t, a, c.status)
			if got := withoutIDs(a.body); c.want != "" && got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := a.header.Get("Content-Type"); got != vndMedia {
				t.Errorf("got Content-Type %q, want %q", got, vndMedia)
			}
		})
	}
	if got := b.Counts().Unknown; got != 2 {
		t.Errorf("got %d unknown paths, want 2", got)
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{Keys: []flowroutetest.Key{{AccessKey: "f10w0001", SecretKey: "second"}}})
	const want = `{"errors":[{"detail":"Authentication failed.","id":"ID","status":401,"title":"Unauthorized"}]}`
	for _, c := range []struct {
		name, authorization string
		status              int
	}{
		{"none", "", 401},
		{"wrong secret", "Basic ZjEwdzAwMDA6eA==", 401},
		{"unknown key", "Basic eDp4", 401},
		{"bearer", "Bearer x", 401},
		{"second key", "Basic ZjEwdzAwMDE6c2Vjb25k", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := b.tryAs("GET", "/v2/numbers", c.authorization)
			if err != nil {
				t.Fatal(err)
			}
			wantStatus(t, a, c.status)
			if got := withoutIDs(a.body); c.status == 401 && got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestStrictContentType(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{Choices: flowroutetest.Choices{StrictContentType: true}})
	wantStatus(t, b.do("POST", "/v2.1/messages", message("a"), "Content-Type", "application/json"), 415)
	wantStatus(t, b.do("POST", "/v2.1/messages", message("a"), "Content-Type", vndMedia+"; charset=utf-8"), 202)
}

func TestHugeBody(t *testing.T) {
	t.Parallel()
	b := setup(t, flowroutetest.Options{})
	a, err := b.try("POST", "/v2.1/messages", message(strings.Repeat("x", 9<<20)))
	if err == nil {
		wantStatus(t, a, 413) // else the server closed while we were still writing: as real ones do
	}
	b.send("fine again")
}

// TestSameSeedSameIDs: ids follow from the seed and the order of requests.
func TestSameSeedSameIDs(t *testing.T) {
	t.Parallel()
	ids := func(seed uint64) []string {
		b := setup(t, flowroutetest.Options{Seed: seed})
		b.do("GET", "/v2.1/messages", "") // an error's id must not shift them
		return []string{b.send("a"), b.send("b")}
	}
	first := ids(7)
	if diff := cmp.Diff(first, ids(7)); diff != "" {
		t.Errorf("same seed, other ids (-first +second):\n%s", diff)
	}
	if cmp.Equal(first, ids(8)) {
		t.Errorf("got the same ids %v with another seed", first)
	}
}

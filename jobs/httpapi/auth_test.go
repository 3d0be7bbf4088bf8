package httpapi_test

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
)

func basic(name, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+secret))
}

// logIn posts the form and returns the Cookie header of the session.
func (b *bundle) logIn(t *testing.T, name, secret string, headers ...string) (answer, string) {
	t.Helper()
	form := url.Values{"name": {name}, "token": {secret}, "next": {"/queues/"}}.Encode()
	a := b.do("POST", "/login", form, append([]string{"Authorization", "", "Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
	cookie, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	return a, cookie
}

func TestLogins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, session := b.logIn(t, "app", appToken)
	soon := httpapi.CookieName + "=" + httpapi.SignSession(b.server, time.Now().Add(time.Minute))
	over := httpapi.CookieName + "=" + httpapi.SignSession(b.server, time.Now().Add(-time.Second))
	forged := soon[:len(soon)-2] + "AA"

	tests := []struct {
		name    string
		headers []string
		in      bool
	}{
		{"bearer", []string{"Authorization", "Bearer " + appToken}, true},
		{"bearer, the other one", []string{"Authorization", "bearer " + opsToken}, true},
		{"basic", []string{"Authorization", basic("ops", opsToken)}, true},
		{"session", []string{"Cookie", session}, true},
		{"signed session", []string{"Cookie", soon}, true},
		{"nothing", nil, false},
		{"wrong bearer", []string{"Authorization", "Bearer nonsense"}, false},
		{"empty bearer", []string{"Authorization", "Bearer"}, false},
		{"name as bearer", []string{"Authorization", "Bearer app"}, false},
		{"another's secret", []string{"Authorization", basic("app", opsToken)}, false},
		{"unknown name", []string{"Authorization", basic("root", appToken)}, false},
		{"no secret", []string{"Authorization", basic("app", "")}, false},
		{"another scheme", []string{"Authorization", "Digest " + appToken}, false},
		{"session over", []string{"Cookie", over}, false},
		{"session forged", []string{"Cookie", forged}, false},
		{"session empty", []string{"Cookie", httpapi.CookieName + "="}, false},
		{"session of nonsense", []string{"Cookie", httpapi.CookieName + "=a.b.c"}, false},
		{"wrong bearer, good session", []string{"Authorization", "Bearer nonsense", "Cookie", soon}, false},
	}
	closed := []string{"/v1/jobs/x", "/metrics", "/queues/", "/queues/api/queues", "/", "/console/overview", "/nothing"}
	for _, tt := range tests {
		for _, path := range closed {
			a := b.do("GET", path, "", append([]string{"Authorization", ""}, tt.headers...)...)
			if in := a.status != http.StatusUnauthorized; in != tt.in {
				t.Errorf("%s at %s: got status %d, want in: %v", tt.name, path, a.status, tt.in)
			}
			if !tt.in {
				a.wantProblem(t, 401, "unauthorized")
			}
		}
		a := b.do("POST", "/v1/messages", goodMessage, append([]string{"Authorization", ""}, tt.headers...)...)
		if want := map[bool]int{true: 202, false: 401}[tt.in]; a.status != want {
			t.Errorf("%s: posting got status %d, want %d", tt.name, a.status, want)
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/login", "/assets/console.css"} {
		b.do("GET", path, "", "Authorization", "").want(t, 200)
	}
}

func TestUnauthorizedTellsHow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.do("GET", "/v1/jobs/x", "", "Authorization", "")
	if got := a.header.Get("WWW-Authenticate"); !strings.Contains(got, "Bearer realm=") || !strings.Contains(got, "Basic realm=") {
		t.Errorf("got WWW-Authenticate %q, want both ways", got)
	}
	// A page that polls must not make the browser open its dialogue.
	a = b.do("GET", "/console/overview", "", "Authorization", "", "Sec-Fetch-Mode", "cors")
	if got := a.header.Get("WWW-Authenticate"); got != `Bearer realm="flowroute-worker"` {
		t.Errorf("got WWW-Authenticate %q for a script, want no Basic", got)
	}
}

func TestBrowserIsSentToTheLoginPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const html = "text/html,application/xhtml+xml,*/*;q=0.8"
	for path, want := range map[string]string{"/": "/login", "/queues/queues/otp?x=1": "/login?next=%2Fqueues%2Fqueues%2Fotp%3Fx%3D1"} {
		a := b.do("GET", path, "", "Authorization", "", "Accept", html).want(t, http.StatusSeeOther)
		if got := a.header.Get("Location"); got != want {
			t.Errorf("%s: got Location %q, want %q", path, got, want)
		}
	}
	// From a link on another site the session's cookie does not come along.
	a := b.do("GET", "/queues/", "", "Authorization", "", "Accept", html, "Sec-Fetch-Site", "cross-site").want(t, 200)
	if !strings.Contains(string(a.body), `content="0;url=/login?next=%2Fqueues%2F"`) {
		t.Errorf("got %s, want a page that goes on to the login", a.body)
	}
	b.do("POST", "/v1/messages", goodMessage, "Authorization", "", "Accept", html).wantProblem(t, 401, "unauthorized")
}

func TestLoginPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	page := b.do("GET", "/login?next=/queues/", "", "Authorization", "").want(t, 200)
	if !strings.Contains(string(page.body), `name="next" value="/queues/"`) {
		t.Errorf("got %s, want the place to go to", page.body)
	}
	good, session := b.logIn(t, "ops", opsToken)
	good.want(t, http.StatusSeeOther)
	if got := good.header.Get("Location"); got != "/queues/" {
		t.Errorf("got Location %q, want /queues/", got)
	}
	cookie := good.header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("got cookie %q, want %s", cookie, want)
		}
	}
	if strings.Contains(cookie, "Secure") || strings.Contains(cookie, opsToken) {
		t.Errorf("got cookie %q", cookie)
	}
	if a := b.do("GET", "/login", "", "Authorization", "", "Cookie", session); a.status != http.StatusSeeOther || a.header.Get("Location") != "/" {
		t.Errorf("logged in already: got %d to %q", a.status, a.header.Get("Location"))
	}
	overview := b.do("GET", "/", "", "Authorization", "", "Cookie", session).want(t, 200)
	if !strings.Contains(string(overview.body), `action="/logout"><span>ops</span>`) {
		t.Errorf("the page does not say who is logged in: %s", overview.body)
	}
	out := b.do("POST", "/logout", "", "Authorization", "", "Cookie", session).want(t, http.StatusSeeOther)
	if got := out.header.Get("Set-Cookie"); !strings.Contains(got, "Max-Age=0") {
		t.Errorf("got cookie %q, want it taken away", got)
	}

	bad, none := b.logIn(t, "ops", "nonsense-secret")
	bad.want(t, http.StatusUnauthorized)
	if none != "" || !strings.Contains(string(bad.body), "Name or token is wrong.") || strings.Contains(string(bad.body), "nonsense-secret") {
		t.Errorf("got cookie %q and %s", none, bad.body)
	}
	for _, secret := range []string{opsToken, "nonsense-secret", session} {
		if strings.Contains(b.logs.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	huge, _ := b.logIn(t, strings.Repeat("x", 1<<20), "")
	huge.wantProblem(t, 400, "incomplete_body")
}

func TestSecureCookieBehindTLS(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a, session := b.logIn(t, "app", appToken, "X-Forwarded-Proto", "https")
	if got := a.header.Get("Set-Cookie"); !strings.HasPrefix(got, "__Host-flowroute_session=") || !strings.Contains(got, "Secure") {
		t.Errorf("got cookie %q, want a secure one", got)
	}
	b.do("GET", "/v1/jobs/x", "", "Authorization", "", "Cookie", session).wantProblem(t, 404, "not_found")
}

func TestReplicasShareSessionsAndNewTokensEndThem(t *testing.T) {
	t.Parallel()
	one, two := setup(t), setup(t)
	changed := setup(t, func(o *httpapi.Options) { o.Tokens = []httpapi.Token{{Name: "app", Secret: "another"}} })
	_, session := one.logIn(t, "app", appToken)
	two.do("GET", "/v1/jobs/x", "", "Authorization", "", "Cookie", session).wantProblem(t, 404, "not_found")
	changed.do("GET", "/v1/jobs/x", "", "Authorization", "", "Cookie", session).wantProblem(t, 401, "unauthorized")
}

func TestLocalPath(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"/": true, "/queues/?a=b": true, "": false, "queues": false, "//evil.example": false, `/\evil.example`: false,
		"https://evil.example/": false, "javascript:alert(1)": false, "/\t/evil.example": false,
	} {
		if got := httpapi.LocalPath(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestTokenHidesItsSecret(t *testing.T) {
	t.Parallel()
	token := httpapi.Token{Name: "app", Secret: appToken}
	all := fmt.Sprintf("%v %+v %#v %s", token, token, token, slog.AnyValue(token).Resolve())
	if strings.Contains(all, appToken) {
		t.Errorf("the secret is shown: %s", all)
	}
}

// TestOrigins is the table of who may send a text from where.
func TestOrigins(t *testing.T) {
	t.Parallel()
	closed, open := setup(t), setup(t, withoutTokens)
	_, session := closed.logIn(t, "app", appToken)
	const evil = "http://evil.example"
	tests := []struct {
		name    string
		b       *bundle
		headers []string
		status  int
		code    string
	}{
		{"program", closed, nil, 202, ""},
		{"program with the name of the host", closed, []string{"Host", "worker.internal"}, 202, ""},
		{"session, own page", closed, []string{"Authorization", "", "Cookie", session, "Sec-Fetch-Site", "same-origin"}, 202, ""},
		{"session, own page, old browser", closed, []string{"Authorization", "", "Cookie", session, "Origin", closed.url}, 202, ""},
		{"session, foreign page", closed, []string{"Authorization", "", "Cookie", session, "Sec-Fetch-Site", "cross-site", "Origin", evil}, 403, "origin_refused"},
		{"session, sibling host", closed, []string{"Authorization", "", "Cookie", session, "Sec-Fetch-Site", "same-site"}, 403, "origin_refused"},
		{"session, foreign page, old browser", closed, []string{"Authorization", "", "Cookie", session, "Origin", evil}, 403, "origin_refused"},
		{"basic, foreign page", closed, []string{"Authorization", basic("app", appToken), "Sec-Fetch-Site", "cross-site"}, 403, "origin_refused"},
		{"session, foreign form", closed, []string{"Authorization", "", "Cookie", session, "Origin", "null", "Content-Type", "text/plain"}, 403, "origin_refused"},

		{"no tokens, program", open, nil, 202, ""},
		{"no tokens, localhost", open, []string{"Host", "localhost:8080"}, 202, ""},
		{"no tokens, 127.0.0.1", open, []string{"Host", "127.0.0.1"}, 202, ""},
		{"no tokens, IPv6", open, []string{"Host", "[::1]:8080"}, 202, ""},
		{"no tokens, rebound name", open, []string{"Host", "evil.example:8080"}, 403, "host_refused"},
		{"no tokens, name that looks right", open, []string{"Host", "localhost.evil.example"}, 403, "host_refused"},
		{"no tokens, address that looks right", open, []string{"Host", "127.0.0.1.evil.example"}, 403, "host_refused"},
		{"no tokens, other address", open, []string{"Host", "192.0.2.1:8080"}, 403, "host_refused"},
		{"no tokens, own page", open, []string{"Host", "localhost:8080", "Origin", "http://localhost:8080"}, 202, ""},
		{"no tokens, page of another port", open, []string{"Host", "localhost:8080", "Origin", "http://localhost:3000"}, 403, "origin_refused"},
		{"no tokens, foreign page", open, []string{"Host", "localhost:8080", "Origin", evil}, 403, "origin_refused"},
		{"no tokens, sandboxed page", open, []string{"Host", "localhost:8080", "Origin", "null"}, 403, "origin_refused"},
		{"no tokens, foreign form", open, []string{"Origin", evil, "Content-Type", "text/plain"}, 403, "origin_refused"},
		{"no tokens, form without origin", open, []string{"Content-Type", "text/plain"}, 415, "unsupported_content_type"},
		{"no tokens, foreign page says so", open, []string{"Sec-Fetch-Site", "cross-site"}, 403, "origin_refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := tt.b.do("POST", "/v1/messages", goodMessage, tt.headers...)
			if tt.code == "" {
				a.want(t, tt.status)
			} else {
				a.wantProblem(t, tt.status, tt.code)
			}
		})
	}
	t.Run("no tokens, reading by a rebound name", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/", "/v1/jobs/x", "/metrics", "/queues/api/queues"} {
			open.do("GET", path, "", "Host", "evil.example").wantProblem(t, 403, "host_refused")
		}
		open.do("GET", "/healthz", "", "Host", "evil.example").want(t, 200)
	})
	t.Run("foreign login", func(t *testing.T) {
		t.Parallel()
		a, cookie := closed.logIn(t, "app", appToken, "Sec-Fetch-Site", "cross-site")
		a.wantProblem(t, 403, "origin_refused")
		if cookie != "" {
			t.Errorf("got a session")
		}
	})
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, path := range []string{"/", "/login", "/queues/", "/v1/jobs/x", "/healthz", "/nothing"} {
		a := b.do("GET", path, "")
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: got %s %q, want %q", path, name, got, want)
			}
		}
		csp := a.header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'; ") || strings.Contains(csp, "http") || strings.Contains(csp, "*") ||
			strings.Contains(csp, "script-src 'self' 'unsafe-inline'") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: got policy %q", path, csp)
		}
		if a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: other origins may read it", path)
		}
	}
}

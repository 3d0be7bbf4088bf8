package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/flowroute-worker/flowroute-worker/jobs/console"
)

// Token is one login: a program sends the secret as a bearer token, a person
// logs in with name and secret. Use long random secrets: sessions are signed
// with keys made from them.
type Token struct{ Name, Secret string }

// String shows the name only.
func (t Token) String() string { return t.Name + ":xxxxx" }

// GoString keeps %#v from printing the secret.
func (t Token) GoString() string { return "httpapi.Token(" + t.String() + ")" }

// LogValue keeps slog from printing the secret.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// How a client proved who it is.
const (
	byBearer   = "bearer"
	byBasic    = "basic"
	bySession  = "session"
	byLoopback = "loopback" // no tokens: whoever is on this machine
)

// login is who makes a request.
type login struct {
	name string
	by   string
}

// authority knows the tokens by their hashes alone.
type authority struct {
	entries []entry
}

type entry struct {
	name         string
	nameSum, sum [sha256.Size]byte
	sessionKey   [sha256.Size]byte
}

func newAuthority(tokens []Token) (*authority, error) {
	a := &authority{}
	seen := map[string]bool{}
	for i, token := range tokens {
		switch {
		case token.Name == "" || token.Secret == "":
			return nil, fmt.Errorf("httpapi: token %d has no name or no secret", i+1)
		case strings.Contains(token.Name, ":"):
			return nil, fmt.Errorf("httpapi: the name of token %d has a colon, which logging in does not allow", i+1)
		case seen[token.Name]:
			return nil, fmt.Errorf("httpapi: two tokens have the name %q", token.Name)
		}
		seen[token.Name] = true
		a.entries = append(a.entries, entry{
			name: token.Name, nameSum: sha256.Sum256([]byte(token.Name)), sum: sha256.Sum256([]byte(token.Secret)),
			sessionKey: sessionKey(token),
		})
	}
	return a, nil
}

// open reports whether there are no tokens, so that everybody on this machine
// may do everything.
func (a *authority) open() bool { return len(a.entries) == 0 }

// bearer finds the token with this secret, in a time that does not depend on it.
func (a *authority) bearer(secret string) (string, bool) {
	sum := sha256.Sum256([]byte(secret))
	found := -1
	for i := range a.entries {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], a.entries[i].sum[:]), i, found)
	}
	if found < 0 {
		return "", false
	}
	return a.entries[found].name, true
}

// password checks name and secret, in a time that depends on neither.
func (a *authority) password(name, secret string) bool {
	nameSum, sum := sha256.Sum256([]byte(name)), sha256.Sum256([]byte(secret))
	ok := 0
	for i := range a.entries {
		ok |= subtle.ConstantTimeCompare(nameSum[:], a.entries[i].nameSum[:]) & subtle.ConstantTimeCompare(sum[:], a.entries[i].sum[:])
	}
	return ok == 1
}

// identify says who makes the request. A wrong Authorization is not mended by a
// session.
func (s *Server) identify(r *http.Request) (login, bool) {
	if s.auth.open() {
		return login{name: "local", by: byLoopback}, true
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		name, ok := s.session(r)
		return login{name: name, by: bySession}, ok
	}
	if name, secret, ok := r.BasicAuth(); ok {
		return login{name: name, by: byBasic}, s.auth.password(name, secret)
	}
	scheme, secret, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return login{}, false
	}
	name, ok := s.auth.bearer(strings.TrimSpace(secret))
	return login{name: name, by: byBearer}, ok
}

// guard lets a request pass, or answers it: done. A route that is open to all
// skips the login, never the check of where a change comes from.
func (s *Server) guard(w http.ResponseWriter, r *http.Request, open bool) (who login, done bool, err error) {
	if err := s.origins.Check(r); err != nil {
		return who, false, newProblem(http.StatusForbidden, codeOriginRefused,
			"Changes are not taken from pages of another origin.").because(err)
	}
	if open {
		return who, false, nil
	}
	if s.auth.open() {
		if err := checkLoopback(r); err != nil {
			return who, false, err
		}
	}
	who, ok := s.identify(r)
	if ok {
		return who, false, nil
	}
	if isPage(r) {
		s.sendToLogin(w, r)
		return who, true, nil
	}
	return login{}, false, unauthorized(r)
}

// unauthorized names the ways to log in. A script in a page is not told of
// Basic, or the browser would open its own dialogue at each poll.
func unauthorized(r *http.Request) *problem {
	challenge := `Bearer realm="flowroute-worker"`
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode == "" || mode == "navigate" {
		challenge += `, Basic realm="flowroute-worker", charset="UTF-8"`
	}
	return newProblem(http.StatusUnauthorized, codeUnauthorized,
		"Send Authorization: Bearer with a token of API_TOKENS, or log in at /login.").with("WWW-Authenticate", challenge)
}

// isPage reports whether a person's browser asks for something to look at.
func isPage(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		strings.Contains(r.Header.Get("Accept"), "text/html") && r.Header.Get("Authorization") == ""
}

func (s *Server) sendToLogin(w http.ResponseWriter, r *http.Request) {
	target := "/login"
	if next := r.URL.RequestURI(); next != "/" && localPath(next) {
		target += "?next=" + url.QueryEscape(next)
	}
	// The session cookie does not come along when a link on another site was
	// followed. Going on from a page of ours brings it, and nobody who is logged
	// in has to do it twice.
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := console.WriteForward(w, target); err != nil {
			s.log.WarnContext(r.Context(), "page not written", slog.Any("err", err))
		}
		return
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

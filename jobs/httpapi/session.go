package httpapi

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/console"
)

const (
	sessionLife = 12 * time.Hour
	// Under TLS the name carries a prefix with which browsers make sure that
	// nobody else can have set the cookie.
	cookieName       = "flowroute_session"
	secureCookieName = "__Host-" + cookieName
	maxForm          = 4 << 10
)

// sessionKey is the key that signs the sessions of a token. It comes from the
// token alone: all replicas know it, and whoever takes a token out of
// API_TOKENS, or changes it, ends its sessions.
func sessionKey(token Token) [sha256.Size]byte {
	mac := hmac.New(sha256.New, []byte(token.Secret))
	mac.Write([]byte("flowroute-worker session 1\x00" + token.Name))
	return [sha256.Size]byte(mac.Sum(nil))
}

// signSession makes the cookie's value: name, end in ms, signature.
func (e *entry) signSession(end time.Time) string {
	content := base64.RawURLEncoding.EncodeToString([]byte(e.name)) + "." + strconv.FormatInt(end.UnixMilli(), 10)
	return content + "." + base64.RawURLEncoding.EncodeToString(e.mac(content))
}

func (e *entry) mac(content string) []byte {
	mac := hmac.New(sha256.New, e.sessionKey[:])
	mac.Write([]byte(content))
	return mac.Sum(nil)
}

// checkSession returns the name in a cookie that one of the tokens has signed
// and whose time is not over.
func (a *authority) checkSession(value string, now time.Time) (string, bool) {
	cut := strings.LastIndexByte(value, '.')
	if cut < 0 {
		return "", false
	}
	content, signature := value[:cut], value[cut+1:]
	given, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		return "", false
	}
	encoded, ms, _ := strings.Cut(content, ".")
	name, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return "", false
	}
	for i := range a.entries {
		e := &a.entries[i]
		if !bytes.Equal(name, []byte(e.name)) || !hmac.Equal(given, e.mac(content)) {
			continue
		}
		end, err := strconv.ParseInt(ms, 10, 64)
		return e.name, err == nil && now.Before(time.UnixMilli(end))
	}
	return "", false
}

func (s *Server) session(r *http.Request) (string, bool) {
	for _, name := range []string{secureCookieName, cookieName} {
		cookie, err := r.Cookie(name)
		if err != nil {
			continue
		}
		if login, ok := s.auth.checkSession(cookie.Value, time.Now()); ok {
			return login, true
		}
	}
	return "", false
}

// isSecure reports whether the browser's side of the connection is encrypted.
// What a client claims here only binds the cookie more strictly.
func isSecure(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

func sessionCookie(r *http.Request, value string, life time.Duration) *http.Cookie {
	cookie := &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: int(life.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if isSecure(r) {
		cookie.Name, cookie.Secure = secureCookieName, true
	}
	if value == "" {
		cookie.MaxAge = -1
	}
	return cookie
}

func (s *Server) getLogin(w http.ResponseWriter, r *http.Request) error {
	next := r.URL.Query().Get("next")
	if !localPath(next) {
		next = "/"
	}
	if _, ok := s.session(r); ok || s.auth.open() {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return nil
	}
	return s.loginPage(w, http.StatusOK, console.Login{Next: next})
}

func (s *Server) postLogin(w http.ResponseWriter, r *http.Request) error {
	if err := wantContentType(r, "application/x-www-form-urlencoded"); err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return newProblem(http.StatusBadRequest, codeCut, "That is no login form.").because(err)
	}
	name, next := strings.TrimSpace(r.PostForm.Get("name")), r.PostForm.Get("next")
	if !localPath(next) {
		next = "/"
	}
	if !s.auth.password(name, strings.TrimSpace(r.PostForm.Get("token"))) {
		s.log.WarnContext(r.Context(), "login refused")
		// No Basic here: the browser would ask a second time, in its own way.
		w.Header().Set("WWW-Authenticate", `Bearer realm="flowroute-worker"`)
		return s.loginPage(w, http.StatusUnauthorized, console.Login{Next: next, Message: "Name or token is wrong."})
	}
	for i := range s.auth.entries {
		if e := &s.auth.entries[i]; e.name == name {
			http.SetCookie(w, sessionCookie(r, e.signSession(time.Now().Add(sessionLife)), sessionLife))
			s.log.InfoContext(r.Context(), "logged in", slog.String("login", name))
		}
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

func (s *Server) postLogout(w http.ResponseWriter, r *http.Request) error {
	http.SetCookie(w, sessionCookie(r, "", 0))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

func (s *Server) loginPage(w http.ResponseWriter, status int, page console.Login) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	return console.WriteLogin(w, page)
}

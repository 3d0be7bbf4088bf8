package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// checkLoopback protects a server without tokens from the pages that a browser
// on this machine shows. A page of a foreign name that has been pointed at
// 127.0.0.1 sends that name as Host; any other page sends its own Origin.
func checkLoopback(r *http.Request) error {
	if !isLoopbackName(hostOnly(r.Host)) {
		return newProblem(http.StatusForbidden, codeHostRefused,
			"Without API_TOKENS only requests to localhost, 127.0.0.1 or [::1] are answered. To use another name, set API_TOKENS.")
	}
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
			return newProblem(http.StatusForbidden, codeOriginRefused, "Without API_TOKENS no requests of other web pages are answered.")
		}
	}
	return nil
}

func hostOnly(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	return host
}

// isLoopbackName goes by the text: looking a name up would ask whoever owns it.
func isLoopbackName(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// localPath reports whether text is a place on this server and nothing else: a
// path that browsers do not take for the name of another host.
func localPath(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && !strings.ContainsAny(text, "\\\r\n\t") &&
		strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//")
}

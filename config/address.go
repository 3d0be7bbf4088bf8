package config

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// URL is an absolute http or https URL without user info or fragment, and
// without a slash at its end. Empty means none.
type URL string

// EnvDecode is for go-envconfig.
func (u *URL) EnvDecode(text string) error {
	const rule = broken("must be an absolute URL such as https://example.com, without user name, password or fragment")
	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" || parsed.User != nil || strings.Contains(text, "#") {
		return rule
	}
	if parsed.Scheme != "https" && parsed.Scheme != "http" {
		return rule
	}
	if port := parsed.Port(); port != "" && !isPort(port) {
		return rule
	}
	*u = URL(strings.TrimRight(text, "/"))
	return nil
}

// Loopback says whether the host is this machine.
func (u URL) Loopback() bool {
	parsed, err := url.Parse(string(u))
	return err == nil && isLoopback(parsed.Hostname())
}

// encrypted says whether what is sent there cannot be read on the way.
func (u URL) encrypted() bool {
	return strings.HasPrefix(string(u), "https://") || u.Loopback()
}

func (u URL) hasQuery() bool { return strings.Contains(string(u), "?") }

// Address is a host:port to listen on; without host it is every interface.
type Address string

// EnvDecode is for go-envconfig.
func (a *Address) EnvDecode(text string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil || port != "0" && !isPort(port) || strings.ContainsAny(host, " /@") {
		return broken("must be host:port such as 127.0.0.1:8080, or :8080 for every interface")
	}
	*a = Address(text)
	return nil
}

// Loopback says whether only this machine can connect.
func (a Address) Loopback() bool {
	host, _, err := net.SplitHostPort(string(a))
	return err == nil && isLoopback(host)
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

package redisconn

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// URLError says what is wrong with a REDIS_URL. It quotes nothing of the URL
// but its scheme, host names, parameter names and database, so that it can be
// logged although the URL holds a password.
type URLError struct {
	Reason string
}

func (e *URLError) Error() string { return "redis url: " + e.Reason }

func refuse(format string, args ...any) error {
	return &URLError{Reason: fmt.Sprintf(format, args...)}
}

// Parse reads a REDIS_URL of one of these forms (user, password, port and db
// are optional):
//
//	redis://user:password@host:6379/0
//	rediss://user:password@host:6379/0                  TLS
//	redis-socket://user:password@/run/redis.sock?db=0   unix socket
//	redis-sentinel://user:password@h1:26379,h2:26379/0?master=mymaster
//	redis-cluster://user:password@h1:6379,h2:6379       db is always 0
//
// Parameters: db (all but cluster), master, sentinel_username,
// sentinel_password (sentinel), tls=true (sentinel, cluster),
// skip_verify=true (wherever there is TLS: takes any certificate), pool_size
// (connections per client). Others are refused by name. User and password of
// a sentinel URL are those of the Redis servers behind it.
//
// The error is a [*URLError] and never holds a password.
func Parse(rawURL string) (Target, error) {
	parts, err := split(rawURL)
	if err != nil {
		return Target{}, err
	}
	t := Target{scheme: parts.scheme, tls: parts.scheme == schemeTLS}
	if t.username, t.password, err = parseUser(parts.userinfo); err != nil {
		return Target{}, err
	}
	if err := t.parsePlace(parts); err != nil {
		return Target{}, err
	}
	if err := t.parseQuery(parts.query); err != nil {
		return Target{}, err
	}
	if t.scheme == schemeSentinel && t.master == "" {
		return Target{}, refuse("redis-sentinel:// needs the name of the master, as in ?master=mymaster")
	}
	return t, nil
}

// urlParts is a URL cut at its delimiters, nothing decoded. net/url cannot do
// it: it refuses lists of hosts, and its errors quote what may be a password.
type urlParts struct {
	scheme                      scheme
	userinfo, host, path, query string
}

func split(rawURL string) (urlParts, error) {
	name, rest, found := strings.Cut(strings.TrimSpace(rawURL), "://")
	if !found {
		return urlParts{}, refuse("no scheme: write redis://host:6379/0")
	}
	known := []scheme{schemeTCP, schemeTLS, schemeSocket, schemeSentinel, schemeCluster}
	p := urlParts{scheme: scheme(strings.ToLower(name))}
	if !slices.Contains(known, p.scheme) {
		return urlParts{}, refuse("unknown scheme: use redis, rediss, redis-socket, redis-sentinel or redis-cluster")
	}
	authority := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority = rest[:end]
		p.path = rest[end:]
	}
	// An @ after the authority means that a password with a raw / ? or # has
	// ended the authority too early; quoting any piece would show it.
	if strings.Contains(p.path, "@") {
		return urlParts{}, refuse("characters / ? # @ %% in a user name, password or path must be written as %%2F %%3F %%23 %%40 %%25")
	}
	if strings.Contains(p.path, "#") {
		return urlParts{}, refuse("a # has no meaning here; in a password write %%23")
	}
	p.path, p.query, _ = strings.Cut(p.path, "?")
	p.host = authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		p.userinfo, p.host = authority[:at], authority[at+1:]
	}
	return p, nil
}

func parseUser(userinfo string) (username, password string, err error) {
	rawUser, rawPassword, _ := strings.Cut(userinfo, ":")
	username, errUser := url.PathUnescape(rawUser)
	password, errPassword := url.PathUnescape(rawPassword)
	if errUser != nil || errPassword != nil {
		return "", "", refuse("the user name or password holds a %% that begins no escape: write it as %%25")
	}
	return username, password, nil
}

// parsePlace reads hosts and path: where Redis is, and which database.
func (t *Target) parsePlace(p urlParts) error {
	if t.scheme == schemeSocket {
		return t.parseSocket(p)
	}
	defaultPort := "6379"
	if t.scheme == schemeSentinel {
		defaultPort = "26379"
	}
	for host := range strings.SplitSeq(p.host, ",") {
		addr, err := parseHost(host, defaultPort)
		if err != nil {
			return err
		}
		t.addrs = append(t.addrs, addr)
	}
	if len(t.addrs) > 1 && (t.scheme == schemeTCP || t.scheme == schemeTLS) {
		return refuse("%s:// takes one host; several need redis-sentinel:// or redis-cluster://", t.scheme)
	}
	db := strings.Trim(p.path, "/")
	if db == "" {
		return nil
	}
	return t.parseDB(db)
}

func (t *Target) parseSocket(p urlParts) error {
	if p.host != "" {
		return refuse("redis-socket:// takes a path and no host: redis-socket:///run/redis.sock")
	}
	path, err := url.PathUnescape(p.path)
	if err != nil || len(path) < 2 {
		return refuse("redis-socket:// needs the path of the socket: redis-socket:///run/redis.sock")
	}
	t.addrs = []string{path}
	return nil
}

// parseHost returns host:port. Its errors say nothing of what they refuse: a
// URL that lacks its @ has the password where the port should be.
func parseHost(host, defaultPort string) (string, error) {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), defaultPort
	}
	switch {
	case name == "":
		return "", refuse("a host name is missing")
	case strings.Contains(name, ":") && net.ParseIP(name) == nil:
		return "", refuse("a host is not host:port (an IPv6 address goes in brackets)")
	case strings.ContainsFunc(name, notInHost):
		return "", refuse("a host name holds a character that none may hold")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", refuse("a port is not a number from 1 to 65535 (was an @ meant to come before the host?)")
	}
	return net.JoinHostPort(name, port), nil
}

func notInHost(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.:", r))
}

func (t *Target) parseDB(text string) error {
	db, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return refuse("the database must be a number such as 0, as in redis://host:6379/0")
	}
	if t.scheme == schemeCluster && db != 0 {
		return refuse("a cluster has database 0 only")
	}
	t.db = int(db)
	return nil
}

func (t *Target) parseQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return refuse("the part after the ? is not name=value&name=value")
	}
	for _, name := range sortedNames(values) {
		given := values[name]
		if len(given) > 1 {
			return refuse("parameter %s is given %d times", name, len(given))
		}
		if err := t.parseParameter(name, given[0]); err != nil {
			return err
		}
	}
	if t.skipVerify && !t.tls {
		return refuse("skip_verify has no meaning without TLS: use rediss:// or tls=true")
	}
	return nil
}

func (t *Target) parseParameter(name, value string) error {
	sentinel := t.scheme == schemeSentinel
	var err error
	switch {
	case name == "db":
		return t.parseDB(value)
	case name == "pool_size":
		n, convErr := strconv.ParseUint(value, 10, 16)
		if convErr != nil || n == 0 {
			return refuse("pool_size must be a number from 1 to 65535")
		}
		t.poolSize = int(n)
	case name == "skip_verify":
		t.skipVerify, err = parseBool(name, value)
	case name == "tls" && (sentinel || t.scheme == schemeCluster):
		t.tls, err = parseBool(name, value)
	case name == "tls":
		return refuse("parameter tls is for redis-sentinel and redis-cluster; for one server use rediss://")
	case name == "master" && sentinel:
		t.master = value
	case name == "sentinel_username" && sentinel:
		t.sentinelUsername = value
	case name == "sentinel_password" && sentinel:
		t.sentinelPassword = value
	default:
		return refuse("unknown parameter %q for %s://", name, t.scheme)
	}
	return err
}

func parseBool(name, value string) (bool, error) {
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, refuse("parameter %s must be true or false", name)
	}
	return on, nil
}

func sortedNames(values url.Values) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

package redisconn

import (
	"log/slog"
	"net/url"
	"strconv"
	"strings"
)

// A scheme is the part of REDIS_URL before "://".
type scheme string

const (
	schemeTCP      scheme = "redis"
	schemeTLS      scheme = "rediss"
	schemeSocket   scheme = "redis-socket"
	schemeSentinel scheme = "redis-sentinel"
	schemeCluster  scheme = "redis-cluster"
)

// Target says where Redis is and how to log in. It comes from [Parse]; the
// zero value leads nowhere. It prints without its passwords.
type Target struct {
	scheme scheme
	// addrs are host:port pairs, or the one path of a socket. For Sentinel
	// they are the sentinels.
	addrs []string
	db    int

	username, password                 string
	master                             string
	sentinelUsername, sentinelPassword string

	tls        bool
	skipVerify bool
	poolSize   int
}

// String returns the URL with every password replaced by "xxxxx".
func (t Target) String() string {
	if t.scheme == "" {
		return "(no redis)"
	}
	var b strings.Builder
	b.WriteString(string(t.scheme) + "://")
	switch {
	case t.password != "":
		b.WriteString(url.User(t.username).String() + ":xxxxx@")
	case t.username != "": // most likely a password that lacks its colon
		b.WriteString("xxxxx@")
	}
	query := url.Values{}
	switch t.scheme {
	case schemeSocket:
		path := url.URL{Path: t.addrs[0]}
		b.WriteString(path.EscapedPath())
		query.Set("db", strconv.Itoa(t.db))
	case schemeCluster:
		b.WriteString(strings.Join(t.addrs, ","))
	default:
		b.WriteString(strings.Join(t.addrs, ",") + "/" + strconv.Itoa(t.db))
	}
	if t.master != "" {
		query.Set("master", t.master)
	}
	if t.sentinelPassword != "" {
		query.Set("sentinel_password", "xxxxx")
	}
	if t.tls && t.scheme != schemeTLS {
		query.Set("tls", "true")
	}
	if t.skipVerify {
		query.Set("skip_verify", "true")
	}
	if len(query) > 0 {
		b.WriteString("?" + query.Encode())
	}
	return b.String()
}

// GoString keeps %#v from printing the passwords.
func (t Target) GoString() string { return "redisconn.Target(" + t.String() + ")" }

// LogValue keeps slog from printing the passwords.
func (t Target) LogValue() slog.Value { return slog.StringValue(t.String()) }

// DB returns the number of the database, 0 for a cluster.
func (t Target) DB() int { return t.db }

package flowroute

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options are the settings of a [Client]. Only Credentials are required.
type Options struct {
	// BaseURL is where the API is; it may have a path. Credentials are sent to
	// its host and to no other. Defaults to https://api.flowroute.com.
	BaseURL string

	Credentials Credentials

	// Timeout bounds one request, from permission to the last byte of the
	// response. Flowroute fetches the media of an MMS before it answers, so allow
	// at least 30 s. Defaults to 60 s.
	Timeout time.Duration

	// Gate is asked before each request that brings no Pass of its own. Defaults
	// to no limit.
	Gate Gate

	// UserAgent defaults to "flowroute-worker".
	UserAgent string

	// RootCAs verifies the server. Defaults to the system's roots.
	RootCAs *x509.CertPool

	// Logger gets one line for each request, on level Debug. Defaults to discarding.
	Logger *slog.Logger

	// Observe is called once for each request that was let through, after it
	// ended. It is meant for metrics and must be quick. May be nil.
	Observe func(Observation)
}

// Observation is one finished request as [Options.Observe] sees it.
type Observation struct {
	Op       string // "send message", "list routes", …
	Endpoint Endpoint
	Method   string
	Status   int // 0 when no response came
	Duration time.Duration
	Outcome  string // "ok", "error", or for a failed write its Result: "not_sent", "refused", "unknown"
}

// Client calls the API. It is safe for concurrent use and never retries.
type Client struct {
	wire  *http.Transport
	base  *url.URL
	auth  string // the Authorization header
	agent string

	timeout time.Duration
	gate    Gate
	account string
	scrub   *strings.Replacer // takes the credentials out of text

	logger  *slog.Logger
	observe func(Observation)
}

const (
	defaultBaseURL   = "https://api.flowroute.com"
	defaultTimeout   = 60 * time.Second
	defaultUserAgent = "flowroute-worker"
)

// New returns a client. It makes no request, so wrong credentials show at the
// first call. The errors never contain the credentials.
func New(o Options) (*Client, error) {
	base, err := parseBase(o.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("flowroute: base URL: %w", err)
	}
	if err := o.Credentials.check(); err != nil {
		return nil, fmt.Errorf("flowroute: %w", err)
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("flowroute: timeout is negative: %v", o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.UserAgent == "" {
		o.UserAgent = defaultUserAgent
	}
	if o.Gate == nil {
		o.Gate = openGate
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(Observation) {}
	}
	basic := o.Credentials.basic()
	return &Client{
		wire:    newTransport(o.Timeout, o.RootCAs),
		base:    base,
		auth:    "Basic " + basic,
		agent:   o.UserAgent,
		timeout: o.Timeout,
		gate:    o.Gate,
		account: accountID(base, o.Credentials.AccessKey),
		scrub: strings.NewReplacer(
			basic, redacted,
			o.Credentials.SecretKey, redacted,
			o.Credentials.AccessKey, redacted),
		logger:  o.Logger,
		observe: o.Observe,
	}, nil
}

// WithGate returns a client that asks g, and shares everything else with c:
// connections too. A nil g is no limit.
func (c *Client) WithGate(g Gate) *Client {
	if g == nil {
		g = openGate
	}
	other := *c
	other.gate = g
	return &other
}

// Account identifies what the limits and the records belong to: the base URL
// and the access key, as a hash. It is stable over processes and releases.
func (c *Client) Account() string { return c.account }

// Close closes idle connections. Requests under way go on; the client, and those
// made from it with [Client.WithGate], may still be used.
func (c *Client) Close() { c.wire.CloseIdleConnections() }

// Format prints the account, whatever the verb: the client holds credentials.
func (c *Client) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "flowroute.Client(%s)", c.account) }

// parseBase checks a base URL and brings it into one form. Its errors do not
// quote the input, which may hold a password.
func parseBase(raw string) (*url.URL, error) {
	if raw == "" {
		raw = defaultBaseURL
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must begin with https:// or http://")
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("must not contain credentials")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("must not have a query or a fragment")
	case u.RawPath != "":
		return nil, errors.New("must not have escaped characters in its path")
	}
	defaultPort := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	return &url.URL{
		Scheme: u.Scheme,
		Host:   strings.TrimSuffix(strings.ToLower(u.Host), defaultPort),
		Path:   strings.TrimRight(u.Path, "/"),
	}, nil
}

func accountID(base *url.URL, accessKey string) string {
	sum := sha256.Sum256([]byte(base.String() + "\x00" + accessKey))
	return "fr-" + hex.EncodeToString(sum[:8])
}

// Credentials are an access key and its secret. However they are printed or
// logged, neither shows.
type Credentials struct{ AccessKey, SecretKey string }

const redacted = "[redacted]"

func (Credentials) String() string             { return redacted }
func (Credentials) GoString() string           { return redacted }
func (Credentials) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) } // verbs like %d go round String
func (Credentials) LogValue() slog.Value       { return slog.StringValue(redacted) }

// MarshalText keeps the credentials out of JSON as well.
func (Credentials) MarshalText() ([]byte, error) { return []byte(redacted), nil }

func (c Credentials) check() error {
	for _, key := range []struct{ name, value string }{
		{"access key", c.AccessKey}, {"secret key", c.SecretKey},
	} {
		switch {
		case key.value == "":
			return fmt.Errorf("%s is empty", key.name)
		case strings.ContainsFunc(key.value, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			return fmt.Errorf("%s contains a space or a control character", key.name)
		}
	}
	if strings.Contains(c.AccessKey, ":") {
		return errors.New("access key contains a colon")
	}
	return nil
}

func (c Credentials) basic() string {
	return base64.StdEncoding.EncodeToString([]byte(c.AccessKey + ":" + c.SecretKey))
}

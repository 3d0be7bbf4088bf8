package redistest

import (
	"net/url"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/internal/faultproxy"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
)

// Proxy stands between a client and Redis and misbehaves on request. It ends with its
// test.
type Proxy struct {
	*faultproxy.Proxy
	// URL is the REDIS_URL of the same database by way of the proxy.
	URL string

	t testing.TB
}

func newProxy(t testing.TB, rawURL string) *Proxy {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "redis" {
		t.Fatalf("redistest: a proxy needs a redis:// url, got %s", redacted(rawURL))
	}
	p, err := faultproxy.Start(t.Context(), u.Host)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(p.Close)
	u.Host = p.Addr()
	return &Proxy{Proxy: p, URL: u.String(), t: t}
}

// Client returns a producer's client that goes by way of the proxy, closed
// when the test ends.
func (p *Proxy) Client() redis.UniversalClient {
	p.t.Helper()
	return newClient(p.t, p.URL, redisconn.Target.Producer)
}

// Worker returns a worker's client that goes by way of the proxy, closed when
// the test ends.
func (p *Proxy) Worker() redis.UniversalClient {
	p.t.Helper()
	return newClient(p.t, p.URL, redisconn.Target.Worker)
}

package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

const queuesRoot = "/queues"

// queues are the pages of asynqmon.
type queues struct {
	pages http.Handler
	csp   string
	write bool
	// Where acting is allowed:
	jobs  *jobs.Client
	tasks *asynq.Inspector
}

// sharedRedis hands our client to asynqmon, which wants to make its own. Nobody
// may call Close of asynqmon's handler: it would close our client.
type sharedRedis struct{ rdb redis.UniversalClient }

// MakeRedisClient returns the shared client.
func (s sharedRedis) MakeRedisClient() any { return s.rdb }

func newQueues(client *jobs.Client, rdb redis.UniversalClient, write bool) (*queues, error) {
	q := &queues{write: write, jobs: client, tasks: asynq.NewInspectorFromRedisClient(rdb), pages: asynqmon.New(asynqmon.Options{
		RootPath:         queuesRoot,
		RedisConnOpt:     sharedRedis{rdb},
		ReadOnly:         !write,
		PayloadFormatter: asynqmon.PayloadFormatterFunc(formatPayload),
		ResultFormatter:  asynqmon.ResultFormatterFunc(formatResult),
	})}
	hashes, err := q.inlineScripts()
	if err != nil {
		return nil, err
	}
	// Its style comes from scripts; its fonts would come from outside, and the
	// pages do without them.
	q.csp = "default-src 'none'; script-src 'self'" + hashes + "; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
		"font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
	return q, nil
}

// inlineScripts allows the scripts that the page itself brings, and no others.
func (q *queues) inlineScripts() (string, error) {
	page := &answer{header: http.Header{}}
	q.pages.ServeHTTP(page, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: queuesRoot + "/"}, Header: http.Header{}})
	var hashes strings.Builder
	rest := page.body.Bytes()
	for {
		_, after, found := bytes.Cut(rest, []byte("<script>"))
		script, remaining, closed := bytes.Cut(after, []byte("</script>"))
		if !found || !closed {
			break
		}
		sum := sha256.Sum256(script)
		hashes.WriteString(" 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'")
		rest = remaining
	}
	if hashes.Len() == 0 {
		return "", errors.New("httpapi: asynqmon's page is not as expected")
	}
	return hashes.String(), nil
}

// serve answers below /queues/.
func (q *queues) serve(w http.ResponseWriter, r *http.Request) error {
	path := r.URL.Path
	if q.write && r.Method != http.MethodGet && r.Method != http.MethodHead {
		return q.act(w, r)
	}
	if done := refuseAll(w, r); done {
		return nil
	}
	w.Header().Set("Content-Security-Policy", q.csp)
	switch {
	case q.write && path == noticePath:
		w.Header().Set("Content-Type", "application/javascript; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		_, err := io.WriteString(w, noticeScript)
		return err
	case strings.HasPrefix(path, queuesRoot+"/static/"):
		w.Header().Set("Cache-Control", "private, max-age=86400") // the names carry a hash
	case q.write && !strings.HasPrefix(path, queuesAPI):
		return q.servePage(w, r)
	}
	q.pages.ServeHTTP(&mended{ResponseWriter: w, path: path}, r)
	return nil
}

// mended corrects the types that asynqmon guesses wrong: images that are text.
type mended struct {
	http.ResponseWriter
	path string
	done bool
}

func (m *mended) WriteHeader(status int) {
	if !m.done && status == http.StatusOK {
		switch {
		case strings.HasSuffix(m.path, ".svg"):
			m.Header().Set("Content-Type", "image/svg+xml")
		case strings.HasSuffix(m.path, ".json"):
			m.Header().Set("Content-Type", "application/json")
		}
	}
	m.done = true
	m.ResponseWriter.WriteHeader(status)
}

func (m *mended) Write(b []byte) (int, error) {
	if !m.done {
		m.WriteHeader(http.StatusOK)
	}
	return m.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (m *mended) Unwrap() http.ResponseWriter { return m.ResponseWriter }

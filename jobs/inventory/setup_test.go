package inventory_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// free is a pass of no limit.
type free struct{}

func (free) Deadline() time.Time { return time.Now().Add(time.Minute) }
func (free) Written(func() bool) {}
func (free) Responded()          {}
func (free) Abandoned()          {}
func (free) Unsent()             {}

// rig is an account, its copy, and what keeps them in step. Between the two is a
// proxy that leaves out of listings what the test hides.
type rig struct {
	*flowroutetest.Server
	t      testing.TB
	rdb    redis.UniversalClient
	store  *inventory.Store
	syncer *inventory.Syncer
	api    *flowroute.Client

	mu     sync.Mutex
	hidden map[string]bool // ids that listings lack
	asked  int
	before func(ctx context.Context, request int) error // called before each request, counted from 1
}

func setup(t testing.TB, sim flowroutetest.Options, o inventory.SyncerOptions) *rig {
	t.Helper()
	r := &rig{t: t, Server: flowroutetest.NewServer(t, sim), rdb: redistest.New(t).Client(), hidden: map[string]bool{}}
	target, err := url.Parse(r.Root)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:        func(p *httputil.ProxyRequest) { p.SetURL(target) },
		ModifyResponse: r.hide,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	})
	t.Cleanup(proxy.Close)
	r.api, err = flowroute.New(flowroute.Options{
		BaseURL: proxy.URL + "/flowroute", Credentials: flowroute.Credentials{AccessKey: r.AccessKey, SecretKey: r.SecretKey}, Gate: r.gate,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.api.Close)
	if r.store, err = inventory.New(r.rdb, inventory.Options{}); err != nil {
		t.Fatal(err)
	}
	r.syncer = r.newSyncer(o)
	return r
}

func (r *rig) newSyncer(o inventory.SyncerOptions) *inventory.Syncer {
	r.t.Helper()
	if o.RetryWait == 0 {
		o.RetryWait = time.Millisecond
	}
	if o.Settle == 0 {
		o.Settle = 1
	}
	syncer, err := inventory.NewSyncer(r.store, r.api, o)
	if err != nil {
		r.t.Fatal(err)
	}
	return syncer
}

func (r *rig) gate(ctx context.Context, _ flowroute.Endpoint) (flowroute.Pass, error) {
	r.mu.Lock()
	r.asked++
	n, before := r.asked, r.before
	r.mu.Unlock()
	if before != nil {
		if err := before(ctx, n); err != nil {
			return nil, err
		}
	}
	return free{}, nil
}

// onRequest sets what is called before each request from now on.
func (r *rig) onRequest(f func(ctx context.Context, request int) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked, r.before = 0, f
}

func (r *rig) setHidden(ids ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.hidden)
	for _, id := range ids {
		r.hidden[id] = true
	}
}

func (r *rig) hide(response *http.Response) error {
	var document map[string]any
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if json.Unmarshal(body, &document) == nil {
		if list, ok := document["data"].([]any); ok {
			r.mu.Lock()
			document["data"] = slices.DeleteFunc(list, func(row any) bool {
				id, _ := row.(map[string]any)["id"].(string)
				return r.hidden[id] || r.hidden["all"]
			})
			r.mu.Unlock()
			if body, err = json.Marshal(document); err != nil {
				return err
			}
		}
	}
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	response.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// change does to the account what somebody else does, past the client.
func (r *rig) change(method, path, body string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.SetBasicAuth(r.AccessKey, r.SecretKey)
	request.Header.Set("Content-Type", "application/vnd.api+json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		text, _ := io.ReadAll(response.Body)
		r.t.Fatalf("%s %s: %s %s", method, path, response.Status, text)
	}
}

func (r *rig) release(number string) { r.t.Helper(); r.change("DELETE", "/v2/numbers/"+number, "") }

func (r *rig) alias(number, alias string) {
	r.t.Helper()
	r.change("PATCH", "/v2/numbers/"+number, fmt.Sprintf(`{"type":"number","alias":%q}`, alias))
}

func (r *rig) route(number, slot, id string) {
	r.t.Helper()
	r.change("PATCH", "/v2/numbers/"+number+"/relationships/"+slot, fmt.Sprintf(`{"data":{"type":"route","id":%q}}`, id))
}

func (r *rig) sync() inventory.Report {
	r.t.Helper()
	report, err := r.syncer.Sync(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

func (r *rig) get(number string) inventory.Number {
	r.t.Helper()
	n, err := r.store.Get(r.t.Context(), parse(r.t, number))
	if err != nil {
		r.t.Fatalf("number %s: %v", number, err)
	}
	return n
}

func parse(t testing.TB, number string) flowroute.E164 {
	t.Helper()
	n, err := flowroute.ParseE164(number)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// line is what is compared of a change.
type line struct {
	Kind              inventory.ChangeKind
	Name, Before, Now string
}

func (r *rig) changes() []line {
	r.t.Helper()
	changes, err := r.store.Changes(r.t.Context(), time.Time{}, "", 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	var lines []line
	for _, c := range changes {
		name := c.Route
		if !c.Number.IsZero() {
			name = c.Number.Digits()
		}
		lines = append(lines, line{c.Kind, name, c.Old, c.New})
	}
	return lines
}

func (r *rig) expectChanges(want ...line) {
	r.t.Helper()
	same(r.t, "changes", r.changes(), want)
}

// held lists the numbers that the copy has as the account's, or as gone.
func (r *rig) held(gone bool) []string {
	r.t.Helper()
	var held []string
	for n, err := range r.store.Each(r.t.Context(), inventory.Query{Gone: gone, Limit: 7}) {
		if err != nil {
			r.t.Fatal(err)
		}
		held = append(held, n.Number.Digits())
	}
	return held
}

// expectTruth compares the copy with the account, routes included.
func (r *rig) expectTruth() {
	r.t.Helper()
	want, got := map[string][4]string{}, map[string][4]string{}
	for number, n := range r.Truth().Numbers {
		want[number] = [4]string{n.Alias, n.PrimaryRoute, n.FailoverRoute, strconv.FormatBool(n.MessagingEnabled)}
	}
	for _, number := range r.held(false) {
		n := r.get(number)
		got[number] = [4]string{n.Alias, n.PrimaryRoute, n.FailoverRoute, strconv.FormatBool(n.MessagingEnabled != nil && *n.MessagingEnabled)}
	}
	same(r.t, "copy", got, want)
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// owned makes numbers of an account.
func owned(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(12065550000 + i*7)
	}
	return all
}

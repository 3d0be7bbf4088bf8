package events_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs/events"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// checkOrder: what a receiver knows of each job never goes back, but for repeats of
// what it has.
func checkOrder(t *testing.T, got []events.View) {
	t.Helper()
	last, seen := map[string]events.ID{}, map[string]bool{}
	for _, e := range got {
		id, ok := events.ParseID(e.ID)
		if !ok {
			t.Fatalf("got %+v", e)
		}
		if id.Compare(last[e.JobID]) < 0 && !seen[e.ID] {
			t.Errorf("%s of job %s came after a later one", e.State, e.JobID)
		}
		last[e.JobID], seen[e.ID] = id, true
	}
}

// distinct are the ids, without repeats.
func distinct(got []events.View) (ids []string) {
	seen := map[string]bool{}
	for _, e := range got {
		if !seen[e.ID] {
			ids = append(ids, e.ID)
		}
		seen[e.ID] = true
	}
	return ids
}

// wantAll waits until the receiver has all that is in the stream, and checks the order.
func (b *bundle) wantAll() []events.View {
	b.t.Helper()
	want := b.all()
	b.until("not all was delivered", func() bool { return len(distinct(b.to.events())) >= len(want) })
	got := b.to.events()
	if diff := cmp.Diff(want, distinct(got)); diff != "" {
		b.t.Errorf("events (-want +got):\n%s", diff)
	}
	checkOrder(b.t, got)
	return got
}

func TestSenderDeliversInOrderFromItsFirstStartOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.queue(1) // before it began
	p := b.send(b.rdb)
	b.begun()
	before := len(b.all())
	ids := b.queue(150)
	b.until("not all was delivered", func() bool { return len(b.to.events()) >= 300 })
	got := b.to.events()
	if diff := cmp.Diff(b.all()[before:], distinct(got)); diff != "" || len(got) != 300 {
		t.Errorf("got %d events (-want +got):\n%s", len(got), diff)
	}
	checkOrder(t, got)
	first := got[0]
	if first.JobID != ids[0] || first.State != ledger.Queued || first.Type != ledger.SendMessage || first.At.IsZero() {
		t.Errorf("got %+v first", first)
	}
	all, _ := b.to.got()
	for _, p := range all {
		if p.V != 1 || p.Gap != nil || len(p.Events) > 200 || len(p.raw) > 100<<10 {
			t.Errorf("got version %d, gap %v, %d events in %d bytes", p.V, p.Gap, len(p.Events), len(p.raw))
		}
		if text := string(p.raw); strings.Contains(text, "swordfish") || strings.Contains(text, "2065550") {
			t.Errorf("a text or a number was posted: %s", text)
		}
	}
	b.until("a lag stays", func() bool { lag, err := p.Lag(t.Context(), time.Now()); return err == nil && lag == 0 })
}

// TestSenderRidesOutItsReceiver: no answer but a 2xx is one, redirects lead nowhere,
// and nothing is left out or comes early.
func TestSenderRidesOutItsReceiver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hang := make(chan struct{})
	defer close(hang)
	b.to.answers(func(n int, p post) int {
		switch n % 6 {
		case 1:
			return http.StatusInternalServerError
		case 2:
			return http.StatusTemporaryRedirect
		case 3:
			panic(http.ErrAbortHandler)
		case 4:
			select {
			case <-hang:
			case <-time.After(500 * time.Millisecond): // longer than a post may take
			}
			return http.StatusGone
		case 5:
			return http.StatusBadRequest
		}
		return http.StatusNoContent
	})
	p := b.send(b.rdb, func(o *events.SenderOptions) { o.Timeout = 200 * time.Millisecond })
	b.begun()
	b.queue(2)
	if lag, err := p.Lag(t.Context(), time.Now().Add(time.Hour)); err != nil || lag < time.Hour {
		t.Errorf("got lag %v (%v), want an hour and some", lag, err)
	}
	b.wantAll()
	b.queue(2)
	b.wantAll()
	all, taken := b.to.got()
	for _, p := range all {
		if p.path != "/hook" {
			t.Errorf("a redirect was followed to %s", p.path)
		}
	}
	ids := map[string]bool{}
	for _, p := range taken {
		if id := p.header.Get("Webhook-Id"); ids[id] {
			t.Errorf("%s was taken twice", id)
		} else {
			ids[id] = true
		}
	}
	if len(all) < 6 || len(distinct(b.to.events())) != len(b.to.events()) {
		t.Errorf("got %d posts, repeats among %d taken events", len(all), len(b.to.events()))
	}
	for _, hidden := range []string{"in-the-address", "MfKQ9r8", "swordfish", "2065550"} {
		if strings.Contains(b.logs.String(), hidden) {
			t.Errorf("%q is in the log:\n%s", hidden, b.logs)
		}
	}
}

// TestSenderCrashRepeatsOneBatch cuts a process off from Redis when the receiver has
// a batch and the place is not noted.
func TestSenderCrashRepeatsOneBatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	proxy := b.db.Proxy(t)
	cut := make(chan struct{})
	b.to.answers(func(n int, p post) int {
		if n == 3 {
			proxy.Cut()
			close(cut)
		}
		return 200
	})
	first := b.send(proxy.Client(), mortal)
	b.begun()
	for range 5 {
		b.queue(20)
		at := len(b.to.events())
		if isClosed(cut) {
			break
		}
		b.until("nothing was delivered", func() bool { return len(b.to.events()) > at || isClosed(cut) })
	}
	<-cut
	first.end()
	b.queue(5)
	b.send(b.rdb)
	got := b.wantAll()
	all, _ := b.to.got()
	if repeats := len(got) - len(distinct(got)); repeats != len(all[2].Events) {
		t.Errorf("got %d repeated events, want those of one batch, %d", repeats, len(all[2].Events))
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestSenderOneOfTwoProcesses: one posts, the other goes on when it ends, and nothing
// comes twice.
func TestSenderOneOfTwoProcesses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	named := func(name string) func(*events.SenderOptions) {
		return func(o *events.SenderOptions) { o.UserAgent = name }
	}
	two := map[string]*process{"a": b.send(b.rdb, named("a")), "b": b.send(b.db.Client(), named("b"))}
	b.begun()
	b.queue(20)
	b.wantAll()
	all, _ := b.to.got()
	holder := all[0].header.Get("User-Agent")
	for _, p := range all {
		if p.header.Get("User-Agent") != holder {
			t.Error("two processes have posted")
		}
	}
	two[holder].end()
	b.queue(20)
	got := b.wantAll()
	if len(got) != len(distinct(got)) {
		t.Error("an event came twice, without a crash")
	}
	all, _ = b.to.got()
	if last := all[len(all)-1].header.Get("User-Agent"); last == holder {
		t.Error("a process that had ended has posted")
	}
}

// TestSenderThatLostItsLeaseStops: what it had on the way it does not note over the
// other's place, and it posts no more.
func TestSenderThatLostItsLeaseStops(t *testing.T) {
	t.Parallel()
	b := setup(t)
	proxy := b.db.Proxy(t)
	release, held := make(chan struct{}), make(chan struct{})
	b.to.answers(func(n int, p post) int {
		if n == 1 {
			close(held)
			<-release
		}
		return 200
	})
	b.send(proxy.Client(), mortal, func(o *events.SenderOptions) { o.UserAgent = "lost" })
	b.begun()
	b.queue(3)
	<-held
	proxy.Cut()
	b.send(b.rdb, func(o *events.SenderOptions) { o.UserAgent = "new" })
	b.queue(3)
	b.wantAll() // while the first still waits for its answer
	proxy.Resume()
	close(release)
	b.queue(3)
	b.wantAll()
	all := b.all()
	b.until("the place is not that of the last event", func() bool { return b.rdb.Get(t.Context(), positionKey).Val() == all[len(all)-1] })
	posts, _ := b.to.got()
	for i, p := range posts {
		if p.header.Get("User-Agent") == "lost" && i > 0 {
			t.Error("the process that lost its lease has posted again")
		}
	}
}

// TestSenderDoesNotPutThePlaceBack: what another process has noted meanwhile holds.
func TestSenderDoesNotPutThePlaceBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	release, held := make(chan struct{}), make(chan struct{})
	b.to.answers(func(n int, p post) int {
		if n == 1 {
			close(held)
			<-release
		}
		return 200
	})
	b.send(b.rdb)
	b.begun()
	b.queue(2)
	<-held
	b.queue(2)
	before := b.all()
	if err := b.rdb.Set(t.Context(), positionKey, before[len(before)-1], 0).Err(); err != nil {
		t.Fatal(err)
	}
	close(release)
	b.queue(1)
	all := b.all()
	b.until("the sender does not go on", func() bool {
		got := b.to.events()
		return len(got) > 0 && got[len(got)-1].ID == all[len(all)-1]
	})
	posts, _ := b.to.got()
	var after []string
	for _, p := range posts[1:] {
		for _, e := range p.Events {
			after = append(after, e.ID)
		}
	}
	if diff := cmp.Diff(all[len(before):], after); diff != "" {
		t.Errorf("after another's place (-want +got):\n%s", diff)
	}
}

func TestSenderSaysWhatWasTrimmed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.send(b.rdb)
	b.begun()
	b.queue(1)
	b.wantAll()
	var once sync.Once
	down := make(chan struct{})
	b.to.answers(func(int, post) int { once.Do(func() { close(down) }); return 503 })
	b.queue(10)
	<-down
	first.end()
	b.queue(10)
	if err := b.rdb.XTrimMaxLen(t.Context(), streamKey, 6).Err(); err != nil {
		t.Fatal(err)
	}
	_, taken := b.to.got()
	before := len(taken)
	b.to.answers(nil)
	p := b.send(b.rdb)
	want := b.all()
	b.until("not all was delivered", func() bool { return len(b.to.events()) >= 2+len(want) })
	_, taken = b.to.got()
	gap := taken[before].Gap
	if gap == nil || gap.Reason != events.Trimmed || gap.Oldest != want[0] {
		t.Fatalf("got %+v, want a gap that ends at %s", gap, want[0])
	}
	for _, later := range taken[before+1:] {
		if later.Gap != nil {
			t.Errorf("got the gap again: %+v", later.Gap)
		}
	}
	if diff := cmp.Diff(want, distinct(b.to.events())[2:]); diff != "" {
		t.Errorf("after the gap (-want +got):\n%s", diff)
	}
	if got := p.counter(t, "flowroute_worker_webhook_gaps_total", events.Trimmed); got != 1 {
		t.Errorf("got %v gaps counted, want 1", got)
	}
	if !strings.Contains(b.logs.String(), "changes were gone before the webhook had them") {
		t.Error("the log does not say so")
	}
}

func (p *process) counter(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if labels := metric.GetLabel(); family.GetName() == name && len(labels) == 1 && labels[0].GetValue() == label {
				return metric.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s of %s", name, label)
	return 0
}

// TestSenderAfterTheStreamWasLost: what is there is delivered, though its ids are
// lower than the place.
func TestSenderAfterTheStreamWasLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.rdb.Set(t.Context(), positionKey, "99999999999999-0", 0).Err(); err != nil {
		t.Fatal(err)
	}
	b.queue(3)
	p := b.send(b.rdb)
	b.wantAll()
	if got := p.counter(t, "flowroute_worker_webhook_gaps_total", events.Ahead); got != 1 {
		t.Errorf("got %v gaps counted, want 1", got)
	}
	b.queue(1)
	b.wantAll()
}

// TestSenderStopLetsAPostEnd: no repeat for a stop while a post is on its way.
func TestSenderStopLetsAPostEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	held := make(chan struct{})
	b.to.answers(func(n int, p post) int {
		if n == 1 {
			close(held)
			<-time.After(200 * time.Millisecond)
		}
		return 200
	})
	first := b.send(b.rdb)
	b.begun()
	b.queue(1)
	<-held
	first.end()
	b.send(b.rdb)
	b.queue(1)
	if got := b.wantAll(); len(got) != len(distinct(got)) {
		t.Error("an event came twice, though its post had ended")
	}
}

func TestSenderOptionsAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, err := events.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	good := func() events.SenderOptions {
		return events.SenderOptions{Redis: b.rdb, Ledger: b.jobs.Ledger(), URL: "https://example.com/x", Key: key}
	}
	for name, change := range map[string]func(*events.SenderOptions){
		"no redis":     func(o *events.SenderOptions) { o.Redis = nil },
		"no ledger":    func(o *events.SenderOptions) { o.Ledger = nil },
		"no address":   func(o *events.SenderOptions) { o.URL = "" },
		"another kind": func(o *events.SenderOptions) { o.URL = "ftp://example.com" },
		"no key":       func(o *events.SenderOptions) { o.Key = nil },
	} {
		o := good()
		change(&o)
		if _, err := events.NewSender(o); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if _, err := events.NewSender(good()); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "whsec_", "whsec_c2hvcnQ=", strings.TrimPrefix(secret, "whsec_"), "whsec_%%%", "whsec_" + strings.Repeat("QUFB", 30)} {
		if _, err := events.ParseSecret(bad); err == nil {
			t.Errorf("secret of %d characters: got no error", len(bad))
		}
	}
}

package forward_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/forward"
)

const (
	streamKey = "{flowroute}:fwd:sms"
	sumsKey   = streamKey + ":n"
)

func numbered(from, to int) (list []string) {
	for i := from; i <= to; i++ {
		list = append(list, fmt.Sprintf(`{"n": %d, "body":"swordfish"}`, i))
	}
	return list
}

// TestPassesOnAsItCame: the same bytes and type, in order, and nothing of it is kept.
func TestPassesOnAsItCame(t *testing.T) {
	t.Parallel()
	b := setup(t)
	to := newReceiver(t, nil)
	odd := []post{
		{body: "\x00\xff not JSON \r\n", contentType: "text/plain; charset=latin-1"},
		{body: ` {"a" : 1}` + "\n", contentType: "application/vnd.api+json"},
		{body: strings.Repeat("é", 100_000), contentType: ""},
	}
	for _, p := range odd {
		if err := b.store.Add(t.Context(), forward.SMS, p.contentType, []byte(p.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.store.Add(t.Context(), forward.SMS, "text/plain", nil); err != nil {
		t.Fatal(err)
	}
	if got := b.backlog(forward.SMS); got.Waiting != 3 || got.Bytes != int64(len(odd[0].body)+len(odd[1].body)+len(odd[2].body)) || time.Since(got.Oldest).Abs() > time.Minute {
		t.Errorf("got %+v before", got)
	}
	end := b.send(b.store, forward.SMS, to.URL)
	b.add(forward.SMS, numbered(1, 20)...)
	b.empty(forward.SMS)
	_, taken := to.got()
	for i, p := range odd {
		if taken[i].body != p.body || taken[i].contentType != p.contentType {
			t.Errorf("got %.50q of %q, want %.50q of %q", taken[i].body, taken[i].contentType, p.body, p.contentType)
		}
	}
	if diff := cmp.Diff(numbered(1, 20), to.bodies()[3:]); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
	b.until("an answer is not counted", func() bool { return b.counter("flowroute_worker_forward_posts_total", "sms", "taken") == 23 })
	end()
	if diff := cmp.Diff(forward.Backlog{}, b.backlog(forward.SMS)); diff != "" {
		t.Errorf("backlog afterwards (-want +got):\n%s", diff)
	}
	if n := b.rdb.HGet(t.Context(), sumsKey, "b").Val(); n != "0" {
		t.Errorf("got %s bytes afterwards, want 0", n)
	}
	if strings.Contains(b.logs.String(), "swordfish") {
		t.Error("a text is in the log")
	}
}

// TestAReceiverThatIsDownHoldsUpNobodyElse, loses nothing and gets all in order.
func TestAReceiverThatIsDownHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	down := newReceiver(t, func(n int, _ post) int {
		switch {
		case n > 8:
			return http.StatusAccepted
		case n%4 == 1:
			panic(http.ErrAbortHandler)
		case n%4 == 2:
			return http.StatusServiceUnavailable
		}
		return http.StatusTooManyRequests
	})
	hang := make(chan struct{})
	hung := newReceiver(t, func(int, post) int { <-hang; return http.StatusOK })
	t.Cleanup(func() { close(hang) }) // before the server waits for its requests
	up := newReceiver(t, nil)
	for k, to := range map[forward.Kind]*receiver{forward.SMS: down, forward.MMS: hung, forward.Receipts: up} {
		b.add(k, numbered(1, 10)...)
		b.send(b.store, k, to.URL, func(o *forward.SenderOptions) { o.LastCall = time.Millisecond })
	}
	b.empty(forward.Receipts)
	b.empty(forward.SMS)
	for name, to := range map[string]*receiver{"down": down, "up": up} {
		if diff := cmp.Diff(numbered(1, 10), to.bodies()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got := b.backlog(forward.MMS); got.Waiting != 10 {
		t.Errorf("got %+v of the one that hangs, want all to wait", got)
	}
}

// TestARefusedBodyIsPassedOver: those behind it go on, and it is tried again.
func TestARefusedBodyIsPassedOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bad := numbered(1, 1)[0]
	refuse := func(_ int, p post) int {
		if p.body == bad {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	}
	to := newReceiver(t, refuse)
	b.add(forward.SMS, numbered(1, 6)...)
	b.send(b.store, forward.SMS, to.URL, func(o *forward.SenderOptions) { o.Tries = 3 })
	b.until("the others do not go on", func() bool { return len(to.bodies()) == 5 })
	all, _ := to.got()
	for i, p := range all[:3] {
		if p.body != bad {
			t.Errorf("post %d: got %s, want the first body three times", i, p.body)
		}
	}
	tries := func() (n int) {
		all, _ := to.got()
		for _, p := range all {
			if p.body == bad {
				n++
			}
		}
		return n
	}
	b.until("it is not tried again", func() bool { return tries() >= 5 })
	b.add(forward.SMS, numbered(7, 8)...)
	b.until("the others do not go on", func() bool { return len(to.bodies()) == 7 })
	to.answers(nil)
	b.empty(forward.SMS)
	if diff := cmp.Diff(append(numbered(2, 8), bad), to.bodies()); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
}

// TestBounds: in bodies and bytes, and what was dropped is said.
func TestBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*forward.Options)
		keep   int
	}{
		"bodies": {func(o *forward.Options) { o.MaxBodies = 3 }, 3},
		"bytes":  {func(o *forward.Options) { o.MaxBytes = int64(2*len(numbered(1, 1)[0]) + 5) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, c.change)
			b.add(forward.SMS, numbered(1, 9)...)
			got := b.backlog(forward.SMS)
			if dropped := int64(9 - c.keep); got.Waiting != int64(c.keep) || got.Full != dropped || got.Lapsed != 0 || time.Since(got.LastDrop).Abs() > time.Minute ||
				b.counter("flowroute_worker_forward_dropped_total", "sms", "full") != float64(dropped) {
				t.Errorf("got %+v, want %d dropped and counted", got, dropped)
			}
			if ttl := b.rdb.PTTL(t.Context(), streamKey).Val(); ttl <= 71*time.Hour || ttl > 72*time.Hour {
				t.Errorf("got a TTL of %v, want 72 h", ttl)
			}
			to := newReceiver(t, nil)
			b.send(b.store, forward.SMS, to.URL)
			b.empty(forward.SMS)
			if diff := cmp.Diff(numbered(10-c.keep, 9), to.bodies()); diff != "" {
				t.Errorf("bodies (-want +got):\n%s", diff)
			}
			if text := b.logs.String(); !strings.Contains(text, "dropped before it was passed on") || strings.Contains(text, "swordfish") {
				t.Errorf("the log does not say so, or too much:\n%s", text)
			}
		})
	}
}

// TestLapse: what is too old is dropped by the next arrival, and by a sender when
// nothing arrives; it is not posted.
func TestLapse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := func(n int, age time.Duration) {
		t.Helper()
		id := fmt.Sprintf("%d-%d", time.Now().Add(-age).UnixMilli(), n)
		if err := b.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: streamKey, ID: id, Values: []string{"b", numbered(n, n)[0], "t", ""}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	old(1, 73*time.Hour)
	old(2, 72*time.Hour)
	old(3, 71*time.Hour)
	old(4, time.Hour)
	b.add(forward.SMS, numbered(5, 5)...)
	if got := b.backlog(forward.SMS); got.Waiting != 3 || got.Lapsed != 2 || got.Full != 0 {
		t.Errorf("got %+v, want two lapsed", got)
	}
	if b.rdb.Del(t.Context(), streamKey).Val() != 1 {
		t.Fatal("no stream")
	}
	old(1, 73*time.Hour)
	old(2, time.Hour)
	to := newReceiver(t, nil)
	b.send(b.store, forward.SMS, to.URL)
	b.empty(forward.SMS)
	if diff := cmp.Diff(numbered(2, 2), to.bodies()); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
	if got := b.counter("flowroute_worker_forward_dropped_total", "sms", "lapsed"); got != 3 {
		t.Errorf("got %v lapsed, want 3", got)
	}
}

// TestLapseAsAWhole: Redis forgets a stream that nobody has looked after; that is said
// at the next look.
func TestLapseAsAWhole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add(forward.SMS, numbered(1, 4)...)
	b.rdb.Del(t.Context(), streamKey)
	b.add(forward.SMS, numbered(5, 5)...)
	if got := b.backlog(forward.SMS); got.Waiting != 1 || got.Lapsed != 4 || got.Bytes != int64(len(numbered(5, 5)[0])) {
		t.Errorf("got %+v, want four lapsed", got)
	}
	to := newReceiver(t, nil)
	end := b.send(b.store, forward.SMS, to.URL)
	b.empty(forward.SMS)
	end()
	b.rdb.Del(t.Context(), streamKey)
	b.add(forward.SMS, numbered(6, 6)...)
	if got := b.backlog(forward.SMS); got.Lapsed != 4 || b.counter("flowroute_worker_forward_dropped_total", "sms", "lapsed") != 4 {
		t.Errorf("got %+v, want no more lapsed", got)
	}
}

// TestOneOfTwoProcesses posts; when it is cut off from Redis before it could note a
// post, the other repeats that one, and no more.
func TestOneOfTwoProcesses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	proxy := b.db.Proxy(t)
	cut := make(chan struct{})
	to := newReceiver(t, func(n int, _ post) int {
		if n == 3 {
			proxy.Cut()
			close(cut)
		}
		return http.StatusOK
	})
	b.add(forward.SMS, numbered(1, 5)...)
	mortal := func(o *forward.SenderOptions) { o.Lease = 500 * time.Millisecond }
	first := b.send(b.storeOn(proxy.Client()), forward.SMS, to.URL, mortal)
	<-cut
	b.send(b.store, forward.SMS, to.URL, mortal)
	b.empty(forward.SMS)
	first()
	want := append(numbered(1, 3), numbered(3, 5)...)
	if diff := cmp.Diff(want, to.bodies()); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
}

// TestAddressWithCredentials: they are used, and shown nowhere; redirects lead nowhere.
func TestAddressWithCredentials(t *testing.T) {
	t.Parallel()
	b := setup(t)
	to := newReceiver(t, func(n int, _ post) int {
		switch n {
		case 1:
			return http.StatusPermanentRedirect
		case 2:
			panic(http.ErrAbortHandler)
		}
		return http.StatusOK
	})
	b.add(forward.SMS, numbered(1, 1)...)
	b.send(b.store, forward.SMS, strings.Replace(to.URL, "://", "://anna:tr0ub4dor@", 1)+"/hook?token=in-the-address")
	b.empty(forward.SMS)
	all, _ := to.got()
	for _, p := range all {
		if p.user != "anna" || p.password != "tr0ub4dor" || p.path != "/hook?token=in-the-address" {
			t.Errorf("got %+v", p)
		}
	}
	for _, hidden := range []string{"tr0ub4dor", "anna", "in-the-address"} {
		if strings.Contains(b.logs.String(), hidden) {
			t.Errorf("%q is in the log:\n%s", hidden, b.logs)
		}
	}
}

// TestAddWithoutRedis says that it was not added.
func TestAddWithoutRedis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	proxy := b.db.Proxy(t)
	store := b.storeOn(proxy.Client())
	proxy.Cut()
	if err := store.Add(t.Context(), forward.SMS, "", []byte("x")); err == nil {
		t.Error("add: got no error")
	}
	if _, err := store.Backlog(t.Context(), forward.SMS); err == nil {
		t.Error("backlog: got no error")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, o := range map[string]forward.Options{
		"prefix without a tag": {Prefix: "x:"}, "too old": {MaxAge: 73 * time.Hour}, "negative": {MaxBodies: -1},
	} {
		if _, err := forward.New(b.rdb, o); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if _, err := forward.New(nil, forward.Options{}); err == nil {
		t.Error("no redis: got no error")
	}
	for name, o := range map[string]forward.SenderOptions{
		"no store": {Kind: forward.SMS, URL: "https://example.com"},
		"no kind":  {Store: b.store, Kind: "fax", URL: "https://example.com"},
		"no URL":   {Store: b.store, Kind: forward.SMS, URL: "tr0ub4dor"},
	} {
		if _, err := forward.NewSender(o); err == nil || strings.Contains(fmt.Sprint(err), "tr0ub4dor") {
			t.Errorf("%s: got %v, want an error without the address", name, err)
		}
	}
}

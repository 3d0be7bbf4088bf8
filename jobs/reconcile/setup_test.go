package reconcile_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/reconcile"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

// free is a pass of no limit.
type free struct{}

func (free) Deadline() time.Time { return time.Now().Add(time.Minute) }
func (free) Written(func() bool) {}
func (free) Responded()          {}
func (free) Abandoned()          {}
func (free) Unsent()             {}

const ours = "+12065550100"

// undeliverable are recipients whose messages always fail.
var undeliverable = []string{"12015550001", "12015550002"}

// rig is an account, a ledger, the copy of the records, and what compares them.
type rig struct {
	*flowroutetest.Server
	*rand.Rand
	t       *testing.T
	db      *redistest.DB
	rdb     redis.UniversalClient
	led     *ledger.Ledger
	api     *flowroute.Client
	store   *mdr.Store
	syncer  *mdr.Syncer
	began   time.Time
	options reconcile.Options

	mu    sync.Mutex
	ahead time.Duration
}

func setup(t *testing.T, change ...func(*reconcile.Options)) *rig {
	t.Helper()
	db := redistest.New(t)
	r := &rig{t: t, Rand: rand.New(rand.NewPCG(5, 6)), db: db, rdb: db.Client(), began: time.Now().UTC()}
	r.Server = flowroutetest.NewServer(t, flowroutetest.Options{Now: r.now, Undeliverable: undeliverable})
	var err error
	if r.led, err = ledger.New(r.rdb, ledger.Options{}); err != nil {
		t.Fatal(err)
	}
	if r.store, err = mdr.New(r.rdb, mdr.Options{Now: r.now}); err != nil {
		t.Fatal(err)
	}
	r.api, err = flowroute.New(flowroute.Options{BaseURL: r.URL, Timeout: 5 * time.Second,
		Credentials: flowroute.Credentials{AccessKey: r.AccessKey, SecretKey: r.SecretKey},
		Gate:        func(context.Context, flowroute.Endpoint) (flowroute.Pass, error) { return free{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.api.Close)
	if r.syncer, err = mdr.NewSyncer(r.store, r.api, r.led, mdr.SyncerOptions{RetryWait: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	r.options.Now = r.now
	for _, c := range change {
		c(&r.options)
	}
	return r
}

// now is the clock of the account and of the copy; the ledger's is Redis'.
func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.ahead)
}

// later lets time pass for all but the ledger, and syncs.
func (r *rig) later(d time.Duration) {
	r.t.Helper()
	r.mu.Lock()
	r.ahead += d
	r.mu.Unlock()
	r.sync()
}

func (r *rig) sync() {
	r.t.Helper()
	if _, err := r.syncer.Sync(r.t.Context(), mdr.SyncRequest{}); err != nil {
		r.t.Fatal(err)
	}
}

// window is an hour around when the test began.
func (r *rig) window() reconcile.Window {
	return reconcile.Window{Since: r.began.Add(-30 * time.Minute), Until: r.began.Add(20 * time.Minute)}
}

func (r *rig) reconciler() *reconcile.Reconciler {
	r.t.Helper()
	c, err := reconcile.New(r.rdb, r.led, r.store, r.options)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// run reconciles with all lists.
func (r *rig) run(w reconcile.Window) (reconcile.Report, []reconcile.Item) {
	r.t.Helper()
	var items []reconcile.Item
	report, err := r.reconciler().Run(r.t.Context(), reconcile.Request{Window: w, Classes: reconcile.Classes(),
		Each: func(i reconcile.Item) error { items = append(items, i); return nil }})
	if err != nil {
		r.t.Fatal(err)
	}
	return report, items
}

func (r *rig) number(text string) flowroute.E164 {
	r.t.Helper()
	n, err := flowroute.ParseE164(text)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func (r *rig) recipient() string { return fmt.Sprint("+1201555", 1000+r.IntN(9000)) }

// create makes a job whose intent is written.
func (r *rig) create(id ledger.ID, to string) ledger.ID {
	r.t.Helper()
	job := ledger.NewJob{ID: id, Type: ledger.SendMessage, Queue: ledger.QueueBulk, From: r.number(ours), To: r.number(to), Payload: []byte(`{"v":1}`)}
	if _, err := r.led.Create(r.t.Context(), job); err != nil {
		r.t.Fatal(err)
	}
	begun, err := r.led.Begin(r.t.Context(), ledger.Intent{ID: id, Generation: 1, Token: "t", Account: "a", Budget: time.Second, Timeout: time.Second, Settle: time.Second})
	if err != nil || begun.Decision != ledger.Go {
		r.t.Fatalf("begin: %+v %v", begun, err)
	}
	return id
}

func (r *rig) settle(id ledger.ID, to ledger.State, mdr string) {
	r.t.Helper()
	if _, err := r.led.Settle(r.t.Context(), ledger.Settlement{ID: id, Token: "t", To: to, MDR: mdr}); err != nil {
		r.t.Fatal(err)
	}
}

// post posts for real; the id is empty when the answer was lost.
func (r *rig) post(to, body string) string {
	r.t.Helper()
	sent, _ := r.api.SendMessage(r.t.Context(), flowroute.Message{From: r.number(ours), To: r.number(to), Body: body}, flowroute.Write{})
	return sent.ID
}

// send is a message of ours, all the way.
func (r *rig) send(id ledger.ID, to, body string) string {
	r.t.Helper()
	r.create(id, to)
	record := r.post(to, body)
	if record == "" {
		r.t.Fatal("not accepted")
	}
	r.settle(id, ledger.Accepted, record)
	return record
}

// last is the id of the last message that was accepted.
func (r *rig) last() string {
	all := r.Truth().Messages
	return all[len(all)-1].MDRIDs[0]
}

func (r *rig) plant(p flowroutetest.Record) string {
	r.t.Helper()
	if p.From == "" {
		p.From = ours
	}
	if p.To == "" {
		p.To = r.recipient()
	}
	if p.Body == "" {
		p.Body = "hello"
	}
	if p.Code == 0 {
		p.Code = 1004
	}
	id, err := r.Plant(p)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// claimed is a planted record of a message of ours.
func (r *rig) claimed(id ledger.ID, p flowroutetest.Record) string {
	r.t.Helper()
	p.To = r.recipient()
	r.create(id, p.To)
	record := r.plant(p)
	r.settle(id, ledger.Accepted, record)
	return record
}

func text(segments int) string { return strings.Repeat("ab ", 40*segments) }

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// play is one run of the demo.
type play struct {
	st       *stage
	o        demoOptions
	started  time.Time
	progress *progress
	tally    *tally

	mu         sync.Mutex
	asked      map[ledger.ID]demoMessage
	duplicates int // keys that were used again
	bought     ledger.ID
	update     ledger.ID
}

func newPlay(st *stage, o demoOptions, started time.Time, p *progress) *play {
	return &play{st: st, o: o, started: started, progress: p, asked: map[ledger.ID]demoMessage{}, tally: newTally()}
}

// run asks for everything and waits until it is settled.
func (p *play) run(ctx context.Context, serving chan error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.o.deadline(), errTooSlow)
	defer cancel()
	watching, stop := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	defer func() { stop(); watchers.Wait(); p.progress.end() }()
	watchers.Go(func() { p.tally.follow(watching, p.st.service.jobs) })
	watchers.Go(func() { p.show(watching) })

	acts := make(chan error, 2)
	go func() { acts <- p.messages(ctx) }()
	go func() { acts <- p.numbers(ctx) }()
	for range cap(acts) {
		select {
		case err := <-acts:
			if err != nil {
				return cause(ctx, err)
			}
		case err := <-serving:
			serving <- err // for whoever waits for the end
			return errors.Join(errServiceEnded, err)
		}
	}
	return cause(ctx, p.receipts(ctx))
}

var errTooSlow = errors.New("not everything was done in time")

// cause is why a context ended, where that is why something failed.
func cause(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errTooSlow) {
		return errTooSlow
	}
	return err
}

// messages asks for all messages and waits until each has ended: what is unknown
// is decided from the records.
func (p *play) messages(ctx context.Context) error {
	plan := demoMessages(p.o.messages, time.Now())
	var backlog, codes []demoMessage
	people := demoPeople{file: "phone,n\n"}
	for i, m := range plan {
		switch m.kind {
		case demoBulk:
			people.add(i+1, m)
		case demoOTP:
			codes = append(codes, m)
		case demoPlain:
			if err := p.plainTask(ctx, m); err != nil {
				return err
			}
		default:
			backlog = append(backlog, m)
		}
	}
	if err := p.campaign(ctx, people); err != nil {
		return err
	}
	if err := p.send(ctx, backlog); err != nil {
		return err
	}
	// Codes come in all the while, and overtake what waits.
	span := time.Duration(float64(p.o.messages) / float64(6*p.o.fast) * float64(time.Second))
	for _, code := range codes {
		if err := p.send(ctx, []demoMessage{code}); err != nil {
			return err
		}
		if !pause(ctx, span/time.Duration(len(codes))) {
			return ctx.Err()
		}
	}
	return p.tally.wait(ctx, func(t *tally) bool { return t.settled(p.ids()) })
}

// demoPeople are the recipients of the campaign.
type demoPeople struct {
	file     string // CSV
	messages []demoMessage
}

func (d *demoPeople) add(number int, m demoMessage) {
	d.file += fmt.Sprintf("%s,%d\n", m.To, number)
	d.messages = append(d.messages, m)
}

// campaign starts the campaign.
func (p *play) campaign(ctx context.Context, people demoPeople) error {
	store, spec := p.st.service.campaigns, demoCampaign(p.o.messages)
	created, err := store.Create(ctx, spec.ID(nil), spec)
	if err != nil {
		return err
	}
	_, err = store.Upload(ctx, created.ID, strings.NewReader(people.file), campaign.Input{}, func(a campaign.Answer) error {
		if a.Verdict != campaign.RowAccepted {
			return fmt.Errorf("line %d: %s", a.Line, a.Verdict)
		}
		return p.note(created.ID.OfRow(uint32(a.Row)).String(), people.messages[a.Row-1])
	})
	if err != nil {
		return err
	}
	_, err = store.Start(ctx, created.ID)
	return err
}

// send asks for messages; those with a key are asked for twice.
func (p *play) send(ctx context.Context, list []demoMessage) error {
	batch := make([]jobs.Message, len(list))
	for i, m := range list {
		batch[i] = m.Message
	}
	receipts, errs := p.st.service.jobs.SendMany(ctx, batch)
	for i, receipt := range receipts {
		if errs[i] != nil {
			return errs[i]
		}
		if err := p.note(receipt.ID, list[i]); err != nil {
			return err
		}
		if list[i].Key != "" {
			again, err := p.st.service.jobs.Send(ctx, list[i].Message)
			if err != nil {
				return err
			}
			if !again.Duplicate || again.ID != receipt.ID {
				return fmt.Errorf("key %s made a second job", list[i].Key)
			}
			p.duplicates++
		}
		if list[i].kind == demoCancelled {
			if _, err := p.st.service.jobs.Cancel(ctx, receipt.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *play) note(id string, m demoMessage) error {
	parsed, err := ledger.ParseID(id)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[parsed] = m
	return nil
}

func (p *play) ids() []ledger.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := make([]ledger.ID, 0, len(p.asked))
	for id := range p.asked {
		ids = append(ids, id)
	}
	return ids
}

// plainTask enqueues a message as an app would that knows asynq and not us.
func (p *play) plainTask(ctx context.Context, m demoMessage) error {
	payload, err := json.Marshal(map[string]any{"v": 1, "from": m.From, "to": m.To, "body": m.Body})
	if err != nil {
		return err
	}
	id := uuid.NewString()
	client := asynq.NewClientFromRedisClient(p.st.clients.producer)
	_, err = client.EnqueueContext(ctx, asynq.NewTask("send-message", payload), asynq.Queue("normal"), asynq.TaskID(id))
	if err != nil {
		return err
	}
	return p.note(id, m)
}

// numbers buys a number by search, with alias and primary route, and then gives
// it a failover route.
func (p *play) numbers(ctx context.Context) error {
	client := p.st.service.jobs
	receipt, err := client.Purchase(ctx, demoPurchase())
	if err != nil {
		return err
	}
	job, err := client.Wait(ctx, receipt.ID)
	if err != nil {
		return err
	}
	p.setNumbers(job.ID, ledger.ID{})
	number := jobs.NumberOf(job)
	if job.State != ledger.Done || number.IsZero() {
		return nil // the comparison says so
	}
	return p.route(ctx, job.ID, number)
}

func (p *play) route(ctx context.Context, bought ledger.ID, number flowroute.E164) error {
	client := p.st.service.jobs
	receipt, err := client.UpdateRoute(ctx, demoRouteUpdate(number.String()))
	if err != nil {
		return err
	}
	job, err := client.Wait(ctx, receipt.ID)
	p.setNumbers(bought, job.ID)
	return err
}

func (p *play) setNumbers(bought, update ledger.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bought, p.update = bought, update
}

// receipts syncs until the jobs know what became of their messages, or some time
// is over: some records never tell.
func (p *play) receipts(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	client := p.st.service.jobs
	for round := 1; ; round++ {
		syncs := []ledger.Type{ledger.SyncMDR}
		if round == 1 {
			syncs = append(syncs, ledger.SyncNumbers)
		}
		for _, t := range syncs {
			receipt, err := client.StartSync(ctx, t, fmt.Sprintf("demo-%d", round), jobs.Sync{})
			if err != nil {
				return past(ctx, err)
			}
			if _, err := client.Wait(ctx, receipt.ID); err != nil {
				return past(ctx, err)
			}
		}
		if p.tally.count(p.ids(), ledger.Accepted) <= p.pending(ctx) || !pause(ctx, time.Second) {
			return nil
		}
	}
}

// past takes the end of the time for no error.
func past(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}
	return err
}

// pending counts accepted jobs whose record is not known: no receipt can reach
// them.
func (p *play) pending(ctx context.Context) int {
	found, errs := p.st.service.jobs.Ledger().GetMany(ctx, p.ids())
	n := 0
	for i, job := range found {
		if errs[i] == nil && job.State == ledger.Accepted && len(job.MDRs) == 0 {
			n++
		}
	}
	return n
}

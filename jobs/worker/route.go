package worker

import (
	"context"
	"errors"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// route sets a number's alias, primary and failover route. The ledger lets the updates of
// one number and slot begin one at a time, in the order in which they were enqueued.
func (w *Worker) route(ctx context.Context, job ledger.Job) error {
	spec, err := jobs.RouteUpdateOf(job)
	if errors.Is(err, ledger.ErrNewerVersion) {
		return deferral{time.Minute}
	}
	if err != nil {
		_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, To: ledger.Failed, Reason: ledger.ReasonInternal, Detail: "its record cannot be read: " + mask(err.Error())})
		return err
	}
	reached := readProgress(job)
	p := &updatePlan{job: &job, spec: spec, routes: routePlan{worker: w, api: w.reads(job), number: spec.Number, progress: &reached, job: &job, met: map[string]flowroute.Route{}}}
	return stopped(w.run(ctx, &job, p))
}

type updatePlan struct {
	job    *ledger.Job
	spec   jobs.RouteUpdateSpec
	routes routePlan
}

func (p *updatePlan) reached() *progress { return p.routes.progress }

func (p *updatePlan) next(ctx context.Context) (*step, *end, error) {
	if err := p.overtaken(ctx); err != nil {
		return nil, nil, err
	}
	if p.spec.Alias != nil && !p.reached().Name.Over {
		return p.alias(*p.spec.Alias), nil, nil
	}
	next, over, err := p.routes.next(ctx, p.spec.Primary, p.spec.Failover)
	if next != nil || over != nil || err != nil {
		return next, over, err
	}
	p.store(ctx)
	if p.allDropped() {
		return nil, &end{State: ledger.Cancelled, Reason: ledger.ReasonSuperseded, Detail: "a newer route update for this number exists; this one is not repeated"}, nil
	}
	return nil, &end{State: ledger.Done}, nil
}

// overtaken sets a slot again that another update has set since this one did: after
// Redis has lost writes, an older one may have run once more.
func (p *updatePlan) overtaken(ctx context.Context) error {
	for name, at := range map[string]*slot{"alias": &p.reached().Name, "primary": &p.reached().Primary, "failover": &p.reached().Failover} {
		if !at.Over || at.Dropped {
			continue
		}
		last, known, err := p.routes.worker.ledger.LastTurn(ctx, slotName(p.spec.Number, name))
		if err != nil {
			return err
		}
		if known && last != p.job.ID {
			at.Over = false
		}
	}
	return nil
}

// slotName is the slot of a number as jobs take turns in it.
func slotName(number flowroute.E164, name string) string { return number.Digits() + ":" + name }

// allDropped: newer jobs set all that this one was to set.
func (p *updatePlan) allDropped() bool {
	at := p.reached()
	return (p.spec.Alias == nil || at.Name.Dropped) && (p.spec.Primary == nil || at.Primary.Dropped) && (p.spec.Failover == nil || at.Failover.Dropped)
}

// alias is the step that names the number.
func (p *updatePlan) alias(want string) *step {
	at, r := &p.reached().Name, p.routes
	refused := func(v verdict) *end { return r.refused("alias", at, "not set: "+v.Detail, v) }
	return r.ordered(&step{
		op: opPatch, repeatable: true,
		request: func(ctx context.Context, write flowroute.Write) error {
			_, err := r.api.SetAlias(ctx, r.number, want, write)
			at.Over = err == nil
			return err
		},
		reread: func(ctx context.Context) (bool, error) {
			details, err := r.api.Number(ctx, r.number)
			if errors.Is(err, flowroute.ErrNotFound) {
				return false, nil
			}
			at.Over = err == nil && details.Alias == want
			return at.Over, err
		},
		refused: func(_ context.Context, v verdict) (*end, error) { return refused(v), nil },
		gone:    refused,
	}, "alias", "alias", at)
}

// store writes what was set into the stored copy. An alias is read back first: unlike a
// route, Flowroute may take it otherwise than it was given. What cannot be written is
// left to the next sync; the update is done all the same.
func (p *updatePlan) store(ctx context.Context) {
	r, numbers, reached := p.routes, p.routes.worker.o.Numbers, p.reached()
	r.storeMet(ctx)
	if p.spec.Alias != nil && !reached.Name.Dropped {
		read := r.api.Number
		if numbers != nil {
			read = func(ctx context.Context, n flowroute.E164) (flowroute.NumberDetails, error) {
				return numbers.Read(ctx, r.api, n)
			}
		}
		details, err := read(ctx, r.number)
		if err == nil {
			if details.Alias != *p.spec.Alias {
				reached.Warnings = append(reached.Warnings, aliasReadsOtherwise)
			}
			return
		}
		r.worker.readError(ctx, err, false)
		if numbers != nil {
			_ = numbers.Touch(ctx, r.number)
		}
	}
	if numbers == nil {
		return
	}
	for name, at := range map[inventory.Slot]slot{inventory.Primary: reached.Primary, inventory.Failover: reached.Failover} {
		if at.Over && !at.Dropped {
			_ = numbers.PutAssigned(ctx, r.number, name, at.RouteID)
		}
	}
}

// aliasReadsOtherwise warns of an alias that was accepted.
const aliasReadsOtherwise = "alias set, but Flowroute shows another one"

// routePlan gives a number its routes: find or create the route, then assign it.
type routePlan struct {
	worker   *Worker
	api      *flowroute.Client
	number   flowroute.E164
	progress *progress
	job      *ledger.Job
	lenient  bool // a refusal is a warning, not the end: the number is bought
	met      map[string]flowroute.Route
}

// storeMet has the stored copy know the routes that were found or made.
func (r routePlan) storeMet(ctx context.Context) {
	if r.worker.o.Numbers == nil {
		return
	}
	for _, route := range r.met {
		_ = r.worker.o.Numbers.PutRoute(ctx, route) // the sync reads it anyway
	}
}

// next is the next step for the two slots; nothing when both are over.
func (r routePlan) next(ctx context.Context, primary, failover *jobs.RouteSpec) (*step, *end, error) {
	if primary != nil && !r.progress.Primary.Over {
		return r.slot(ctx, "primary", &r.progress.Primary, *primary)
	}
	if failover != nil && !r.progress.Failover.Over {
		return r.slot(ctx, "failover", &r.progress.Failover, *failover)
	}
	return nil, nil, nil
}

func (r routePlan) slot(ctx context.Context, name string, at *slot, spec jobs.RouteSpec) (*step, *end, error) {
	if at.RouteID == "" {
		at.RouteID = spec.ID
	}
	if at.RouteID == "" {
		id, err := r.find(ctx, spec)
		if err != nil {
			return nil, nil, err
		}
		at.RouteID = id
	}
	if at.RouteID == "" {
		return r.ordered(r.create(name, at, spec), name, name+" route", at), nil, nil
	}
	return r.ordered(r.assign(name, at), name, name+" route", at), nil, nil
}

// ordered makes a step give way to a newer job for the same number and slot.
func (r routePlan) ordered(s *step, name, what string, at *slot) *step {
	s.slot = slotName(r.number, name)
	s.drop = func() {
		at.Over, at.Dropped = true, true
		r.progress.Warnings = append(r.progress.Warnings, what+" left to a newer update")
	}
	return s
}

// find is the id of a route with this definition; empty when there is none.
func (r routePlan) find(ctx context.Context, spec jobs.RouteSpec) (string, error) {
	want := spec.Flowroute()
	for route, err := range r.api.Routes(ctx, flowroute.RouteQuery{Type: want.Type}) {
		if err != nil {
			return "", err
		}
		if route.Type == want.Type && route.Value == want.Value {
			r.met[route.ID] = route
			return route.ID, nil
		}
	}
	return "", nil
}

func (r routePlan) create(name string, at *slot, spec jobs.RouteSpec) *step {
	look := func(ctx context.Context) (bool, error) {
		id, err := r.find(ctx, spec)
		at.RouteID = id
		return id != "", err
	}
	return &step{
		op: opCreateRoute, repeatable: true, // a route that exists is refused, not made twice
		request: func(ctx context.Context, write flowroute.Write) error {
			route, err := r.api.CreateRoute(ctx, spec.Flowroute(), write)
			if err == nil {
				at.RouteID = route.ID // empty if the answer could not be read: found next
				r.met[route.ID] = route
			}
			return err
		},
		reread: look,
		refused: func(ctx context.Context, v verdict) (*end, error) {
			// 403 says too that it exists already.
			found, err := look(ctx)
			if err != nil || found {
				return nil, err
			}
			if r.job.Uncertain {
				return nil, errStillOpen // made by an earlier try, and not yet listed?
			}
			return r.refused(name, at, "route not created: "+v.Detail, v), nil
		},
		gone: func(v verdict) *end { return r.refused(name, at, "route not created: "+v.Detail, v) },
	}
}

func (r routePlan) assign(name string, at *slot) *step {
	return &step{
		op: opPatch, repeatable: true,
		request: func(ctx context.Context, write flowroute.Write) error {
			set := r.api.SetPrimaryRoute
			if name == "failover" {
				set = r.api.SetFailoverRoute
			}
			err := set(ctx, r.number, at.RouteID, write)
			at.Over = err == nil
			return err
		},
		reread: func(ctx context.Context) (bool, error) {
			details, err := r.api.Number(ctx, r.number)
			if err != nil {
				if errors.Is(err, flowroute.ErrNotFound) {
					return false, nil
				}
				return false, err
			}
			ref := details.PrimaryRoute
			if name == "failover" {
				ref = details.FailoverRoute
			}
			at.Over = ref != nil && ref.ID == at.RouteID
			return at.Over, nil
		},
		refused: func(_ context.Context, v verdict) (*end, error) {
			return r.refused(name, at, "route not assigned: "+v.Detail, v), nil
		},
		gone: func(v verdict) *end { return r.refused(name, at, "route not assigned: "+v.Detail, v) },
	}
}

func (r routePlan) refused(name string, at *slot, text string, v verdict) *end {
	text = name + " " + text
	if !r.lenient {
		return &end{State: ledger.Failed, Reason: v.Reason, Detail: text}
	}
	at.Over = true
	r.progress.Warnings = append(r.progress.Warnings, text)
	return nil
}

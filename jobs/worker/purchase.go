package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// purchase buys one number, at most once, then gives it its alias and routes.
func (w *Worker) purchase(ctx context.Context, job ledger.Job) error {
	spec, err := jobs.PurchaseOf(job)
	if errors.Is(err, ledger.ErrNewerVersion) {
		return deferral{time.Minute}
	}
	if err != nil {
		_, err = w.settle(ctx, ledger.Settlement{ID: job.ID, To: ledger.Failed, Reason: ledger.ReasonInternal, Detail: "its record cannot be read: " + mask(err.Error())})
		return err
	}
	p := &purchasePlan{worker: w, api: w.reads(job), job: &job, spec: spec, progress: readProgress(job), met: map[string]flowroute.Route{}}
	return stopped(w.run(ctx, &job, p))
}

// reads is the client for a job's reads: each takes a permit of the job's lane.
func (w *Worker) reads(job ledger.Job) *flowroute.Client {
	return w.o.API.WithGate(Gate(w.o.Limiter, laneOf(job.Queue)))
}

func stopped(err error) error {
	if !errors.Is(err, errStop) {
		return err
	}
	if rest, ok := errors.AsType[deferral](err); ok {
		return rest
	}
	return nil
}

type purchasePlan struct {
	worker *Worker
	api    *flowroute.Client
	job    *ledger.Job
	spec   jobs.PurchaseSpec
	progress
	turnedDown []flowroute.E164 // candidates that were certainly refused
	bought     flowroute.NumberDetails
	met        map[string]flowroute.Route
}

func (p *purchasePlan) reached() *progress { return &p.progress }

func (p *purchasePlan) next(ctx context.Context) (*step, *end, error) {
	if p.Number == "" {
		return p.buy(ctx)
	}
	// By its structure alone: today's table of area codes may not know it any more.
	digits, err := strconv.ParseUint(p.Number, 10, 64)
	if err != nil {
		return nil, nil, err
	}
	bought, err := flowroute.E164FromUint64(digits)
	if err != nil {
		return nil, nil, err
	}
	p.storeBought(ctx)
	if p.spec.Alias != "" && !p.progress.Alias {
		return p.alias(bought), nil, nil
	}
	routes := routePlan{worker: p.worker, api: p.api, number: bought, progress: &p.progress, job: p.job, lenient: true, met: p.met}
	next, over, err := routes.next(ctx, p.spec.PrimaryRoute, p.spec.FailoverRoute)
	if next != nil || over != nil || err != nil {
		return next, over, err
	}
	routes.storeMet(ctx)
	p.store(ctx, bought)
	return nil, &end{State: ledger.Done}, nil
}

// buy is the step that spends money: for the number that is claimed already, the
// one asked for, or the first candidate.
func (p *purchasePlan) buy(ctx context.Context) (*step, *end, error) {
	if p.job.Number.IsZero() {
		if err := p.regain(ctx); err != nil {
			return nil, nil, err
		}
	}
	number := p.job.Number
	if number.IsZero() || slices.Contains(p.turnedDown, number) {
		candidate, over, err := p.candidate(ctx)
		if over != nil || err != nil {
			return nil, over, err
		}
		number = candidate
	}
	if p.job.State != ledger.Unknown {
		owned, err := p.owned(ctx, number)
		switch {
		case err != nil:
			return nil, nil, err
		case owned && p.mayHaveBought(number):
			return p.next(ctx)
		case owned && p.turnDown(number):
			p.Number = ""
			return p.buy(ctx)
		case owned:
			p.Number = ""
			return nil, &end{State: ledger.Failed, Reason: ledger.ReasonAlreadyOwned, Detail: "this number was on the account before", Release: true}, nil
		}
	}
	return &step{
		op: opPurchase, claim: number, reason: ledger.ReasonBought,
		request: func(ctx context.Context, write flowroute.Write) error {
			got, err := p.api.PurchaseNumber(ctx, number, flowroute.PurchaseOptions{MessagingEnabled: p.spec.MessagingEnabled}, write)
			if err == nil {
				p.Number, p.Partial, p.bought = number.Digits(), got.Partial, got.Number
			}
			return err
		},
		accepted: func(status int) { p.Number, p.Partial = number.Digits(), status == http.StatusMultiStatus },
		reread:   func(ctx context.Context) (bool, error) { return p.owned(ctx, number) },
		refused:  func(ctx context.Context, v verdict) (*end, error) { return p.refused(ctx, number, v) },
		gone: func(v verdict) *end {
			why := "refused after a post whose outcome is unknown, and not on the account: " + v.Detail
			if v.Reason == ledger.ReasonUsedUpUnknown {
				why = v.Detail + ", and not on the account"
			}
			return &end{State: ledger.Review, Reason: reviewFor(v), Detail: evidence(*p.job, why)}
		},
		taken: func() bool { return p.turnDown(number) },
	}, nil, nil
}

// regain takes up a number that was bought before Redis lost writes, if this may be the
// same purchase, asked for again under its key.
func (p *purchasePlan) regain(ctx context.Context) error {
	// An id that was drawn just before its record was written is a first call's.
	if p.job.State != ledger.Queued || p.job.Created.Sub(p.job.ID.Drawn()) < time.Minute {
		return nil
	}
	certain, doubtful, err := p.worker.ledger.Orphaned(ctx)
	if err != nil {
		return err
	}
	for _, number := range certain {
		if !p.spec.Fits(number) {
			continue
		}
		claimed, err := p.worker.ledger.ClaimPurchase(ctx, p.job.ID, number)
		if err != nil {
			return err
		}
		if claimed {
			p.job.Number, p.job.Uncertain = number, true
			return nil
		}
	}
	at := slices.IndexFunc(doubtful, p.spec.Fits)
	ruled := slices.ContainsFunc(p.job.History, func(c ledger.Change) bool { return c.Reason == ledger.ReasonRuled })
	if at < 0 || ruled {
		return nil
	}
	held, err := p.worker.ledger.HoldPurchase(ctx, p.job.ID, doubtful[at], ledger.ReasonRedisLost, "Redis lost writes, and "+
		string(doubtful[at].Masked())+" is on the account since nobody knows when: this purchase may have bought it when it was asked for before", nil)
	if err == nil && held {
		err = errStop
	}
	return err
}

func reviewFor(v verdict) ledger.Reason {
	if v.Reason == ledger.ReasonUsedUpUnknown {
		return v.Reason
	}
	return ledger.ReasonUnresolved
}

// mayHaveBought: an attempt of this job for the number may have been accepted, so
// that a number on the account is no stranger. A claim is enough, however many attempts
// are known: it was written when the account did not have the number, and Redis may
// have lost what came after. A person may have ruled otherwise; the account knows better.
func (p *purchasePlan) mayHaveBought(number flowroute.E164) bool {
	return p.job.Uncertain || p.job.Number == number
}

// owned asks the account for the number, and notes it as bought if it is there.
func (p *purchasePlan) owned(ctx context.Context, number flowroute.E164) (bool, error) {
	_, err := p.api.Number(ctx, number)
	if errors.Is(err, flowroute.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		p.Number = number.Digits()
	}
	return err == nil, err
}

func (p *purchasePlan) refused(ctx context.Context, number flowroute.E164, v verdict) (*end, error) {
	if p.job.Uncertain {
		// An earlier post may have bought it: the account says, or will.
		owned, err := p.owned(ctx, number)
		if err == nil && !owned {
			err = errStillOpen
		}
		return nil, err
	}
	if aboutTheNumber(v) {
		p.worker.searches.taken(number)
	}
	if !aboutTheNumber(v) || !p.turnDown(number) {
		return &end{State: ledger.Failed, Reason: v.Reason, Detail: v.Detail, Release: true}, nil
	}
	return nil, nil
}

// turnDown leaves a number out of the search from now on; false when this number
// and no other was asked for.
func (p *purchasePlan) turnDown(number flowroute.E164) bool {
	if p.spec.Search == nil {
		return false
	}
	p.turnedDown = append(p.turnedDown, number)
	return true
}

// aboutTheNumber tells a refusal of this number from one of any purchase.
func aboutTheNumber(v verdict) bool {
	return v.Reason == ledger.ReasonRefused && slices.Contains([]int{http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity}, v.Status)
}

// candidate is the number to buy: the one asked for, or the first available one
// within the price that nobody has claimed.
func (p *purchasePlan) candidate(ctx context.Context) (flowroute.E164, *end, error) {
	query := flowroute.NumberSearch{Limit: 50}
	wanted := p.spec.Number
	switch {
	case p.spec.Search != nil:
		query = *p.spec.Search
	case p.spec.MaxSetupCost == nil && p.spec.MaxMonthlyCost == nil:
		return wanted, nil, nil
	default:
		query.StartsWith = wanted.Digits()
	}
	numbers, at, err := p.worker.searches.list(ctx, p.api, query, time.Time{})
	if err != nil {
		return flowroute.E164{}, nil, err
	}
	found, over, err := p.choose(ctx, numbers, wanted)
	if over != nil && err == nil {
		// What is for sale may have changed since.
		if numbers, at2, listErr := p.worker.searches.list(ctx, p.api, query, at); listErr != nil {
			return flowroute.E164{}, nil, listErr
		} else if !at2.Equal(at) {
			return p.choose(ctx, numbers, wanted)
		}
	}
	return found, over, err
}

// choose is the first number within the price that nobody has claimed.
func (p *purchasePlan) choose(ctx context.Context, numbers []flowroute.AvailableNumber, wanted flowroute.E164) (flowroute.E164, *end, error) {
	tooExpensive := 0
	var spare flowroute.E164 // another job of this process is about to claim it
	for _, available := range numbers {
		if (!wanted.IsZero() && available.Number != wanted) || slices.Contains(p.turnedDown, available.Number) {
			continue
		}
		if above(p.spec.MaxSetupCost, available.SetupCost) || above(p.spec.MaxMonthlyCost, available.MonthlyCost) {
			tooExpensive++
			continue
		}
		other, claimed, err := p.worker.ledger.NumberClaimedBy(ctx, available.Number)
		if err != nil {
			return flowroute.E164{}, nil, err
		}
		if wanted.IsZero() && claimed && other != p.job.ID {
			continue
		}
		if wanted.IsZero() && !p.worker.searches.pick(available.Number, p.job.ID) {
			spare = available.Number
			continue
		}
		return available.Number, nil, nil
	}
	if !spare.IsZero() {
		return spare, nil, nil
	}
	if tooExpensive > 0 {
		return flowroute.E164{}, &end{State: ledger.Failed, Reason: ledger.ReasonTooExpensive,
			Detail: fmt.Sprintf("%d available numbers cost more than max_setup_cost or max_monthly_cost", tooExpensive)}, nil
	}
	return flowroute.E164{}, &end{State: ledger.Failed, Reason: ledger.ReasonNoCandidate, Detail: "no number is available that fits"}, nil
}

func above(most *flowroute.Money, cost flowroute.Money) bool { return most != nil && cost > *most }

func (p *purchasePlan) alias(number flowroute.E164) *step {
	without := func(v verdict) *end {
		p.progress.Alias = true
		p.Warnings = append(p.Warnings, "alias not set: "+v.Detail)
		return nil
	}
	return &step{
		op: opPatch, repeatable: true,
		request: func(ctx context.Context, write flowroute.Write) error {
			_, err := p.api.SetAlias(ctx, number, p.spec.Alias, write)
			if err == nil {
				p.progress.Alias = true
			}
			return err
		},
		reread: func(ctx context.Context) (bool, error) {
			details, err := p.api.Number(ctx, number)
			p.progress.Alias = err == nil && details.Alias == p.spec.Alias
			return p.progress.Alias, err
		},
		refused: func(_ context.Context, v verdict) (*end, error) { return without(v), nil },
		gone:    without,
	}
}

// messagingNotOn is the warning that a later numbers sync takes back.
const messagingNotOn = "bought, but messaging is not yet on"

// messagingIsOn takes the warning back from the purchases of numbers whose messaging
// a sync has just seen come on.
func (w *Worker) messagingIsOn(ctx context.Context, since time.Time) error {
	for cursor := ""; ; {
		changes, err := w.o.Numbers.Changes(ctx, since, cursor, 100)
		if err != nil || len(changes) == 0 {
			return err
		}
		for _, change := range changes {
			cursor = change.Cursor
			if change.Kind != inventory.MessagingChanged || change.New != "1" {
				continue
			}
			id, bought, err := w.ledger.NumberClaimedBy(ctx, change.Number)
			if err != nil {
				return err
			}
			job, err := w.ledger.Get(ctx, id)
			if !bought || errors.Is(err, ledger.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			rest := slices.DeleteFunc(strings.Split(job.Warning, warningBreak), func(s string) bool { return s == messagingNotOn })
			if _, err := w.ledger.Reword(ctx, id, job.Warning, strings.Join(rest, warningBreak)); err != nil {
				return err
			}
		}
	}
}

// storeBought has the stored copy know the number as soon as it is bought: its alias and
// routes may take a while, and messages may be sent from it at once.
func (p *purchasePlan) storeBought(ctx context.Context) {
	// An answer that could not be read has the number and nothing else.
	if numbers := p.worker.o.Numbers; numbers != nil && p.bought.Type != "" {
		_ = numbers.PutDetails(ctx, p.bought) // again at the end
		p.bought = flowroute.NumberDetails{}
	}
}

// store writes what is known of the number into the stored copy, and warns of what
// the next sync has to see.
func (p *purchasePlan) store(ctx context.Context, number flowroute.E164) {
	wantsMessaging := p.spec.MessagingEnabled != nil && *p.spec.MessagingEnabled
	read := p.api.Number
	if numbers := p.worker.o.Numbers; numbers != nil {
		read = func(ctx context.Context, n flowroute.E164) (flowroute.NumberDetails, error) {
			return numbers.Read(ctx, p.api, n)
		}
	}
	details, err := read(ctx, number)
	if err != nil {
		p.worker.readError(ctx, err, false)
		if p.worker.o.Numbers != nil {
			// The sync reads it; the purchase is done all the same.
			_ = p.worker.o.Numbers.Touch(ctx, number)
		}
	}
	on := err == nil && details.MessagingEnabled != nil && *details.MessagingEnabled
	if p.Partial || (wantsMessaging && !on) {
		p.Warnings = append(p.Warnings, messagingNotOn)
	}
}

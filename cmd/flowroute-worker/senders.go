package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
)

// checkSenders is what finds senders that are none of the account's numbers.
type checkSenders = func(context.Context, []flowroute.E164) (map[flowroute.E164]string, error)

// errNoAccess: this process cannot ask Flowroute.
var errNoAccess = errors.New("there are no credentials to ask Flowroute with")

// newSenders makes the check of a service, which asks Flowroute within the limit where the
// copy says nothing that counts.
func (v *service) newSenders() (checkSenders, error) {
	if v.o.anySender {
		return nil, nil
	}
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "flowroute_worker_senders_total",
		Help: "Senders of messages that were not in the copy of the account's numbers: refused, found at Flowroute, or let through unverified.",
	}, []string{"outcome"})
	for _, outcome := range inventory.SenderOutcomes() {
		outcomes.WithLabelValues(string(outcome))
	}
	v.registry.MustRegister(outcomes)
	senders, err := inventory.NewSenders(v.numbers, inventory.SendersOptions{
		LookUp: func(ctx context.Context, n flowroute.E164) (flowroute.NumberDetails, error) {
			if v.api == nil {
				return flowroute.NumberDetails{}, errNoAccess
			}
			return v.api.Number(ctx, n)
		},
		Observe: func(outcome inventory.SenderOutcome, n int) {
			outcomes.WithLabelValues(string(outcome)).Add(float64(n))
		},
		Logger: v.log,
	})
	if err != nil {
		return nil, err
	}
	return senders.Check, nil
}

// senderPatience is how long a command waits for Flowroute to tell of a sender.
const senderPatience = 2 * time.Second

// newSenders makes the check of a command; lookUp asks Flowroute, nil: nobody does. errs is
// told when nobody could tell.
func (d *desk) newSenders(errs io.Writer, lookUp func(context.Context, flowroute.E164) (flowroute.NumberDetails, error)) (checkSenders, error) {
	store, err := inventory.New(d.rdb, inventory.Options{})
	if err != nil {
		return nil, err
	}
	senders, err := inventory.NewSenders(store, inventory.SendersOptions{LookUp: lookUp, Wait: senderPatience,
		Observe: func(outcome inventory.SenderOutcome, _ int) {
			if outcome == inventory.SenderUnverified {
				fmt.Fprintln(errs, "notice: nobody could tell whether the sender is a number of the account; if not, Flowroute refuses it (numbers sync fills the copy)")
			}
		}})
	if err != nil {
		return nil, err
	}
	return senders.Check, nil
}

// lookUpNumber asks Flowroute for a number, if this command may speak for the account
// whose jobs these are.
func (d *desk) lookUpNumber(ctx context.Context, n flowroute.E164) (details flowroute.NumberDetails, err error) {
	if !d.hasCredentials() {
		return details, errNoAccess
	}
	return details, d.withAPI(ctx, io.Discard, func(ctx context.Context, api *flowroute.Client) error {
		owner, err := d.jobs.Ledger().Owner(ctx)
		if err == nil && owner != "" && owner != d.account(api) {
			err = errors.New("these credentials are of another account than the jobs")
		}
		if err != nil {
			return err
		}
		details, err = api.Number(ctx, n)
		return err
	})
}

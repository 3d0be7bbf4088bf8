package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// demoReport is the demo's result as JSON.
type demoReport struct {
	Agree           bool             `json:"agree"`
	Messages        *comparison      `json:"messages"`
	Duplicates      int              `json:"duplicates"` // keys used again, which made no second job
	Number          string           `json:"number"`
	NumbersBought   int              `json:"numbers_bought"`
	RateLimited     int64            `json:"rate_limited"` // answers 429
	Limits          []demoLimit      `json:"limits"`
	OTP             waits            `json:"otp"`
	Faults          map[string]int64 `json:"faults"`
	FirstAcceptedMS int64            `json:"first_accepted_ms"` // after the start of the program
	TookMS          int64            `json:"took_ms"`
}

type demoLimit struct {
	Kind     flowroutetest.Kind `json:"kind"`
	Limit    int                `json:"limit"`
	Most     int                `json:"most"` // attempts within any one second
	Attempts int                `json:"attempts"`
}

// waits is how long messages of one kind took from being asked for to being taken.
type waits struct {
	N        int   `json:"n"`
	MedianMS int64 `json:"median_ms"`
	MostMS   int64 `json:"most_ms"`
}

// report compares, prints, and fails when the two do not agree.
func (p *play) report(ctx context.Context, w world, says io.Writer, o demoOptions) error {
	r, err := p.result(ctx)
	if err != nil {
		return err
	}
	if o.json {
		err = printJSON(w.out, r)
	} else {
		err = r.print(says)
	}
	if err == nil && !r.Agree {
		return errQuiet
	}
	return err
}

// result reads the ledger, then the truth.
func (p *play) result(ctx context.Context) (*demoReport, error) {
	ids := p.ids()
	bought, update := p.numbersJobs()
	found, errs := p.st.service.jobs.Ledger().GetMany(ctx, append(slices.Clone(ids), bought, update))
	asked := make([]askedJob, len(ids))
	var codes []time.Duration
	for i, id := range ids {
		if errs[i] != nil {
			return nil, errs[i]
		}
		m := p.asked[id]
		asked[i] = askedJob{posted{m.From[1:], m.To[1:], m.Body}, found[i]}
		if took, ok := untilTaken(found[i]); ok && m.kind == demoOTP {
			codes = append(codes, took)
		}
	}
	truth := p.st.sim.Truth()
	statuses := map[string]string{}
	for record := range p.st.sim.Records() {
		statuses[record.ID] = record.Status
	}
	c := compareMessages(asked, truth)
	c.compareDeliveries(asked, statuses)
	c.comparePurchase(found[len(ids)], found[len(ids)+1], truth)
	c.compareLimits(truth, p.st.limits)

	r := &demoReport{
		Messages: c, Agree: len(c.Problems) == 0, Duplicates: p.duplicates, Number: jobs.NumberOf(found[len(ids)]).String(),
		NumbersBought: len(truth.Purchases), RateLimited: truth.Counts.RateLimited, OTP: summarize(codes),
		Faults: truth.Counts.Faults, TookMS: time.Since(p.started).Milliseconds(),
	}
	if first := p.tally.firstAccepted(); !first.IsZero() {
		r.FirstAcceptedMS = first.Sub(p.started).Milliseconds()
	}
	for _, a := range truth.Attempts {
		r.Limits = append(r.Limits, demoLimit{a.Kind, limitOf(p.st.limits, a.Kind), a.MaxInWindow, a.Attempts})
	}
	return r, nil
}

func (p *play) numbersJobs() (bought, update ledger.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bought, p.update
}

// untilTaken is how long a message waited for its acceptance. How long it takes to
// find out about a lost answer is another matter.
func untilTaken(job jobs.Job) (time.Duration, bool) {
	if slices.ContainsFunc(job.History, func(c ledger.Change) bool { return c.State == ledger.Unknown }) {
		return 0, false
	}
	i := slices.IndexFunc(job.History, func(c ledger.Change) bool { return c.State == ledger.Accepted })
	if i < 0 {
		return 0, false
	}
	return job.History[i].At.Sub(job.Created), true
}

func summarize(list []time.Duration) waits {
	if len(list) == 0 {
		return waits{}
	}
	slices.Sort(list)
	return waits{N: len(list), MedianMS: list[len(list)/2].Milliseconds(), MostMS: list[len(list)-1].Milliseconds()}
}

// print writes the table.
func (r *demoReport) print(out io.Writer) error {
	m := r.Messages
	fmt.Fprintln(out)
	err := table(out, []string{"MESSAGES", "LEDGER", "TRUTH", ""}, func(row func(cells ...string)) {
		n := strconv.Itoa
		taken := m.Truth[ledger.Accepted] + m.Truth[ledger.Delivered] + m.Truth[ledger.Undelivered]
		accepted := m.Ledger[ledger.Accepted] + m.Ledger[ledger.Delivered] + m.Ledger[ledger.Undelivered]
		row("asked for", n(m.Asked), "", fmt.Sprintf("and %d of them twice, by key: no second job", r.Duplicates))
		row("accepted", n(accepted), n(taken), "taken by Flowroute, each once")
		row("  delivered", n(m.Ledger[ledger.Delivered]), n(m.Delivered.Delivered), "by the records")
		row("  undelivered", n(m.Ledger[ledger.Undelivered]), n(m.Delivered.Undelivered), "by the records")
		row("  no receipt yet", n(m.Ledger[ledger.Accepted]), "", "")
		for _, line := range []struct {
			state ledger.State
			text  string
		}{
			{ledger.Unknown, "not decided in time"}, {ledger.Review, "a person must decide"}, {ledger.Failed, "refused: a sender that is not ours"}, {ledger.Blocked, "the recipient has opted out"},
			{ledger.Cancelled, "cancelled before they were sent"}, {ledger.Expired, "their time was over"},
			{ledger.Queued, "not sent yet"}, {ledger.Sending, "on the wire"},
		} {
			if m.Ledger[line.state] > 0 {
				row(string(line.state), n(m.Ledger[line.state]), n(m.Truth[line.state]), line.text)
			}
		}
		row("all", n(m.Asked), n(m.Taken), "taken by Flowroute")
		row("twice", "", n(m.Doubled), "")
		row("")
		row("NUMBERS", "1", n(r.NumbersBought), "bought, though the answer was lost: "+orDash(r.Number))
	})
	if err == nil {
		err = printLost(out, m.Lost)
	}
	if err != nil {
		return err
	}
	r.printTail(out)
	return nil
}

func (r *demoReport) printTail(out io.Writer) {
	m := r.Messages
	var limits []string
	for _, l := range r.Limits {
		limits = append(limits, fmt.Sprintf("%s %d of %d", l.Kind, l.Most, l.Limit))
	}
	fmt.Fprintf(out, "\nmost requests within one second: %s; answers 429: %d\n", strings.Join(limits, ", "), r.RateLimited)
	if r.OTP.N > 0 {
		fmt.Fprintf(out, "one-time codes overtook the backlog: taken after %d ms (median), %d ms at most\n", r.OTP.MedianMS, r.OTP.MostMS)
	}
	fmt.Fprintf(out, "first message taken after %.1f s, all done after %.1f s\n\n", float64(r.FirstAcceptedMS)/1000, float64(r.TookMS)/1000)
	if r.Agree {
		fmt.Fprintln(out, "AGREED: every message the ledger calls accepted was taken exactly once, and the other way round; nothing is left unknown.")
		return
	}
	fmt.Fprintf(out, "NOT AGREED: %s\n", plural(len(m.Problems), "difference"))
	for i, problem := range m.Problems {
		if i == maxShown {
			fmt.Fprintf(out, "  … and %d more\n", len(m.Problems)-i)
			break
		}
		fmt.Fprintln(out, "  "+clean(problem))
	}
}

const maxShown = 20

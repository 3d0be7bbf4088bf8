package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// upload brings one roll into one campaign, and starts that.
type upload struct {
	world
	*creation
	store *campaign.Store
	roll  *roll
	bar   *readBar

	id       ledger.ID
	before   int // recipients that an upload before this one has brought
	totals   campaign.Totals
	problems []campaign.Answer // the first of them
	last     int               // the line that was answered last
	waited   bool              // for another upload
}

// furtherMost bounds how often the same is made again.
const furtherMost = 1000

// identify finds out which campaign this is.
func (u *upload) identify(ctx context.Context) error {
	for n := 0; n <= furtherMost; n++ {
		if n == 0 && u.again {
			continue
		}
		id := u.nth(n)
		known, err := u.store.Get(ctx, id)
		switch {
		case errors.Is(err, campaign.ErrNotFound):
			u.id = id
			return nil
		case err != nil:
			return err
		case u.again && known.State != campaign.Draft:
			continue
		}
		u.id, u.before = id, known.Rows
		// A time from now on means the moment that it meant the first time.
		if u.startIn != "" {
			u.spec.StartAt = known.Spec.StartAt
		}
		if u.endIn != "" {
			u.spec.EndAt = known.Spec.EndAt
		}
		return nil
	}
	return fmt.Errorf("there are %d campaigns with the same recipients, template, senders and start: give a --key", furtherMost)
}

// nth is the id of the campaign, 0, or of the nth one that is made of the same again.
func (u *upload) nth(n int) ledger.ID {
	same := campaign.Spec{From: senders(u.spec.From), Template: u.spec.Template, StartAt: u.spec.StartAt, Key: u.spec.Key}
	further := ""
	if n > 0 {
		further = " again " + strconv.Itoa(n)
	}
	if same.Key != "" {
		same.Key += further
		return same.ID(nil)
	}
	if u.startIn != "" {
		same.StartAt = time.Time{}
		further += " in " + u.startIn
	}
	return same.ID(append(slices.Clone(u.roll.people), further...))
}

// senders are the same however they are written and in whatever order.
func senders(texts campaign.Senders) campaign.Senders {
	same := make(campaign.Senders, len(texts))
	for i, text := range texts {
		same[i] = text
		if number, err := flowroute.ParseE164(text); err == nil {
			same[i] = number.String()
		}
	}
	slices.Sort(same)
	return slices.Compact(same)
}

// conflict says that the campaign was made with something else.
func (u *upload) conflict() error {
	if u.spec.Key != "" {
		return fmt.Errorf("the key belongs to campaign %s, which has another template, sender or setting: use another --key, or what it was made with; --again makes a further one", u.id)
	}
	return fmt.Errorf("campaign %s has the same recipients, template, senders and start, but another name, rate, end or other setting: nothing was done, so that nobody is texted twice. Give the settings that it was made with, or --again to make a further one", u.id)
}

// exists says that there is nothing to do.
func (u *upload) exists(ctx context.Context, state campaign.State) error {
	c, err := u.store.Get(ctx, u.id)
	if err != nil {
		return err
	}
	var text string
	switch state {
	case campaign.Cancelled, campaign.Failed:
		why := "was cancelled"
		if state == campaign.Failed {
			why = "was given up, since nobody finished its upload within a day"
		}
		err = fmt.Errorf("campaign %s %s; --again makes a further one", u.id, why)
	case campaign.Paused:
		text = "the same campaign exists already, and is paused: nothing was added; it goes on with: flowroute-worker campaign resume " + u.id.String()
	default:
		text = fmt.Sprintf("the same campaign exists already, and is %s: nothing was added (--again makes a further one)", state)
	}
	if u.jsonOut {
		return errors.Join(u.print(c, true), err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(u.errs, text)
	fmt.Fprintln(u.errs, progressText(c))
	_, err = fmt.Fprintln(u.out, u.id)
	return err
}

// run uploads and starts.
func (u *upload) run(ctx context.Context, d *desk) error {
	if !u.jsonOut {
		fmt.Fprintf(u.errs, "campaign %s\n", u.id)
	}
	if u.before > 0 {
		fmt.Fprintf(u.errs, "an upload broke off: it goes on after the %s that are there already\n", people(u.before))
	}
	err := u.roll.upload(ctx, u.bar, func(ctx context.Context, source io.Reader) (err error) {
		in := u.roll.in
		in.Waiting = u.waits
		u.totals, err = u.store.Upload(ctx, u.id, source, in, u.take)
		return err
	})
	if err != nil {
		if began, ok := errors.AsType[*campaign.StateError](err); ok && u.last == 0 {
			return u.exists(ctx, began.State) // by another command, just now
		}
		return u.broken(ctx, err)
	}
	if u.before+u.totals.Accepted == 0 {
		return u.nothing(u.problems, u.totals.Invalid)
	}
	if _, err := u.store.Start(ctx, u.id); err != nil {
		return u.broken(ctx, err)
	}
	c, err := u.store.Get(ctx, u.id)
	if err != nil {
		return err
	}
	if u.jsonOut {
		return u.print(c, false)
	}
	u.say(d, c)
	_, err = fmt.Fprintln(u.out, u.id)
	return err
}

// waits says, once, why nothing happens.
func (u *upload) waits() error {
	if !u.waited {
		u.waited = true
		fmt.Fprintln(u.errs, "another upload to this campaign has not ended, or was killed a moment ago: waiting up to 20 s to see which …")
	}
	return nil
}

// take takes the answer to a row.
func (u *upload) take(a campaign.Answer) error {
	u.last = a.Line
	u.totals = count(u.totals, a.Verdict)
	if a.Verdict == campaign.RowInvalid && len(u.problems) < shownInvalid {
		u.problems = append(u.problems, a)
	}
	u.bar.rows(u.totals.Rows())
	return nil
}

func count(t campaign.Totals, v campaign.Verdict) campaign.Totals {
	switch v {
	case campaign.RowAccepted:
		t.Accepted++
	case campaign.RowDuplicate:
		t.Duplicate++
	case campaign.RowBlocked:
		t.Blocked++
	case campaign.RowInvalid:
		t.Invalid++
	}
	return t
}

// broken says of an error in the middle how far it came, and how to go on.
func (u *upload) broken(ctx context.Context, err error) error {
	at := "before the first row was taken"
	if u.last > 0 {
		at = "after line " + strconv.Itoa(u.last)
	}
	_, over := errors.AsType[*campaign.StateError](err)
	goOn := "nothing was started; the campaign stays a draft for 24 h, and the same command goes on with it"
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted %s: %s", at, goOn)
	case over, errors.Is(err, errChanged), errors.Is(err, campaign.ErrBusy):
		return err
	case redis.HasErrorPrefix(err, "OOM"):
		return fmt.Errorf("%s: Redis is full (maxmemory): give it room; %s: %w", at, goOn, err)
	}
	return fmt.Errorf("%s: %w; %s", at, err, goOn)
}

// nothing says that no row is left.
func (u *upload) nothing(problems []campaign.Answer, bad int) error {
	if u.jsonOut {
		if err := printJSON(u.out, createdView{Rows: u.rows(bad), Problems: views(u.id, problems)}); err != nil {
			return err
		}
	}
	u.name(problems, bad)
	return fmt.Errorf("no recipient is left of %s: nothing was started", plural(max(u.totals.Rows(), bad), "row"))
}

// name names the rows that are invalid, the first of them.
func (u *upload) name(problems []campaign.Answer, bad int) {
	for _, a := range problems {
		fmt.Fprintf(u.errs, "line %d: %s\n", a.Line, clean(a.Problem.Error()))
	}
	if more := bad - len(problems); more > 0 {
		fmt.Fprintf(u.errs, "and %s more; --dry-run counts them by reason\n", thousands(more))
	}
}

// say tells what was taken, and what comes now.
func (u *upload) say(d *desk, c *campaign.Campaign) {
	u.name(u.problems, u.totals.Invalid)
	rows := u.rows(u.totals.Invalid)
	fmt.Fprintf(u.errs, "%s taken of %s%s\n", people(c.Rows), many(u.totals.Rows(), "row"), leftOut(rows.Duplicate, rows.Blocked, rows.Invalid))
	fmt.Fprintf(u.errs, "%s, about %s in all\n", many(c.Segments, "segment"), c.Estimate())
	if rows.Invalid > 0 {
		fmt.Fprintf(u.errs, "warning: %s left out as invalid; to text those too, correct them in a file of their own: with the whole file the others would be texted again\n", many(rows.Invalid, "row"))
	}
	short := c.ID.String()[:shortID]
	switch c.State {
	case campaign.Scheduled:
		fmt.Fprintf(u.errs, "scheduled for %s; see flowroute-worker campaign show %s\n", stamp(c.Spec.StartAt), short)
	default:
		fmt.Fprintf(u.errs, "%s; see flowroute-worker campaign show %s\n", c.State, short)
	}
	if n, err := d.workers(); err == nil && n == 0 {
		fmt.Fprintln(u.errs, "no worker is running: start one with flowroute-worker run")
	}
}

// rows are the totals, without those that an upload before had brought.
func (u *upload) rows(bad int) *rowsView {
	return &rowsView{Accepted: u.totals.Accepted, Before: u.before, Duplicate: max(u.totals.Duplicate-u.before, 0), Blocked: u.totals.Blocked, Invalid: max(u.totals.Invalid, bad)}
}

// leftOut lists who is left out, in brackets.
func leftOut(duplicate, blocked, invalid int) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{duplicate, "duplicate"}, {blocked, "opted out"}, {invalid, "invalid"}} {
		if p.n > 0 {
			parts = append(parts, thousands(p.n)+" "+p.what)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// many is plural with long numbers made readable.
func many(n int, noun string) string {
	return strings.Replace(plural(n, noun), strconv.Itoa(n), thousands(n), 1)
}

// createdView is what was made, as JSON.
type createdView struct {
	ID       string                `json:"id,omitempty"`
	Existed  bool                  `json:"existed"` // it was started before: nothing was added
	Rows     *rowsView             `json:"rows,omitempty"`
	Problems []campaign.AnswerView `json:"problems"` // the first of them
	Campaign *campaign.View        `json:"campaign,omitempty"`
}

type rowsView struct {
	Accepted  int `json:"accepted"`
	Before    int `json:"accepted_before"` // by an upload that broke off
	Duplicate int `json:"duplicate"`
	Blocked   int `json:"blocked"`
	Invalid   int `json:"invalid"`
}

func (u *upload) print(c *campaign.Campaign, existed bool) error {
	view := c.View()
	v := createdView{ID: view.ID, Existed: existed, Problems: views(c.ID, u.problems), Campaign: &view}
	if !existed {
		v.Rows = u.rows(u.totals.Invalid)
	}
	return printJSON(u.out, v)
}

func views(id ledger.ID, answers []campaign.Answer) []campaign.AnswerView {
	list := make([]campaign.AnswerView, len(answers))
	for i, a := range answers {
		list[i] = a.View(id)
	}
	return list
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/template"
)

// preflight says what a campaign would do.
func (w world) preflight(ctx context.Context, d *desk, store *campaign.Store, c *creation, r *roll, text *template.Template) error {
	u := &upload{world: w, store: store, creation: c, roll: r, bar: newReadBar(w.errs)}
	if err := r.scan(ctx, text, u.bar); err != nil {
		return notRead(c.file, err)
	}
	clocks, err := campaign.NewClocks(d.SendingZone.Location())
	if err != nil {
		return err
	}
	// An answer of Flowroute would be written into the copy.
	senders, err := d.newSenders(w.errs, nil)
	if err != nil {
		return err
	}
	if store, err = d.newCampaigns(d.rdb, senders); err != nil {
		return err
	}
	source, _, err := r.again()
	if err != nil {
		return err
	}
	source = u.bar.begin("looking", r.size, source)
	p, err := store.Preflight(ctx, c.spec, source, c.in, campaign.PreflightOptions{Clocks: clocks, Rate: d.rateOfCampaign(c.spec)}, u.take)
	u.bar.end()
	if err != nil {
		return notRead(c.file, err)
	}
	if c.jsonOut {
		if err := printJSON(w.out, p); err != nil {
			return err
		}
	} else {
		u.name(u.problems, 0)
		if more := p.Skipped.Invalid - len(u.problems); more > 0 {
			fmt.Fprintf(w.errs, "and %s more\n", thousands(more))
		}
		if err := printPreflight(w.out, d, p); err != nil {
			return err
		}
	}
	if p.Recipients == 0 {
		return fmt.Errorf("no recipient is left of %s: it would not start", many(u.totals.Rows(), "row"))
	}
	return u.foretell(ctx)
}

// foretell says where the same is there already.
func (u *upload) foretell(ctx context.Context) error {
	if err := u.identify(ctx); err != nil {
		return err
	}
	known, err := u.store.Get(ctx, u.id)
	switch {
	case errors.Is(err, campaign.ErrNotFound):
		return nil
	case err != nil:
		return err
	case known.State == campaign.Draft:
		fmt.Fprintf(u.errs, "notice: an upload of the same campaign broke off, after %s: without --dry-run it goes on (%s)\n", people(known.Rows), u.id)
	default:
		fmt.Fprintf(u.errs, "notice: the same campaign exists already, and is %s: without --again nothing would be added (%s)\n", known.State, u.id)
	}
	return nil
}

// rateOfCampaign is what the limits of account and senders allow; 0: all.
func (s settings) rateOfCampaign(spec campaign.Spec) float64 {
	rate, of := s.limits.SMS.PerSecond(), 0.0
	for _, text := range senders(spec.From) {
		number, err := flowroute.ParseE164(text)
		if err != nil {
			return 0 // it is refused
		}
		own := math.Inf(1)
		for _, c := range s.caps.at(number) {
			own = min(own, c.Rate.PerSecond())
		}
		of += own
	}
	if rate = min(rate, of); math.IsInf(rate, 1) {
		return 0
	}
	return rate
}

func printPreflight(out io.Writer, d *desk, p campaign.Preflight) error {
	fmt.Fprintln(out, "dry run: nothing was written, nothing is sent")
	err := table(out, nil, func(row func(cells ...string)) {
		row("messages", thousands(p.Recipients))
		row("segments", thousands(p.Segments)+segmentsText(p))
		row("cost", fmt.Sprintf("about %s, at %s a segment (SEGMENT_PRICE)", p.EstimatedCost, flowroute.Money(d.SegmentPrice)))
		skipped := leftOut(p.Skipped.Duplicate, p.Skipped.Blocked, p.Skipped.Invalid)
		row("left out", orDash(strings.Trim(skipped, " ()")))
		row("hours", outsideText(p))
		row("finish", finishText(p, time.Now()))
	})
	if err != nil {
		return err
	}
	if err := printWhys(out, p); err != nil {
		return err
	}
	return printCostly(out, p)
}

func segmentsText(p campaign.Preflight) string {
	var parts []string
	for _, t := range p.Texts {
		parts = append(parts, fmt.Sprintf("%s of %d", many(t.Texts, "text"), t.Segments))
	}
	switch {
	case len(parts) == 0:
		return ""
	case p.UCS2 == p.Recipients:
		parts = append(parts, "all in UCS-2")
	case p.UCS2 > 0:
		parts = append(parts, thousands(p.UCS2)+" in UCS-2")
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func outsideText(p campaign.Preflight) string {
	switch {
	case p.Spec.SendingHours == "00:00-24:00":
		return "always"
	case p.Outside == 0:
		return p.Spec.SendingHours + " where the recipient is: all are within them at the start"
	}
	return fmt.Sprintf("%s where the recipient is: %s outside at the start, and wait", p.Spec.SendingHours, people(p.Outside))
}

func finishText(p campaign.Preflight, now time.Time) string {
	var text string
	switch {
	case p.Recipients == 0:
		return "-"
	case p.FinishAt.IsZero():
		text = "not within a year"
	default:
		text = fmt.Sprintf("%s at the earliest (in %s)", stamp(p.FinishAt), span(p.FinishAt.Sub(now)))
	}
	if p.Rate > 0 {
		text += fmt.Sprintf(", at %s and with nothing else to send", perSecond(p.Rate))
	}
	if p.Unsent > 0 {
		text += fmt.Sprintf("; at its end time %s are left unsent", people(p.Unsent))
	}
	return text
}

// shownWhys is how many reasons and characters are shown.
const shownWhys = 10

func printWhys(out io.Writer, p campaign.Preflight) error {
	list := append(p.Invalid, p.Blocked...)
	if len(list) == 0 {
		return nil
	}
	fmt.Fprintln(out, "\nleft out")
	return table(out, nil, func(row func(cells ...string)) {
		for i, why := range list {
			if i == shownWhys {
				row("", fmt.Sprintf("and %d more reasons (--json)", len(list)-i))
				break
			}
			text := why.Why
			if why.Field != "" {
				text = why.Field + ": " + text
			}
			row("  "+thousands(why.Rows), text+fmt.Sprintf(" (line %d)", why.Line))
		}
	})
}

// printCostly says what makes texts expensive, and what that costs.
func printCostly(out io.Writer, p campaign.Preflight) error {
	if len(p.Costly)+len(p.Values)+len(p.Absent) == 0 {
		return nil
	}
	fmt.Fprintln(out)
	for _, field := range p.Absent {
		fmt.Fprintf(out, "No column is called %s: every text has its default.\n", clean(field))
	}
	if len(p.Costly)+len(p.Values) > 0 {
		fmt.Fprintln(out, "One of these characters makes a text UCS-2, in segments of 70 characters:")
	}
	err := table(out, nil, func(row func(cells ...string)) {
		for i, c := range p.Costly {
			if i == shownWhys {
				row("", fmt.Sprintf("and %d more in the template (--json)", len(p.Costly)-i))
				break
			}
			where := fmt.Sprintf("template, line %d, character %d", c.Line, c.Column)
			if c.OnlyInDefaults {
				where += ", a default"
			}
			row("  "+charText(c.Char), where, writeText(c.Write))
		}
		for i, v := range p.Values {
			if i == shownWhys {
				row("", fmt.Sprintf("and %d more in the rows (--json)", len(p.Values)-i))
				break
			}
			row("  "+charText(v.Char), fmt.Sprintf("%s, %s from line %d on", v.Field, many(v.Rows, "row"), v.Line), writeText(v.Write))
		}
	})
	if p.PlainSaves > 0 {
		fmt.Fprintf(out, "The template below says the same in %s less, about %s:\n  %s\n", many(p.PlainSaves, "segment"), p.PlainSaving, clean(strings.ReplaceAll(p.PlainTemplate, "\n", "⏎")))
	}
	if p.PlainValues > 0 {
		fmt.Fprintf(out, "The values written so too: %s less, about %s.\n", many(p.PlainValues, "segment"), p.ValuesSaving)
	}
	if p.PlainSaves+p.PlainValues == 0 && len(p.Costly)+len(p.Values) > 0 {
		fmt.Fprintln(out, "Written otherwise they would cost as much.")
	}
	return err
}

// charText shows a character so that those that look like nothing are seen too.
func charText(char string) string {
	var code strings.Builder
	for _, r := range char {
		fmt.Fprintf(&code, "U+%04X", r)
		if !unicode.IsPrint(r) {
			char = ""
		}
	}
	return strings.TrimSpace(char + " (" + code.String() + ")")
}

func writeText(instead *string) string {
	switch {
	case instead == nil:
		return "nothing in ASCII says the same"
	case *instead == "":
		return "leave it out"
	case *instead == " " || *instead == "\n":
		return "write a plain space or line end"
	}
	return "write " + *instead
}

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/flowroute-worker/flowroute-worker/jobs/reconcile"
)

// printReport writes a report for people, in 80 columns.
func printReport(out io.Writer, r reconcile.Report) error {
	complete := "not complete"
	if r.Complete {
		complete = "complete"
	}
	fmt.Fprintf(out, "%s to %s, %s\n", shortTime(r.Window.Since), shortTime(r.Window.Until), complete)
	for _, note := range r.Notes {
		fmt.Fprintln(out, folded(note, 80))
	}
	fmt.Fprintln(out)
	if err := printClasses(out, r); err != nil {
		return err
	}
	if len(r.Issues) > 0 {
		var list []string
		for _, issue := range reconcile.Issues() {
			if n := r.Issues[issue]; n > 0 {
				list = append(list, fmt.Sprintf("%s %s", issue, grouped(n)))
			}
		}
		fmt.Fprintf(out, "differing: %s\n", strings.Join(list, ", "))
	}
	if r.Lapsed > 0 {
		fmt.Fprintf(out, "of messages past their retention, known by their claims: %s\n", grouped(r.Lapsed))
	}
	for _, part := range []struct {
		title string
		rows  []reconcile.Row
	}{{"DAY", r.Days}, {"CAMPAIGN", r.Campaigns}, {"SENDER", r.Senders}, {"STATUS", r.Statuses}, {"CODE", r.Codes}} {
		if len(part.rows) == 0 {
			continue
		}
		fmt.Fprintln(out)
		if err := printRows(out, part.title, part.rows); err != nil {
			return err
		}
	}
	return printPrices(out, r)
}

func printClasses(out io.Writer, r reconcile.Report) error {
	before := ""
	if r.Before != nil {
		before = "BEFORE, " + shortTime(r.Before.Made)
	}
	return table(out, []string{"CLASS", "MESSAGES", "RECORDS", "MONEY", before}, func(row func(cells ...string)) {
		figures := func(name string, f reconcile.Figures, was func(*reconcile.Before) reconcile.Figures) {
			changed := ""
			if r.Before != nil {
				if o := was(r.Before); o != f {
					changed = "was " + grouped(max(o.Records, o.Messages))
					if max(o.Records, o.Messages) == max(f.Records, f.Messages) {
						changed = fmt.Sprintf("was %s messages, %s", grouped(o.Messages), o.Money)
					}
				}
			}
			row(name, grouped(f.Messages), grouped(f.Records), f.Money.String(), changed)
		}
		for _, c := range reconcile.Classes() {
			figures(string(c), *r.Of(c), func(b *reconcile.Before) reconcile.Figures { return *b.Of(c) })
		}
		if r.Waiting.Messages > 0 || r.Before != nil && r.Before.Waiting.Messages > 0 {
			figures("waiting", r.Waiting, func(b *reconcile.Before) reconcile.Figures { return b.Waiting })
		}
		if r.NotTold.Records > 0 {
			figures("not told", r.NotTold, func(b *reconcile.Before) reconcile.Figures { return b.NotTold })
		}
		row("inbound", "", grouped(r.Inbound.Records), r.Inbound.Money.String())
	})
}

// mostLines of one kind are shown to people; JSON has more.
const mostLines = 12

func printRows(out io.Writer, title string, rows []reconcile.Row) error {
	return table(out, []string{title, "MATCHED", "NO MDR", "NO JOB", "DIFFER", "MONEY"}, func(row func(cells ...string)) {
		for i, r := range rows {
			if i == mostLines {
				row(fmt.Sprintf("and %d more: --format json", len(rows)-i))
				return
			}
			key := orDash(r.Key)
			if title == "CAMPAIGN" && len(key) > 8 {
				key = key[:8]
			}
			if r.Name != "" {
				key += " " + r.Name
			}
			if len([]rune(key)) > 28 {
				key = string([]rune(key)[:27]) + "…"
			}
			row(key, grouped(r.Matched), grouped(r.WithoutRecord), grouped(r.WithoutJob), grouped(r.Differing), r.Money.String())
		}
	})
}

func printPrices(out io.Writer, r reconcile.Report) error {
	if len(r.Prices) == 0 {
		return nil
	}
	fmt.Fprintf(out, "\nprices of a segment; SEGMENT_PRICE is %s\n", r.SegmentPrice)
	return table(out, []string{"KIND", "PRICE", "RECORDS", ""}, func(row func(cells ...string)) {
		for i, p := range r.Prices {
			if i == mostLines {
				row(fmt.Sprintf("and %d more: --format json", len(r.Prices)-i))
				return
			}
			usual := "unusual"
			if p.Usual {
				usual = ""
			}
			row(p.Kind, p.Price.String(), grouped(p.Records), usual)
		}
	})
}

// folded breaks a text into lines of at most so many characters.
func folded(text string, width int) string {
	var b strings.Builder
	length := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case length+1+len(word) > width:
			b.WriteByte('\n')
			length = 0
		default:
			b.WriteByte(' ')
			length++
		}
		b.WriteString(word)
		length += len(word)
	}
	return b.String()
}

// itemList writes what is behind a class.
type itemList struct {
	world  world
	format string
	out    *bufio.Writer
	csv    reconcile.CSV
	n      int
	items  []reconcile.Item // of a table
}

func newItemList(w world, format string) *itemList {
	l := &itemList{world: w, format: format, out: bufio.NewWriter(w.out)}
	if format == "csv" {
		l.csv = reconcile.NewCSV(l.out)
	}
	return l
}

// mostItems is how much of a list is shown as a table.
const mostItems = 1000

func (l *itemList) add(i reconcile.Item) error {
	l.n++
	switch l.format {
	case "csv":
		return l.csv.Write(i)
	case "json":
		head := ",\n"
		if l.n == 1 {
			head = "{\"items\":[\n"
		}
		b, err := json.Marshal(i)
		if err != nil {
			return err
		}
		_, err = l.out.Write(append([]byte(head), b...))
		return err
	}
	if len(l.items) < mostItems {
		l.items = append(l.items, i)
	}
	return nil
}

func (l *itemList) end(report reconcile.Report) error {
	switch l.format {
	case "csv":
		return errors.Join(l.csv.Flush(), l.out.Flush())
	case "json":
		if l.n == 0 {
			fmt.Fprint(l.out, "{\"items\":[")
		}
		b, err := json.Marshal(report)
		fmt.Fprintf(l.out, "],\n\"report\":%s}\n", b)
		return errors.Join(err, l.out.Flush())
	}
	err := table(l.world.out, []string{"TIME", "FROM", "TO", "HERE", "THERE", "WHAT"}, func(row func(cells ...string)) {
		for _, i := range l.items {
			row(i.At.UTC().Format("01-02 15:04"), i.From, i.To, orDash(string(i.State)), orDash(string(i.Delivery)), itemAbout(i))
		}
	})
	if l.n > len(l.items) {
		fmt.Fprintf(l.world.errs, "there are %s: --format csv has them all\n", thousands(l.n))
	}
	return err
}

// itemAbout is the rest of a line of 80 columns; the ids are in the other formats.
func itemAbout(i reconcile.Item) string {
	switch {
	case len(i.Issues) > 0:
		return i.IssueList(",") + " " + i.Money.String()
	case !i.Perhaps.IsZero():
		return "perhaps " + i.Perhaps.String()[:8]
	case i.Class == reconcile.WithoutRecord:
		return string(i.Reason)
	}
	return i.Money.String()
}

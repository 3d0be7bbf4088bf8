package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/template"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/spreadsheet"
)

func newCampaignFailures(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "failures ID",
		Short: "Write the rows that failed",
		Long: `Write the rows of a campaign that got no message, as CSV or NDJSON: number, fields,
and the state, the reason and the words of Flowroute. Such a file can be given to
campaign create; campaign resend does that by itself.

In a CSV, a value that a spreadsheet would take for a formula gets an apostrophe in
front; NDJSON has all values as they are.`,
		Example: `  flowroute-worker campaign failures 3f6c2a17 --output failed.csv
  flowroute-worker campaign failures 3f6c2a17 --format ndjson | jq -r .detail | sort | uniq -c`,
		Args: takes(1, 1, "a campaign's id"),
	}
	output := cmd.Flags().String("output", "", "a file to write (default standard output)")
	format := cmd.Flags().String("format", "csv", "csv or ndjson")
	reasons := cmd.Flags().StringSlice("reason", nil, "only rows that failed for this reason, or one of these")
	jsonOut := cmd.Flags().Bool("json", false, "the same as --format ndjson")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *jsonOut {
			*format = string(intake.NDJSON)
		}
		if *format != string(intake.CSV) && *format != string(intake.NDJSON) {
			return &usageError{err: fmt.Errorf("--format %.40q: use csv or ndjson", *format), path: cmd.CommandPath()}
		}
		return w.ofCampaign(cmd, args[0], func(ctx context.Context, store *campaign.Store, c *campaign.Campaign) error {
			return toFile(w.out, *output, func(out io.Writer) error {
				return w.writeFailures(ctx, store, c, *format, *reasons, out)
			})
		})
	}
	return cmd
}

// toFile gives write a file that takes its name once it is whole, or standard output.
func toFile(standard io.Writer, name string, write func(io.Writer) error) error {
	if name == "" {
		out := bufio.NewWriter(standard)
		return errors.Join(write(out), out.Flush())
	}
	file, err := os.CreateTemp(filepath.Dir(name), ".flowroute-worker-*") // for its owner alone: it has phone numbers
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	defer os.Remove(file.Name())
	out := bufio.NewWriter(file)
	if err := errors.Join(write(out), out.Flush(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}

// failureColumns names the columns of a list of failures, so that campaign create reads it
// again: the number's, those of the fields, and ours.
type failureColumns struct {
	phone  string
	fields []string
	ours   []string // state, reason, detail
	// told: campaign create has to be told which column has the number.
	told bool
}

func columnsOf(c *campaign.Campaign) (failureColumns, error) {
	text, err := template.Parse(c.Spec.Template)
	if err != nil {
		return failureColumns{}, err
	}
	var f failureColumns
	var fields []intake.Field
	for _, field := range text.Fields() {
		f.fields = append(f.fields, field.Name)
		fields = append(fields, intake.Field{Name: field.Name})
	}
	readable := func(recipient string, names ...string) bool {
		_, err := intake.New(strings.NewReader(strings.Join(names, ",")+"\n"), intake.Options{Format: intake.CSV, Fields: fields, Recipient: recipient})
		return err == nil
	}
	for _, name := range []string{"state", "reason", "detail"} {
		for !readable("x9", append([]string{"x9", name}, f.fields...)...) {
			name = "message_" + name
		}
		f.ours = append(f.ours, name)
	}
	// Each of these is one that is looked for, so that never another column is taken for it.
	for _, f.phone = range []string{"phone", "recipient", "mobile", "number", "to"} {
		header := slices.Concat([]string{f.phone}, f.fields, f.ours)
		if readable("", header...) {
			return f, nil
		}
		if readable(f.phone, header...) {
			f.told = true
			return f, nil
		}
	}
	return f, errors.New("the template has a field for every name that a phone number's column may have")
}

func (w world) writeFailures(ctx context.Context, store *campaign.Store, c *campaign.Campaign, format string, reasons []string, out io.Writer) error {
	columns, err := columnsOf(c)
	if err != nil {
		return err
	}
	write, end, marked := columns.csv(out)
	if format == string(intake.NDJSON) {
		write, end = columns.ndjson(out)
	}
	n := 0
	for row, err := range store.Failures(ctx, c.ID, 0) {
		if err != nil {
			return err
		}
		if len(reasons) > 0 && !slices.Contains(reasons, string(row.Job.Reason)) {
			continue
		}
		if err := write(row); err != nil {
			return err
		}
		n++
	}
	if err := end(); err != nil {
		return err
	}
	switch {
	case n == 0:
		fmt.Fprintln(w.errs, "no such rows")
	case columns.told:
		fmt.Fprintf(w.errs, "the template has fields with names of phone numbers: to send these rows again, give campaign create --recipient %s\n", columns.phone)
	}
	if *marked > 0 {
		fmt.Fprintf(w.errs, "values that begin as a formula does got an apostrophe in front: %s; --format ndjson has them as they were\n", thousands(*marked))
	}
	if n > 0 && !c.State.Over() {
		fmt.Fprintf(w.errs, "the campaign is %s: others may follow\n", c.State)
	}
	return nil
}

// csv writes rows for spreadsheets; marked counts the values that were changed for them.
func (f failureColumns) csv(out io.Writer) (write func(campaign.FailedRow) error, end func() error, marked *int) {
	marked = new(int)
	table := csv.NewWriter(out)
	header := true
	write = func(row campaign.FailedRow) error {
		if header {
			header = false
			if err := table.Write(slices.Concat([]string{f.phone}, f.fields, f.ours)); err != nil {
				return err
			}
		}
		cells := []string{row.To} // plus and digits: a number to a spreadsheet, not a formula
		for _, value := range f.values(row) {
			safe := spreadsheet.Text(value)
			if safe != value {
				*marked++
			}
			cells = append(cells, safe)
		}
		return table.Write(cells)
	}
	end = func() error {
		if header {
			header = false
			_ = table.Write(slices.Concat([]string{f.phone}, f.fields, f.ours))
		}
		table.Flush()
		return table.Error()
	}
	return write, end, marked
}

// values are those of the columns after the number.
func (f failureColumns) values(row campaign.FailedRow) []string {
	var values []string
	for _, field := range f.fields {
		values = append(values, row.Fields[field])
	}
	return append(values, string(row.Job.State), string(row.Job.Reason), clean(row.Job.Detail))
}

func (f failureColumns) ndjson(out io.Writer) (write func(campaign.FailedRow) error, end func() error) {
	names := slices.Concat([]string{f.phone}, f.fields, f.ours)
	return func(row campaign.FailedRow) error {
		line := []byte{'{'}
		for i, value := range append([]string{row.To}, f.values(row)...) {
			if value == "" {
				continue
			}
			for _, text := range []string{names[i], value} {
				b, err := json.Marshal(text)
				if err != nil {
					return err
				}
				line = append(append(line, b...), ':')
			}
			line[len(line)-1] = ','
		}
		line[len(line)-1] = '}'
		_, err := out.Write(append(line, '\n'))
		return err
	}, func() error { return nil }
}

const campaignResendLong = `Send the rows of a campaign that got no message once more, as a campaign of its own
with the same text and settings, that starts at once. It prints the new campaign's id.

Left out are recipients who have opted out, and messages that Flowroute took and the
carrier did not deliver, unless --undelivered is given. What is in review, or whose
outcome is unknown, has not failed, and is never among them.

The campaign must be over, so that no row can fail after this. Doing it again changes
nothing; --again makes a further campaign, of all that failed in this one, whatever
became of them in another.`

func newCampaignResend(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resend ID",
		Short: "Send the rows that failed again, as a new campaign",
		Long:  campaignResendLong,
		Example: `  flowroute-worker campaign resend 3f6c2a17
  flowroute-worker campaign resend 3f6c2a17 --reason expired,attempts_used_up`,
		Args: takes(1, 1, "a campaign's id"),
	}
	reasons := cmd.Flags().StringSlice("reason", nil, "only rows that failed for this reason, or one of these")
	undelivered := cmd.Flags().Bool("undelivered", false, "those too that the carrier did not deliver")
	again := cmd.Flags().Bool("again", false, "make a further one, though this was done already")
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return w.withCampaigns(cmd, func(ctx context.Context, d *desk, store *campaign.Store) error {
			c, err := findCampaign(ctx, store, args[0])
			if err != nil {
				return err
			}
			if !c.State.Over() {
				return fmt.Errorf("the campaign is %s: rows of it may still fail; wait for its end, or cancel it, and then resend", c.State)
			}
			of := &creation{spec: c.Spec, again: *again, jsonOut: *jsonOut}
			of.spec.Key = "resend of " + c.ID.String()
			of.spec.StartAt, of.spec.EndAt = time.Time{}, time.Time{} // they are over
			return w.resend(ctx, d, store, c, of, func(row campaign.FailedRow) bool {
				return (len(*reasons) == 0 || slices.Contains(*reasons, string(row.Job.Reason))) &&
					(row.Job.State != ledger.Undelivered || *undelivered)
			})
		})
	}
	return cmd
}

// resend makes a campaign of the rows that failed and are wanted.
func (w world) resend(ctx context.Context, d *desk, store *campaign.Store, c *campaign.Campaign, of *creation, wanted func(campaign.FailedRow) bool) error {
	columns, err := columnsOf(c)
	if err != nil {
		return err
	}
	of.file = "the failures of " + c.ID.String()
	of.in = campaign.Input{Format: intake.NDJSON, Recipient: columns.phone}
	taken, optedOut, others := 0, 0, 0
	r, err := spooled(ctx, of.file, func(to io.Writer) error {
		out := bufio.NewWriter(to)
		write, _ := columns.ndjson(out)
		for row, err := range store.Failures(ctx, c.ID, 0) {
			switch {
			case err != nil:
				return err
			case row.Job.State == ledger.Blocked || row.Job.Reason == ledger.ReasonOptedOut:
				optedOut++
				continue
			case !wanted(row) || row.Job.State != ledger.Undelivered && len(row.Job.MDRs) > 0:
				others++
				continue
			}
			taken++
			if err := write(row); err != nil {
				return err
			}
		}
		return out.Flush()
	})
	if err != nil {
		return err
	}
	defer r.close()
	if optedOut+others > 0 {
		fmt.Fprintf(w.errs, "left out: %s opted out, %s not asked for\n", thousands(optedOut), thousands(others))
	}
	if taken == 0 {
		return errors.New("no row that failed is left to send again")
	}
	r.in = of.in
	text, err := template.Parse(c.Spec.Template)
	if err != nil {
		return err
	}
	return w.create(ctx, d, store, of, r, text)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/template"
)

const campaignCreateLong = `Take recipients in from a file, and start a campaign with them: at once, or at
--start-at. Standard output gets its id.

The file is CSV (commas, semicolons or tabs; the first line names the columns) or
NDJSON (an object on each line), gzip too; - is standard input. One column has the
number (to, phone, mobile and the like, or --recipient), the others are fields of the
template: {{name}}, or {{name|default "there"}} where rows may go without. Without
--template the text is the column body.

A row that is invalid is named and left out, the others count. Within a campaign a
recipient is texted once: the first row counts. With --dry-run nothing happens, and
you are told what would: messages, segments, cost, who is skipped, when it ends, and
what makes the texts expensive.

The same again is the same campaign, and texts nobody twice: it goes on where an
upload broke off, and adds nothing once the campaign was started. The same is the
same --key, or else the same recipients and values, template, senders and start.
--again makes a further one.`

// creation is what campaign create was asked for.
type creation struct {
	spec           campaign.Spec
	file           string
	in             campaign.Input
	again          bool
	startIn, endIn string // as typed, where that is a time from now
	jsonOut        bool
}

func newCampaignCreate(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create --file FILE --from NUMBER [--template TEXT]",
		Short: "Take recipients in, and start",
		Long:  campaignCreateLong,
		Example: `  flowroute-worker campaign create --file people.csv --from +12065550100 --template 'Hi {{name}}!' --dry-run
  flowroute-worker campaign create --file people.csv --from +12065550100 --template 'Hi {{name}}!' --name spring
  flowroute-worker campaign create --file people.csv --from +12065550100,+12065550101 --template-file text.txt --start-at 2026-03-01T15:00:00Z
  zcat people.ndjson.gz | flowroute-worker campaign create --file - --from +12065550100 --key spring-2026 --rate 2.5`,
		Args: noArguments(),
	}
	c := &creation{}
	var start, end, textFile, format string
	flags := cmd.Flags()
	flags.StringVar(&c.file, "file", "", "the recipients; - is standard input")
	flags.StringSliceVar((*[]string)(&c.spec.From), "from", nil, "the sending number, one of the account's (repeatable: each recipient gets always the same one)")
	flags.StringVar(&c.spec.Template, "template", "", `the text, with fields like {{name}} (default "`+campaign.DefaultTemplate+`")`)
	flags.StringVar(&textFile, "template-file", "", "a file with the text")
	flags.StringVar(&c.spec.Name, "name", "", "what people call it")
	flags.StringVar(&start, "start-at", "", "when to begin: a time like 2026-01-31T15:04:05Z, or from now like 90m (default at once)")
	flags.StringVar(&end, "end-at", "", "when to stop: nothing is posted after it (default never)")
	flags.Float64Var(&c.spec.Rate, "rate", 0, "messages a second at most, like 2.5 (default what the account has left)")
	flags.StringVar(&c.spec.Priority, "priority", jobs.PriorityBulk, "bulk or normal")
	flags.IntVar(&c.spec.MaxSegments, "max-segments", campaign.DefaultMaxSegments, "rows with a longer text are invalid")
	flags.StringVar(&c.spec.SendingHours, "sending-hours", "", "when to send, by the recipient's clock, like 09:00-20:00 (default SENDING_HOURS)")
	flags.StringVar(&c.spec.Key, "key", "", "makes the campaign idempotent, whatever is in the file")
	flags.BoolVar(&c.again, "again", false, "make a further one, though there is the same already")
	dry := flags.Bool("dry-run", false, "say what would happen, and do nothing")
	flags.BoolVar(&c.in.Latin1, "latin1", false, "the file is in Latin-1 (Windows-1252), not UTF-8")
	flags.StringVar(&c.in.Recipient, "recipient", "", "the column with the number")
	flags.StringVar(&format, "format", "", "csv or ndjson (default by the first character)")
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c.jsonOut = *jsonOut
		if err := c.read(start, end, textFile, format, time.Now()); err != nil {
			return &usageError{err: err, path: cmd.CommandPath()}
		}
		text, err := c.check(time.Now())
		if err != nil {
			return err
		}
		return w.withCampaigns(cmd, func(ctx context.Context, d *desk, store *campaign.Store) error {
			r, err := w.openRoll(ctx, c.file)
			if err != nil {
				return err
			}
			defer r.close()
			r.in = c.in
			if *dry {
				return w.preflight(ctx, d, store, c, r, text)
			}
			return w.create(ctx, d, store, c, r, text)
		})
	}
	return cmd
}

// read reads the flags that are more than texts.
func (c *creation) read(start, end, textFile, format string, now time.Time) error {
	if c.file == "" {
		return errors.New("--file: give a file of recipients, or - for standard input")
	}
	var err error
	if c.spec.StartAt, c.startIn, err = readMoment("--start-at", start, now); err != nil {
		return err
	}
	if c.spec.EndAt, c.endIn, err = readMoment("--end-at", end, now); err != nil {
		return err
	}
	switch c.in.Format = intake.Format(format); c.in.Format {
	case "", intake.CSV, intake.NDJSON:
	default:
		return fmt.Errorf("--format %.40q: use csv or ndjson", format)
	}
	if textFile == "" {
		return nil
	}
	if c.spec.Template != "" {
		return errors.New("give --template or --template-file, not both")
	}
	file, err := os.Open(textFile)
	if err != nil {
		return fmt.Errorf("--template-file: %w", err)
	}
	defer file.Close()
	c.spec.Template, err = readBody(file)
	if err == nil && c.spec.Template == "" {
		err = fmt.Errorf("--template-file: %s is empty", textFile)
	}
	return err
}

// readMoment reads a time; of one that was given from now on it returns what was typed
// too.
func readMoment(flag, text string, now time.Time) (at time.Time, typed string, err error) {
	if text == "" {
		return at, "", nil
	}
	if at, err = readTime(text, now, 1); err != nil {
		return at, "", fmt.Errorf("%s: %w", flag, err)
	}
	if _, err := time.ParseDuration(text); err == nil {
		typed = text
	}
	return at.UTC().Truncate(time.Second), typed, nil
}

// check finds what is wrong without the file and without Redis. Times are looked at later:
// those of a campaign that exists may have passed.
func (c *creation) check(now time.Time) (*template.Template, error) {
	spec := c.spec
	spec.StartAt, spec.EndAt = time.Time{}, time.Time{}
	if err := spec.Validate(now); err != nil {
		return nil, err
	}
	c.spec.From = senders(c.spec.From)
	text := spec.Template
	if text == "" {
		text = campaign.DefaultTemplate
	}
	return template.Parse(text)
}

// create takes the recipients in and starts the campaign.
func (w world) create(ctx context.Context, d *desk, store *campaign.Store, c *creation, r *roll, text *template.Template) error {
	u := &upload{world: w, store: store, creation: c, roll: r, bar: newReadBar(w.errs)}
	if err := r.scan(ctx, text, u.bar); err != nil {
		return notRead(c.file, err)
	}
	for _, field := range r.absent {
		fmt.Fprintf(w.errs, "notice: no column is called %s, so that every text has its default\n", clean(field))
	}
	if r.fine == 0 {
		return u.nothing(r.problems, r.bad)
	}
	for _, costly := range text.Costly() {
		if !costly.OnlyInDefaults {
			fmt.Fprintf(w.errs, "notice: %q in the template makes every text UCS-2, in segments of 70 characters; --dry-run says what that costs\n", costly.Char)
			break
		}
	}
	if err := u.identify(ctx); err != nil {
		return err
	}
	created, err := store.Create(ctx, u.id, u.spec)
	switch {
	case errors.Is(err, campaign.ErrConflict):
		return u.conflict()
	case err != nil:
		return err
	case created.Duplicate && created.State != campaign.Draft:
		return u.exists(ctx, created.State)
	}
	return u.run(ctx, d)
}

// notRead says of an error of reading that nothing came of it.
func notRead(file string, err error) error {
	name := file
	if name == "-" {
		name = "standard input"
	}
	if bad, ok := errors.AsType[*intake.FileError](err); ok {
		err = fmt.Errorf("%s, %w", name, bad)
	} else {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return fmt.Errorf("%w; nothing was taken, nothing was started", err)
}

// people names a number of recipients.
func people(n int) string {
	if n == 1 {
		return "1 recipient"
	}
	return thousands(n) + " recipients"
}

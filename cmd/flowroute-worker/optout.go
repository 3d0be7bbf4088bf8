package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

const optOutLong = `Who must not be texted. Recipients get on the list by the word STOP (and its
like) in an inbound message, by a carrier's answer that they opted out, by a
person, or by import. Any entry of a recipient blocks all our numbers.

START or UNSTOP takes back what a STOP made; what a person or an import added, a
person alone takes back.`

func newOptOut(w world) *cobra.Command {
	return group("optout", "Show and change who must not be texted", optOutLong, `  flowroute-worker optout list
  flowroute-worker optout add +12065550123 --note 'asked by phone'
  flowroute-worker optout import optouts.csv`,
		newOptOutList(w), newOptOutAdd(w), newOptOutRemove(w), newOptOutImport(w))
}

// optOutOptions are those of every store of opt-outs.
func (s settings) optOutOptions() suppress.Options {
	return suppress.Options{Durable: s.waitsForDisk(), PairOnly: s.OptOutScope == "number"}
}

// withOptOuts gives do the opt-outs. What it finds invalid was typed wrong.
func (w world) withOptOuts(cmd *cobra.Command, do func(ctx context.Context, store *suppress.Store) error) error {
	err := w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
		store, err := suppress.New(d.rdb, d.optOutOptions())
		if err != nil {
			return err
		}
		return do(ctx, store)
	})
	if _, invalid := errors.AsType[*suppress.InvalidError](err); invalid || errors.Is(err, suppress.ErrBadCursor) {
		return &usageError{err: err, path: cmd.CommandPath()}
	}
	return err
}

// parseNumbers reads numbers that were typed.
func parseNumbers(cmd *cobra.Command, texts []string) ([]flowroute.E164, error) {
	numbers := make([]flowroute.E164, len(texts))
	for i, text := range texts {
		number, err := flowroute.ParseE164(text)
		if err != nil {
			return nil, &usageError{err: err, path: cmd.CommandPath()}
		}
		numbers[i] = number
	}
	return numbers, nil
}

// numberFlag adds a flag that is a phone number; zero when it is not given.
func numberFlag(cmd *cobra.Command, name, usage string) func() (flowroute.E164, error) {
	text := cmd.Flags().String(name, "", usage)
	return func() (flowroute.E164, error) {
		if !cmd.Flags().Changed(name) {
			return flowroute.E164{}, nil
		}
		number, err := flowroute.ParseE164(*text)
		if err != nil {
			return number, &usageError{err: fmt.Errorf("--%s: %w", name, err), path: cmd.CommandPath()}
		}
		return number, nil
	}
}

func newOptOutList(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the opt-outs",
		Long: `List the opt-outs, those of a recipient together, in an order that stays the
same. Long notes are cut, except with --recipient and --json.`,
		Example: `  flowroute-worker optout list --recipient +12065550123
  flowroute-worker optout list --limit 1000 --json | jq -r '.items[].recipient'`,
		Args: noArguments(),
	}
	recipient := numberFlag(cmd, "recipient", "of this one alone")
	var q suppress.Query
	cmd.Flags().IntVar(&q.Limit, "limit", 100, "how many, at most 1000")
	cmd.Flags().StringVar(&q.Cursor, "cursor", "", "goes on where the list before ended")
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if q.Limit < 1 || q.Limit > 1000 {
			return &usageError{err: errors.New("--limit: give a number from 1 to 1000"), path: cmd.CommandPath()}
		}
		var err error
		if q.Recipient, err = recipient(); err != nil {
			return err
		}
		return w.withOptOuts(cmd, func(ctx context.Context, store *suppress.Store) error {
			page, err := store.List(ctx, q)
			if err != nil {
				return err
			}
			list := items[httpapi.OptOutView]{Items: make([]httpapi.OptOutView, len(page.Entries)), Next: page.Next}
			for i, e := range page.Entries {
				list.Items[i] = httpapi.ViewOptOut(e)
			}
			if *jsonOut {
				return printJSON(w.out, list)
			}
			counts, err := store.Count(ctx)
			if err != nil {
				return err
			}
			return printOptOuts(w, q, list, counts)
		})
	}
	return cmd
}

func printOptOuts(w world, q suppress.Query, list items[httpapi.OptOutView], counts suppress.Counts) error {
	switch {
	case len(list.Items) == 0 && list.Next == "" && !q.Recipient.IsZero():
		_, err := fmt.Fprintf(w.out, "%s has not opted out\n", q.Recipient)
		return err
	case len(list.Items) == 0 && list.Next == "" && q.Cursor == "":
		_, err := fmt.Fprintln(w.out, "nobody has opted out")
		return err
	}
	room := noteRoom(w.out, list.Items)
	if !q.Recipient.IsZero() {
		room = suppress.MaxNote
	}
	err := table(w.out, []string{"RECIPIENT", "FROM", "SOURCE", "SINCE", "NOTE"}, func(row func(cells ...string)) {
		for _, v := range list.Items {
			row(v.Recipient, allOr(v.From), string(v.Source), stamp(v.Time), cutTo(v.Note, room))
		}
	})
	if err == nil && list.Next != "" {
		fmt.Fprintf(w.errs, "there are more (%s in all): --cursor %s\n", plural(int(counts.Entries), "opt-out"), list.Next)
	}
	return err
}

// allOr is our number of an entry; one without a number is for all of them.
func allOr(from string) string {
	if from == "" {
		return "all"
	}
	return from
}

// noteRoom is how many letters of a note fit beside the other columns into a line
// of 80, or of a wider terminal.
func noteRoom(out io.Writer, list []httpapi.OptOutView) int {
	const fixed = len("carrier") + len("2006-01-02 15:04:05Z") + 4*2
	recipient, from := len("RECIPIENT"), len("FROM")
	for _, v := range list {
		recipient, from = max(recipient, len(v.Recipient)), max(from, len(v.From))
	}
	return max(len("NOTE"), max(80, columns(out))-fixed-recipient-from)
}

// cutTo cuts a text to so many letters.
func cutTo(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

func newOptOutAdd(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NUMBER … [--from NUMBER] [--note TEXT]",
		Short: "Add opt-outs",
		Long: `Add opt-outs as a person: nothing but optout remove takes them back. Adding
again changes nothing, the first entry stands.`,
		Example: `  flowroute-worker optout add '(206) 555-0123' --note 'asked by phone'
  flowroute-worker optout add +12065550123 +12065550124 --from +12065550100 --json`,
		Args: takes(1, 1000, "one number or more"),
	}
	fromFlag := numberFlag(cmd, "from", "for this number of ours (default all)")
	note := cmd.Flags().String("note", "", fmt.Sprintf("why, up to %d bytes", suppress.MaxNote))
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		numbers, err := parseNumbers(cmd, args)
		if err != nil {
			return err
		}
		from, err := fromFlag()
		if err != nil {
			return err
		}
		return w.withOptOuts(cmd, func(ctx context.Context, store *suppress.Store) error {
			list := items[httpapi.OptOutAnswer]{Items: []httpapi.OptOutAnswer{}}
			for _, number := range numbers {
				e, added, err := store.Add(ctx, suppress.Entry{Recipient: number, From: from, Source: suppress.SourcePerson, Note: *note})
				if err != nil {
					return err
				}
				answer := suppress.Answer{Verdict: suppress.Known, Entry: e}
				if added {
					answer.Verdict = suppress.Added
				}
				list.Items = append(list.Items, httpapi.AnswerOptOut(answer))
			}
			if *jsonOut {
				return printJSON(w.out, list)
			}
			return table(w.out, nil, func(row func(cells ...string)) {
				for _, v := range list.Items {
					row(v.Recipient, optOutText(v))
				}
			})
		})
	}
	return cmd
}

// optOutText says what became of an opt-out that was given.
func optOutText(v httpapi.OptOutAnswer) string {
	if v.State == suppress.Added {
		return "opted out, " + ofOurs(v.From)
	}
	return fmt.Sprintf("known since %s (%s), %s", stamp(v.Time), v.Source, ofOurs(v.From))
}

func ofOurs(from string) string {
	if from == "" {
		return "all numbers"
	}
	return "from " + from
}

func newOptOutRemove(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove NUMBER … [--from NUMBER]",
		Short: "Remove opt-outs",
		Long: `Remove all opt-outs of a recipient, whatever made them, or with --from the one
for that number of ours. Only do so when the recipient has agreed to be texted
again. A carrier that has their STOP goes on refusing until they send UNSTOP.`,
		Example: `  flowroute-worker optout remove +12065550123
  flowroute-worker optout remove +12065550123 --from +12065550100 --json`,
		Args: takes(1, 1000, "one number or more"),
	}
	fromFlag := numberFlag(cmd, "from", "only the entry for this number of ours")
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		numbers, err := parseNumbers(cmd, args)
		if err != nil {
			return err
		}
		from, err := fromFlag()
		if err != nil {
			return err
		}
		return w.withOptOuts(cmd, func(ctx context.Context, store *suppress.Store) error {
			list := items[optOutRemoval]{Items: []optOutRemoval{}}
			for _, number := range numbers {
				removed, left, err := store.Remove(ctx, number, from)
				if err != nil {
					return err
				}
				list.Items = append(list.Items, optOutRemoval{number.String(), httpapi.ViewOptOutRemoval(removed, left)})
			}
			if *jsonOut {
				return printJSON(w.out, list)
			}
			return table(w.out, nil, func(row func(cells ...string)) {
				for _, r := range list.Items {
					r.rows(row)
				}
			})
		})
	}
	return cmd
}

// optOutRemoval is what was removed of a recipient.
type optOutRemoval struct {
	Recipient string `json:"recipient"`
	httpapi.OptOutRemoval
}

func (r optOutRemoval) rows(row func(cells ...string)) {
	for _, v := range r.Removed {
		row(r.Recipient, fmt.Sprintf("removed: %s (%s, %s)", ofOurs(v.From), v.Source, v.Time.Format(time.DateOnly)))
	}
	for _, v := range r.Left {
		row(r.Recipient, fmt.Sprintf("still opted out: %s (%s, %s)", ofOurs(v.From), v.Source, v.Time.Format(time.DateOnly)))
	}
	if len(r.Removed)+len(r.Left) == 0 {
		row(r.Recipient, "had not opted out")
	}
}

func newOptOutImport(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Add opt-outs from a list",
		Long: `Add opt-outs from a file, or from standard input with -: a number on each line,
or CSV with commas, semicolons or tabs. Columns are found by the names in the
first line: recipient (or phone, number, mobile), from, time, note; without such
a line they are in this order. Only the recipient is needed.

A line that is invalid is named and left out, the others count. Importing the
same list again changes nothing. The command ends with 1 when a line was invalid.`,
		Example: `  flowroute-worker optout import optouts.csv --note 'list of the old provider'
  cut -d, -f3 customers.csv | flowroute-worker optout import -
  flowroute-worker optout import optouts.csv --json | jq -c 'select(.state == "invalid")'`,
		Args: takes(1, 1, "a file, or - for standard input"),
	}
	fromFlag := numberFlag(cmd, "from", "for this number of ours, where a line names none (default all)")
	note := cmd.Flags().String("note", "", fmt.Sprintf("where a line has none, up to %d bytes", suppress.MaxNote))
	jsonOut := cmd.Flags().Bool("json", false, "print JSON: the answer to each line on a line, then how many")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		from, err := fromFlag()
		if err != nil {
			return err
		}
		in, err := w.openInput(args[0])
		if err != nil {
			return err
		}
		defer in.Close()
		return w.withOptOuts(cmd, func(ctx context.Context, store *suppress.Store) error {
			return w.importOptOuts(ctx, store, in, suppress.ImportOptions{From: from, Note: *note}, *jsonOut)
		})
	}
	return cmd
}

// openInput opens a file, or standard input for -.
func (w world) openInput(name string) (io.ReadCloser, error) {
	switch {
	case name != "-":
		return os.Open(name)
	case w.in == nil:
		return nil, errors.New("-: there is no standard input")
	}
	return io.NopCloser(w.in), nil
}

// shownInvalid is how many invalid lines are named.
const shownInvalid = 20

func (w world) importOptOuts(ctx context.Context, store *suppress.Store, in io.Reader, o suppress.ImportOptions, jsonOut bool) error {
	out := bufio.NewWriter(w.out)
	enc, invalid, last := json.NewEncoder(out), 0, 0
	enc.SetEscapeHTML(false)
	totals, err := store.Import(ctx, suppress.ReadRows(in), o, func(a suppress.Answer) error {
		last = a.Line
		if jsonOut {
			return enc.Encode(httpapi.AnswerOptOut(a))
		}
		if a.Problem != nil {
			if invalid++; invalid <= shownInvalid {
				fmt.Fprintf(w.errs, "line %d: %s\n", a.Line, clean(a.Problem.Error()))
			}
		}
		return nil
	})
	if more := invalid - shownInvalid; more > 0 {
		fmt.Fprintf(w.errs, "and %d more; --json shows them all\n", more)
	}
	switch {
	case err != nil && last == 0: // nothing was read
		return err
	case jsonOut:
		err = errors.Join(err, enc.Encode(struct {
			Added   int `json:"added"`
			Known   int `json:"known"`
			Invalid int `json:"invalid"`
		}{totals.Added, totals.Known, totals.Invalid}))
	default:
		fmt.Fprintf(out, "added %d, known %d, invalid %d\n", totals.Added, totals.Known, totals.Invalid)
	}
	err = errors.Join(err, out.Flush())
	switch {
	case err != nil:
		return fmt.Errorf("after line %d: %w; importing the same again is harmless", last, err)
	case totals.Invalid > 0:
		return errQuiet
	}
	return nil
}

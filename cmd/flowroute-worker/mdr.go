package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
)

func newMDR(w world) *cobra.Command {
	return group("mdr", "Read, export and sync message detail records",
		`Read Flowroute's message detail records (MDRs) from the stored copy, which the MDR sync
keeps (MDR_SYNC_CRON), write them to files, and start a sync.`,
		`  flowroute-worker mdr list --since 2h
  flowroute-worker mdr export --since 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z --output january.csv.gz
  flowroute-worker mdr sync --since 48h --wait`,
		newMDRList(w), newMDRShow(w), newMDRExport(w), newMDRSync(w))
}

func newMDRList(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List message records, newest first",
		Long:  "List message records from the stored copy, the newest first, without their texts.",
		Example: `  flowroute-worker mdr list --since 2h --delivery failed
  flowroute-worker mdr list --since 2026-01-31T00:00:00Z --number +12065550123 --limit 1000 --json
  flowroute-worker mdr list --campaign 3f6c2a17 --delivery failed`,
		Args: noArguments(),
	}
	flags := cmd.Flags()
	since := flags.String("since", "24h", "from then on: how long ago, or a time like 2026-01-31T15:04:05Z")
	until := flags.String("until", "", "before then")
	var q mdr.Query
	recordFilters(cmd, &q)
	of := flags.String("campaign", "", "those of a campaign's messages, its last row first, by its id or the first characters of it")
	flags.IntVar(&q.Limit, "limit", 100, "how many, at most 1000")
	flags.StringVar(&q.Cursor, "cursor", "", "goes on where the list before ended")
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *of != "" && !flags.Changed("since") {
			*since = ""
		}
		if err := recordQuery(&q, *since, *until, time.Now()); err != nil {
			return &usageError{err: err, path: cmd.CommandPath()}
		}
		if *of == "" {
			return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
				return listRecords(ctx, w, d, q, *jsonOut)
			})
		}
		return w.withCampaigns(cmd, func(ctx context.Context, d *desk, store *campaign.Store) error {
			c, err := findCampaign(ctx, store, *of)
			if err != nil {
				return err
			}
			q.Campaign, q.CampaignRows = c.ID, c.Rows
			return listRecords(ctx, w, d, q, *jsonOut)
		})
	}
	return cmd
}

// recordFilters are the flags that say which records.
func recordFilters(cmd *cobra.Command, q *mdr.Query) {
	flags := cmd.Flags()
	flags.StringVar(&q.Number, "number", "", "sender or recipient")
	flags.StringVar((*string)(&q.Direction), "direction", "", "inbound or outbound")
	flags.StringVar((*string)(&q.Delivery), "delivery", "", "pending, delivered or failed")
}

// recordQuery checks what was typed.
func recordQuery(q *mdr.Query, since, until string, now time.Time) (err error) {
	if since != "" {
		if q.Since, err = readTime(since, now, -1); err != nil {
			return fmt.Errorf("--since %w", err)
		}
	}
	if until != "" {
		if q.Until, err = readTime(until, now, -1); err != nil {
			return fmt.Errorf("--until %w", err)
		}
	}
	if q.Number != "" {
		if number, err := flowroute.ParseE164(q.Number); err == nil {
			q.Number = number.Digits() // else a short code, or nothing that is found
		}
	}
	switch {
	case q.Direction != "" && q.Direction != flowroute.Inbound && q.Direction != flowroute.Outbound:
		return fmt.Errorf("--direction %.40q: give inbound or outbound", q.Direction)
	case q.Delivery != "" && q.Delivery != flowroute.DeliveryPending && q.Delivery != flowroute.DeliveryDelivered && q.Delivery != flowroute.DeliveryFailed:
		return fmt.Errorf("--delivery %.40q: give pending, delivered or failed", q.Delivery)
	case !q.Until.IsZero() && !q.Until.After(q.Since):
		return errors.New("--until: give a time after --since")
	case q.Limit < 1 || q.Limit > 1000:
		return errors.New("--limit: give a number from 1 to 1000")
	}
	return nil
}

func (d *desk) records() (*mdr.Store, error) {
	return mdr.New(d.rdb, mdr.Options{Retention: d.MDRRetention})
}

func listRecords(ctx context.Context, w world, d *desk, q mdr.Query, jsonOut bool) error {
	store, err := d.records()
	if err != nil {
		return err
	}
	page, err := fullPage(ctx, store, q)
	if errors.Is(err, mdr.ErrBadCursor) {
		return &usageError{err: err}
	}
	if err != nil {
		return err
	}
	list := items[httpapi.MDRView]{Items: make([]httpapi.MDRView, len(page.Records)), Next: page.Next}
	for i, r := range page.Records {
		list.Items[i] = httpapi.ViewMDR(r)
	}
	if jsonOut {
		return printJSON(w.out, list)
	}
	err = table(w.out, []string{"TIME", "ID", "", "FROM", "TO", "STATUS", "DELIVERY", "OURS"}, func(row func(cells ...string)) {
		for _, r := range list.Items {
			way := map[flowroute.Direction]string{flowroute.Inbound: "in", flowroute.Outbound: "out"}[r.Direction]
			if r.IsMMS {
				way += " mms"
			}
			row(stamp(r.Timestamp), r.ID, way, r.From, r.To, r.Status, string(r.Delivery), yesNo(r.Matched))
		}
	})
	if err == nil && page.Next != "" {
		fmt.Fprintln(w.errs, "there are more: --cursor", page.Next)
	}
	if err == nil && len(page.Records) == 0 {
		report, lastErr := store.LastSync(ctx)
		if lastErr == nil {
			fmt.Fprintln(w.errs, "no such records;", asOf("records", report.Started))
		}
		return lastErr
	}
	return err
}

// fullPage reads on until a page is full: one with a filter may come back with fewer.
func fullPage(ctx context.Context, store *mdr.Store, q mdr.Query) (mdr.Page, error) {
	limit := q.Limit
	page, err := store.List(ctx, q)
	for err == nil && page.Next != "" && len(page.Records) < limit {
		var more mdr.Page
		q.Limit, q.Cursor = limit-len(page.Records), page.Next
		more, err = store.List(ctx, q)
		page.Records, page.Next = append(page.Records, more.Records...), more.Next
	}
	return page, err
}

func newMDRShow(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show MDR_ID",
		Short: "Show one message record",
		Long:  "Show one message record with its text and receipts, from the stored copy; with --live as Flowroute has it now.",
		Example: `  flowroute-worker mdr show mdr2-39cadeace66e11e7aff806cd7f24ba2d
  flowroute-worker mdr show mdr2-39cadeace66e11e7aff806cd7f24ba2d --live --json`,
		Args: takes(1, 1, "an MDR id"),
	}
	live, jsonOut := cmd.Flags().Bool("live", false, "ask Flowroute"), asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var record mdr.Record
		var err error
		if *live {
			err = w.askAPI(cmd.Context(), func(ctx context.Context, api *flowroute.Client) error {
				record.MDR, err = api.MDR(ctx, args[0])
				return err
			})
		} else {
			err = w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
				store, err := d.records()
				if err != nil {
					return err
				}
				if record, err = store.Get(ctx, args[0]); errors.Is(err, mdr.ErrNotFound) {
					return fmt.Errorf("%w; --live asks Flowroute", err)
				}
				return err
			})
		}
		if err != nil {
			return err
		}
		v := httpapi.ViewMDR(record)
		v.Body = record.Body
		if *jsonOut {
			return printJSON(w.out, v)
		}
		return printRecord(w, v, record)
	}
	return cmd
}

func printRecord(w world, v httpapi.MDRView, record mdr.Record) error {
	return table(w.out, nil, func(row func(cells ...string)) {
		row("record", v.ID)
		row("direction", string(v.Direction))
		row("from", v.From)
		row("to", v.To)
		row("time", stamp(v.Timestamp))
		row("status", v.Status+" ("+string(v.Delivery)+")")
		row("mms", yesNo(v.IsMMS))
		row("cost", orDash(record.AmountDisplay))
		row("body", v.Body)
		for _, r := range v.Receipts {
			code := ""
			if r.StatusCode != nil {
				code = " " + strconv.Itoa(*r.StatusCode)
			}
			row("receipt", fmt.Sprintf("%s level %d: %s%s %s", stamp(r.Timestamp), r.Level, r.Status, code, r.Description))
		}
	})
}

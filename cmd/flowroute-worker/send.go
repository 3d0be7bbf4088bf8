package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/jobs"
)

const sendLong = `Enqueue one message and print the job's id. A worker sends it (flowroute-worker
run); with --wait the command waits until that has happened.

A --key makes it safe to run the command again: the same key with the same
content is the same job.`

func newSend(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "send --from NUMBER --to NUMBER [--body TEXT] [--media-url URL …]",
		Short: "Enqueue one message",
		Long:  sendLong,
		Example: `  flowroute-worker send --from +12065550100 --to '(206) 555-0123' --body 'Hello' --wait
  flowroute-worker send --from +12065550100 --to +12065550123 --media-url https://example.com/cat.jpg
  date | flowroute-worker send --from +12065550100 --to +12065550123 --body - --key daily-2026-01-31
  flowroute-worker send --from +12065550100 --to +12065550123 --body 'Your code is 1234' --priority otp --expires-in 2m`,
		Args: noArguments(),
	}
	var m jobs.Message
	var at, expires string
	flags := cmd.Flags()
	flags.StringVar(&m.From, "from", "", "the sending number, one of the account's")
	flags.StringVar(&m.To, "to", "", "the recipient's number")
	flags.StringVar(&m.Body, "body", "", "the text; - reads it from standard input")
	flags.StringArrayVar(&m.MediaURLs, "media-url", nil, "a picture or other media, makes it an MMS (repeatable)")
	flags.StringVar(&m.Key, "key", "", "makes the message idempotent")
	flags.StringVar(&at, "at", "", "when to send: a time like 2026-01-31T15:04:05Z, or from now like 90m (default at once)")
	flags.StringVar(&expires, "expires-in", "", "do not send it later than this after --at, like 10m (default 24h, priority otp 5m)")
	flags.StringVar(&m.Priority, "priority", jobs.PriorityNormal, "otp, normal or bulk")
	flags.StringVar(&m.SendingHours, "sending-hours", "", "only send within these hours of the recipient's day, like 08:00-21:00 (default any)")
	mms := flags.Bool("mms", false, "send a text without media as an MMS")
	result := outcomeFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := schedule(&m, at, expires, time.Now()); err != nil {
			return &usageError{err: err, path: cmd.CommandPath()}
		}
		if *mms {
			m.IsMMS = mms
		}
		if m.Body == "-" {
			body, err := readBody(w.in)
			if err != nil {
				return err
			}
			m.Body = body
		}
		if err := m.Validate(time.Now()); err != nil {
			return err
		}
		return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
			receipt, err := d.jobs.Send(ctx, m)
			if err != nil {
				return err
			}
			return result.finish(ctx, w, d, receipt)
		})
	}
	return cmd
}

// schedule reads --at and --expires-in.
func schedule(m *jobs.Message, at, expires string, now time.Time) error {
	var err error
	if at != "" {
		if m.SendAt, err = readTime(at, now, 1); err != nil {
			return fmt.Errorf("--at: %w", err)
		}
	}
	if expires == "" {
		return nil
	}
	d, err := time.ParseDuration(expires)
	if err != nil || d <= 0 {
		return fmt.Errorf("--expires-in %.40q: give a duration like 10m or 2h", expires)
	}
	m.ExpiresAt = now.Add(d)
	if m.SendAt.After(now) {
		m.ExpiresAt = m.SendAt.Add(d)
	}
	return nil
}

// readTime reads a time, or a duration from now (sign 1) or before now (-1).
func readTime(text string, now time.Time, sign time.Duration) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(sign * d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%.40q: give a time like 2026-01-31T15:04:05Z or a duration like 90m", text)
	}
	return t, nil
}

// maxStdin is more than any text that is taken; what is longer is refused by its
// length in characters.
const maxStdin = 64 << 10

// readBody reads a text without the line end that echo and editors add.
func readBody(in io.Reader) (string, error) {
	if in == nil {
		return "", errors.New("--body -: there is no standard input")
	}
	body, err := io.ReadAll(io.LimitReader(in, maxStdin))
	if err != nil {
		return "", fmt.Errorf("--body -: %w", err)
	}
	text := strings.TrimSuffix(string(body), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

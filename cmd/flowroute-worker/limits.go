package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// limitsView is the limiter as JSON, here and in the HTTP API.
type limitsView struct {
	Limits []limitView `json:"limits"`
	// Waiting is how many requests wait for a permit, of all processes, by lane.
	Waiting map[ratelimit.Lane]int `json:"waiting"`
	backlogView
}

type limitView struct {
	Name       string `json:"name"`
	Configured string `json:"configured"` // here, per second; 5/2 is 5 in 2 seconds
	// Effective is the lowest of all processes that run: it holds for all.
	Effective string `json:"effective"`
	// Learned is what answers 429 have shrunk the limit to, if they have: somebody
	// else uses the key.
	Learned     string                      `json:"learned,omitempty"`
	Processes   int                         `json:"processes"`
	Declared    map[string]string           `json:"declared"`    // by process
	PermitsOut  int                         `json:"permits_out"` // of all processes, cooling ones too
	Phantoms    int                         `json:"phantoms"`    // of these, how many stand for lost ones
	Lanes       map[ratelimit.Lane]laneView `json:"lanes"`
	PausedUntil time.Time                   `json:"paused_until,omitzero"`
}

type laneView struct {
	Waiting int   `json:"waiting"`
	Granted int64 `json:"granted"` // permits so far
}

func readLimits(ctx context.Context, l *ratelimit.Limiter, from backlogSource) (limitsView, error) {
	status, err := l.Status(ctx)
	if err != nil {
		return limitsView{}, err
	}
	waiting, err := l.Waiting(ctx)
	if err != nil {
		return limitsView{}, err
	}
	v := limitsView{Limits: make([]limitView, len(status)), Waiting: waiting}
	if v.Waiting == nil {
		v.Waiting = map[ratelimit.Lane]int{}
	}
	for i, s := range status {
		v.Limits[i] = limitView{
			Name: s.Name, Configured: s.Configured.String(), Effective: s.Effective.String(), Processes: s.Processes,
			PermitsOut: s.Out, Phantoms: s.Phantoms, PausedUntil: s.PenaltyUntil.UTC(),
			Declared: map[string]string{}, Lanes: map[ratelimit.Lane]laneView{},
		}
		if !s.Learned.IsZero() {
			v.Limits[i].Learned = s.Learned.String()
		}
		for _, d := range s.Declared {
			v.Limits[i].Declared[d.Process] = d.Rate.String()
		}
		for lane, of := range s.Lanes {
			v.Limits[i].Lanes[lane] = laneView{Waiting: of.Waiting, Granted: of.Granted}
		}
	}
	return v, v.addBacklog(ctx, from)
}

func newLimits(w world) *cobra.Command {
	return group("limits", "The account's rate limit", `Show the account's rate limit as all processes keep it together.`,
		"  flowroute-worker limits show", newLimitsShow(w))
}

func newLimitsShow(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show limits, permits and who waits",
		Long: `Show each limit as it is configured here and as it is in effect (the lowest of all
running processes, or less when answers 429 show that somebody else uses the key),
how many of its permits are out, and how many requests wait, by lane. Permits come
back one second after the answer. Below: the messages that are due, by lane, when
the last of them will have been posted at this limit, and those that wait for a
limit of their own: that of their sending number, or of MMS.`,
		Example: `  flowroute-worker limits show
  flowroute-worker limits show --json`,
		Args: noArguments(),
	}
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return w.atDesk(cmd.Context(), redisOnly, func(ctx context.Context, d *desk) error {
			account, err := d.knownAccount(ctx)
			if err != nil {
				return err
			}
			limiter, err := ratelimit.New(d.rdb, ratelimit.Options{Account: account, Limits: d.limits, Timeout: d.Timeout})
			if err != nil {
				return err
			}
			v, err := readLimits(ctx, limiter, backlogSource{d.jobs.Ledger(), asynq.NewInspectorFromRedisClient(d.rdb), d.caps})
			if err != nil {
				return err
			}
			if *jsonOut {
				return printJSON(w.out, v)
			}
			return printLimits(w, v)
		})
	}
	return cmd
}

// knownAccount is the account of the credentials, else the one whose jobs are in
// this Redis.
func (d *desk) knownAccount(ctx context.Context) (string, error) {
	if d.AccountAlias != "" {
		return d.AccountAlias, nil
	}
	if d.hasCredentials() {
		client, err := d.client(flowroute.Options{})
		if err != nil {
			return "", err
		}
		return client.Account(), nil
	}
	owner, err := d.jobs.Ledger().Owner(ctx)
	if err == nil && owner == "" {
		return "", errors.New("no account is known: set FR_ACCESS_KEY and FR_SECRET_KEY, or start a worker on this Redis first")
	}
	return owner, err
}

func printLimits(w world, v limitsView) error {
	err := table(w.out, []string{"LIMIT", "CONFIGURED/S", "IN EFFECT/S", "PERMITS OUT", "PROCESSES", "PAUSED UNTIL"}, func(row func(cells ...string)) {
		for _, l := range v.Limits {
			out, effective := strconv.Itoa(l.PermitsOut), l.Effective
			if l.Phantoms > 0 {
				out += fmt.Sprintf(" (%d lost ones)", l.Phantoms)
			}
			if l.Learned != "" {
				effective += " (learned from 429s)"
			}
			row(l.Name, l.Configured, effective, out, strconv.Itoa(l.Processes), stamp(l.PausedUntil))
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(w.out)
	err = table(w.out, []string{"LANE", "WAIT FOR A PERMIT", "MESSAGES DUE", "OF A LIMIT OF THEIR OWN", "POSTED IN ABOUT"}, func(row func(cells ...string)) {
		due := map[ratelimit.Lane]laneBacklog{}
		for _, b := range v.Backlog {
			due[b.Lane] = b
		}
		for _, lane := range ratelimit.Lanes() {
			b, sends := due[lane]
			if !sends {
				row(string(lane), strconv.Itoa(v.Waiting[lane]), "-", "-", "-")
				continue
			}
			row(string(lane), strconv.Itoa(v.Waiting[lane]), strconv.Itoa(b.Due), strconv.Itoa(b.Parked), about(b.ETASeconds))
		}
	})
	if err != nil || len(v.Parked) == 0 {
		return err
	}
	fmt.Fprintln(w.out)
	return table(w.out, []string{"OF A LIMIT OF THEIR OWN", "LANE", "MESSAGES", "LIMIT/S", "PER DAY", "POSTED IN ABOUT"}, func(row func(cells ...string)) {
		for _, p := range v.Parked {
			row(p.what(), string(p.Lane), strconv.Itoa(p.Messages), p.Limit, p.PerDay, about(p.ETASeconds))
		}
	})
}

// about is a time for people; "-" is none.
func about(seconds float64) string {
	if seconds <= 0 {
		return "-"
	}
	d := time.Duration(seconds * float64(time.Second))
	return max(d.Round(time.Second), time.Second).String()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/config"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
)

// roles are what one process does of the service.
type roles struct{ worker, scheduler, http bool }

func parseRoles(words []string) (roles, error) {
	var r roles
	for _, word := range words {
		switch word {
		case "worker":
			r.worker = true
		case "scheduler":
			r.scheduler = true
		case "http":
			r.http = true
		default:
			return r, fmt.Errorf("--roles: there is no role %.40q; there are worker, scheduler and http", word)
		}
	}
	if r == (roles{}) {
		return r, errors.New("--roles: give worker, scheduler, http or several of them, separated by commas")
	}
	return r, nil
}

func (r roles) String() string {
	var words []string
	for word, is := range map[string]bool{"worker": r.worker, "scheduler": r.scheduler, "http": r.http} {
		if is {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	return strings.Join(words, ",")
}

const runLong = `Run the service: the worker that does the jobs, the scheduler that starts the
syncs, and the HTTP API with the console. Any number of processes may share one
Redis; the limits hold for all of them together.

SIGTERM or Ctrl-C drains: nothing new is taken up, what is on the wire is awaited
for up to SHUTDOWN_TIMEOUT. A second signal ends at once; the jobs that were on
the wire then become unknown, and are not posted again on a guess.

Redis must keep what it is given (maxmemory-policy noeviction; appendonly yes is
strongly advised): doctor checks it and says what to do.

`

func newRun(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run [--roles worker,scheduler,http]",
		Short: "Run the service",
		Long:  runLong + "Environment variables:\n\n" + variables(),
		Example: `  FR_ACCESS_KEY=… FR_SECRET_KEY_FILE=/run/secrets/flowroute flowroute-worker run
  API_TOKENS=shop:$(openssl rand -hex 16) HTTP_ADDR=:8080 flowroute-worker run --roles http
  flowroute-worker run --roles worker,scheduler`,
		Args: noArguments(),
	}
	words := cmd.Flags().StringSlice("roles", []string{"worker", "scheduler", "http"}, "what this process does")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := parseRoles(*words)
		if err != nil {
			return &usageError{err: err, path: cmd.CommandPath()}
		}
		needs := redisOnly
		if r.worker {
			needs = withCredentials
		}
		s, err := w.settings(cmd.Context(), needs)
		if err != nil {
			return err
		}
		log := s.logger(w.errs)
		if w.libraries != nil {
			w.libraries(log)
		}
		for _, text := range config.Misspelt(w.environ) {
			log.WarnContext(cmd.Context(), "variable not known", "reason", text)
		}
		return serve(cmd.Context(), s, r, log)
	}
	return cmd
}

// variables is the table of the environment for the help text.
func variables() string {
	var b strings.Builder
	for _, v := range config.Variables() {
		name := v.Name
		if v.File {
			name += " (or " + v.Name + "_FILE)"
		}
		fmt.Fprintf(&b, "  %s\n      %s", name, v.Meaning)
		if v.Default != "" {
			fmt.Fprintf(&b, " [%s]", v.Default)
		}
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// serve runs the service until ctx ends.
func serve(ctx context.Context, s settings, r roles, log *slog.Logger) error {
	o := serviceOptions{roles: r}
	if r.http {
		// Before the wait for Redis, so that a port in use is known at once.
		listener, err := listen(ctx, string(s.HTTPAddr))
		if err != nil {
			return err
		}
		listener.Close()
	}
	redis := openRedis(s)
	defer redis.close()
	log.InfoContext(ctx, "starting", "version", readBuild().Version, "roles", r.String(), "redis", s.target, "base_url", string(s.BaseURL))
	err := whileWaiting(ctx, r, string(s.HTTPAddr), func() error { return redisconn.Wait(ctx, redis.producer, s.RedisStartTimeout, log) })
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while waiting
		}
		return fmt.Errorf("%s: %w", s.target, err)
	}
	if err := inspect(ctx, redis, s, log); err != nil {
		return err
	}
	if r.http {
		if o.listener, err = listen(ctx, string(s.HTTPAddr)); err != nil {
			return err
		}
		defer o.listener.Close()
	}
	service, err := newService(ctx, s, redis, log, o)
	if err != nil {
		return err
	}
	defer service.close()
	if fence, err := service.jobs.Ledger().FenceState(ctx); err == nil && (fence.Up || fence.Restarted()) {
		log.WarnContext(ctx, "fence", "reason", fenceText(fence))
	}
	return service.run(ctx)
}

// inspect refuses a Redis that would lose the promise, and says what the one
// there is can promise.
func inspect(ctx context.Context, redis redisClients, s settings, log *slog.Logger) error {
	facts, err := redisconn.Inspect(ctx, redis.producer)
	if err != nil {
		return err
	}
	var refused []string
	for _, f := range s.problems(facts) {
		switch f.Level {
		case redisconn.LevelError:
			refused = append(refused, join(f))
		case redisconn.LevelWarning:
			log.WarnContext(ctx, "redis is not all it should be", "reason", join(f))
		default:
			log.InfoContext(ctx, "about this redis", "reason", join(f))
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("this Redis is not fit for the service: %s", strings.Join(refused, "; "))
	}
	log.InfoContext(ctx, "guarantee", "reason", facts.Guarantee(s.waitsForDisk()))
	return nil
}

func join(f redisconn.Finding) string {
	if f.Fix == "" {
		return f.Text
	}
	return f.Text + ": " + f.Fix
}

// ownLedger refuses to work on the jobs of another account.
func ownLedger(ctx context.Context, client *jobs.Client, account string) error {
	err := client.Ledger().Own(ctx, account)
	if _, foreign := errors.AsType[*ledger.OwnerError](err); foreign {
		return &usageError{err: err}
	}
	return err
}

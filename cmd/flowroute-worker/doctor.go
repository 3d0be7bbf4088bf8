package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/config"
)

// level is how bad a finding is.
type level string

const (
	levelOK   level = "OK"
	levelWarn level = "WARN"
	levelFail level = "FAIL"
)

// finding is one line of doctor.
type finding struct {
	Level level  `json:"level"`
	About string `json:"about"`
	Text  string `json:"text"`
	Fix   string `json:"fix,omitempty"` // what to do
}

// findings collects them.
type findings struct{ list []finding }

func (f *findings) ok(about, format string, args ...any) {
	f.list = append(f.list, finding{levelOK, about, fmt.Sprintf(format, args...), ""})
}

func (f *findings) warn(about, text, fix string) {
	f.list = append(f.list, finding{levelWarn, about, text, fix})
}

func (f *findings) fail(about, text, fix string) {
	f.list = append(f.list, finding{levelFail, about, text, fix})
}

func (f *findings) failed() bool {
	for _, one := range f.list {
		if one.Level == levelFail {
			return true
		}
	}
	return false
}

func newDoctor(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check Redis, credentials, clocks, limits and queues",
		Long: `Check everything that the service rests on, and say what to do about what is wrong:
Redis (version, eviction, persistence, latency, clock), whose jobs it holds, the
credentials (one request to Flowroute, with a permit of the shared limit), limits
that differ between processes, and jobs and queues that need a person.

Exit code 1 when something must be mended before the service can run.`,
		Example: `  flowroute-worker doctor
  flowroute-worker doctor --json | jq '.[] | select(.level != "OK")'`,
		Args: noArguments(),
	}
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := w.settings(cmd.Context(), redisOnly)
		if err != nil {
			return err
		}
		f := &findings{}
		for _, text := range config.Misspelt(w.environ) {
			f.warn("configuration", text, "correct its name, or unset it")
		}
		examine(cmd.Context(), w, s, f)
		if *jsonOut {
			err = printJSON(w.out, f.list)
		} else {
			err = printFindings(w, f.list)
		}
		if err == nil && f.failed() {
			return errQuiet
		}
		return err
	}
	return cmd
}

// examine looks at everything. What cannot be read is a finding of its own.
func examine(ctx context.Context, w world, s settings, f *findings) {
	err := w.atDesk(ctx, redisOnly, func(ctx context.Context, d *desk) error {
		d.examineRedis(ctx, f)
		d.examineAccount(ctx, w, f)
		d.examineLimits(ctx, f)
		d.examineWork(ctx, f, time.Now())
		return nil
	})
	if err != nil {
		f.fail("redis", err.Error(), "")
		f.warn("credentials", "not checked: without Redis there is no permit for a request", "")
	}
}

func printFindings(w world, list []finding) error {
	return table(w.out, nil, func(row func(cells ...string)) {
		for _, one := range list {
			row(string(one.Level), one.About, one.Text)
			if one.Fix != "" && one.Level != levelOK {
				row("", "", "→ "+one.Fix)
			}
		}
	})
}

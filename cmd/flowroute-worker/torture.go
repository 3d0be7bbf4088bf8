package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowroute-worker/flowroute-worker/torture"
)

const tortureLong = `Put the promise to the proof: a real Redis, a simulated Flowroute, several workers,
each a process of its own, and a mixed load of jobs. Meanwhile workers are killed at
random and at the worst moments, stopped and woken, Redis is killed, rolled back to
an older state and lied to about the time, connections are cut, replies dropped,
requests swallowed and delivered late, and every fault of the simulated account
happens. Then all is healed, and what the account really took is compared with what
was asked for and with what each job says.

It prints one table. The exit code is 0 when nothing was lost, sent twice, bought
twice or left in a wrong state, 1 when something was, and 2 without a redis-server.
What is done and when is drawn from --seed. A run of the default size takes up to ten
minutes on two cores.`

// childCommand is what this program calls itself with for its worker processes.
const childCommand = "torture-child"

func newTorture(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "torture [--seed N]",
		Short: "Prove that nothing is lost or sent twice, whatever breaks",
		Long:  tortureLong,
		Example: `  flowroute-worker torture --quick
  flowroute-worker torture --seed 2
  flowroute-worker torture --late
  flowroute-worker torture --fsync everysec`,
		Args: noArguments(),
	}
	o := torture.Options{}
	quick, fsync := false, ""
	flags := cmd.Flags()
	flags.Uint64Var(&o.Seed, "seed", 1, "chooses everything that happens")
	flags.IntVar(&o.Messages, "messages", 10_000, "how many messages are asked for")
	flags.IntVar(&o.Purchases, "purchases", 200, "how many numbers")
	flags.IntVar(&o.Routes, "routes", 200, "how many route updates")
	flags.IntVar(&o.Workers, "workers", 4, "how many worker processes")
	flags.Float64Var(&o.Scale, "scale", 40, "how many times shorter than by default all times are, and half of it how many times higher the limits")
	flags.IntVar(&o.Kills, "kills", 100, "how often a worker is killed, at least; 0 is never")
	flags.IntVar(&o.RedisKills, "redis-kills", 10, "how often Redis is killed; 0 is never, and then nothing is rolled back")
	flags.StringVar(&fsync, "fsync", string(torture.FsyncAlways), "when Redis writes to the disk: always, or everysec, and then each kill also takes up to its last second away, as a power cut would")
	flags.BoolVar(&o.Late, "late", false, "records appear only after the settle time: nothing may be sent twice, what they do not decide is left to a person")
	flags.BoolVar(&o.Unlimited, "unlimited", false, "messages have no limit: workers then take them many at a time")
	flags.DurationVar(&o.For, "for", 0, "how long jobs are asked for (default as the messages and the limit need)")
	flags.StringVar(&o.Dir, "keep", "", "leave logs and Redis' files in this directory")
	flags.BoolVar(&quick, "quick", false, "a small run of less than a minute")
	jsonOut := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.Fsync = torture.Fsync(fsync)
		if quick {
			quickly(cmd, &o)
		}
		return runTorture(cmd, w, o, *jsonOut)
	}
	return cmd
}

// quickly makes the run small, but for what was asked for by name.
func quickly(cmd *cobra.Command, o *torture.Options) {
	for name, to := range map[string]struct {
		value *int
		small int
	}{"messages": {&o.Messages, 500}, "purchases": {&o.Purchases, 20}, "routes": {&o.Routes, 20}, "kills": {&o.Kills, 8}, "redis-kills": {&o.RedisKills, 2}} {
		if !cmd.Flags().Changed(name) {
			*to.value = to.small
		}
	}
	if !cmd.Flags().Changed("for") {
		o.For = 15 * time.Second
	}
}

func runTorture(cmd *cobra.Command, w world, o torture.Options, jsonOut bool) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	o.Child = []string{self, childCommand}
	o.Progress = w.out
	if jsonOut {
		o.Progress = w.errs
	}
	for _, n := range []*int{&o.Kills, &o.RedisKills} {
		if *n == 0 {
			*n = -1 // in the package, zero is the default
		}
	}
	if o.Messages < 1 || o.Workers < 1 || o.Scale <= 0 {
		return usagef("--messages and --workers: give at least 1; --scale: give more than 0")
	}
	if err := o.Validate(); err != nil {
		return &usageError{err: err, path: cmd.CommandPath()}
	}
	report, err := torture.Run(cmd.Context(), o)
	switch {
	case errors.Is(err, torture.ErrNoRedis):
		return &usageError{err: err}
	case err != nil:
		return fmt.Errorf("torture: %w", err)
	}
	if jsonOut {
		err = printJSON(w.out, report)
	} else {
		err = report.Print(w.out)
	}
	if err == nil && !report.Passed() {
		return errQuiet
	}
	return err
}

// newTortureChild is one process of a torture run, which is not for people.
func newTortureChild(w world) *cobra.Command {
	return &cobra.Command{
		Use: childCommand, Hidden: true, Args: noArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error { return torture.Child(cmd.Context(), w.in, w.out) },
	}
}

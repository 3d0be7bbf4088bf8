package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// run is the whole program. It returns the exit code.
func run(ctx context.Context, args []string, w world) int {
	root := newRoot(w)
	root.SetArgs(args)
	root.SetIn(w.in)
	root.SetOut(w.out)
	root.SetErr(w.errs)
	return report(w.errs, root.ExecuteContext(ctx))
}

const rootLong = `flowroute-worker sends messages (SMS and MMS), buys numbers and sets routes
through Flowroute for other programs. They put jobs into Redis; workers do them
inside the account's rate limit, survive crashes and lost answers, and never post
a message twice on a guess.

Two commands to begin with, which need no account:

  flowroute-worker demo              everything at once, against a simulated Flowroute
  flowroute-worker simulate          the simulated Flowroute alone, on a port

The service is configured by environment variables; run --help lists them all.

Exit codes: 0 done; 1 failed; 2 usage or configuration; 3 with --wait, the job
itself did not succeed.`

func newRoot(w world) *cobra.Command {
	root := &cobra.Command{
		Use:   "flowroute-worker",
		Short: "A rate-limited worker for the Flowroute API",
		Long:  rootLong,
		Example: `  flowroute-worker demo --exit
  FR_ACCESS_KEY=… FR_SECRET_KEY=… REDIS_URL=redis://127.0.0.1:6379/0 flowroute-worker run
  flowroute-worker send --from +12065550100 --to +12065550123 --body 'Hello' --wait`,
		Version:           readBuild().Version,
		Args:              subcommands,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err: err, path: cmd.CommandPath()}
	})
	root.AddCommand(
		newDemo(w), newSimulate(w), newRun(w),
		newSend(w), newCampaign(w), newStatus(w), newCancel(w),
		newNumbers(w), newRoutes(w), newMDR(w), newReconcile(w), newLimits(w), newReview(w), newOptOut(w),
		newDoctor(w), newVersion(w),
		newTorture(w), newTortureChild(w),
	)
	return root
}

// group is a command that only holds others.
func group(use, short, long, example string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example,
		Args: subcommands,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return &usageError{err: fmt.Errorf("%s: give one of %s", cmd.Name(), strings.Join(names(cmd), ", ")), path: cmd.CommandPath()}
		},
	}
	cmd.AddCommand(children...)
	return cmd
}

func names(cmd *cobra.Command) []string {
	var list []string
	for _, child := range cmd.Commands() {
		if child.IsAvailableCommand() && child.Name() != "help" {
			list = append(list, child.Name())
		}
	}
	return list
}

// subcommands refuses a word that is no subcommand, with those it may have been
// meant to be.
func subcommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("there is no command %.60q", cmd.CommandPath()+" "+args[0])
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	} else {
		text += "; there are " + strings.Join(names(cmd), ", ")
	}
	return &usageError{err: errors.New(text), path: cmd.CommandPath()}
}

// takes says how many words a command wants.
func takes(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		var text string
		switch {
		case most == 0:
			text = fmt.Sprintf("%s takes no arguments, got %.60q", cmd.Name(), args[0])
		case len(args) < least:
			text = fmt.Sprintf("%s: give %s", cmd.Name(), what)
		default:
			text = fmt.Sprintf("%s: give %s and nothing more, got %.60q", cmd.Name(), what, args[most])
		}
		return &usageError{err: errors.New(text), path: cmd.CommandPath()}
	}
}

func noArguments() cobra.PositionalArgs { return takes(0, 0, "") }

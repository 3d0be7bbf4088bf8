package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // usage or configuration
	exitJob    = 3 // the job itself did not succeed (--wait)
)

// usageError is a mistake in what was typed.
type usageError struct {
	err  error
	path string // of the command whose help says more; may be empty
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// configError is all that is wrong with the environment.
type configError struct{ problems []error }

func (e *configError) Error() string {
	texts := make([]string, len(e.problems))
	for i, problem := range e.problems {
		texts[i] = problem.Error()
	}
	return strings.Join(texts, "; ")
}

func (e *configError) Unwrap() []error { return e.problems }

// jobError is a job that was waited for and did not succeed.
type jobError struct{ job jobs.Job }

func (e *jobError) Error() string {
	text := fmt.Sprintf("job %s is %s", e.job.ID, e.job.State)
	if e.job.Reason != "" {
		text += " (" + string(e.job.Reason) + ")"
	}
	if e.job.Detail != "" {
		text += ": " + clean(e.job.Detail)
	}
	return text
}

// errQuiet fails a command that has said all there is to say.
var errQuiet = errors.New("failed")

// report says on one line what went wrong and, where it is not plain, what to
// do, and chooses the exit code.
func report(errs io.Writer, err error) int {
	const name = "flowroute-worker: "
	if err == nil {
		return exitDone
	}
	if errors.Is(err, errQuiet) {
		return exitFailed
	}
	if broken, ok := errors.AsType[*configError](err); ok {
		fmt.Fprintf(errs, name+"the configuration has %s; every variable is explained by: flowroute-worker run --help\n", plural(len(broken.problems), "problem"))
		for _, problem := range broken.problems {
			fmt.Fprintf(errs, "  %s\n", clean(problem.Error()))
		}
		return exitUsage
	}
	if failed, ok := errors.AsType[*jobError](err); ok {
		fmt.Fprintf(errs, name+"%s; its history: flowroute-worker status %s\n", failed.Error(), failed.job.ID)
		return exitJob
	}
	fmt.Fprintln(errs, name+clean(err.Error())+advice(err))
	usage, bad := errors.AsType[*usageError](err)
	if bad && usage.path != "" {
		fmt.Fprintf(errs, "See: %s --help\n", usage.path)
	}
	if _, invalid := errors.AsType[*jobs.ValidationError](err); bad || invalid {
		return exitUsage
	}
	return exitFailed
}

// advice is what to do about errors whose text does not say it.
func advice(err error) string {
	switch {
	case errors.Is(err, ledger.ErrNotDurable):
		return "; REDIS_DURABILITY=aof needs Redis 7.2 or newer with an append-only file: flowroute-worker doctor says more"
	case errors.Is(err, jobs.ErrUnconfirmed):
		return "; with --key it is safe to repeat the command, without one look first whether the job is there"
	case errors.Is(err, jobs.ErrConflict):
		return "; use another --key, or the same content as before"
	case errors.Is(err, ledger.ErrNotFound):
		return "; jobs are kept for LEDGER_RETENTION after their end"
	case errors.Is(err, context.Canceled):
		return " (interrupted)"
	}
	return ""
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

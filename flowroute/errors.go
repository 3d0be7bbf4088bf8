package flowroute

import (
	"errors"
	"fmt"
)

// What became of a write that failed: a [*WriteError] is exactly one of these.
var (
	ErrOutcomeUnknown = errors.New("outcome unknown")
	ErrNotSent        = errors.New("not sent")
	ErrRefused        = errors.New("refused")
)

// What the API said: an [*APIError] is one of these, or none.
var (
	ErrNotFound     = errors.New("not found")    // 404 for a record, not for a URL that is not served
	ErrRateLimited  = errors.New("rate limited") // 429
	ErrUnauthorized = errors.New("unauthorized") // 401
)

// ErrInvalid is the cause of a failure in the arguments: no request was made, and
// the same arguments will fail again.
var ErrInvalid = errors.New("invalid argument")

// Result is what is known about a write that failed. The zero value is the one
// that is always safe to assume.
type Result uint8

const (
	// OutcomeUnknown: it may have been carried out, or may still be. Repeating it
	// blindly can do it twice.
	OutcomeUnknown Result = iota

	// NotSent: no complete request has left or ever will. Repeating is safe.
	NotSent

	// Refused: Flowroute answered that it did not do it.
	Refused
)

func (r Result) String() string {
	switch r {
	case NotSent:
		return "not_sent"
	case Refused:
		return "refused"
	default:
		return "unknown"
	}
}

func (r Result) sentinel() error {
	switch r {
	case NotSent:
		return ErrNotSent
	case Refused:
		return ErrRefused
	default:
		return ErrOutcomeUnknown
	}
}

// WriteError is the error of every call that changes something. It Is
// [ErrNotSent], [ErrRefused] or [ErrOutcomeUnknown], and wraps the cause: an
// [*APIError] when a response came, else the error of the transport, the gate
// or the arguments.
type WriteError struct {
	Op     string // "send message"
	Result Result
	Err    error
}

func notSent(op string, err error) *WriteError {
	return &WriteError{Op: op, Result: NotSent, Err: err}
}

func (e *WriteError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s: %v", e.Op, e.Result.sentinel())
	}
	return fmt.Sprintf("%s: %v: %v", e.Op, e.Result.sentinel(), e.Err)
}

func (e *WriteError) Is(target error) bool { return target == e.Result.sentinel() }
func (e *WriteError) Unwrap() error        { return e.Err }

// ResultOf returns the [Result] in err. Without a [*WriteError] in it the answer
// is OutcomeUnknown.
func ResultOf(err error) Result {
	if e, ok := errors.AsType[*WriteError](err); ok {
		return e.Result
	}
	return OutcomeUnknown
}

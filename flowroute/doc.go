// Package flowroute is a client of Flowroute's HTTP API for messages, phone
// numbers and inbound routes. It knows the API exactly, and one thing more: for
// every request that failed, whether it may be made again.
//
// # Usual path
//
// Make one [Client] with [New] and keep it. Reads return a value or an iterator
// that asks for the next page when it is needed:
//
//	for number, err := range client.Numbers(ctx, flowroute.NumberQuery{}) { … }
//
// Writes take a [Write], and their error is a [*WriteError] that is exactly one of
//
//   - [ErrNotSent]: no complete request left this machine or ever will;
//   - [ErrRefused]: Flowroute answered that it did not do it;
//   - [ErrOutcomeUnknown]: everything else. Flowroute has no idempotency key, so
//     repeating a message, a purchase or a new route may do it twice.
//
// A 2xx is success as soon as its status line is there; that its body could not
// be read shows as an empty id and is never an error.
//
// Phone numbers are parsed values ([ParseE164]). [Segments] counts what a text
// will be billed as.
//
// # Guarantees
//
// One call is one request, or a page of an iterator is: nothing is retried, no
// redirect followed, no page link of a response either. Credentials go to the
// host of [Options.BaseURL] only, and into no error, log line or printed value.
//
// Every request passes the [Gate], and every [Pass] hears exactly once how its
// request ended: the ground for a limiter that counts.
//
// [ErrNotSent] is proven, not guessed. The body of a write can be read once, and
// not a byte of the request leaves before that; both steps are gates that a
// failing call shuts. Both check the deadline of [Write] at the last moment, so
// that a process that was stopped and goes on later sends nothing.
//
// When a call returns with [ErrOutcomeUnknown] and no response came, its
// connection is reset already, and the kernel has dropped what it had not
// delivered. On Linux, the kernel also gives up a connection whose bytes stay
// unacknowledged for [Options.Timeout]. What has been acknowledged may sit in a
// middlebox for longer than any of this.
//
// Responses are bounded, and errors work for every body: Flowroute's envelope
// in its many forms, a proxy's HTML, nothing.
//
// # What it does not do
//
// It does not retry, limit, store or decide; that is for those who import it. It
// does not cover E911, CNAM, porting, CDRs and callback settings. It speaks
// version 2.1 of the messages API and version 2 of the others, over HTTP/1.1 and
// without a proxy.
package flowroute

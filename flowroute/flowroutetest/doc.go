// Package flowroutetest is a stateful fake of the Flowroute API: one account
// with numbers, routes, messages and their records, for tests in process and
// as a program of its own.
//
// In a test: [NewServer], then a client with the Server's URL, AccessKey and
// SecretKey, then [Simulator.Truth].
//
// [Simulator.Truth] tells what was really accepted, bought and set, whatever
// was answered: the measure for everything that claims not to lose or double
// a message. Faults have names ([KnownFaults]) and happen by probability or an
// exact number of times ([Simulator.SetFault], [Simulator.FailNext]); each
// draws from its own generator, so that a seed repeats its choices. A request
// can be stopped at a chosen moment ([Simulator.HoldNext]). Time moves by
// itself, or by [Simulator.Advance]. Behind a listener of its own the same is
// reached by HTTP below /_sim/ (GET /_sim/ lists the calls) or with [Remote].
// That surface has no login: bind it to loopback, or set Options.NoAdmin.
//
// The wire format here is written apart from the client of package flowroute,
// on purpose: two sides that share an encoder prove nothing. What Flowroute's
// own Python and Node SDKs send is recorded in testdata/sdk and replayed.
//
// # What is confirmed, what is chosen
//
// From documentation, the OpenAPI file and the SDKs: paths, methods and
// success statuses (202 for a message, 201 or 207 for a purchase, 204 for
// relationships); Basic authentication; both body formats of a message, is_mms
// as text; JSON:API for relationships and a flat body with a type for PATCH of
// a number; 11-digit ids; the error envelopes, among them detail as an object,
// missing id and title, and a status that is text for unknown paths; 403 for a
// route that exists; 400 with code 1110 after STOP; pages, their limits of 200
// and 400, links that are normalised and that lack /v2 where a route is
// created; start_date being required; attempts being counted, rejected ones
// too, per key and endpoint in 1,000 ms; segments of 160, 140 and 70; MDR
// fields, v2.2's price_details; receipts of two levels; both webhook shapes
// and the four tries for inbound messages.
//
// No public source says, so it is chosen here and can be changed by the option
// in brackets:
//
//   - the window begins with the clock's second [Limits.Window]; a 429 has the
//     envelope [Choices.BareRateLimit] and no Retry-After [Limits.RetryAfter];
//     an MMS counts as an SMS too [Limits.MMSApart], a look-up does not
//     [Limits.LookupsShareSMS]; 401 and callback settings are not counted;
//   - a limit above the maximum is clamped [Choices.RefuseOverMax]; the MDR
//     listing has 10 rows by default [Choices.MDRDefaultLimit], any number when
//     asked [Choices.MDRPageCap, Choices.MDRIgnoreLimit], the latest stamped
//     first [Choices.OrderByUpdate], end_date included
//     [Choices.EndDateExclusive], times truncated [Choices.RoundTimestamps];
//   - a record can be read at once [Options.MDRDelay] and is final at once
//     [Options.DeliverAfter, Options.FailShare, Options.Undeliverable];
//   - a sender that is not ours, or has no messaging, is 403
//     [Choices.NotOwnedStatus, Choices.SendWithoutSetup]; shape errors are 422,
//     what is not JSON in UTF-8 is 400; texts and media lists have no maximum
//     [Choices.MaxBodyRunes, Choices.MaxMediaURLs]; 1110 stands in a field
//     "code" beside its text; an MMS costs 0.0095 dollars;
//   - buying what is ours is 422 [Choices.AlreadyOwnedStatus], what is gone 404
//     [Choices.TakenStatus]; messaging is on at once when asked for
//     [Options.MessagingAfter]; types are longcode and toll-free
//     [Choices.OldNumberTypes]; a route is a duplicate by its alias, or by type
//     and value; a route value of the wrong form is 422;
//   - any JSON content type or none is read [Choices.StrictContentType]; links
//     lead back to the simulator [Options.LinkBase];
//   - receipts are posted once [Callbacks.Copies], in order
//     [Callbacks.Reversed], and not repeated on failure;
//   - CNAM records are approved after 24 hours; E911 geocoding, portability,
//     CDR exports and provisioning are stubs with invented bodies.
//
// Webhooks are posted to loopback addresses alone, unless
// Callbacks.AllowHosts names others: a simulator must not reach anybody.
//
// # Bounds
//
// Everything is in memory: about 220 bytes for a record and 100 for a message
// of ours, besides their texts. Options.KeepMessages forgets old ones; totals
// and limits stay exact. Attempts keep their times up to a million per key and
// kind. A listing is streamed, so that a page of a million rows costs no more
// memory than one of a hundred.
package flowroutetest

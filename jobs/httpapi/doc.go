// Package httpapi serves the HTTP API, the login, health, metrics, the queue
// pages (asynqmon) and, handed in, the console.
//
// # The usual path
//
// [New] with a [jobs.Client] and Redis, then [Server.Run]. A program sends
// POST /v1/messages with a bearer token and one JSON object, gets 202 with the
// job's id, and asks GET /v1/messages/{id} later; or it sends NDJSON, a message on
// each line, and gets a line for each while it sends. One text to many people is
// POST /v1/campaigns: a draft as JSON, or all in one as NDJSON. Errors are problem
// details (RFC 9457) with a code and, where one is to blame, the field.
//
// # Guarantees
//
//   - What was answered with 202, or with a line that says so, is written down. A
//     request whose body has arrived is carried through even when its client goes
//     away; of lines only those that were on their way to Redis.
//   - What Flowroute posts is answered with 200 once all that follows from it is in
//     Redis: the proof and the delivery of a receipt; the record and the opt-out words of
//     a message that arrived; and the post itself, where somebody else wants it too.
//     Posts may come again and in any order.
//   - A campaign starts by itself only when the whole body with its recipients has
//     arrived; the same request again goes on with it and texts nobody twice.
//   - Nothing but health, /openapi.yaml, the login page and its style is open without
//     a login, as long as there are tokens; and the webhooks, which have a secret in
//     their path, and /metrics when it is made so. Without tokens the server listens
//     on loopback only, and Host and Origin are checked, so that no foreign web page
//     can send texts or read anything.
//   - No request that changes something is taken from another origin.
//   - Bodies are bounded, and of NDJSON each line; answers and logs show no message
//     body, no token and no whole number that came in by mistake. A slow client costs
//     one connection; one that sends lines and does not read costs a bounded file as
//     well, and none that writes all before it reads hangs.
//   - The queue pages share the caller's Redis client, look only unless told
//     otherwise, hide what payloads say, and load nothing from outside.
//
// # What it does not do
//
// It does not speak TLS (put a proxy in front; X-Forwarded-Proto: https makes
// the session cookie a secure one) and sends no CORS headers: it is no API for
// pages of other origins.
package httpapi

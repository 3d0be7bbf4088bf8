package campaign

import "github.com/flowroute-worker/flowroute-worker/jobs/ledger"

// Every key of a campaign is made here; all share the ledger's hash tag. They have no TTL
// while the campaign is not over, and then the ledger's retention.
//
//	{flowroute}:cp:<id>    hash: the campaign
//	{flowroute}:cp:<id>:r  hash: number of a chunk, from 0 → 512 rows, packed (chunk.go)
//	{flowroute}:cp:<id>:n  hash: how many jobs are in a state (its letter), or failed for a
//	                       reason (letter and code); bn, bf: the brake's messages and refusals;
//	                       us, um: what records of so many messages say that they cost (nanodollars)
//	{flowroute}:cp:<id>:f  bitmap: the rows whose jobs failed, expired, were blocked or not delivered
//	{flowroute}:cp:<id>:b  bitmap: the last outcomes, a ring as long as the brake's window
//	{flowroute}:cp:<id>:l  bitmap: the rows put off to a later pass
//	{flowroute}:cp:<id>:m  bitmap: the rows whose cost was added up
//	{flowroute}:cp:<id>:u  string, TTL: the lease of whoever uploads
//	{flowroute}:cps        zset: every campaign by when it was created
//	{flowroute}:cpa        set: those that are not over
//	{flowroute}:feeder     string, TTL: the lease of the process that feeds
//
// Fields of {flowroute}:cp:<id>; times are ms since 1970:
//
//	v version, d what its producer gave (JSON), h hash of that, c created, s state (one letter),
//	rows, segs recipients taken and the segments of their texts, sk what uploads left out (JSON),
//	up last sign of an upload, ut its last write, sb start time, se end time, st started, en over since,
//	at rows that the pass has come past, ps number of the pass, nx not before then, lo rows put off,
//	bw bp window and percentage of the brake, pw why it is paused (p a person, b the brake),
//	pt since when, pn pf pr messages, refusals and last reason when the brake paused it,
//	ra messages a second (thousandths), rt when that was measured
type keys struct{ prefix string }

func (k keys) campaign(id ledger.ID) string { return k.prefix + "cp:" + id.String() }
func (k keys) rows(id ledger.ID) string     { return k.campaign(id) + ":r" }
func (k keys) counts(id ledger.ID) string   { return k.campaign(id) + ":n" }
func (k keys) failed(id ledger.ID) string   { return k.campaign(id) + ":f" }
func (k keys) later(id ledger.ID) string    { return k.campaign(id) + ":l" }
func (k keys) uploader(id ledger.ID) string { return k.campaign(id) + ":u" }
func (k keys) all() string                  { return k.prefix + "cps" }
func (k keys) active() string               { return k.prefix + "cpa" }
func (k keys) feeder() string               { return k.prefix + "feeder" }

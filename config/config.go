// Package config reads the environment variables of flowroute-worker: their
// names, defaults and rules. Nothing else in the program reads the
// environment.
//
//	cfg, err := config.Load(ctx, envconfig.OsLookuper())
//
// [Load] reports every problem at once, each as a [*Problem] with the
// variable, its value (unless that is secret) and the rule it breaks.
//
// A variable that is set but empty counts as not set and takes its default,
// since compose files and shells make empty ones of missing ones. The three
// cron specs are the exception: empty switches them off. Spaces around a value
// are refused, because nobody sees them.
//
// Secrets can also come from a file whose path is in the variable with _FILE
// added, the way Docker and Kubernetes mount them; one newline at its end is
// ignored. Both at once are refused.
package config

import (
	"context"
	"errors"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// Config is the environment, typed and checked.
//
// Its tags are the one source of names, defaults and bounds, for [Load], for
// [Variables] and through that for the README: env as go-envconfig has it;
// min and max (both inclusive) or oneof; secret (the value is never printed);
// file (NAME_FILE works too); empty (what an empty value stands for, instead
// of the default); shown (the default in words); meaning.
type Config struct {
	AccessKey    string        `env:"FR_ACCESS_KEY" secret:"true" shown:"required to talk to the API" meaning:"Flowroute access key"`
	SecretKey    Secret        `env:"FR_SECRET_KEY" secret:"true" file:"true" shown:"required to talk to the API" meaning:"Flowroute secret key"`
	AccountAlias string        `env:"FR_ACCOUNT_ALIAS" meaning:"two keys of one Flowroute account that are given the same alias count as one account"`
	BaseURL      URL           `env:"FLOWROUTE_BASE_URL,default=https://api.flowroute.com" meaning:"where the API is; another one for tests and the simulator"`
	Timeout      time.Duration `env:"FLOWROUTE_TIMEOUT,default=60s" min:"1s" max:"10m" meaning:"one API request, MMS included"`

	RedisURL          Secret        `env:"REDIS_URL,default=redis://127.0.0.1:6379/0" secret:"true" file:"true" meaning:"redis://, rediss://, redis-socket://, redis-sentinel:// or redis-cluster://"`
	RedisDurability   string        `env:"REDIS_DURABILITY,default=local" oneof:"local aof" meaning:"aof waits for the disk (WAITAOF, Redis 7.2 or newer) before each request to Flowroute and before a job counts as taken"`
	RedisStartTimeout time.Duration `env:"REDIS_START_TIMEOUT,default=60s" min:"1s" max:"1h" meaning:"how long run waits for Redis at start"`

	WorkerConcurrency int           `env:"WORKER_CONCURRENCY,default=0" min:"0" max:"10000" shown:"sized from the rates" meaning:"handlers at once in one process"`
	ShutdownTimeout   time.Duration `env:"SHUTDOWN_TIMEOUT,default=70s" min:"6s" max:"1h" meaning:"how long a drain may take; at least FLOWROUTE_TIMEOUT + 5s"`

	RateSMS         Rate      `env:"RATE_SMS_PER_SECOND,default=5" meaning:"the account's limit for SMS, as Flowroute counts it; 0 is no limit"`
	RateMMS         Rate      `env:"RATE_MMS_PER_SECOND,default=1" meaning:"the account's limit for MMS"`
	RateNumbers     Rate      `env:"RATE_NUMBERS_PER_SECOND,default=2" meaning:"every call to /v2/numbers and /v2/routes"`
	RateLookups     Rate      `env:"RATE_LOOKUPS_PER_SECOND,default=1" meaning:"message look-ups, of the resolver and the syncs"`
	LookupsShareSMS bool      `env:"LOOKUPS_SHARE_SMS,default=true" meaning:"whether each look-up also takes an SMS permit, as the same endpoint may count it"`
	RatePerNumber   Rate      `env:"RATE_PER_NUMBER_PER_SECOND,default=0" meaning:"optional cap for one sending number (10DLC)"`
	RateOverrides   Overrides `env:"RATE_OVERRIDES" meaning:"caps for single senders: +12065550100=0.5/s,2000/d"`
	CarrierDayZone  Zone      `env:"CARRIER_DAY_ZONE,default=America/New_York" meaning:"zone in which the day of a daily cap ends"`

	AmbiguousSettle     time.Duration `env:"AMBIGUOUS_SETTLE,default=2m" min:"100ms" max:"24h" meaning:"how long after a lost response Flowroute's records are given before their silence can count; at least 30s outside of tests"`
	AmbiguousSettleIdle time.Duration `env:"AMBIGUOUS_SETTLE_IDLE,default=15m" min:"100ms" max:"24h" meaning:"the same on an account so quiet that no later message proves the records current"`
	AmbiguousMax        time.Duration `env:"AMBIGUOUS_MAX,default=1h" min:"1s" max:"168h" meaning:"after that a job whose outcome stays unknown goes to review, where a person decides"`
	AmbiguousAction     string        `env:"AMBIGUOUS_ACTION,default=resend" oneof:"resend review" meaning:"what happens to a message that is proven not to have been accepted: resend posts it again, review leaves that to a person"`

	PublicURL     URL    `env:"PUBLIC_URL" meaning:"where Flowroute can reach this HTTP API; each send then asks for its receipts there, and a receipt proves a send whose answer was lost"`
	WebhookSecret Secret `env:"WEBHOOK_SECRET" secret:"true" file:"true" meaning:"the secret in the path of our webhooks, at least 16 characters; needed with PUBLIC_URL"`

	ForwardDLRURL Secret `env:"FORWARD_DLR_URL" secret:"true" file:"true" meaning:"where the receipts that Flowroute posts to our webhook are posted on, as they came, by the role scheduler; may hold a user and a password"`
	ForwardSMSURL Secret `env:"FORWARD_SMS_URL" secret:"true" file:"true" meaning:"the same for SMS that arrive"`
	ForwardMMSURL Secret `env:"FORWARD_MMS_URL" secret:"true" file:"true" meaning:"the same for MMS that arrive"`

	OptOutScope string `env:"OPTOUT_SCOPE,default=account" oneof:"account number" meaning:"what an opt-out of one of our numbers blocks: all of the account's, or that number alone"`

	SegmentPrice  Nanodollars `env:"SEGMENT_PRICE,default=0.0040" meaning:"USD per segment, for estimates"`
	SendingHours  Hours       `env:"SENDING_HOURS,default=08:00-21:00" meaning:"when campaigns may send, in the zone of the recipient"`
	SendingZone   Zone        `env:"SENDING_ZONE,default=America/New_York" meaning:"zone of recipients whose number does not tell"`
	CampaignBrake Brake       `env:"CAMPAIGN_BRAKE,default=5%/1000" meaning:"a campaign pauses when that share of its last so many messages failed"`

	MDRSyncCron     Cron `env:"MDR_SYNC_CRON,default=*/5 * * * *" empty:"off" meaning:"when message records are synced, UTC; empty is off"`
	NumbersSyncCron Cron `env:"NUMBERS_SYNC_CRON,default=17 * * * *" empty:"off" meaning:"when numbers and routes are synced, UTC; empty is off"`
	ReconcileCron   Cron `env:"RECONCILE_CRON,default=30 6 * * *" empty:"off" meaning:"when sent is compared with recorded, UTC; empty is off"`

	MDRLate         time.Duration `env:"MDR_LATE,default=6h" min:"30m" max:"168h" meaning:"how late a message record may come: what was read again so long after it is complete"`
	MDRRetention    time.Duration `env:"MDR_RETENTION,default=2160h" min:"24h" max:"87600h" meaning:"how long message records stay in Redis, and how far back the first sync goes"`
	LedgerRetention time.Duration `env:"LEDGER_RETENTION,default=720h" min:"1h" max:"87600h" meaning:"how long jobs stay in Redis after their end"`

	HTTPAddr      Address `env:"HTTP_ADDR,default=127.0.0.1:8080" meaning:"HTTP API, console, metrics and health; beyond loopback only with API_TOKENS"`
	APITokens     Tokens  `env:"API_TOKENS" secret:"true" file:"true" meaning:"name:token,name:token; for programs as bearer, for browsers as login"`
	MetricsPublic bool    `env:"METRICS_PUBLIC,default=false" meaning:"/metrics without a token"`
	QueuesUIWrite bool    `env:"QUEUES_UI_WRITE,default=false" meaning:"lets people act in the queue UI"`

	EventsURL    URL    `env:"EVENTS_URL" meaning:"signed webhook for state changes, posted by the role scheduler; needs EVENTS_SECRET"`
	EventsSecret Secret `env:"EVENTS_SECRET" secret:"true" file:"true" meaning:"signs them: whsec_ and the base64 of 24 to 64 random bytes, as Standard Webhooks has it"`
	EventsMaxLen int    `env:"EVENTS_MAXLEN,default=1000000" min:"1000" max:"1000000000" meaning:"length of the event stream: how far back who follows it may go on"`

	LogLevel  string `env:"LOG_LEVEL,default=info" oneof:"debug info warn error" meaning:"least level that is logged"`
	LogFormat string `env:"LOG_FORMAT" oneof:"text json" shown:"text on a terminal, else json" meaning:"form of log lines"`
}

// Load reads and checks the environment. The error joins one [*Problem] for
// each thing that is wrong. The Config is never nil: on an error it holds what
// could be read, so that a caller with rules of its own can report all at
// once.
func Load(ctx context.Context, lookuper envconfig.Lookuper) (*Config, error) {
	var cfg Config
	problems := read(ctx, lookuper, &cfg)
	problems = append(problems, cfg.contradictions(problems)...)
	return &cfg, join(problems)
}

func join(problems []*Problem) error {
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}

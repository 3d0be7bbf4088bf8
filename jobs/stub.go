package jobs

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

type (
	Job          = ledger.Job
	State        = ledger.State
	Event        = ledger.Event
	Cancellation = ledger.Cancellation
)

const (
	TypeSendMessage    = ledger.SendMessage
	TypePurchaseNumber = ledger.PurchaseNumber
	TypeRouteUpdate    = ledger.RouteUpdate
	TypeSyncMDR        = ledger.SyncMDR
	TypeSyncNumbers    = ledger.SyncNumbers
	TypeReconcile      = ledger.Reconcile

	PriorityOTP    = "otp"
	PriorityNormal = "normal"
	PriorityBulk   = "bulk"

	MaxPayload   = 64 << 10
	NudgeTimeout = 30 * time.Minute
)

var (
	ErrNotFound = ledger.ErrNotFound
	ErrConflict = ledger.ErrConflict
	// ErrUnconfirmed: Redis failed; the job may or may not have been taken.
	ErrUnconfirmed = errors.New("the job may or may not have been taken")
)

type Message struct {
	From      string    `json:"from"`
	To        string    `json:"to"`
	Body      string    `json:"body,omitempty"`
	MediaURLs []string  `json:"media_urls,omitempty"`
	IsMMS     *bool     `json:"is_mms,omitempty"`
	SendAt    time.Time `json:"send_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	Priority  string    `json:"priority,omitempty"`
	Campaign  string    `json:"campaign,omitempty"`
	Key       string    `json:"key,omitempty"`
}

func (m Message) Validate(now time.Time) error { panic("todo") }

// MessageSpec is a message as the worker gets it.
type MessageSpec struct {
	From, To          flowroute.E164
	Body              string
	MediaURLs         []string
	IsMMS             *bool
	SendAt, ExpiresAt time.Time
	Priority          string
	Campaign, Key     string
}

func (s MessageSpec) Flowroute() flowroute.Message  { panic("todo") }
func MessageOf(job ledger.Job) (MessageSpec, error) { panic("todo") }
func DecodeMessage(b []byte) (Message, error)       { panic("todo") }

// Decimal is an amount of US dollars as text, exact to nine decimals.
type Decimal string

func (d Decimal) Money() (flowroute.Money, error) { panic("todo") }
func (d *Decimal) UnmarshalJSON(b []byte) error   { panic("todo") }

type NumberSearch struct {
	StartsWith string `json:"starts_with,omitempty"`
	Contains   string `json:"contains,omitempty"`
	EndsWith   string `json:"ends_with,omitempty"`
	RateCenter string `json:"rate_center,omitempty"`
	State      string `json:"state,omitempty"`
	NumberType string `json:"number_type,omitempty"`
}

type Purchase struct {
	Number           string        `json:"number,omitempty"`
	Search           *NumberSearch `json:"search,omitempty"`
	MaxSetupCost     Decimal       `json:"max_setup_cost,omitempty"`
	MaxMonthlyCost   Decimal       `json:"max_monthly_cost,omitempty"`
	Alias            string        `json:"alias,omitempty"`
	MessagingEnabled *bool         `json:"messaging_enabled,omitempty"`
	PrimaryRoute     *RouteSpec    `json:"primary_route,omitempty"`
	FailoverRoute    *RouteSpec    `json:"failover_route,omitempty"`
	Key              string        `json:"key,omitempty"`
}

func (p Purchase) Validate() error { panic("todo") }

// PurchaseSpec is a purchase as the worker gets it. Number is zero when Search says what to buy.
type PurchaseSpec struct {
	Number                       flowroute.E164
	Search                       *flowroute.NumberSearch
	MaxSetupCost, MaxMonthlyCost *flowroute.Money // nil: no bound
	Alias                        string
	MessagingEnabled             *bool
	PrimaryRoute, FailoverRoute  *RouteSpec
	Key                          string
}

func PurchaseOf(job ledger.Job) (PurchaseSpec, error) { panic("todo") }
func DecodePurchase(b []byte) (Purchase, error)       { panic("todo") }

// RouteSpec names a route by its id, or defines one.
type RouteSpec struct {
	ID    string `json:"id,omitempty"`
	Type  string `json:"type,omitempty"`
	Value string `json:"value,omitempty"`
	Alias string `json:"alias,omitempty"`
}

func (r RouteSpec) Flowroute() flowroute.NewRoute { panic("todo") }

type RouteUpdate struct {
	Number   string     `json:"number"`
	Primary  *RouteSpec `json:"primary,omitempty"`
	Failover *RouteSpec `json:"failover,omitempty"`
	Key      string     `json:"key,omitempty"`
}

func (u RouteUpdate) Validate() error { panic("todo") }

type RouteUpdateSpec struct {
	Number            flowroute.E164
	Primary, Failover *RouteSpec
	Key               string
}

func RouteUpdateOf(job ledger.Job) (RouteUpdateSpec, error) { panic("todo") }
func DecodeRouteUpdate(b []byte) (RouteUpdate, error)       { panic("todo") }

// Sync asks for a run of a sync. The zero value goes on where the last one ended.
type Sync struct {
	Since time.Time `json:"since,omitzero"`
}

func SyncOf(job ledger.Job) (Sync, error) { panic("todo") }

type FieldError struct {
	Field   string `json:"field"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e FieldError) Error() string { panic("todo") }

type ValidationError struct{ Problems []FieldError }

func (e *ValidationError) Error() string { panic("todo") }

type Receipt struct {
	ID         string `json:"id"`
	State      State  `json:"state"`
	Duplicate  bool   `json:"duplicate"`
	Repeatable bool   `json:"repeatable"` // a key was given: the same call again is the same job
}

type Options struct {
	Prefix    string
	Retention time.Duration
	EventsMax int64
	Patience  time.Duration // how long a call goes on when Redis fails; defaults to 5 s
	Logger    *slog.Logger
}

type Client struct{}

func NewClient(rdb redis.UniversalClient, o Options) (*Client, error) { panic("todo") }

func (c *Client) Ledger() *ledger.Ledger { panic("todo") }

func (c *Client) Send(ctx context.Context, m Message) (Receipt, error) { panic("todo") }
func (c *Client) SendMany(ctx context.Context, messages []Message) ([]Receipt, []error) {
	panic("todo")
}
func (c *Client) SendAll(ctx context.Context, messages iter.Seq[Message]) iter.Seq2[Receipt, error] {
	panic("todo")
}
func (c *Client) Purchase(ctx context.Context, p Purchase) (Receipt, error)       { panic("todo") }
func (c *Client) UpdateRoute(ctx context.Context, u RouteUpdate) (Receipt, error) { panic("todo") }
func (c *Client) StartSync(ctx context.Context, t ledger.Type, key string, s Sync) (Receipt, error) {
	panic("todo")
}
func (c *Client) Get(ctx context.Context, id string) (Job, error)             { panic("todo") }
func (c *Client) Cancel(ctx context.Context, id string) (Cancellation, error) { panic("todo") }
func (c *Client) Wait(ctx context.Context, id string) (Job, error)            { panic("todo") }
func (c *Client) Events(ctx context.Context, after string) iter.Seq2[Event, error] {
	panic("todo")
}

// Nudge puts a task into queue that makes a worker look at the job. A conflict of task ids is no
// error with serial 0 (it is there) and asynq.ErrTaskIDConflict with another.
func (c *Client) Nudge(ctx context.Context, id ledger.ID, t ledger.Type, queue string, generation int, at time.Time, serial int) error {
	panic("todo")
}

// Task is what an asynq task on our queues turned out to be: a nudge, or another app's plain task.
type Task struct {
	ID         ledger.ID
	Nudge      bool
	Generation int            // of a nudge
	Job        *ledger.NewJob // a plain task: create it; Refused is set when it cannot be read
}

// ParseTask reads a task. The only errors are ledger.ErrNewerVersion and an unknown type.
func ParseTask(t ledger.Type, taskID, queue string, payload []byte) (Task, error) { panic("todo") }

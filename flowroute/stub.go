// Package flowroute is the typed HTTP client of Flowroute's messages, numbers
// and routes API.
package flowroute

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"
)

type E164 struct{ n uint64 }

type NumberError struct {
	Input  string
	Reason string
}

func (e *NumberError) Error() string { panic("todo") }

func ParseE164(s string) (E164, error)       { panic("todo") }
func E164FromUint64(n uint64) (E164, error)  { panic("todo") }
func (e E164) String() string                { panic("todo") }
func (e E164) Digits() string                { panic("todo") }
func (e E164) Masked() string                { panic("todo") }
func (e E164) LogValue() slog.Value          { panic("todo") }
func (e E164) MarshalText() ([]byte, error)  { panic("todo") }
func (e *E164) UnmarshalText(b []byte) error { panic("todo") }
func (e E164) IsZero() bool                  { panic("todo") }
func (e E164) Uint64() uint64                { panic("todo") }

type Encoding string

const (
	EncodingASCII Encoding = "ascii"
	EncodingUCS2  Encoding = "ucs2"
)

func Segments(body string) (n int, enc Encoding) { panic("todo") }

type Money int64

func (m Money) String() string { panic("todo") }

type Credentials struct{ AccessKey, SecretKey string }

func (c Credentials) String() string       { panic("todo") }
func (c Credentials) GoString() string     { panic("todo") }
func (c Credentials) LogValue() slog.Value { panic("todo") }

type Options struct {
	BaseURL     string
	Credentials Credentials
	Timeout     time.Duration
	Gate        Gate
	UserAgent   string
	Logger      *slog.Logger
	Observe     func(Observation)
}

type Observation struct {
	Op       string
	Endpoint Endpoint
	Method   string
	Status   int
	Duration time.Duration
	Outcome  string
}

type Client struct{}

func New(o Options) (*Client, error)      { panic("todo") }
func (c *Client) WithGate(g Gate) *Client { panic("todo") }
func (c *Client) Account() string         { panic("todo") }
func (c *Client) Close()                  { panic("todo") }

type Endpoint string

const (
	EndpointSMS     Endpoint = "sms"
	EndpointMMS     Endpoint = "mms"
	EndpointLookup  Endpoint = "lookup"
	EndpointNumbers Endpoint = "numbers"
)

type Gate func(ctx context.Context, e Endpoint) (Pass, error)

type Pass interface {
	Deadline() time.Time
	Written(acked func() bool)
	Responded()
	Abandoned()
	Unsent()
}

type Write struct {
	Pass     Pass
	Deadline time.Time
	OnStatus func(status int)
}

type Result uint8

const (
	OutcomeUnknown Result = iota
	NotSent
	Refused
)

func (r Result) String() string { panic("todo") }

var (
	ErrOutcomeUnknown = errors.New("outcome unknown")
	ErrNotSent        = errors.New("not sent")
	ErrRefused        = errors.New("refused")
	ErrNotFound       = errors.New("not found")
	ErrRateLimited    = errors.New("rate limited")
	ErrUnauthorized   = errors.New("unauthorized")
)

type WriteError struct {
	Op     string
	Result Result
	Err    error
}

func (e *WriteError) Error() string        { panic("todo") }
func (e *WriteError) Unwrap() error        { panic("todo") }
func (e *WriteError) Is(target error) bool { panic("todo") }

func ResultOf(err error) Result { panic("todo") }

type APIError struct {
	Method, Path             string
	Status                   int
	RequestID, Title, Detail string
	Fields                   map[string][]string
	Code                     string
	RetryAfter               time.Duration
	Envelope                 bool
	StringStatus             bool
}

func (e *APIError) Error() string        { panic("todo") }
func (e *APIError) Is(target error) bool { panic("todo") }
func (e *APIError) OptedOut() bool       { panic("todo") }

type Message struct {
	From, To    E164
	Body        string
	MediaURLs   []string
	IsMMS       *bool
	DLRCallback string
}

func (m Message) MMS() bool { panic("todo") }

type PriceDetails struct {
	BaseRate, SurchargeRate, ChargedCost Money
	SegmentCount                         int
}

type Sent struct {
	ID           string
	Status       int
	PriceDetails *PriceDetails
}

func (c *Client) SendMessage(ctx context.Context, m Message, w Write) (Sent, error) { panic("todo") }

type Direction string

const (
	Inbound  Direction = "inbound"
	Outbound Direction = "outbound"
)

type Delivery string

const (
	DeliveryPending   Delivery = "pending"
	DeliveryDelivered Delivery = "delivered"
	DeliveryFailed    Delivery = "failed"
)

type Media struct {
	ID, FileName, MIMEType, URL string
	FileSize                    int64
}

type MDR struct {
	ID                string
	Direction         Direction
	From, To          string
	Body, Status      string
	IsMMS             bool
	MessageType       string
	Encoding          int
	AmountNanodollars int64
	AmountDisplay     string
	Timestamp         time.Time
	Receipts          []DeliveryReceipt
	PriceDetails      *PriceDetails
	Media             []Media
}

func (m MDR) Delivery() Delivery { panic("todo") }

type DeliveryReceipt struct {
	Level       int
	Status      string
	StatusCode  *int
	Description string
	Timestamp   time.Time
}

func (r DeliveryReceipt) Delivery() Delivery { panic("todo") }

type MDRQuery struct {
	Start, End    time.Time
	Limit, Offset int
}

type Page[T any] struct {
	Items []T
	More  bool
}

func (c *Client) MDR(ctx context.Context, id string) (MDR, error)            { panic("todo") }
func (c *Client) MDRPage(ctx context.Context, q MDRQuery) (Page[MDR], error) { panic("todo") }
func (c *Client) MDRs(ctx context.Context, q MDRQuery) iter.Seq2[MDR, error] { panic("todo") }

type AreaCode struct{ ID string }
type Exchange struct{ ID string }

type AvailableNumber struct {
	Number                  E164
	Type, RateCenter, State string
	SetupCost, MonthlyCost  Money
}

type AreaCodeQuery struct {
	MaxSetupCost  *float64
	Limit, Offset int
}

type ExchangeQuery struct {
	MaxSetupCost  *float64
	AreaCode      string
	Limit, Offset int
}

type NumberSearch struct {
	StartsWith, Contains, EndsWith string
	RateCenter, State              string
	NumberType, ISOCountry         string
	OrderBy                        string
	Limit, Offset                  int
}

func (c *Client) AreaCodes(ctx context.Context, q AreaCodeQuery) iter.Seq2[AreaCode, error] {
	panic("todo")
}
func (c *Client) Exchanges(ctx context.Context, q ExchangeQuery) iter.Seq2[Exchange, error] {
	panic("todo")
}
func (c *Client) AvailableNumbers(ctx context.Context, q NumberSearch) iter.Seq2[AvailableNumber, error] {
	panic("todo")
}

type PurchaseOptions struct {
	CNAMLookups, MessagingEnabled        *bool
	MessagingEmail, MessagingCallbackURL string
}

type Purchased struct {
	Number  NumberDetails
	Status  int
	Partial bool
}

type Number struct {
	Number                  E164
	Alias                   string
	Type, RateCenter, State string
	CNAMLookups             bool
	MessagingEnabled        *bool
	Status, Note            string
	SetupCost, MonthlyCost  *Money
}

type RouteRef struct{ ID string }

type NumberDetails struct {
	Number
	PrimaryRoute, FailoverRoute *RouteRef
	E911ID, CNAMPresetID        string
	Routes                      []Route
}

type NumberQuery struct {
	StartsWith, EndsWith, Contains, Alias string
	Limit, Offset                         int
}

func (c *Client) PurchaseNumber(ctx context.Context, n E164, o PurchaseOptions, w Write) (Purchased, error) {
	panic("todo")
}
func (c *Client) Numbers(ctx context.Context, q NumberQuery) iter.Seq2[Number, error] { panic("todo") }
func (c *Client) Number(ctx context.Context, n E164) (NumberDetails, error)           { panic("todo") }
func (c *Client) SetAlias(ctx context.Context, n E164, alias string, w Write) (NumberDetails, error) {
	panic("todo")
}

type RouteType string

const (
	RouteHost   RouteType = "host"
	RouteNumber RouteType = "number"
	RouteURI    RouteType = "uri"
	RouteSIPReg RouteType = "sip-reg"
)

type Route struct {
	ID    string
	Type  RouteType
	Value string
	Alias string
}

type NewRoute struct {
	Type         RouteType
	Value, Alias string
}

type RouteQuery struct {
	Type          RouteType
	Limit, Offset int
}

func (c *Client) CreateRoute(ctx context.Context, r NewRoute, w Write) (Route, error) { panic("todo") }
func (c *Client) Routes(ctx context.Context, q RouteQuery) iter.Seq2[Route, error]    { panic("todo") }
func (c *Client) SetPrimaryRoute(ctx context.Context, n E164, routeID string, w Write) error {
	panic("todo")
}
func (c *Client) SetFailoverRoute(ctx context.Context, n E164, routeID string, w Write) error {
	panic("todo")
}

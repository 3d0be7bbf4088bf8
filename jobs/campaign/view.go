package campaign

import (
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// View is a campaign as the commands, the HTTP API and the console show it.
type View struct {
	ID           string    `json:"id"`
	Name         string    `json:"name,omitempty"`
	State        State     `json:"state"`
	From         []string  `json:"from"`
	Template     string    `json:"template"`
	StartAt      time.Time `json:"start_at,omitzero"`
	EndAt        time.Time `json:"end_at,omitzero"`
	Rate         float64   `json:"rate,omitempty"` // the campaign's own limit
	Priority     string    `json:"priority"`
	MaxSegments  int       `json:"max_segments"`
	SendingHours string    `json:"sending_hours"`
	CreatedAt    time.Time `json:"created_at"`
	StartedAt    time.Time `json:"started_at,omitzero"`
	EndedAt      time.Time `json:"ended_at,omitzero"`

	Recipients int     `json:"recipients"`
	Skipped    Skipped `json:"skipped"`
	// Waiting is recipients of which no job was made yet; Jobs are the others, by state.
	Waiting  int                  `json:"waiting"`
	Jobs     map[ledger.State]int `json:"jobs"`
	Failures []FailureView        `json:"failures"`
	// PutOff, of those waiting, for the hours of their recipients; all of those waiting do
	// until WaitsUntil.
	PutOff     int       `json:"put_off"`
	WaitsUntil time.Time `json:"waits_until,omitzero"`
	RateNow    float64   `json:"rate_now"` // messages a second
	ETA        time.Time `json:"eta,omitzero"`

	Segments int `json:"segments"`
	// EstimatedCost is of all recipients, in USD; Cost is what the records of CostOf messages say.
	EstimatedCost string     `json:"estimated_cost"`
	Cost          string     `json:"cost"`
	CostOf        int        `json:"cost_of"`
	Paused        *PauseView `json:"paused,omitempty"`
}

// FailureView is how many rows ended in a state for a reason.
type FailureView struct {
	State  ledger.State  `json:"state"`
	Reason ledger.Reason `json:"reason,omitempty"`
	Count  int           `json:"count"`
}

// PauseView says why and since when a campaign is paused.
type PauseView struct {
	Since time.Time `json:"since"`
	By    string    `json:"by"` // person or brake
	// By the brake: Refused of the last Messages were refused, the last for Reason.
	Messages int           `json:"messages,omitempty"`
	Refused  int           `json:"refused,omitempty"`
	Reason   ledger.Reason `json:"reason,omitempty"`
}

// View shows the campaign.
func (c *Campaign) View() View {
	v := View{
		ID: c.ID.String(), Name: c.Spec.Name, State: c.State, From: c.Spec.From, Template: c.Spec.Template, StartAt: c.Spec.StartAt, EndAt: c.Spec.EndAt,
		Rate: c.Spec.Rate, Priority: c.Spec.Priority, MaxSegments: c.Spec.MaxSegments, SendingHours: c.Spec.SendingHours,
		CreatedAt: c.Created, StartedAt: c.Started, EndedAt: c.Ended, Recipients: c.Rows, Skipped: c.Skipped, Waiting: c.Waiting(), Jobs: c.Jobs,
		Failures: []FailureView{}, PutOff: c.PutOff, WaitsUntil: c.WaitsUntil, RateNow: c.Rate, ETA: c.ETA(time.Now()),
		Segments: c.Segments, EstimatedCost: c.Estimate().String(), Cost: c.Cost.String(), CostOf: c.CostOf,
	}
	for _, f := range c.Failures {
		v.Failures = append(v.Failures, FailureView(f))
	}
	if c.State == Paused {
		v.Paused = &PauseView{Since: c.Pause.Since, By: "person", Messages: c.Pause.Messages, Refused: c.Pause.Refused, Reason: c.Pause.Reason}
		if c.Pause.Brake {
			v.Paused.By = "brake"
		}
	}
	return v
}

// AnswerView is the answer to one row of an upload.
type AnswerView struct {
	Line  int              `json:"line"`
	State Verdict          `json:"state"`
	ID    string           `json:"id,omitempty"` // of the job that will be made, when accepted
	Why   string           `json:"why,omitempty"`
	Error *jobs.FieldError `json:"error,omitempty"`
}

// View shows the answer to a row of a campaign.
func (a Answer) View(campaign ledger.ID) AnswerView {
	v := AnswerView{Line: a.Line, State: a.Verdict, Why: a.Why}
	switch a.Verdict {
	case RowAccepted:
		v.ID = campaign.OfRow(uint32(a.Row)).String()
	case RowInvalid:
		v.Error = &a.Problem
	}
	return v
}

// ReasonText says what a reason means, for people who have not read of it; empty where
// there is nothing to say.
func ReasonText(state ledger.State, reason ledger.Reason) string {
	switch {
	case state == ledger.Undelivered:
		return "Flowroute took it, the carrier did not deliver it"
	case state == ledger.Blocked || reason == ledger.ReasonOptedOut:
		return "the recipient has opted out"
	}
	switch reason {
	case ledger.ReasonRefused:
		return "Flowroute said no; its words are with the rows"
	case ledger.ReasonExpired:
		return "its time was over before it could go"
	case ledger.ReasonTooLate, ledger.ReasonAttemptsUsedUp:
		return "tried until its time was over"
	case ledger.ReasonUnauthorized:
		return "the credentials were refused"
	case ledger.ReasonInvalid:
		return "the message was not one that can be sent"
	}
	return ""
}

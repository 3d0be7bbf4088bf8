package httpapi

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
	"github.com/flowroute-worker/flowroute-worker/jobs/internal/lease"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// campaignTaken is the answer to a campaign that was asked for.
type campaignTaken struct {
	campaign.View
	Duplicate  bool `json:"duplicate"`  // it was there already
	Repeatable bool `json:"repeatable"` // asking once more is safe, since there is a key
}

// postCampaign takes a campaign as JSON, or one with its recipients as NDJSON.
func (s *Server) postCampaign(w http.ResponseWriter, r *http.Request) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && media == ndjson {
		return s.postCampaignLines(w, r)
	}
	if err := noQuery(r); err != nil {
		return err
	}
	body, err := s.readJSON(w, r)
	if err != nil {
		return err
	}
	spec, err := readSpec(body)
	if err != nil {
		return err
	}
	if err := headerKey(r, &spec.Key); err != nil {
		return err
	}
	taken, err := s.createCampaign(r.Context(), spec)
	if err != nil {
		return err
	}
	status := http.StatusCreated
	if taken.Duplicate {
		status = http.StatusOK
	}
	w.Header().Set("Location", "/v1/campaigns/"+taken.ID)
	return writeJSON(w, status, taken)
}

// createCampaign writes a draft down, whether or not its client waits for that.
func (s *Server) createCampaign(ctx context.Context, spec campaign.Spec) (campaignTaken, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	taken := campaignTaken{Repeatable: spec.Key != ""}
	created, err := s.o.Campaigns.Create(ctx, spec.ID(nil), spec)
	var c *campaign.Campaign
	if err == nil {
		taken.Duplicate = created.Duplicate
		c, err = s.o.Campaigns.Get(ctx, created.ID)
	}
	if err == nil {
		taken.View = c.View()
		return taken, nil
	}
	p := problemOf(ctx, err)
	if p.Status >= 500 {
		p.Repeatable = &taken.Repeatable
		if taken.Repeatable {
			p.Detail += " Send the same again: its key makes that safe."
		} else {
			p.Detail += " There may be a draft now, which sends nothing and ends after a day."
		}
	}
	return taken, p
}

// campaignID reads the id in the path.
func campaignID(r *http.Request) (ledger.ID, error) {
	id, err := ledger.ParseID(r.PathValue("id"))
	if err != nil {
		return id, campaign.ErrNotFound
	}
	return id, nil
}

// changeCampaign starts, pauses, resumes or cancels.
func (s *Server) changeCampaign(change func(context.Context, ledger.ID) (campaign.State, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := noQuery(r); err != nil {
			return err
		}
		id, err := campaignID(r)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
		defer cancel()
		var c *campaign.Campaign
		if _, err = change(ctx, id); err == nil {
			c, err = s.o.Campaigns.Get(ctx, id)
		}
		if err != nil {
			return repeatable(problemOf(ctx, err))
		}
		return writeJSON(w, http.StatusOK, c.View())
	}
}

func (s *Server) getCampaign(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	id, err := campaignID(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	c, err := s.o.Campaigns.Get(ctx, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, c.View())
}

// campaignsAtOnce is how many are read in one round trip to find those of a state.
const campaignsAtOnce = 200

func (s *Server) getCampaigns(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r, "state", "limit", "cursor")
	if err != nil {
		return err
	}
	var words []string
	for _, state := range campaign.States() {
		words = append(words, string(state))
	}
	state, limit := campaign.State(q.oneOf("state", words...)), q.limit()
	var after ledger.ID
	if q.values.Has("cursor") {
		if after, err = ledger.ParseID(q.text("cursor")); err != nil {
			q.refuse("cursor", jobs.CodeInvalid, "give next_cursor of the page before, as it is")
		}
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	found, next, err := s.findCampaigns(ctx, state, limit, after)
	if err != nil {
		return err
	}
	cursor := ""
	if !next.IsZero() {
		cursor = next.String()
	}
	return writeJSON(w, http.StatusOK, listOf(found, cursor, (*campaign.Campaign).View))
}

// findCampaigns reads up to limit campaigns of a state ("": any), the newest first.
func (s *Server) findCampaigns(ctx context.Context, state campaign.State, limit int, after ledger.ID) (found []*campaign.Campaign, next ledger.ID, err error) {
	size := limit
	if state != "" {
		size = campaignsAtOnce
	}
	for {
		page, more, err := s.o.Campaigns.List(ctx, size, after)
		if err != nil {
			return nil, next, err
		}
		for i, c := range page {
			if state != "" && c.State != state {
				continue
			}
			if found = append(found, c); len(found) < limit {
				continue
			}
			if i == len(page)-1 && more.IsZero() {
				return found, next, nil
			}
			return found, c.ID, nil
		}
		if more.IsZero() {
			return found, next, nil
		}
		after = more
	}
}

// campaignProblem says what an error of a campaign means to the client; nil for others.
func campaignProblem(err error) *problem {
	if wrong, ok := errors.AsType[*campaign.StateError](err); ok {
		return newProblem(http.StatusConflict, codeWrongState, "Nothing was changed: %s.", wrong.Error())
	}
	if bad, ok := errors.AsType[*intake.FileError](err); ok {
		p := bad.Problem
		p.Message = "line " + strconv.Itoa(bad.Line) + ": " + p.Message
		return invalidProblem(&jobs.ValidationError{Problems: []jobs.FieldError{p}})
	}
	switch {
	case errors.Is(err, campaign.ErrNotFound):
		return newProblem(http.StatusNotFound, codeNotFound, "No such campaign, or its retention is over.")
	case errors.Is(err, campaign.ErrConflict):
		return newProblem(http.StatusConflict, codeConflict,
			"This key belongs to a campaign that asks for something else. Use a new key for a new campaign.").because(err)
	case errors.Is(err, campaign.ErrBusy):
		return newProblem(http.StatusConflict, codeBusy, "Recipients of this campaign are being sent by another request or command. "+
			"When that has ended, do this again: nobody is added twice. To end it, cancel the campaign.").with("Retry-After", strconv.Itoa(busyAfter))
	case errors.Is(err, campaign.ErrEmpty):
		return newProblem(http.StatusConflict, codeEmpty, "The campaign has no recipients: add some, then start it.")
	case errors.Is(err, campaign.ErrNewerVersion):
		return newProblem(http.StatusServiceUnavailable, codeNewer,
			"This process is older than the one that wrote this. Ask another one, or update it.").because(err)
	case errors.Is(err, ledger.ErrNotDurable):
		return unavailableProblem(codeUnconfirmed, "Redis does not report the change to be on its disk. It may or may not last.", err)
	case errors.Is(err, lease.ErrLost):
		return unavailableProblem(codeUnavailable, "Redis did not answer for too long.", err)
	}
	return nil
}

// busyAfter, in seconds: others may take long, or end soon.
const busyAfter = 5

// bodyPatience is how long a client may keep a server that has refused its body busy
// with it.
const bodyPatience = 30 * time.Second

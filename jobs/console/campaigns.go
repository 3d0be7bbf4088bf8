package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

const (
	campaignsPage = 50 // campaigns on one page
	mostFailures  = 50 // rows that failed, on a campaign's page
)

// campaignsView is a page of the campaigns.
type campaignsView struct {
	Now   time.Time
	Rows  []campaignRow
	After string // the campaign that this page goes on from; empty: the newest
	Older string // where the next page goes on from; empty: there is none
	More  bool   // there are others
	// Unread says why nothing can be shown.
	Unread string
}

// campaigns draws the list.
func (c *Console) campaigns(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, status := c.page(r, "Campaigns"), http.StatusOK
		v := &p.Campaigns
		v.Now = time.Now()
		var after ledger.ID
		if text := r.URL.Query().Get("after"); text != "" {
			var err error
			if after, err = ledger.ParseID(text); err != nil {
				http.Error(w, "There is no such page.", http.StatusNotFound)
				return
			}
			v.After = after.String()
		}
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		list, next, err := c.o.Campaigns.List(ctx, campaignsPage, after)
		if err != nil {
			status, v.Unread = c.unread(ctx, err)
		}
		for _, one := range list {
			v.Rows = append(v.Rows, viewRow(one, v.Now))
		}
		if !next.IsZero() {
			v.Older = next.String()
		}
		c.draw(w, r, status, name, p)
	}
}

// unread says why campaigns cannot be shown, with the status to answer.
func (c *Console) unread(ctx context.Context, err error) (status int, text string) {
	switch {
	case errors.Is(err, campaign.ErrNotFound):
		return http.StatusNotFound, "There is no such campaign. Campaigns are kept for a while after their end (LEDGER_RETENTION), then they are gone."
	case errors.Is(err, campaign.ErrNewerVersion):
		return http.StatusInternalServerError, "A newer version of this program wrote it: update this one."
	}
	c.log.WarnContext(ctx, "campaigns not read", slog.Any("err", err))
	return http.StatusServiceUnavailable, "Redis does not answer, or not in time. Nothing is lost; everything goes on by itself when it does."
}

// campaign draws the page of one, a changing part of it, or the question before it is
// cancelled.
func (c *Console) campaign(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, status := c.page(r, "Campaigns"), http.StatusOK
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		found, err := c.find(ctx, r.PathValue("id"))
		if err == nil {
			p.Campaign = viewCampaign(found, time.Now())
			p.Title = p.Campaign.Name
			p.Campaign.Notice = notice(r.URL.Query().Get("not"), found.State)
			if name == "campaign-page" || name == "failures" {
				p.Campaign.Failed, err = c.readFailures(ctx, found)
			}
		}
		switch {
		case err != nil:
			status, p.Campaign.Unread = c.unread(ctx, err)
			if name == "cancel-page" {
				name = "campaign-page"
			}
		case name == "cancel-page" && !p.Campaign.May.Cancel:
			http.Redirect(w, r, refusedAt(found.ID, opCancel), http.StatusSeeOther)
			return
		}
		c.draw(w, r, status, name, p)
	}
}

// find reads the campaign with the id in a path.
func (c *Console) find(ctx context.Context, text string) (*campaign.Campaign, error) {
	id, err := ledger.ParseID(text)
	if err != nil {
		return nil, campaign.ErrNotFound
	}
	return c.o.Campaigns.Get(ctx, id)
}

// failureTable has the first rows that failed.
type failureTable struct {
	Rows []failedRow
	More bool
	At   time.Time
}

type failedRow struct {
	Row    int
	Job    string
	Number string // masked
	State  ledger.State
	Tone   string
	Reason ledger.Reason
	Detail string
}

func (c *Console) readFailures(ctx context.Context, of *campaign.Campaign) (failureTable, error) {
	table := failureTable{At: time.Now()}
	if len(of.Failures) == 0 {
		return table, nil
	}
	for row, err := range c.o.Campaigns.Failures(ctx, of.ID, 0) {
		if err != nil {
			return table, err
		}
		if len(table.Rows) == mostFailures {
			table.More = true
			break
		}
		table.Rows = append(table.Rows, failedRow{
			Row: row.Row, Job: row.Job.ID.String(), Number: row.Job.To.Masked(), State: row.Job.State, Tone: tone(row.Job.State),
			Reason: row.Job.Reason, Detail: row.Job.Detail,
		})
	}
	return table, nil
}

// What a person can do with a campaign.
const (
	opPause  = "pause"
	opResume = "resume"
	opCancel = "cancel"
)

// change does what a form asks, and goes back to the campaign's page.
func (c *Console) change(w http.ResponseWriter, r *http.Request) {
	var do func(context.Context, ledger.ID) (campaign.State, error)
	op := r.PathValue("op")
	switch op {
	case opPause:
		do = c.o.Campaigns.Pause
	case opResume:
		do = c.o.Campaigns.Resume
	case opCancel:
		do = c.o.Campaigns.Cancel
	}
	id, err := ledger.ParseID(r.PathValue("id"))
	if do == nil || err != nil {
		http.Error(w, "There is no such page.", http.StatusNotFound)
		return
	}
	if !fromOwnPage(r) {
		http.Error(w, "Changes are taken from the console's own pages only; programs use the API.", http.StatusForbidden)
		return
	}
	// Once begun it is done, whether or not the browser waits.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
	defer cancel()
	state, err := do(ctx, id)
	if _, not := errors.AsType[*campaign.StateError](err); not {
		http.Redirect(w, r, refusedAt(id, op), http.StatusSeeOther)
		return
	}
	if err != nil {
		p := c.page(r, "Campaigns")
		status, text := c.unread(ctx, err)
		if status == http.StatusServiceUnavailable {
			text = "Redis does not answer, or not in time: it is not known whether this was done. Look at the campaign, and do it again if it was not."
		}
		p.Campaign.Unread, p.Campaign.ID = text, id.String()
		c.draw(w, r, status, "undone-page", p)
		return
	}
	by, _ := r.Context().Value(userKey{}).(user)
	c.log.InfoContext(ctx, "campaign changed in the console", slog.String("campaign", id.String()), slog.String("change", op),
		slog.String("state", string(state)), slog.String("login", by.name))
	http.Redirect(w, r, campaignAt(id), http.StatusSeeOther)
}

// fromOwnPage reports whether a browser says that a page of ours sent the form. Who says
// nothing of where a request is from is no browser of today.
func fromOwnPage(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && origin.Host != "" && origin.Host == r.Host
}

func campaignAt(id ledger.ID) string { return "/campaigns/" + id.String() }

// refusedAt is the campaign's page with the word that something could not be done.
func refusedAt(id ledger.ID, op string) string { return campaignAt(id) + "?not=" + op }

// notice says that something could not be done; empty unless op is one of what can.
func notice(op string, state campaign.State) string {
	done, known := map[string]string{opPause: "paused", opResume: "resumed", opCancel: "cancelled"}[op]
	if !known {
		return ""
	}
	return "It could not be " + done + ": it is " + string(state) + "."
}

package httpapi_test

import (
	"strings"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign"
)

const (
	makeCampaign = "POST /v1/campaigns"
	oneCampaign  = "GET /v1/campaigns/{id}"
	addRows      = "POST /v1/campaigns/{id}/recipients"
	listFailures = "GET /v1/campaigns/{id}/failures"
)

// aboutCampaigns are requests that are answered well, and such that are refused.
func (c *contract) aboutCampaigns(a account) (good, bad []exchange) {
	c.t.Helper()
	b := &campaigns{bundle: a.bundle, store: a.campaigns}
	asNDJSON := []string{"Content-Type", asLines}
	made := func(e exchange) string {
		c.t.Helper()
		e.op = makeCampaign
		return decode[asked](c.t, c.try(a.bundle, e)).ID
	}
	full := made(exchange{status: 201, body: `{"v":1,"name":"Spring","from":["+12065550100","+12065550101"],"template":"Hi {{name|default \"there\"}}","start_at":"` + hence(2) +
		`","end_at":"` + hence(4) + `","rate":2.5,"priority":"normal","max_segments":3,"sending_hours":"09:00-20:00","key":"contract"}`})
	failed := made(exchange{status: 201, body: `{"from":"+12065550100","template":"hello"}`})
	b.recipients(failed, to(1)+"\n"+to(2), asLines)
	b.do("POST", "/v1/campaigns/"+failed+"/start", "").want(c.t, 200)
	b.refuseAll(failed, 2)
	open, empty := b.draft(`,"template":"Hi {{name|default \"\"}}"`).ID, b.draft("").ID
	b.recipients(full, to(1), asLines)

	at := func(id string, more ...string) string { return "/v1/campaigns/" + id + strings.Join(more, "") }
	head := `{"from":"+12065550100","template":"hello, {{name}}","key":"all in one"}` + "\n"
	people := `{"to":"+12062000001","name":"Ann"}` + "\n" + `{"phone":12062000002,"name":7,"other":[1]}` + "\n" + `{"to":"+12062000001"}` + "\n\n" + `{"to":"5"}` + "\n"
	good = []exchange{
		{op: makeCampaign, body: `{"from":"+12065550100"}`, status: 201},
		{op: makeCampaign, body: `{"from":"+12065550100","key":"twice"}`, status: 201},
		{op: makeCampaign, body: `{"from":"+12065550100"}`, headers: []string{"Idempotency-Key", "twice"}, status: 200},
		{op: makeCampaign, path: "/v1/campaigns?dry_run=true", body: head + people, headers: asNDJSON, status: 200},
		{op: makeCampaign, path: "/v1/campaigns?dry_run=true&recipient=to", body: `{"from":"+12065550100","template":"it’s {{x|default \"é\"}} {{y}}","end_at":"` + hence(1) + `"}` + "\n" +
			`{"to":"+12062000001","y":"’"}` + "\n" + `{"to":"+12062000002","y":1}`, headers: asNDJSON, status: 200},
		{op: makeCampaign, body: head + people, headers: asNDJSON, status: 200},
		{op: makeCampaign, body: head + people, headers: asNDJSON, status: 200}, // runs
		{op: makeCampaign, path: "/v1/campaigns?results=errors&recipient=phone", body: `{"from":"+12065550100"}` + "\n" + people, headers: asNDJSON, status: 200},
		{op: "GET /v1/campaigns", status: 200},
		{op: "GET /v1/mdrs", path: "/v1/mdrs?limit=5&campaign=" + full, status: 200},
		{op: "GET /v1/messages", path: "/v1/messages?limit=5&cursor=1&campaign=" + full, status: 200},
		{op: "GET /v1/campaigns", path: "/v1/campaigns?state=draft&limit=1", status: 200},
		{op: oneCampaign, path: at(full), status: 200},
		{op: oneCampaign, path: at(failed), status: 200},
		{op: addRows, path: at(open, "/recipients"), body: people, headers: asNDJSON, status: 200},
		{op: addRows, path: at(open, "/recipients?results=errors&recipient=cell&latin1=true"), body: "cell,name\n+12062000003,Zo\xe9\n5,x\n", headers: []string{"Content-Type", "text/csv"}, status: 200},
		{op: addRows, path: at(open, "/recipients"), body: `{"to":"+12062000001","body":"hello"}`, headers: asNDJSON, status: 200},
		{op: listFailures, path: at(failed, "/failures"), status: 200},
		{op: listFailures, path: at(failed, "/failures?limit=1&cursor=1"), status: 200},
		{op: listFailures, path: at(failed, "/failures"), headers: []string{"Accept", asLines}, status: 200},
		{op: listFailures, path: at(failed, "/failures"), headers: []string{"Accept", "text/csv"}, status: 200},
		{op: "POST /v1/campaigns/{id}/start", path: at(full, "/start"), status: 200},
		{op: "POST /v1/campaigns/{id}/pause", path: at(full, "/pause"), status: 200},
		{op: oneCampaign, path: at(full), status: 200},
		{op: "POST /v1/campaigns/{id}/resume", path: at(full, "/resume"), status: 200},
		{op: "POST /v1/campaigns/{id}/cancel", path: at(full, "/cancel"), status: 200},
	}
	with := func(fields string) string { return `{"from":"+12065550100",` + fields + `}` }
	bad = []exchange{
		{op: makeCampaign, body: `{}`, status: 422, code: "required"},
		{op: makeCampaign, body: `{"from":[]}`, status: 422, code: "required"},
		{op: makeCampaign, body: `{"from":1}`, status: 422, code: "wrong_type"},
		{op: makeCampaign, body: `{"from":"555"}`, status: 422, code: "invalid", unsaid: true},
		{op: makeCampaign, body: with(`"tempalte":"x"`), status: 422, code: "unknown_field"},
		{op: makeCampaign, body: with(`"template":"{{range .}}"`), status: 422, code: "invalid", unsaid: true},
		{op: makeCampaign, body: with(`"start_at":"soon"`), status: 422, code: "wrong_type"},
		{op: makeCampaign, body: with(`"start_at":"2020-01-01T00:00:00Z"`), status: 422, code: "in_the_past", unsaid: true},
		{op: makeCampaign, body: with(`"rate":-1`), status: 422, code: "invalid"},
		{op: makeCampaign, body: with(`"rate":"5"`), status: 422, code: "wrong_type"},
		{op: makeCampaign, body: with(`"max_segments":24`), status: 422, code: "invalid"},
		{op: makeCampaign, body: with(`"priority":"otp"`), status: 422, code: "invalid"},
		{op: makeCampaign, body: with(`"sending_hours":"8-21"`), status: 422, code: "invalid"},
		{op: makeCampaign, body: with(`"name":"` + strings.Repeat("x", 101) + `"`), status: 422, code: "too_long"},
		{op: makeCampaign, body: with(`"v":2`), status: 422, code: "unsupported_version"},
		{op: makeCampaign, body: with(`"name":"x","key":"twice"`), status: 409, code: "key_conflict"},
		{op: makeCampaign, body: `{"from":"+12065550100"}`, headers: []string{"Idempotency-Key", strings.Repeat("k", 258)}, status: 422, code: "too_long"},
		{op: makeCampaign, path: "/v1/campaigns?dry_run=true", body: `{"from":"+12065550100"}`, status: 422, code: "unknown_field", unsaid: true},
		{op: "GET /v1/mdrs", path: "/v1/mdrs?campaign=0199b2a4-7c1e-8d3a-9b55-0a1b00000000", status: 422, code: "invalid", unsaid: true},
		{op: makeCampaign, path: "/v1/campaigns?dry_run=yes", body: head, headers: asNDJSON, status: 422, code: "invalid"},
		{op: makeCampaign, path: "/v1/campaigns?again=true", body: head, headers: asNDJSON, status: 422, code: "unknown_field"},
		{op: makeCampaign, body: people, headers: asNDJSON, status: 422, code: "unknown_field", unsaid: true},
		{op: makeCampaign, body: head, headers: append([]string{"Content-Encoding", "gzip"}, asNDJSON...), status: 400, code: "malformed_gzip", unsaid: true},
		{op: makeCampaign, body: strings.Replace(head, "hello", "bye", 1), headers: asNDJSON, status: 409, code: "key_conflict"},
		{op: makeCampaign, body: with(`"template":"x"`) + "\n[]\n{", headers: asNDJSON, status: 200, partly: true},
		{op: addRows, path: at(full, "/recipients"), body: people, headers: asNDJSON, status: 409, code: "wrong_state"},
		{op: addRows, path: at(open, "/recipients?latin1=1"), body: people, headers: asNDJSON, status: 422, code: "invalid"},
		{op: addRows, path: at(open, "/recipients?recipient="), body: people, headers: asNDJSON, status: 422, code: "required"},
		{op: addRows, path: at(open, "/recipients?column=to"), body: people, headers: asNDJSON, status: 422, code: "unknown_field"},
		{op: addRows, path: at(open, "/recipients"), body: "[]", headers: asNDJSON, status: 200, partly: true},
		{op: addRows, path: at(open, "/recipients"), body: "a,b\n1,2\n", headers: []string{"Content-Type", "text/csv"}, status: 422, code: "required", unsaid: true},
		{op: "GET /v1/campaigns", path: "/v1/campaigns?cursor=x", status: 422, code: "invalid", unsaid: true},
		{op: oneCampaign, path: at(full + "?fields=id"), status: 422, code: "unknown_field"},
		{op: listFailures, path: at(full, "/failures?cursor=x"), status: 422, code: "invalid", unsaid: true},
		{op: listFailures, path: at(full, "/failures?limit=0"), status: 422, code: "invalid"},
		{op: listFailures, path: at(full, "/failures?limit=5"), headers: []string{"Accept", "text/csv"}, status: 422, code: "unknown_field", unsaid: true},
	}
	for _, wrong := range []string{"state=going", "limit=0", "states=draft"} {
		bad = append(bad, exchange{op: "GET /v1/campaigns", path: "/v1/campaigns?" + wrong, status: 422})
	}
	for op, code := range map[string]string{"start": "no_recipients", "pause": "wrong_state", "resume": "wrong_state"} {
		bad = append(bad, exchange{op: "POST /v1/campaigns/{id}/" + op, path: at(empty, "/", op), status: 409, code: code})
	}
	for _, op := range []string{"start", "pause", "resume", "cancel"} {
		bad = append(bad, exchange{op: "POST /v1/campaigns/{id}/" + op, path: at(empty, "/", op, "?now=1"), status: 422, code: "unknown_field"})
	}
	over := b.draft("").ID
	b.must(over, campaign.Failed)
	bad = append(bad, exchange{op: "POST /v1/campaigns/{id}/cancel", path: at(over, "/cancel"), status: 409, code: "wrong_state"})
	return good, bad
}

// must makes a campaign's state what takes a day otherwise.
func (b *campaigns) must(id string, state campaign.State) {
	b.t.Helper()
	if err := b.rdb.HSet(b.t.Context(), "{flowroute}:cp:"+id, "s", string(state[0])).Err(); err != nil {
		b.t.Fatal(err)
	}
}

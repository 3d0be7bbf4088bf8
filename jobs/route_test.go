package jobs_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

func TestRouteValues(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ good, bad []string }{
		"host": {
			good: []string{"24.239.23.40:5060", "myphone.com", "a.b-c.example.com.", "sip_1.example.com:65535", "myphone.com;transport=tls", "192.0.2.7:5060;transport=udp;weight=10", "[2001:db8::1]:5060", "[2001:db8::1]"},
			bad:  []string{"", " myphone.com", "my phone.com", "-a.com", "a-.com", "a..com", ".com", "sip:a@b.com", "http://a.com", "a.com:0", "a.com:65536", "a.com:x", "a.com:", "a.com;", "a.com;transport=ws", "a.com;weight=", "a.com;q=1", "[2001:db8::1", "[192.0.2.1]", "2001:db8::1", "a@b.com", strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 130) + "com", "ex\x00ample.com"},
		},
		"number": {
			good: []string{"16476998778", "+1 647 699 8778"},
			bad:  []string{"", "abc", "911", "sip:1@2"},
		},
		"uri": {
			good: []string{"sip:alice@atlanta.com", "sip:16476998778@215.122.69.152:5060;transport=tcp", "sips:securecall@securedserver.com", "sip:+12065550100@example.com"},
			bad:  []string{"", "alice@atlanta.com", "sip:atlanta.com", "sip:@atlanta.com", "sip:alice@", "http:alice@atlanta.com", "sip:al ice@atlanta.com", "sip:alice@atlanta.com;weight=1", "sip:alice@b@c.com", "sip:al<ice@atlanta.com"},
		},
		"sip-reg": {bad: []string{"", "x"}},
		"HOST":    {bad: []string{"myphone.com"}},
	}
	for kind, tt := range tests {
		for _, value := range tt.good {
			u := jobs.RouteUpdate{Number: from, Primary: &jobs.RouteSpec{Type: kind, Value: value}}
			if err := u.Validate(); err != nil {
				t.Errorf("%s %q: got %v, want none", kind, value, err)
			}
		}
		for _, value := range tt.bad {
			u := jobs.RouteUpdate{Number: from, Failover: &jobs.RouteSpec{Type: kind, Value: value}}
			if got := problemsOf(t, u.Validate()); len(got) != 1 || !strings.HasPrefix(got[0].Field, "failover.") {
				t.Errorf("%s %q: got %v, want one problem of it", kind, value, got)
			}
		}
	}
}

func TestDecodeRouteUpdate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		json string
		want []problem
	}{
		"by id":          {`{"number":"+12065550100","primary":{"id":"83834"}}`, nil},
		"built in":       {`{"number":"+12065550100","failover":{"id":"0"}}`, nil},
		"both":           {`{"v":1,"number":"+12065550100","primary":{"id":"1"},"failover":{"type":"uri","value":"sip:a@b.com","alias":"b"},"key":"k"}`, nil},
		"nothing":        {`{}`, []problem{{"number", "required"}, {"primary", "required"}}},
		"nulls":          {`{"number":"+12065550100","primary":null,"failover":null}`, []problem{{"primary", "required"}}},
		"id as number":   {`{"number":"+12065550100","primary":{"id":83834}}`, []problem{{"primary.id", "wrong_type"}, {"primary", "required"}}},
		"id as word":     {`{"number":"+12065550100","primary":{"id":"../1"}}`, []problem{{"primary.id", "invalid"}}},
		"route as text":  {`{"number":"+12065550100","primary":"83834"}`, []problem{{"primary", "wrong_type"}}},
		"unknown fields": {`{"number":"+12065550100","primary":{"id":"1","port":5}}`, []problem{{"primary.port", "unknown_field"}}},
		"bad alias":      {`{"number":"+12065550100","primary":{"type":"host","value":"a.com","alias":" a"}}`, []problem{{"primary.alias", "invalid"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := jobs.DecodeRouteUpdate([]byte(tt.json))
			if diff := cmp.Diff(tt.want, problemsOf(t, err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRouteUpdatesTakeTurns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ask := jobs.RouteUpdate{Number: "206 555 0100", Primary: &jobs.RouteSpec{ID: "1"}, Failover: &jobs.RouteSpec{Type: "host", Value: strings.Repeat("a.", 40) + "com"}}
	first, err := b.UpdateRoute(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := jobs.RouteUpdateOf(b.get(t, first.ID))
	if err != nil {
		t.Fatal(err)
	}
	want := jobs.RouteUpdateSpec{Number: number(t, from), Primary: ask.Primary, Failover: &jobs.RouteSpec{Type: "host", Value: ask.Failover.Value, Alias: ask.Failover.Value[:64]}}
	if diff := cmp.Diff(want, spec, cmp.Comparer(func(a, b flowroute.E164) bool { return a == b })); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	ask.Failover = nil
	second, err := b.UpdateRoute(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	id, err := ledger.ParseID(second.ID)
	if err != nil {
		t.Fatal(err)
	}
	look := ledger.Intent{ID: id, Generation: 1, Account: "fr-test"}
	if begun, err := b.Ledger().Begin(t.Context(), look); err != nil || begun.Decision != ledger.Behind {
		t.Errorf("second update of the slot: got %v, %v, want behind", begun.Decision, err)
	}

	// A worker that looked dropped its nudge. Cancelling the first announces the second.
	if err := b.inspector.DeleteTask(ledger.QueueNumbers, second.ID+".1"); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Cancel(t.Context(), first.ID); err != nil || !got.Cancelled {
		t.Fatalf("cancel: got %+v, %v", got, err)
	}
	if _, err := b.inspector.GetTaskInfo(ledger.QueueNumbers, second.ID+".1"); err != nil {
		t.Errorf("nudge of the second: %v", err)
	}
}

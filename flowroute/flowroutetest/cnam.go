package flowroutetest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cnam is a caller name record.
type cnam struct {
	id, value string
	at        time.Time
}

// cnamReview is how long Flowroute takes to approve a CNAM record: 24 to 48 hours.
const cnamReview = 24 * time.Hour

func (k *cnam) object(base string, now time.Time) any {
	const layout = "2006-01-02 15:04:05+00:00"
	attrs := map[string]any{"approval_datetime": nil, "creation_datetime": k.at.UTC().Format(layout), "is_approved": false, "rejection_reason": nil, "value": k.value}
	if approved := k.at.Add(cnamReview); !approved.After(now) {
		attrs["is_approved"], attrs["approval_datetime"] = true, approved.UTC().Format(layout)
	}
	return map[string]any{"attributes": attrs, "id": k.id, "links": map[string]string{"self": base + "/v2/cnams/" + k.id}, "type": "cnam"}
}

func (s *Simulator) findCNAM(id string) *cnam {
	i := slices.IndexFunc(s.acct.extras.cnams, func(k cnam) bool { return k.id == id })
	if i < 0 {
		return nil
	}
	return &s.acct.extras.cnams[i]
}

func (s *Simulator) listCNAMs(c *call) reply {
	v := c.r.URL.Query()
	p := s.readPage(v, 200)
	for _, name := range []string{"is_approved", "value", "starts_with", "contains", "ends_with"} {
		p.filter(name, v.Get(name))
	}
	upper := func(name string) string { return strings.ToUpper(v.Get(name)) }
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []cnam
	for _, k := range s.acct.extras.cnams {
		approved := !k.at.Add(cnamReview).After(now)
		if (v.Get("is_approved") == "" || strings.EqualFold(v.Get("is_approved"), strconv.FormatBool(approved))) &&
			matches(v.Get("value"), k.value) && strings.HasPrefix(k.value, upper("starts_with")) &&
			strings.Contains(k.value, upper("contains")) && strings.HasSuffix(k.value, upper("ends_with")) {
			rows = append(rows, k)
		}
	}
	return listReply(c, p, rows, func(k cnam) any { return k.object(c.linkBase(), now) })
}

func (s *Simulator) createCNAM(c *call) reply {
	attrs, bad := c.attributes()
	if bad != nil {
		return *bad
	}
	problems := fieldErrors{}
	value := strings.ToUpper(textOf(attrs["value"], "value", problems))
	if len(problems) == 0 && (value == "" || len(value) > 15 || !strings.ContainsAny(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
		problems.add("value", "At most 15 characters, one letter at least.")
	}
	if len(problems) > 0 {
		return problems.reply()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.acct.extras
	if slices.ContainsFunc(x.cnams, func(k cnam) bool { return k.value == value }) {
		return s.apiError(http.StatusUnprocessableEntity, "", "Duplicate CNAM entry found on your account")
	}
	x.cnams = append(x.cnams, cnam{x.id(), value, s.now()})
	return c.document(http.StatusCreated, x.cnams[len(x.cnams)-1].object(c.linkBase(), s.now()))
}

func (s *Simulator) getCNAM(c *call) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.findCNAM(c.r.PathValue("id")); k != nil {
		return c.document(http.StatusOK, k.object(c.linkBase(), s.now()))
	}
	return s.noSuchResource("No such CNAM record")
}

func (s *Simulator) deleteCNAM(c *call) reply {
	id := c.r.PathValue("id")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.findCNAM(id) == nil {
		return s.noSuchResource("No such CNAM record")
	}
	s.acct.extras.cnams = slices.DeleteFunc(s.acct.extras.cnams, func(k cnam) bool { return k.id == id })
	return reply{status: http.StatusNoContent}
}

// assigned is the 202 of CNAM associations: its id is a number, its date RFC 1123.
func (s *Simulator) assigned(id string) reply {
	n, _ := strconv.Atoi(id)
	return reply{status: http.StatusAccepted, body: encode(map[string]any{"data": map[string]any{
		"attributes": map[string]any{"date_created": s.now().UTC().Format(http.TimeFormat)}, "id": n, "type": "cnam"}})}
}

func (s *Simulator) assignCNAM(c *call) reply {
	return s.withNumber(c, func(n *number) reply {
		k := s.findCNAM(c.r.PathValue("target"))
		switch {
		case k == nil:
			return s.noSuchResource("No such CNAM record")
		case k.at.Add(cnamReview).After(s.now()):
			return notAuthorized()
		}
		n.caller = k.id
		return s.assigned(k.id)
	})
}

func (s *Simulator) unassignCNAM(c *call) reply {
	return s.withNumber(c, func(n *number) reply {
		if n.caller == "" {
			return s.noSuchResource("No CNAM record is associated")
		}
		id := n.caller
		n.caller = ""
		return s.assigned(id)
	})
}

package flowroutetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// e911 is an address for emergency calls.
type e911 struct {
	id    string
	attrs map[string]any
}

func (a *e911) object(base string) any {
	return map[string]any{"attributes": a.attrs, "id": a.id, "links": map[string]string{"self": base + "/v2/e911s/" + a.id}, "type": "e911"}
}

// readE911 reads the attributes of an address over those it had.
func (c *call) readE911(before map[string]any) (map[string]any, *reply) {
	attrs, bad := c.attributes()
	if bad != nil {
		return nil, bad
	}
	out := map[string]any{"alias": nil, "address_type": nil, "address_type_number": nil}
	maps.Copy(out, before)
	for k, v := range attrs {
		if k == "type" || k == "id" {
			continue
		}
		var value any
		_ = json.Unmarshal(v, &value)
		out[k] = value
	}
	problems := fieldErrors{}
	for _, k := range []string{"label", "first_name", "last_name", "street_number", "street_name", "city", "state", "country", "zip"} {
		if v, ok := out[k]; !ok || v == nil || v == "" {
			problems.add(k, missingField)
		}
	}
	if len(problems) > 0 {
		rep := problems.reply()
		return nil, &rep
	}
	if zip := fmt.Sprint(out["zip"]); len(zip) < 5 {
		rep := c.s.apiError(http.StatusBadRequest, "Client Error", "Could not geocode this address. Please check the validity of your address.")
		return nil, &rep
	}
	return out, nil
}

func (s *Simulator) findE911(id string) *e911 {
	i := slices.IndexFunc(s.acct.extras.e911s, func(a e911) bool { return a.id == id })
	if i < 0 {
		return nil
	}
	return &s.acct.extras.e911s[i]
}

func (s *Simulator) listE911s(c *call) reply {
	v := c.r.URL.Query()
	p := s.readPage(v, 200)
	p.filter("state", v.Get("state"))
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []e911
	for _, a := range s.acct.extras.e911s {
		if matches(v.Get("state"), fmt.Sprint(a.attrs["state"])) {
			rows = append(rows, a)
		}
	}
	return listReply(c, p, rows, func(a e911) any { return a.object(c.linkBase()) })
}

func (s *Simulator) validateE911(c *call) reply {
	if _, bad := c.readE911(nil); bad != nil {
		return *bad
	}
	return reply{status: http.StatusNoContent}
}

func (s *Simulator) createE911(c *call) reply {
	attrs, bad := c.readE911(nil)
	if bad != nil {
		return *bad
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.acct.extras
	x.e911s = append(x.e911s, e911{x.id(), attrs})
	return c.document(http.StatusCreated, x.e911s[len(x.e911s)-1].object(c.linkBase()))
}

// withE911 runs f on the address the path names.
func (s *Simulator) withE911(c *call, f func(*e911) reply) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.findE911(c.r.PathValue("id")); a != nil {
		return f(a)
	}
	return s.noSuchResource("No such E911 address")
}

func (s *Simulator) getE911(c *call) reply {
	return s.withE911(c, func(a *e911) reply { return c.document(http.StatusOK, a.object(c.linkBase())) })
}

func (s *Simulator) patchE911(c *call) reply {
	return s.withE911(c, func(a *e911) reply {
		attrs, bad := c.readE911(a.attrs)
		if bad != nil {
			return *bad
		}
		a.attrs = attrs
		return c.document(http.StatusOK, a.object(c.linkBase()))
	})
}

func (s *Simulator) deleteE911(c *call) reply {
	return s.withE911(c, func(a *e911) reply {
		id := a.id
		s.acct.extras.e911s = slices.DeleteFunc(s.acct.extras.e911s, func(o e911) bool { return o.id == id })
		return reply{status: http.StatusNoContent}
	})
}

func (s *Simulator) numbersOfE911(c *call) reply {
	return s.withE911(c, func(a *e911) reply {
		data := []any{}
		for _, n := range s.acct.book.owned {
			if n.e911 == a.id {
				data = append(data, map[string]any{"id": n.value, "type": "number", "links": map[string]string{"self": c.linkBase() + "/v2/numbers/" + n.value}})
			}
		}
		return c.document(http.StatusOK, data)
	})
}

func (s *Simulator) assignE911(c *call) reply {
	return s.withNumber(c, func(n *number) reply {
		a := s.findE911(c.r.PathValue("target"))
		if a == nil {
			return s.noSuchResource("No such E911 address")
		}
		n.e911 = a.id
		return reply{status: http.StatusNoContent}
	})
}

func (s *Simulator) unassignE911(c *call) reply {
	return s.withNumber(c, func(n *number) reply { n.e911 = ""; return reply{status: http.StatusNoContent} })
}

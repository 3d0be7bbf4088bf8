package flowroutetest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// extras are the resources that the official SDKs call and the product does
// not: E911 addresses, CNAM records, portability, CDR exports, provisioning.
// Their shapes follow the samples where there are any; the rest is invented.
type extras struct {
	e911s   []e911
	cnams   []cnam
	exports []string // ids
	next    int
}

func newExtras() *extras { return &extras{next: 20155} }

func (x *extras) id() string { x.next++; return strconv.Itoa(x.next) }

func (s *Simulator) extraRoutes(v2 func(string, endpoint), read func(func(*call) reply) action, write func(Op, func(*call) reply) action) {
	v2("/e911s", endpoint{"GET": read(s.listE911s), "POST": write(OpConfig, s.createE911)})
	v2("/e911s/validate", endpoint{"POST": write(OpConfig, s.validateE911)})
	v2("/e911s/{id}", endpoint{"GET": read(s.getE911), "PATCH": write(OpConfig, s.patchE911), "DELETE": write(OpConfig, s.deleteE911)})
	v2("/e911s/{id}/relationships/numbers", endpoint{"GET": read(s.numbersOfE911)})
	v2("/cnams", endpoint{"GET": read(s.listCNAMs), "POST": write(OpConfig, s.createCNAM)})
	v2("/cnams/{id}", endpoint{"GET": read(s.getCNAM), "DELETE": write(OpConfig, s.deleteCNAM)})
	v2("/message-provision", endpoint{"POST": write(OpNumberWrite, s.provision)})
	v2("/portorders", endpoint{"GET": read(func(*call) reply { return s.noSuchResource("No Port Orders match this query.") })})
	v2("/portorders/portability", endpoint{"POST": read(s.portability)})
	v2("/cdrs/exports", endpoint{"GET": read(s.listExports), "POST": write(OpConfig, s.createExport)})
	v2("/cdrs/exports/{id}", endpoint{"GET": read(s.getExport)})
}

func (c *call) document(status int, object any) reply {
	return reply{status: status, body: encode(map[string]any{"data": object, "links": map[string]string{"self": c.linkBase() + c.r.URL.Path[len(c.s.o.BasePath):]}})}
}

// withNumber runs f on the number the path names.
func (s *Simulator) withNumber(c *call, f func(*number) reply) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.acct.book.find(c.r.PathValue("id"), s.now()); n != nil {
		return f(n)
	}
	return s.apiError(http.StatusNotFound, "", noNumber)
}

// phoneNumbers reads {"numbers":[…]}.
func (c *call) phoneNumbers() ([]string, *reply) {
	attrs, bad := c.attributes()
	if bad != nil {
		return nil, bad
	}
	var list []string
	if v := attrs["numbers"]; len(v) > 0 && v[0] == '"' {
		list = []string{textOf(v, "numbers", fieldErrors{})}
	} else if json.Unmarshal(v, &list) != nil {
		rep := invalidField("numbers", "Not a valid list.")
		return nil, &rep
	}
	return list, nil
}

// provision is POST message-provision.
func (s *Simulator) provision(c *call) reply {
	list, bad := c.phoneNumbers()
	if bad != nil {
		return *bad
	}
	attrs, _ := c.attributes()
	action := textOf(attrs["action"], "action", fieldErrors{})
	if action != "enable" && action != "disable" {
		return invalidField("action", "Not a valid choice.")
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, value := range list {
		n := s.acct.book.find(value, now)
		if n == nil {
			return s.apiError(http.StatusNotFound, "", noNumber)
		}
		s.setMessaging(n, action == "enable", now)
	}
	kind, out := "message_bulk_provisioning_status", map[string]any{"status": "pending", "message": "Accepted.", "numbers": list}
	if len(list) == 1 {
		kind, out = "message_provisioning_status", map[string]any{"status": "pending", "tn": list[0]}
	}
	return reply{status: http.StatusCreated, body: encode(map[string]any{"data": map[string]any{"type": kind, "attributes": out}})}
}

func (s *Simulator) portability(c *call) reply {
	list, bad := c.phoneNumbers()
	if bad != nil {
		return *bad
	}
	data := []any{}
	for _, n := range list {
		data = append(data, map[string]any{"type": "portability", "id": n, "attributes": map[string]any{"value": n, "portable": digits(n) != 0}})
	}
	return reply{status: http.StatusOK, body: encode(map[string]any{"data": data})}
}

func exportObject(id string) any {
	return map[string]any{"type": "cdrexport", "id": id, "attributes": map[string]any{"status": "complete", "download_link": nil}}
}

func (s *Simulator) createExport(c *call) reply {
	if _, bad := c.attributes(); bad != nil {
		return *bad
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.acct.extras.id()
	s.acct.extras.exports = append(s.acct.extras.exports, id)
	return reply{status: http.StatusCreated, body: encode(map[string]any{"data": exportObject(id)})}
}

func (s *Simulator) listExports(c *call) reply {
	p := s.readPage(c.r.URL.Query(), 200)
	s.mu.Lock()
	defer s.mu.Unlock()
	return listReply(c, p, s.acct.extras.exports, exportObject)
}

func (s *Simulator) getExport(c *call) reply {
	id := c.r.PathValue("id")
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.acct.extras.exports, id) {
		return s.noSuchResource("No such export")
	}
	return reply{status: http.StatusOK, body: encode(map[string]any{"data": exportObject(id)})}
}

// numbersDetails is POST numbers/details.
func (s *Simulator) numbersDetails(c *call) reply {
	list, bad := c.phoneNumbers()
	if bad != nil {
		return *bad
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	data := []any{}
	for _, value := range list {
		if n := s.acct.book.find(strings.TrimPrefix(value, "+"), now); n != nil {
			data = append(data, s.numberDocument(c, n).Data)
		}
	}
	return reply{status: http.StatusOK, body: encode(map[string]any{"data": data})}
}

func (s *Simulator) listEdgeStrategies(*call) reply {
	data := []any{}
	for i, name := range []string{"US-West-OR", "US-West-WA", "US-East-NJ", "US-East-VA"} {
		data = append(data, map[string]any{"type": "edge_strategy", "id": strconv.Itoa(i + 1), "attributes": map[string]any{"name": name}})
	}
	return reply{status: http.StatusOK, body: encode(map[string]any{"data": data})}
}

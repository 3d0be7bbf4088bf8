package flowroutetest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// attributes reads a request's body in either format: flat, or the JSON:API
// document {"data":{"type","id","attributes":{…}}}, whose type and id are
// returned beside the attributes. An empty body has none.
func (c *call) attributes() (map[string]json.RawMessage, *reply) {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return nil, nil
	}
	if strings.HasPrefix(c.r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return c.formAttributes(), nil
	}
	if bad := c.checkJSON(); bad != nil {
		return nil, bad
	}
	var flat map[string]json.RawMessage
	if json.Unmarshal(c.body, &flat) != nil {
		rep := invalidField("_schema", "Invalid input type.")
		return nil, &rep
	}
	raw, ok := flat["data"]
	if !ok {
		return flat, nil
	}
	var data map[string]json.RawMessage
	if json.Unmarshal(raw, &data) != nil {
		rep := invalidField("data", "Invalid input type.")
		return nil, &rep
	}
	attrs := data
	if inner, ok := data["attributes"]; ok {
		attrs = nil
		if json.Unmarshal(inner, &attrs) != nil || attrs == nil {
			rep := invalidField("attributes", "Invalid input type.")
			return nil, &rep
		}
		for _, k := range []string{"type", "id"} {
			if v, ok := data[k]; ok {
				attrs[k] = v
			}
		}
	}
	return attrs, nil
}

// formAttributes reads the form that the Python SDK sends for CNAM records
// and portability: texts, and lists where a name is repeated.
func (c *call) formAttributes() map[string]json.RawMessage {
	attrs := map[string]json.RawMessage{}
	form, _ := url.ParseQuery(string(c.body))
	for name, values := range form {
		if attrs[name] = encode(values); len(values) == 1 {
			attrs[name] = encode(values[0])
		}
	}
	return attrs
}

// checkJSON refuses what is not a JSON object in UTF-8. A JSON string that
// contains the document (a client that encoded twice) is such a thing.
func (c *call) checkJSON() *reply {
	if !utf8.Valid(c.body) || !json.Valid(c.body) {
		rep := c.s.apiError(http.StatusBadRequest, "Client Error", "The request body is not valid JSON in UTF-8.")
		return &rep
	}
	if b := bytes.TrimLeft(c.body, " \t\r\n"); b[0] != '{' {
		rep := invalidField("_schema", "Invalid input type.")
		return &rep
	}
	return nil
}

// given reports whether an attribute is there and not null.
func given(v json.RawMessage) bool { return len(v) > 0 && !bytes.Equal(v, []byte("null")) }

// textOf reads a string attribute into problems when it is none.
func textOf(v json.RawMessage, field string, problems fieldErrors) string {
	var s string
	if given(v) && json.Unmarshal(v, &s) != nil {
		problems.add(field, "Not a valid string.")
	}
	return s
}

// boolOf reads true, false, and the strings of them that SDK samples send.
func boolOf(v json.RawMessage, field string, problems fieldErrors) bool {
	switch string(v) {
	case "", "null", "false", `"false"`, `"False"`:
		return false
	case "true", `"true"`, `"True"`:
		return true
	}
	problems.add(field, "Not a valid boolean.")
	return false
}

func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

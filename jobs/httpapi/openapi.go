package httpapi

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
)

// description is the API in the words of OpenAPI 3.1. A test holds it against the
// routes, and against what they are asked and answer.
//
//go:embed openapi.yaml
var description string

// getDescription is open to all: tools fetch it before anybody has a token to give
// them, and there is nothing in it that is not in every copy of the program.
func getDescription() handler {
	sum := sha256.Sum256([]byte(description))
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("ETag", tag)
		w.Header().Set("Cache-Control", "no-cache") // to be kept, and asked about each time
		if matches(r.Header.Values("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
		w.Header().Set("Content-Type", "application/yaml") // RFC 9512
		_, _ = io.WriteString(w, description)              // the client may be gone
		return nil
	}
}

// matches reports whether a client has the content with this tag already. Proxies
// that compress make tags weak ones.
func matches(ifNoneMatch []string, tag string) bool {
	for _, line := range ifNoneMatch {
		for given := range strings.SplitSeq(line, ",") {
			if given = strings.TrimSpace(given); given == "*" || strings.TrimPrefix(given, "W/") == tag {
				return true
			}
		}
	}
	return false
}
